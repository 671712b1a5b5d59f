"""Writing single rows over HTTP: POST, PATCH (which also creates), PUT of a property, and DELETE.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api and
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from airflow_provider_dynamics.emulator.address import (
    Segment,
    json_like,
    refuse_dangerous,
    row_key,
)
from airflow_provider_dynamics.emulator.call import Call, no_content
from airflow_provider_dynamics.emulator.elastic import (
    PARTITION,
    partition_of,
    primary_of,
    row_id_of,
    session_token,
)
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.options import check_options
from airflow_provider_dynamics.emulator.querying.query import Reader, missing_row, no_segment
from airflow_provider_dynamics.emulator.render import etag
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.keys import duplicate_record, no_row_of_key
from airflow_provider_dynamics.emulator.writing.writer import Writer

_NOT_IN_HEADERS = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True)
class Place:
    """Where a URL points: an existing row or none, and what a row created there would carry.

    ``shown`` is the key as ``OData-EntityId`` echoes it: the GUID, or the alternate key as given.
    """

    table: Table
    row_id: str | None
    fixed: Mapping[str, Any]
    shown: str

    def existing(self) -> str:
        """The id of the row; raises 404 in the words the kind of key asks for."""
        if self.row_id is not None:
            return self.row_id
        if self.table.primary_id in self.fixed:
            raise missing_row(self.table, self.shown)
        raise no_row_of_key(self.table)


class Rows:
    """Answers writes to single rows."""

    def __init__(self, store: Store, writer: Writer, reader: Reader) -> None:
        self._store = store
        self._writer = writer
        self._reader = reader

    def place(self, call: Call, table: Table, segment: Segment) -> Place:
        """What ``accounts(…)`` names."""
        key = row_key(segment.inside or "", call.aliases)
        partition = partition_of(table, call)
        if isinstance(key, str):
            return self._placed(table, key, partition)
        if table.elastic and "partitionId" in key:  # as Microsoft's sample of an update writes it
            key = {name.lower(): value for name, value in key.items()}
        refuse_dangerous(key)
        values = self._writer.keys.values(table, {name: json_like(value) for name, value in key.items()})
        if set(values) == {table.primary_id}:
            return self._placed(table, values[table.primary_id], partition)
        return Place(table, self._writer.keys.look(table, values), values, segment.inside or "")

    def _placed(self, table: Table, key: str, partition: str | None) -> Place:
        row_id = row_id_of(table, key, partition)
        fixed = (
            {table.primary_id: key} if partition is None else {table.primary_id: key, PARTITION: partition}
        )
        return Place(table, row_id if self._store.exists(table, row_id) else None, fixed, key)

    def create(self, call: Call, table: Table) -> Response:
        """POST to a collection."""
        check_options(call.options)
        with self._store.transaction():
            row_id = self._writer.create(call, table, call.json())
            return self._written(call, table, row_id, primary_of(row_id), created=True)

    def patch(self, call: Call, place: Place) -> Response:
        """PATCH: change the row, or create it unless ``If-Match`` forbids."""
        check_options(call.options)
        match, none_match = _condition(call, "if-match"), _condition(call, "if-none-match")
        if place.row_id is None:
            if match is not None:
                place.existing()
            row_id = self._writer.create(call, place.table, call.json(), place.fixed)
            return self._written(call, place.table, row_id, place.shown, created=True)
        if none_match == "*":
            raise duplicate_record()
        self._check_version(place.table, place.row_id, match)
        body = {name: value for name, value in call.json().items() if name not in place.fixed}
        if place.table.elastic and match is None:
            self._writer.replace(call, place.table, place.row_id, body)
        else:
            self._writer.update(call, place.table, place.row_id, body)
        return self._written(call, place.table, place.row_id, place.shown, created=False)

    def _written(self, call: Call, table: Table, row_id: str, shown: str, *, created: bool) -> Response:
        if call.prefer.representation:
            # Microsoft: $expand is honoured after POST and ignored after PATCH.
            reading = replace(call, headers={})
            expand = created and call.method == "POST"
            answer = self._reader.row(reading, table, row_id, 201 if created else 200, expand=expand)
            return Response(answer.status, (*answer.headers, *self._session(table)), answer.body)
        link = _NOT_IN_HEADERS.sub(lambda found: quote(found[0]), f"{call.root}/{table.set_name}({shown})")
        location = (("Location", link),) if created else ()
        return no_content(*location, ("OData-EntityId", link), *self._session(table), *call.applied())

    def _session(self, table: Table) -> tuple[tuple[str, str], ...]:
        return (session_token(self._store.version),) if table.elastic else ()

    def _check_version(self, table: Table, row_id: str, match: str | None) -> None:
        if match in {None, "*"}:
            return
        row = self._store.row(table, row_id)
        if row is None or etag(row["versionnumber"]) != match:
            raise Fault(
                412,
                "0x80060882",
                "The version of the existing record doesn't match the RowVersion property provided.",
            )

    def delete(self, call: Call, place: Place) -> Response:
        """DELETE a row."""
        row_id = place.existing()
        self._check_version(place.table, row_id, _condition(call, "if-match"))
        self._writer.delete(call, place.table, row_id)
        return no_content()

    # -- one property -------------------------------------------------------------------------------

    def put_property(self, call: Call, place: Place, name: str) -> Response:
        """PUT of one column: ``{"value": …}``."""
        body = call.json()
        if "value" not in body:
            raise Fault(400, "0x80048d19", "Error identified in Payload: the member 'value' is missing.")
        return self._set(call, place, name, body["value"])

    def delete_property(self, call: Call, place: Place, name: str) -> Response:
        """DELETE of one column: it becomes empty."""
        return self._set(call, place, name, None)

    def _set(self, call: Call, place: Place, name: str, value: Any) -> Response:
        column = place.table.by_name.get(name)
        if column is None or column.is_lookup:
            raise no_segment(name)
        row_id = place.existing()
        self._check_version(place.table, row_id, _condition(call, "if-match"))
        self._writer.update(call, place.table, row_id, {name: value})
        return no_content()


def _condition(call: Call, header: str) -> str | None:
    # "If-None-Match: null" is what Microsoft's samples send on everything: no condition.
    value = call.headers.get(header, "").strip()
    return None if value in {"", "null"} else value


def method_not_allowed(method: str) -> Fault:
    """405."""
    return Fault(405, "0x80060888", f"The requested resource does not support http method '{method}'.")
