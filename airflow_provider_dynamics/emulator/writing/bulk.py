"""CreateMultiple, UpdateMultiple and UpsertMultiple on standard tables: all rows or none.

https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_dynamics.emulator.address import Segment, json_like, reference, row_key
from airflow_provider_dynamics.emulator.call import Call, no_content, reply
from airflow_provider_dynamics.emulator.literals import GUID, payload_fault
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.schema import BY_SET, Table
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.elastic_bulk import ElasticBulk
from airflow_provider_dynamics.emulator.writing.keys import duplicate_record, no_row_of_key
from airflow_provider_dynamics.emulator.writing.writer import Writer

NAMES = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple", "DeleteMultiple")
_Target = dict[str, Any]


class Bulk:
    """Answers the bulk messages, each in one transaction."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer
        self._elastic = ElasticBulk(store, writer, self._identity)

    def run(self, call: Call, table: Table, name: str) -> Response:
        """One message on one table; raises ``Fault`` and changes nothing when any row is refused."""
        if table.elastic:
            return self._elastic.run(call, table, name, self._targets(call, table))
        if name == "DeleteMultiple":
            raise Fault(501, "0x80040216", "DeleteMultiple has not yet been implemented.")
        if not table.bulk:
            raise Fault(
                400,
                "0x80040800",
                f"The '{name}' method does not support entities of type '{table.name}'. "
                "MessageProcessorCache returned MessageProcessor.Empty.",
            )
        targets = self._targets(call, table)
        messages: Mapping[str, Callable[[Call, Table, list[_Target]], Response]] = {
            "CreateMultiple": self._create,
            "UpdateMultiple": self._update,
            "UpsertMultiple": self._upsert,
        }
        with self._store.transaction(), self._writer.told.together(call, table):
            return messages[name](call, table, targets)

    def _targets(self, call: Call, table: Table) -> list[_Target]:
        targets = call.json().get("Targets")
        if not isinstance(targets, list) or not targets or not all(isinstance(one, dict) for one in targets):
            raise Fault(400, "0x80048d19", "Error identified in Payload: 'Targets' must be a list of rows.")
        expected = f"Microsoft.Dynamics.CRM.{table.name}"
        for target in targets:
            given = target.get("@odata.type")
            if given is None:
                raise _untyped(table, target)
            if not isinstance(given, str) or given.removeprefix("#") != expected:
                raise payload_fault(
                    table, f"A row of type '{given}' was found where '{expected}' was expected."
                )
        return targets

    def _create(self, call: Call, table: Table, targets: list[_Target]) -> Response:
        ids = self._writer.create_all(call, table, targets)
        context = call.context("Microsoft.Dynamics.CRM.CreateMultipleResponse")
        return reply(200, {"@odata.context": context, "Ids": ids}, *call.applied())

    def _update(self, call: Call, table: Table, targets: list[_Target]) -> Response:
        done = set()
        for target in targets:
            row_id, key = self._identity(table, target)
            if row_id is None and key:
                raise no_row_of_key(table)
            if row_id is None:
                raise Fault(400, "0x80040203", f"A target of UpdateMultiple needs its {table.primary_id}.")
            # A row given twice: the first one counts, the others are dropped without a word.
            if row_id not in done:
                done.add(row_id)
                self._writer.update(call, table, row_id, target)
        return no_content()

    def _upsert(self, call: Call, table: Table, targets: list[_Target]) -> Response:
        identities = [self._identity(table, target) for target in targets]
        told = [row_id or tuple(sorted(key.items())) for row_id, key in identities]
        named = [one for one in told if one]
        if len(named) != len(set(named)):
            raise duplicate_record()
        for target, (row_id, key) in zip(targets, identities, strict=True):
            self._upsert_one(call, table, target, row_id, key)
        return no_content()

    def _upsert_one(
        self, call: Call, table: Table, target: _Target, row_id: str | None, key: Mapping[str, Any]
    ) -> None:
        if row_id is not None and self._store.exists(table, row_id):
            body = {name: value for name, value in target.items() if name not in key}
            self._writer.update(call, table, row_id, body)
            return
        # A key column both in @odata.id and in the row is tolerated on update only:
        # https://github.com/microsoft/PowerPlatform-DataverseClient-Python/pull/127
        if key.keys() & target.keys():
            raise Fault(400, "0x80040216", "An unexpected error occurred.")
        self._writer.create(call, table, target, {**key, **({table.primary_id: row_id} if row_id else {})})

    def _identity(self, table: Table, target: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """The row's id where it has one, and the stored values of its alternate key where one was given."""
        link = target.get("@odata.id")
        if isinstance(link, str):
            return self._linked(table, reference(link))
        given = target.get(table.primary_id)
        if given is None:
            return None, {}
        if not isinstance(given, str) or not GUID.fullmatch(given):
            raise payload_fault(
                table, f"Cannot convert the literal '{given}' to the expected type 'Edm.Guid'."
            )
        return given.lower(), {}

    def _linked(self, table: Table, segment: Segment) -> tuple[str | None, dict[str, Any]]:
        if BY_SET.get(segment.name) is not table:
            raise payload_fault(table, f"'{segment.name}' is not the entity set of this request.")
        key = row_key(segment.inside or "", {})
        if isinstance(key, str):
            return key, {}
        values = self._writer.keys.values(table, {name: json_like(value) for name, value in key.items()})
        if set(values) == {table.primary_id}:
            return values[table.primary_id], {}
        return self._writer.keys.look(table, values), values


def _untyped(table: Table, target: _Target) -> Fault:
    name = next((name for name in target if "@" not in name), "value")
    return payload_fault(
        table,
        f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.crmbaseentity'. Make sure to only use "
        "property names that are defined by the type.",
    )
