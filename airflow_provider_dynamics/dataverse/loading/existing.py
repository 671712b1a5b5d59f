"""Which rows of a refused create are there already: those that an earlier attempt made, and those that are equal.

A create whose answer was lost, or of a task that is retried, is refused because its rows exist; that is success.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from airflow_provider_dynamics.dataverse.errors import DataverseError, DuplicateKey, Forbidden
from airflow_provider_dynamics.dataverse.loading.targets import RowOutcome, Target
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Sender
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.reading.finding import find_rows
from airflow_provider_dynamics.dataverse.rows.comparing import compared_columns, differences, readable
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Existing"]

log = logging.getLogger(__name__)


class Existing:
    """Reads back rows by their ids, many at a time. `derived`: ids are made from the rows, so a row of this id is this row."""

    def __init__(self, transport: Sender, tables: Tables, table: Table, *, derived: bool, stop: Stop) -> None:
        self._transport = transport
        self._tables = tables
        self._table = table
        self._derived = derived
        self._stop = stop
        self._may_read = True

    def there(self, targets: Iterable[Target], *, doubtful: bool) -> list[RowOutcome]:
        """Return the outcomes of those targets whose row was made by an earlier attempt.

        Ids made in this call are worth asking about only where an earlier request may have been carried out,
        which is what `doubtful` says.
        """
        return self._there([target for target in targets if self._ours(target, doubtful=doubtful)])

    def settled(
        self, refused: Iterable[tuple[Target, DataverseError]], *, doubtful: bool
    ) -> dict[int, RowOutcome]:
        """Return by their places the outcomes of rows that were refused one by one, and yet are as they should be."""
        ours: list[Target] = []
        given: list[Target] = []
        for target, error in refused:
            unsure = doubtful or error.repeated
            if not (unsure or isinstance(error, DuplicateKey)):
                continue
            if self._ours(target, doubtful=unsure):
                ours.append(target)
            elif target.row_id and not target.made_here:
                given.append(target)
        return {one.index: one for one in (*self._there(ours), *self._equal(given))}

    def _ours(self, target: Target, *, doubtful: bool) -> bool:
        return target.row_id is not None and (self._derived or (doubtful and target.made_here))

    def _there(self, targets: Sequence[Target]) -> list[RowOutcome]:
        found = self._read([target.row_id or "" for target in targets], [])
        return [_existed(target) for target in targets if target.row_id in found]

    def _equal(self, targets: Sequence[Target]) -> list[RowOutcome]:
        """Return the outcomes of rows with ids of the caller's whose stored row has the values that were sent."""
        names = {name for target in targets for name in target.body}
        found = self._read([target.row_id or "" for target in targets], readable(self._table, names))
        return [
            _existed(target)
            for target in targets
            if (stored := found.get(target.row_id or "")) is not None and self._same(target, stored)
        ]

    def _same(self, target: Target, stored: Row) -> bool:
        sent = {name: value for name, value in target.body.items() if not name.startswith("@")}
        return not differences(compared_columns(self._table, sent), sent, stored)

    def _read(self, row_ids: Iterable[str], select: Sequence[str]) -> dict[str, Row]:
        values = [(row_id,) for row_id in row_ids]
        if not values or not self._may_read:
            return {}
        try:
            found = find_rows(
                *(self._transport, self._tables, self._table, [self._table.primary_id], values, select),
                stop=self._stop,
                at_once=1,
            )
        except Forbidden as error:
            return self._unread(error)
        return {value[0]: rows[0] for value, rows in found.items() if rows}

    def _unread(self, error: Forbidden) -> dict[str, Row]:
        """Find nothing, from now on: the refusals of rows stand."""
        if self._may_read:
            log.warning(
                "Which rows of %s are there already cannot be told without reading them: their refusals stand. %s",
                *(self._table.logical_name, error),
            )
        self._may_read = False
        return {}


def _existed(target: Target) -> RowOutcome:
    return RowOutcome(target.index, target.row_id, created=True, existed=True)
