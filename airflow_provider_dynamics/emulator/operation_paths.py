"""Where operations are reached: ``$metadata`` that lists them, plain names, and names below a set or a row.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-actions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_dynamics.emulator.address import Segment
from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.deployment import CLOUD_ACTIONS
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.metadata.csdl import document
from airflow_provider_dynamics.emulator.operations import Operation, Operations
from airflow_provider_dynamics.emulator.operations.standard import multiples
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.query import no_segment
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.schema.current import Schema, current
from airflow_provider_dynamics.emulator.writing.bulk import NAMES, Bulk
from airflow_provider_dynamics.emulator.writing.rows import Place, method_not_allowed

BOUND = "Microsoft.Dynamics.CRM."
_BULK_VERBS: Mapping[str, Sequence[str]] = {
    "CreateMultiple": ("Create",),
    "UpdateMultiple": ("Write",),
    "UpsertMultiple": ("Create", "Write"),
    "DeleteMultiple": ("Delete",),
}


class OperationPaths:
    """Answers requests whose path names an operation."""

    def __init__(self, operations: Operations, bulk: Bulk | None, privileges: Privileges) -> None:
        self._operations = operations
        self._bulk = bulk
        self._privileges = privileges
        self._documents: dict[tuple[int, bool, Schema], bytes] = {}

    def document(self, call: Call) -> Response:
        """``$metadata``; it is put together once for each set of operations."""
        if call.method != "GET":
            raise method_not_allowed(call.method)
        wanted = call.options.get("annotations") == "true" or "*" in call.prefer.annotations
        key = (self._operations.version, wanted, current())
        found = self._documents.get(key)
        if found is None:
            found = document(self._known(), annotations=wanted).encode()
            self._documents = {key: found}
        headers = (("Content-Type", "application/xml"), ("OData-Version", "4.0"), *call.applied())
        return Response(200, headers, found)

    def _known(self) -> Sequence[Operation]:
        known = self._operations.all()
        return [*known, *multiples(set(TABLES) - {one.bound_to for one in known if one.name in NAMES})]

    def unbound(self, call: Call, segments: Sequence[Segment]) -> Response:
        """A name at the root that is no entity set."""
        first = segments[0]
        operation = self._operations.unbound(first.name.removeprefix(BOUND))
        # Microsoft: operations that are not bound must not be called by their full name.
        if operation is not None and len(segments) == 1 and not first.name.startswith(BOUND):
            return self._operations.answer(call, operation, first)
        # Functions and actions start with a capital, entity sets never do.
        if operation is None and first.name[:1].isupper() and first.name not in CLOUD_ACTIONS:
            raise NotEmulated(f"the function or action {first.name}")
        raise no_segment(first.name)

    def on_set(self, call: Call, table: Table, segment: Segment) -> Response:
        """A full name behind an entity set."""
        name = segment.name.removeprefix(BOUND)
        if name not in NAMES:
            operation = self._operations.bound(table, name, collection=True)
            if operation is None:
                raise _unknown(name)
            return self._operations.answer(call, operation, segment, table)
        if self._bulk is None:  # a server of one's own knows no such message
            raise no_segment(segment.name)
        if call.method != "POST":
            raise method_not_allowed(call.method)
        self._privileges.need(call, table, *_BULK_VERBS[name])
        if name in {"UpdateMultiple", "UpsertMultiple"}:
            self._privileges.need_to_assign(call, table)
        return self._bulk.run(call, table, name)

    def on_row(self, call: Call, place: Place, rest: Sequence[Segment]) -> Response:
        """A full name behind a row."""
        name = rest[0].name.removeprefix(BOUND)
        operation = self._operations.bound(place.table, name, collection=False)
        if operation is None or len(rest) > 1:
            raise _unknown(name)
        return self._operations.answer(call, operation, rest[0], place.table, place.existing())

    def check_name(self, table: Table, segment: Segment) -> None:
        """Refuse a bound operation that is called without its namespace."""
        if self._operations.bound(table, segment.name, collection=False) is not None:
            raise Fault(400, "0x80060888", "Request message has unresolved parameters.")


def _unknown(name: str) -> Fault:
    # What Dataverse brings starts with a capital; what is named otherwise is known here or nowhere.
    return NotEmulated(f"the function or action {BOUND}{name}") if name[:1].isupper() else no_segment(name)
