"""The bulk messages on elastic tables: every row by itself, and what became of each told with the error.

https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations#on-error-behavior-with-elastic-tables
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.emulator.call import Call, no_content, reply
from airflow_provider_dynamics.emulator.elastic import (
    PARTITION,
    PartlyDone,
    primary_of,
    row_id_of,
    session_token,
)
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.querying.query import missing_row
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.writer import Writer

_Target = Mapping[str, Any]
_Key = tuple["str | None", dict[str, Any]]


class ElasticBulk:
    """Answers the bulk messages row by row. ``identity`` reads the key of a target."""

    def __init__(self, store: Store, writer: Writer, identity: Callable[[Table, _Target], _Key]) -> None:
        self._store = store
        self._writer = writer
        self._identity = identity
        self._acts: Mapping[str, Callable[[Call, Table, _Target], tuple[str, int]]] = {
            "CreateMultiple": self._create,
            "UpdateMultiple": self._update,
            "UpsertMultiple": self._upsert,
            "DeleteMultiple": self._delete,
        }

    def run(self, call: Call, table: Table, name: str, targets: Sequence[_Target]) -> Response:
        """One message; raises ``PartlyDone`` after all rows when some were refused."""
        first: Fault | None = None
        results = []
        for index, target in enumerate(targets):
            done, fault = self._one(call, table, name, target)
            first = first or fault
            results.append((index, *done))
        if first is not None:
            raise PartlyDone(first, results)
        token = () if name == "DeleteMultiple" else (session_token(self._store.version),)
        if name != "CreateMultiple":
            return no_content(*token, *call.applied())
        context = call.context("Microsoft.Dynamics.CRM.CreateMultipleResponse")
        ids = [row_id for _, row_id, _ in results]
        return reply(200, {"@odata.context": context, "Ids": ids}, *token, *call.applied())

    def _one(
        self, call: Call, table: Table, name: str, target: _Target
    ) -> tuple[tuple[str, int], Fault | None]:
        """What became of one row: its id and an HTTP status, and why it was refused."""
        try:
            with self._store.transaction():
                row_id, status = self._acts[name](call, table, target)
        except Fault as fault:
            given = target.get(table.primary_id)
            return (given if isinstance(given, str) else "", fault.status), fault
        return (primary_of(row_id), status), None

    def _create(self, call: Call, table: Table, target: _Target) -> tuple[str, int]:
        return self._writer.create(call, table, target), 201

    def _update(self, call: Call, table: Table, target: _Target) -> tuple[str, int]:
        row_id = self._row_id(table, target)
        self._writer.update(call, table, row_id, target)
        return row_id, 200

    def _upsert(self, call: Call, table: Table, target: _Target) -> tuple[str, int]:
        primary, key = self._identity(table, target)
        if primary is not None:
            row_id = primary if key else row_id_of(table, primary, target.get(PARTITION))
            if self._store.exists(table, row_id):
                self._writer.replace(call, table, row_id, target)
                return row_id, 200
            key = {**key, table.primary_id: primary_of(primary)}
        return self._writer.create(call, table, target, key), 201

    def _delete(self, call: Call, table: Table, target: _Target) -> tuple[str, int]:
        row_id = self._row_id(table, target)
        self._writer.delete(call, table, row_id)
        return row_id, 204

    def _row_id(self, table: Table, target: _Target) -> str:
        primary, key = self._identity(table, target)
        if primary is None:
            if key:
                raise missing_row(table, str(key.get(table.primary_id)))
            raise Fault(400, "0x80040203", f"A target needs its {table.primary_id}.")
        return primary if key else row_id_of(table, primary, target.get(PARTITION))
