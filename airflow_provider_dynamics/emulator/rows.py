"""Writing single rows over HTTP: POST, PATCH (which also creates), PUT of a property, DELETE, and ``$ref``.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api and
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_dynamics.emulator.address import (
    Segment,
    json_like,
    reference,
    refuse_dangerous,
    row_key,
)
from airflow_provider_dynamics.emulator.call import Call, no_content
from airflow_provider_dynamics.emulator.keys import duplicate_record
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.options import check_options
from airflow_provider_dynamics.emulator.query import Reader, missing_row, no_segment
from airflow_provider_dynamics.emulator.render import etag
from airflow_provider_dynamics.emulator.schema import BY_SET, TABLES, Navigation, Table
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writer import Writer

# The rules a new environment has published: accounts by name, people by e-mail address.
_DUPLICATE_RULES = {"account": "name", "contact": "emailaddress1", "lead": "emailaddress1"}


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
        raise Fault(
            404,
            "0x80060891",
            f"A record with the specified key values does not exist in {self.table.name} entity",
        )


class Rows:
    """Answers writes to single rows."""

    def __init__(self, store: Store, writer: Writer, reader: Reader) -> None:
        self._store = store
        self._writer = writer
        self._reader = reader

    def place(self, call: Call, table: Table, segment: Segment) -> Place:
        """What ``accounts(…)`` names."""
        key = row_key(segment.inside or "", call.aliases)
        if isinstance(key, str):
            found = key if self._store.exists(table, key) else None
            return Place(table, found, {table.primary_id: key}, key)
        refuse_dangerous(key)
        values = self._writer.keys.values(table, {name: json_like(value) for name, value in key.items()})
        if set(values) == {table.primary_id}:
            row_id = values[table.primary_id]
            return Place(table, row_id if self._store.exists(table, row_id) else None, values, row_id)
        return Place(table, self._writer.keys.look(table, values), values, segment.inside or "")

    def create(self, call: Call, table: Table) -> Response:
        """POST to a collection."""
        check_options(call.options)
        with self._store.transaction():
            body = call.json()
            self._detect_duplicate(call, table, body)
            row_id = self._writer.create(call, table, body)
            return self._written(call, table, row_id, row_id, created=True)

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
        self._writer.update(call, place.table, place.row_id, body)
        return self._written(call, place.table, place.row_id, place.shown, created=False)

    def _written(self, call: Call, table: Table, row_id: str, shown: str, *, created: bool) -> Response:
        if call.prefer.representation:
            # Microsoft: $expand is honoured after POST and ignored after PATCH.
            reading = replace(call, headers={})
            expand = created and call.method == "POST"
            return self._reader.row(reading, table, row_id, 201 if created else 200, expand=expand)
        link = f"{call.root}/{table.set_name}({shown})"
        location = (("Location", link),) if created else ()
        return no_content(*location, ("OData-EntityId", link), *call.applied())

    def _detect_duplicate(self, call: Call, table: Table, body: Mapping[str, Any]) -> None:
        # https://learn.microsoft.com/power-apps/developer/data-platform/webapi/manage-duplicate-detection-create-update
        if call.headers.get("mscrm.suppressduplicatedetection", "true").strip().lower() != "false":
            return
        name = _DUPLICATE_RULES.get(table.name)
        if name and body.get(name) and self._store.matching(table, {name: body[name]}):
            raise Fault(
                412,
                "0x80040333",
                "A record was not created or updated because a duplicate of the current record already exists.",
            )

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

    # -- references ---------------------------------------------------------------------------------

    def reference(self, call: Call, place: Place, segment: Segment) -> Response:
        """``…/{navigation}/$ref``: PUT and POST associate, DELETE takes apart."""
        row_id = place.existing()
        navigation = self._reader.follow(place.table, segment.name)
        if navigation.is_collection:
            return self._member(call, place.table, row_id, navigation, segment)
        if call.method == "DELETE":
            self._writer.bind(call, place.table, row_id, navigation.name, None)
        elif call.method in {"PUT", "POST"}:
            self._writer.bind(call, place.table, row_id, navigation.name, _linked(call))
        else:
            raise method_not_allowed(call.method)
        return no_content()

    def _member(
        self, call: Call, table: Table, row_id: str, navigation: Navigation, segment: Segment
    ) -> Response:
        if navigation.through:
            raise NotEmulated(f"changing the many-to-many relationship {navigation.name}")
        other = TABLES[navigation.table or ""]
        back = self._back(navigation, table)
        if call.method == "POST":
            child = self._target(call, _linked(call), other)
            self._writer.bind(call, other, child, back, f"{table.set_name}({row_id})")
        elif call.method == "DELETE":
            child = self._removed(call, other, segment)
            self._writer.bind(call, other, child, back, None)
        else:
            raise method_not_allowed(call.method)
        return no_content()

    def _removed(self, call: Call, other: Table, segment: Segment) -> str:
        if segment.inside is not None:
            return self.place(call, other, segment).existing()
        link = call.options.get("$id")
        if link is None:
            raise Fault(400, "0x80060888", "DELETE on a collection's $ref needs the $id query option.")
        return self._target(call, link, other)

    @staticmethod
    def _back(navigation: Navigation, table: Table) -> str:
        return next(
            target.navigation
            for target in navigation.column.targets
            if target.table == table.name and target.collection == navigation.name
        )

    def _target(self, call: Call, link: str, expected: Table) -> str:
        segment = reference(link)
        table = BY_SET.get(segment.name)
        if table is not expected:
            raise Fault(400, "0x80060888", f"'{link[:200]}' is no row of {expected.set_name}.")
        return self.place(call, table, segment).existing()


def _condition(call: Call, header: str) -> str | None:
    # "If-None-Match: null" is what Microsoft's samples send on everything: no condition.
    value = call.headers.get(header, "").strip()
    return None if value in {"", "null"} else value


def _linked(call: Call) -> str:
    link = call.json().get("@odata.id")
    if not isinstance(link, str):
        raise Fault(400, "0x80048d19", "Error identified in Payload: '@odata.id' is missing.")
    return link


def method_not_allowed(method: str) -> Fault:
    """405."""
    return Fault(405, "0x80060888", f"The requested resource does not support http method '{method}'.")
