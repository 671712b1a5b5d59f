"""Single rows: read, create, update, upsert, delete; by id or by the columns of an alternate key.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from airflow_provider_dynamics.dataverse import errors, inner, odata, reading
from airflow_provider_dynamics.dataverse.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.odata import Row
from airflow_provider_dynamics.dataverse.pages import decoded
from airflow_provider_dynamics.dataverse.query import Expand
from airflow_provider_dynamics.dataverse.tables import LOOKUPS, Column, Table, Tables
from airflow_provider_dynamics.dataverse.throttle import Clock, Stop

__all__ = ["RowKey", "Rows", "Upserted"]

RowKey = str | uuid.UUID | Mapping[str, Any]  # a row id, or the columns of an alternate key with their values

_counter = itertools.count(int.from_bytes(os.urandom(2), "big"))


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert did; None where the service did not say."""

    row_id: str | None
    created: bool | None


class Rows:
    """Work on one row at a time."""

    def __init__(self, transport: Sender, tables: Tables, clock: Clock) -> None:
        self._transport = transport
        self._tables = tables
        self._clock = clock

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

    def create(self, table: Table, row: Row, *, doubtful: bool = False, stop: Stop | None = None) -> str:
        """Create the row and return its id.

        The id is chosen here unless the row brings one, so that a create whose answer was lost can be
        repeated: the second one then finds the first. `doubtful` says that an earlier request may have
        created it.
        """
        body, row_id = self.with_id(table, self.payload(table, row, creates=True))
        request = Request("POST", table.entity_set, body=odata.encode(body), repeatable=row_id is not None)
        try:
            response = self._transport.send(request, stop)
        except errors.DuplicateKey as error:
            if row_id is None or not (doubtful or error.repeated) or not self.exists(table, row_id):
                raise
            return row_id
        made = row_id or odata.entity_id(response.headers)
        if made is None:
            raise errors.BadResponse("The service did not say which row it created", asked=request.asked)
        return made

    def update(
        self,
        table: Table,
        key: RowKey,
        row: Row,
        *,
        if_match: str | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Change the given columns of a row that exists, and with `if_match` only while it has this etag."""
        body = odata.encode(self.payload(table, self.body_of(table, row, key)))
        request = Request(
            "PATCH",
            f"{table.entity_set}{table.predicate(key)}",
            {"If-Match": if_match or "*"},
            body,
            repeatable=if_match is None,  # the first attempt would have changed the etag
        )
        self._transport.send(request, stop)

    def upsert(self, table: Table, key: RowKey, row: Row, *, stop: Stop | None = None) -> Upserted:
        """Change the row, or create it; only the returned row tells which of the two it was.

        https://learn.microsoft.com/power-apps/developer/data-platform/use-upsert-insert-update-record
        """
        target = f"{table.entity_set}{table.predicate(key)}?$select={table.primary_id}"
        body = odata.encode(self.payload(table, self.body_of(table, row, key)))
        request = Request("PATCH", target, {"Prefer": "return=representation"}, body, repeatable=True)
        response = self._transport.send(request, stop)
        if not response.body:
            return Upserted(odata.entity_id(response.headers), None)
        row_id = decoded(response, request)[table.primary_id]
        return Upserted(row_id, None if response.repeated else response.status == 201)

    def delete(self, table: Table, key: RowKey, *, doubtful: bool = False, stop: Stop | None = None) -> None:
        """Delete the row; raises RowNotFound, unless an earlier attempt of this call may have deleted it."""
        request = Request("DELETE", f"{table.entity_set}{table.predicate(key)}", repeatable=True)
        try:
            self._transport.send(request, stop)
        except errors.NotFound as error:
            if not (doubtful or error.repeated):
                raise

    def exists(self, table: Table, row_id: str) -> bool:
        request = Request("GET", f"{table.entity_set}({row_id})?$select={table.primary_id}")
        try:
            self._transport.send(request)
        except errors.NotFound:
            return False
        return True

    def with_id(self, table: Table, body: Row) -> tuple[Row, str | None]:
        """Return the row with an id, and the id; None where the table does not let callers choose it."""
        if given := body.get(table.primary_id):
            return body, odata.guid(given)
        column = table.columns.get(table.primary_id)
        if column is None or not column.valid_for_create:
            return body, None
        row_id = _new_id(self._clock.now())
        return {**body, table.primary_id: row_id}, row_id

    def payload(self, table: Table, row: Row, *, creates: bool = False) -> Row:
        """Return the row as it goes over the wire: lookups bound, times with their zone; raises BadRequest."""
        made: Row = {}
        for name, value in row.items():
            column = table.find(name)
            if column is None:  # an annotation, a navigation property, or a name for the service to judge
                made[_bind_name(table, name)] = value
            elif column.type in LOOKUPS:
                if value is not None or not creates:
                    made.update([self._bound(table, column, value)])
            elif column.type == "DateTime" and isinstance(value, datetime):
                made[column.name] = self._moment(table, column, value)
            else:
                made[column.name] = value
        return made

    def body_of(self, table: Table, row: Row, key: RowKey) -> Row:
        """Return the row less the columns that name it: in the body they are ignored or refused."""
        named = {table.column(name).name for name in key} if isinstance(key, Mapping) else {table.primary_id}
        return {
            name: value
            for name, value in row.items()
            if (column := table.find(name)) is None or column.name not in named
        }

    def _bound(self, table: Table, column: Column, value: Any) -> tuple[str, Any]:
        """Return the member for a lookup's value: bound for a row id or a reference such as `contacts(…)`, null to clear it.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api
        """
        choices = {target: name for target, name in column.navigation.items() if target != "owner"}
        if value is None and column.navigation:
            return next(iter(column.navigation.values())), None
        if len(choices) != 1:
            names = ", ".join(f"'{name}@odata.bind'" for name in choices.values())
            raise errors.BadRequest(
                f"The lookup {column.name!r} of {table.logical_name} may point to several tables",
                remedy=f"Write {names or repr(f'{column.name}@odata.bind')} with a value such as '/contacts(<row id>)'.",
            )
        [(target, name)] = choices.items()
        reference = value
        if not (isinstance(value, str) and "(" in value):
            reference = f"/{self._tables.entity_set(target)}({odata.guid(value)})"
        return f"{name}@odata.bind", reference

    def _moment(self, table: Table, column: Column, value: datetime) -> str:
        behavior = self._tables.whole(table.logical_name).columns[column.name].date_behavior
        return value.date().isoformat() if behavior == "DateOnly" else odata.instant(value)

    def _only(self, table: Table, request: Request, stop: Stop | None) -> Row:
        found: list[Row] = decoded(self._transport.send(request, stop), request)["value"]
        if not found:
            raise errors.RowNotFound(f"No row of {table.logical_name} has this key", asked=request.asked)
        if len(found) > 1:
            raise errors.Conflict(f"Several rows of {table.logical_name} have this key", asked=request.asked)
        return found[0]


def _bind_name(table: Table, name: str) -> str:
    """Return a member's name, with a lookup before `@odata.bind` in the spelling of its navigation property."""
    lookup, bind, _ = name.partition("@odata.bind")
    column = table.columns.get(lookup) if bind else None
    if column is None or len(column.navigation) != 1:
        return name
    navigation = next(iter(column.navigation.values()))
    return name if "owner" in column.navigation else f"{navigation}@odata.bind"


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
