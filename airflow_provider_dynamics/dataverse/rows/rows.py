"""Single rows: read, create, update, upsert, delete, one column; by id or by the columns of an alternate key.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS, Row
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.queries.query import Expand
from airflow_provider_dynamics.dataverse.reading import inner, reading
from airflow_provider_dynamics.dataverse.rows import settled, states
from airflow_provider_dynamics.dataverse.rows.payloads import Blank, Payloads
from airflow_provider_dynamics.dataverse.throttle import Clock, Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchSender
from airflow_provider_dynamics.dataverse.transport.row_requests import (
    NewRow,
    RowOperation,
    RowRequest,
    checked,
)

__all__ = ["RowKey", "RowOperation", "Rows", "Upserted"]

RowKey = str | uuid.UUID | Mapping[str, Any]  # a row id, or the columns of an alternate key with their values

_PARTITION = "partitionid"
_counter = itertools.count(int.from_bytes(os.urandom(2), "big"))


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did; None where the service did not say."""

    row_id: str | None
    created: bool | None


class Rows:
    """Work on one row at a time."""

    def __init__(self, transport: BatchSender, tables: Tables, clock: Clock) -> None:
        self._transport = transport
        self._tables = tables
        self._clock = clock
        self.payloads = Payloads(tables)

    def get(
        self,
        table: Table,
        key: RowKey,
        select: Iterable[str] = (),
        *,
        expand: str | Sequence[Expand] | None,
        annotations: bool,
        stop: Stop | None = None,
    ) -> Row:
        """Return the row with its collections whole; raises RowNotFound."""
        related = reading.expand_text(expand, table, self._tables)
        query = {"$select": ",".join(table.wire_names(select)), "$expand": related}
        headers = odata.prefer(annotations=annotations)
        try:
            target = f"{table.entity_set}{table.predicate(key)}{odata.options(query)}"
        except odata.KeyNotInUrl:
            condition = _condition(table, cast("Mapping[str, Any]", key))
            target = f"{table.entity_set}{odata.options({**query, '$filter': condition, '$top': '2'})}"
            request = Request("GET", target, headers)
            found = self._only(table, request, stop)
        else:
            request = Request("GET", target, headers)
            found = decoded(self._transport.send(request, stop), request)
        return inner.whole(self._transport, found, request, stop=stop or Stop())

    def create(
        self,
        table: Table,
        row: Row,
        *,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
        stop: Stop | None = None,
    ) -> str:
        """Create the row and return its id.

        The id is chosen here unless the row brings one, so that a create whose answer was lost can be
        repeated: the second one then finds the first. A row that brings its id is taken for the first one's
        only where it has the values that were sent. A state that a new row cannot have is set right after,
        in the same transaction where the table knows any.
        """
        body, later = states.parted(table, row)
        if later and table.elastic:
            row_id = self.create(table, body, options=options, blank=blank, stop=stop)
            partition = {_PARTITION: body[_PARTITION]} if body.get(_PARTITION) is not None else {}
            self.update(table, {table.primary_id: row_id, **partition}, later, options=options, stop=stop)
            return row_id
        request = self._new(table, body, options, blank, content_id="1")
        address = f"{table.entity_set}({request.new.row_id})" if request.new else "$1"
        try:
            response = self._sent(table, request, address, later, options, stop)
        except errors.DataverseError as error:
            if request.new is None or not self._came_through(request.new, later, error, stop):
                raise
            return request.new.row_id
        made = request.new.row_id if request.new else odata.entity_id(response.headers)
        if made is None:
            raise errors.BadResponse("The service did not say which row it created", asked=request.asked)
        return made

    def is_written(
        self,
        table: Table,
        row: Row,
        *,
        derived: bool = False,
        blank: Blank = "null",
        stop: Stop | None = None,
    ) -> bool:
        """Say whether there is a row with this row's id and its values; with `derived` the id is enough."""
        body = self.payload(table, row, blank=blank)
        new = NewRow(table, odata.guid(body.get(table.primary_id)), body, made_here=derived)
        return self._there(new, stop)

    def update(
        self,
        table: Table,
        key: RowKey,
        row: Row,
        *,
        if_match: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
        stop: Stop | None = None,
    ) -> None:
        """Change the given columns of a row that exists, and with `if_match` only while it has this etag.

        Owner and state may be among them: of one update Dataverse writes the other columns first.
        https://learn.microsoft.com/power-apps/developer/data-platform/special-update-operation-behavior
        """
        self._transport.send(
            self.request("update", table, row, key, if_match=if_match, options=options, blank=blank), stop
        )

    def upsert(
        self,
        table: Table,
        key: RowKey,
        row: Row,
        *,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
        stop: Stop | None = None,
    ) -> Upserted:
        """Change the row, or create it; only the returned row tells which of the two it was.

        https://learn.microsoft.com/power-apps/developer/data-platform/use-upsert-insert-update-record
        """
        request = self.request("upsert", table, row, key, options=options, blank=blank)
        body, later = states.parted(table, self.payload(table, self.body_of(table, row, key), blank=blank))
        address = f"{table.entity_set}{table.predicate(key)}"
        response = self._sent(table, replace(request, body=odata.encode(body)), address, later, options, stop)
        if not response.body:
            return Upserted(odata.entity_id(response.headers), None)
        row_id = decoded(response, request)[table.primary_id]
        return Upserted(row_id, None if response.repeated else response.status == 201)

    def delete(
        self,
        table: Table,
        key: RowKey,
        *,
        if_match: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        stop: Stop | None = None,
    ) -> None:
        """Delete the row, with `if_match` only while it has this etag; raises RowNotFound, unless an earlier attempt may have."""
        request = self.request("delete", table, key=key, if_match=if_match, options=options)
        try:
            self._transport.send(request, stop)
        except errors.NotFound as error:
            if not error.repeated:
                raise

    def request(
        self,
        operation: RowOperation,
        table: Table,
        row: Row | None = None,
        key: RowKey | None = None,
        *,
        if_match: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
        content_id: str | None = None,
    ) -> RowRequest:
        """Return the request of an operation on one row, for a batch or a change set.

        `key` is left out of a create, and of others where the row has its id. Raises BadRequest, too, for what
        one request cannot do: a new row with a state, `if_match` for a row that need not be there.
        """
        row = checked(operation, row, key, if_match)
        if operation == "create":
            return self._new(table, row, options, blank, content_id)
        if key is None:
            key = row.get(table.primary_id) or ""
        address = f"{table.entity_set}{table.predicate(key)}"
        match = {"If-Match": if_match} if if_match else {}
        if operation == "delete":
            made = self._request("DELETE", address, None, options, match, repeatable=if_match is None)
            return replace(made, content_id=content_id, table=table)
        body = self.payload(table, self.body_of(table, row, key), blank=blank)
        if operation == "update":
            match = match or {"If-Match": "*"}
        else:
            address, match = f"{address}?$select={table.primary_id}", {"Prefer": "return=representation"}
        # the first attempt would have changed the etag
        made = self._request("PATCH", address, body, options, match, repeatable=if_match is None)
        return replace(made, content_id=content_id, table=table)

    def set_property(
        self,
        table: Table,
        key: RowKey,
        column: str,
        value: Any,
        *,
        options: WriteOptions = NO_OPTIONS,
        stop: Stop | None = None,
    ) -> None:
        """Write one column of a row that exists, None clears it; raises RowNotFound, UnknownColumn, BadRequest for a lookup.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api#update-a-single-property-value
        """
        found = table.column(column)
        if found.type in LOOKUPS:
            raise errors.BadRequest(
                f"{found.name!r} of {table.logical_name} is a lookup, which is no single value",
                remedy="Use associate and disassociate, or update.",
            )
        if not found.valid_for_update:
            raise errors.BadRequest(f"The column {found.name!r} of {table.logical_name} cannot be changed")
        address = f"{table.entity_set}{table.predicate(key)}/{found.name}"
        if value is None:
            request = self._request("DELETE", address, None, options, repeatable=True)
        else:
            body = {"value": self.payload(table, {found.name: value})[found.name]}
            request = self._request("PUT", address, body, options, repeatable=True)
        self._transport.send(request, stop)

    def _new(
        self,
        table: Table,
        row: Mapping[str, Any],
        options: WriteOptions,
        blank: Blank,
        content_id: str | None = None,
    ) -> RowRequest:
        """Return the request that makes a row, with an id of ours unless it has one or the table does not let callers choose."""
        body = self.payload(table, dict(row), creates=True, blank=blank)
        given = body.get(table.primary_id)
        column = table.columns.get(table.primary_id)
        new = None
        if given or (column is not None and column.valid_for_create):
            row_id = odata.guid(given) if given else _new_id(self._clock.now())
            body = {**body, table.primary_id: row_id}
            new = NewRow(table, row_id, body, made_here=not given)
        made = self._request("POST", table.entity_set, body, options, repeatable=new is not None)
        return replace(made, content_id=content_id, table=table, new=new)

    def payload(self, table: Table, row: Row, *, creates: bool = False, blank: Blank = "null") -> Row:
        """Return the row as it goes over the wire; raises BadRequest."""
        return self.payloads.wire(table, row, creates=creates, blank=blank)

    def parameter(self, table: str, row: Row) -> Row:
        """Return a row that is an action's parameter as it goes over the wire; what is no table's stays as it is."""
        try:
            outline = self._tables.outline(table)
        except errors.UnknownTable:
            return row
        return self.payloads.wire(outline, row)

    def body_of(self, table: Table, row: Row, key: RowKey) -> Row:
        """Return the row less the columns that name it."""
        return self.payloads.body_of(table, row, key)

    def _came_through(self, new: NewRow, later: Row, error: errors.DataverseError, stop: Stop | None) -> bool:
        """Say whether a row is there although its creation ended in an error; only where that is worth a look."""
        if isinstance(error, errors.Conflict):
            doubtful = error.repeated
        elif new.made_here:
            doubtful = isinstance(error, (errors.ServerTimeout, errors.BadResponse))  # others are sent again
        else:  # with its state it is sent once
            lost = isinstance(error, (errors.ServerError, errors.BadResponse, errors.Unreachable))
            doubtful = bool(later) and lost
        return doubtful and self._there(replace(new, body={**new.body, **later}), stop)

    def _there(self, new: NewRow, stop: Stop | None) -> bool:
        return settled.as_sent(self._transport, [new], stop) == [True]

    def _sent(  # noqa: PLR0917 - two writes and how they are carried out
        self,
        table: Table,
        request: Request,
        address: str,
        later: Row,
        options: WriteOptions,
        stop: Stop | None,
    ) -> Response:
        """Send a write and, in one transaction with it, the state its row gets after."""
        if not later:
            return self._transport.send(replace(request, content_id=None), stop)
        state = self._request("PATCH", address, later, options, {"If-Match": "*"}, repeatable=True)
        if table.elastic:
            request = replace(request, content_id=None)
        return states.in_order(self._transport, table, request, state, stop)

    def _request(
        self,
        method: str,
        address: str,
        body: Row | None,
        options: WriteOptions,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool,
    ) -> RowRequest:
        return RowRequest(
            method,
            options.addressed(address),
            {**options.headers(), **(headers or {})},
            None if body is None else odata.encode(body),
            repeatable=repeatable,
        )

    def _only(self, table: Table, request: Request, stop: Stop | None) -> Row:
        found: list[Row] = decoded(self._transport.send(request, stop), request)["value"]
        if not found:
            raise errors.RowNotFound(f"No row of {table.logical_name} has this key", asked=request.asked)
        if len(found) > 1:
            raise errors.Conflict(f"Several rows of {table.logical_name} have this key", asked=request.asked)
        return found[0]


def _condition(table: Table, key: Mapping[str, Any]) -> str:
    """Return the filter that finds what a key with characters no URL key may hold names."""
    columns = [(table.column(name), value) for name, value in key.items()]
    return " and ".join(
        f"{column.wire_name} eq {odata.literal_as(column.type, value)}" for column, value in columns
    )


def _new_id(now: float) -> str:
    """Return a GUID that sorts after earlier ones in the service's database, which keeps its index from scattering.

    SQL Server compares the last group first: it holds the milliseconds, the group before it a counter.
    https://learn.microsoft.com/power-apps/developer/data-platform/optimize-performance-create-update
    """
    tail = (0x8000 | next(_counter) & 0x3FFF).to_bytes(2, "big") + int(now * 1000).to_bytes(6, "big")
    head = bytearray(os.urandom(8))
    head[6] = 0x80 | head[6] & 0x0F  # version 8: a layout of our own
    return str(uuid.UUID(bytes=bytes(head) + tail))
