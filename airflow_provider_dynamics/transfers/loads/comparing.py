"""Rows held against what is stored before they are sent: for a plan, for undoing, and to send differences only.

The stored rows are read by id or key, a batch in few requests, while earlier batches are being written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.transfers.loads.row import Action, Compared, LoadRow, Stage, open_rows

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["Comparing"]


class Comparing(Stage):
    """Sets `compared` of each open row; with `skip_unchanged` what Dynamics has already is not sent.

    :param table: the table, with the members of single column types
    :param key: the columns that find the row; empty for the row id
    :param identity: names of the values that find the row, which are always sent
    :param whole: read all columns that can be written, which a deletion is undone with
    :param skip_blank: empty values are not sent, so they change nothing
    :param unique: the alternate keys that a row to be created may not share with another
    """

    ordered = False

    def __init__(
        self,
        client: Client,
        table: Table,
        operation: str,
        key: Sequence[str],
        identity: frozenset[str],
        *,
        skip_unchanged: bool = False,
        whole: bool = False,
        skip_blank: bool = False,
        unique: Sequence[tuple[str, ...]] = (),
    ) -> None:
        self._client = client
        self._table = table
        self._operation = operation
        self._key = tuple(key) or (table.primary_id,)
        self._identity = identity
        self._skip = skip_unchanged
        self._whole = tuple(_writable(table)) if whole else ()
        self._replaces = (
            table.elastic and operation == "upsert"
        )  # a row sent takes the place of the whole stored one
        self._skip_blank = skip_blank
        self._unique = tuple(unique)
        self._columns: dict[str, Column] = {}

    def __call__(self, batch: list[LoadRow]) -> None:
        """Compare the open rows of `batch` with the stored ones."""
        rows = open_rows(batch)
        if self._skip_blank:
            self._leave_out_blanks(rows)
        stored = self._stored(rows)
        for row in rows:
            found = stored.get(self._named(row)) or []
            row.compared = self._compared(row, found[0] if len(found) == 1 else None, several=len(found) > 1)
            if self._skip:
                self._reduce(row, row.compared)
        for key in self._unique:
            self._find_taken(rows, key)

    def _leave_out_blanks(self, rows: list[LoadRow]) -> None:
        for row in rows:
            row.values = {
                name: value
                for name, value in row.values.items()
                if (value is not None and value != "") or name in self._identity
            }

    def _find_taken(self, rows: list[LoadRow], key: tuple[str, ...]) -> None:
        """Find rows to be created whose key another row has: their id is not there, and they would be refused."""
        keys = {
            row.number: self._values(row, key)
            for row in rows
            if row.compared is not None and row.compared.action == "create"
        }
        asked = {values for values in keys.values() if None not in values}
        found = self._client.find(self._table.logical_name, key, asked) if asked else {}
        for row in rows:
            if row.number in keys and found.get(keys[row.number]):
                row.compared = Compared("taken", None, tuple(row.values))

    def _stored(self, rows: list[LoadRow]) -> Mapping[tuple[Any, ...], list[dict[str, Any]]]:
        from airflow_provider_dynamics.dataverse.rows.comparing import TARGET, compared_columns, readable

        names = dict.fromkeys(name for row in rows for name in row.values)
        self._columns |= compared_columns(self._table, [name for name in names if name not in self._columns])
        values = {name for row in rows if (name := self._named(row)) and None not in name}
        if not values:
            return {}
        select = [*readable(self._table, names), *self._whole]
        return self._client.find(
            self._table.logical_name, self._key, values, list(dict.fromkeys(select)), annotations=TARGET
        )

    def _named(self, row: LoadRow) -> tuple[Any, ...]:
        """Return the values that find the row; None in it where one is not known."""
        if self._key == (self._table.primary_id,):
            return (row.row_id or row.values.get(self._table.primary_id),)
        return self._values(row, self._key)

    def _values(self, row: LoadRow, key: Sequence[str]) -> tuple[Any, ...]:
        from airflow_provider_dynamics.dataverse.rows.comparing import reference_id

        return tuple(
            row.values[name] if name in row.values else reference_id(self._table.columns[name], row.values)
            for name in key
        )

    def _compared(self, row: LoadRow, stored: dict[str, Any] | None, *, several: bool) -> Compared:
        if several:
            return Compared("update", None, tuple(row.values))
        if stored is None:
            absent: dict[str, Action] = {"update": "missing", "delete": "unchanged"}
            return Compared(absent.get(self._operation, "create"), None, tuple(row.values))
        if self._operation == "delete":
            return Compared("delete", stored)
        changed = self._changed(row, stored)
        if self._operation == "create":
            return Compared("exists", stored, changed)
        return Compared("update" if changed else "unchanged", stored, changed)

    def _changed(self, row: LoadRow, stored: dict[str, Any]) -> tuple[str, ...]:
        from airflow_provider_dynamics.dataverse.rows.comparing import differences

        sent = {name: value for name, value in row.values.items() if name not in self._identity}
        return differences(self._columns, sent, stored)

    def _reduce(self, row: LoadRow, compared: Compared) -> None:
        """Leave out of a row what Dynamics has already."""
        if compared.action == "unchanged" or (compared.action == "exists" and not compared.changed):
            row.unchanged = True
        elif self._replaces:
            return
        elif compared.action == "update" and compared.before is not None:
            kept = self._identity.union(compared.changed)
            row.values = {name: value for name, value in row.values.items() if name in kept}


def _writable(table: Table) -> list[str]:
    return [
        name
        for name, column in table.columns.items()
        if column.valid_for_read and (column.valid_for_create or column.valid_for_update)
    ]
