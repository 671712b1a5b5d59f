"""Finds the ids of rows that are named by an alternate key, as UpdateMultiple knows rows by their ids only.

https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_dynamics.dataverse.loading.targets import REFUSED, Target
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Sender
from airflow_provider_dynamics.dataverse.reading.finding import find_rows
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Resolver"]


class Resolver:
    """Gives targets the ids of their rows, just before they are sent."""

    def __init__(
        self, transport: Sender, tables: Tables, table: Table, key: Sequence[Column], stop: Stop
    ) -> None:
        self._transport = transport
        self._tables = tables
        self._table = table
        self._names = [column.name for column in key]
        self._stop = stop

    def resolved(self, targets: Sequence[Target]) -> tuple[list[Target], list[Target]]:
        """Return targets by id, each of another row, and those that are left to the service to find by their keys.

        Those left are of no row, as far as can be told, or of one that comes a second time. Raises
        Forbidden where rows may not be read.
        """
        values = [tuple((target.key or {}).values()) for target in targets]
        try:
            found = find_rows(
                *(self._transport, self._tables, self._table, self._names, values),
                stop=self._stop,
                at_once=1,
            )
        except REFUSED:
            return [], list(targets)
        ready: dict[str, Target] = {}
        left = []
        for target, value in zip(targets, values, strict=True):
            ids = [row[self._table.primary_id] for row in found[value]]
            if len(ids) == 1 and ids[0] not in ready:
                ready[ids[0]] = self._by_id(target, ids[0])
            else:
                left.append(target)
        return list(ready.values()), left

    def _by_id(self, target: Target, row_id: str) -> Target:
        body = {name: value for name, value in target.body.items() if name != "@odata.id"}
        return Target(target.index, {**body, self._table.primary_id: row_id}, row_id, target.identity)
