"""The same key twice in one input: the first row is taken, and each later one refused with the first one's place.

Dataverse itself would take the last of them, the first of them or none, by how they fall into requests:
https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_dynamics.dataverse.reading.folding import TEXTS
from airflow_provider_dynamics.transfers.loads.identity import Identity, NoIdentity, without_accents
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Reject, Stage, open_rows
from airflow_provider_dynamics.transfers.loads.seen import Seen

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["Duplicates"]


class Duplicates(Stage):
    """Refuses rows whose key has come before, and rows without one; the index of keys is on disk.

    :param table: the table that is loaded
    :param columns: what a row is known by: the columns of the key, the row id, or those its id is made from
    :param made_ids: ids are made from the columns, so that accents tell rows apart; in an alternate key they may
        not, by the collation of most environments
    """

    ordered = True

    def __init__(self, table: Table, columns: Sequence[str], *, made_ids: bool = False) -> None:
        self._table = table
        self._made_ids = made_ids
        self._identity = Identity(table, columns)
        self._seen = Seen()

    def __call__(self, batch: list[LoadRow]) -> None:
        """Take in the keys of a batch."""
        rows: list[LoadRow] = []
        texts: list[str] = []
        for row in open_rows(batch):
            text = self._text(row)
            if text is not None:
                texts.append(text)
                rows.append(row)
        for place, first in self._seen.add(texts, [row.number for row in rows]).items():
            self._refuse(rows[place], first)

    def _text(self, row: LoadRow) -> str | None:
        """Return what a row is known by, or refuse it."""
        try:
            text = self._identity.text(row)
            return text if self._made_ids else without_accents(text)
        except NoIdentity as error:
            row.reject = Reject.of(row, str(error), table=self._table.logical_name, column=error.column)
            return None

    def close(self) -> None:
        """Remove the index."""
        self._seen.close()

    def _refuse(self, row: LoadRow, first: int) -> None:
        key = " + ".join(self._identity.columns)
        message = f"the same {key} as row {first:,}, which was taken: one input may have a key once"
        if not self._made_ids and any(self._is_text(name) for name in self._identity.columns):
            message += " (case, blanks at the end and, in most environments, accents make no other key)"
        row.reject = Reject.of(row, message, table=self._table.logical_name, column=self._identity.columns[0])

    def _is_text(self, name: str) -> bool:
        column = self._table.find(name)
        return column is not None and column.type in TEXTS
