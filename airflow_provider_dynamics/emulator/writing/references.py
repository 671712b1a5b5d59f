"""``…/{navigation}/$ref``: rows are related and taken apart, over lookups and many to many.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_dynamics.emulator.address import Segment, reference
from airflow_provider_dynamics.emulator.call import Call, no_content
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.query import Reader
from airflow_provider_dynamics.emulator.schema import BY_SET, TABLES, Navigation, Table
from airflow_provider_dynamics.emulator.writing.rows import Place, method_not_allowed
from airflow_provider_dynamics.emulator.writing.writer import Writer

Find = Callable[[Call, Table, Segment], Place]


class References:
    """Answers PUT, POST and DELETE of references; ``place`` finds the row a segment names."""

    def __init__(self, writer: Writer, reader: Reader, privileges: Privileges, place: Find) -> None:
        self._writer = writer
        self._reader = reader
        self._privileges = privileges
        self._place = place

    def answer(self, call: Call, place: Place, segment: Segment) -> Response:
        """PUT and POST associate, DELETE takes apart."""
        navigation = self._reader.follow(place.table, segment.name)
        self._need(call, place.table, navigation)
        row_id = place.existing()
        if navigation.is_collection:
            self._member(call, place.table, row_id, navigation, segment)
        elif call.method == "DELETE":
            self._writer.bind(call, place.table, row_id, navigation.name, None)
        elif call.method in {"PUT", "POST"}:
            self._writer.bind(call, place.table, row_id, navigation.name, _linked(call))
        else:
            raise method_not_allowed(call.method)
        return no_content()

    def _need(self, call: Call, table: Table, navigation: Navigation) -> None:
        """Refuse who may not: a lookup is written where it is, pairs belong to the row that is addressed.

        https://learn.microsoft.com/previous-versions/dynamicscrm-2016/developers-guide/gg328270(v=crm.8)
        """
        other = TABLES.get(navigation.table or "")
        if navigation.through is not None and other is not None:
            self._privileges.need(call, table, "Write", "Append")
            self._privileges.need(call, other, "AppendTo")
            return
        holder = other if navigation.is_collection and other is not None else table
        self._privileges.need(call, holder, "Write")
        if navigation.column.name == "ownerid":
            self._privileges.need(call, holder, "Assign")

    def _member(
        self, call: Call, table: Table, row_id: str, navigation: Navigation, segment: Segment
    ) -> None:
        other = TABLES[navigation.table or ""]
        if call.method == "POST":
            child = self._target(call, _linked(call), other)
            self._writer.joining.join(call, table, row_id, navigation, child)
        elif call.method == "DELETE":
            self._writer.joining.part(call, table, row_id, navigation, self._removed(call, other, segment))
        else:
            raise method_not_allowed(call.method)

    def _removed(self, call: Call, other: Table, segment: Segment) -> str:
        if segment.inside is not None:
            return self._place(call, other, segment).existing()
        link = call.options.get("$id")
        if link is None:
            raise Fault(400, "0x80060888", "DELETE on a collection's $ref needs the $id query option.")
        return self._target(call, link, other)

    def _target(self, call: Call, link: str, expected: Table) -> str:
        segment = reference(link)
        table = BY_SET.get(segment.name)
        if table is not expected:
            raise Fault(400, "0x80060888", f"'{link[:200]}' is no row of {expected.set_name}.")
        return self._place(call, table, segment).existing()


def _linked(call: Call) -> str:
    link = call.json().get("@odata.id")
    if not isinstance(link, str):
        raise Fault(400, "0x80048d19", "Error identified in Payload: '@odata.id' is missing.")
    return link
