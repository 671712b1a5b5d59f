"""What tells one row from another: the values of its key, compared as Dataverse compares them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.reading.folding import TEXTS, folded, folded_text, loosely
from airflow_provider_dynamics.formats.values import written

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.row import LoadRow

__all__ = ["Identity", "NoIdentity", "without_accents"]

BETWEEN = "\x1f"
"""Between the values of a key: no text that Dataverse stores has it."""


class NoIdentity(ValueError):
    """A row lacks a value of its key, or has one that cannot be compared; `column` is at fault."""

    def __init__(self, text: str, column: str) -> None:
        super().__init__(text)
        self.column = column


class Identity:
    """Reads the values of `columns` off rows, as one text that is the same for rows that Dataverse takes for one.

    A column may be the table's, or one of the file's that is not sent.
    """

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._read = [(name, *_way(table.find(name), name)) for name in columns]
        found = table.find(self.columns[0]) if len(self.columns) == 1 else None
        self._only_text = self.columns[0] if found is not None and found.type in TEXTS else None

    def text(self, row: LoadRow) -> str:
        """Return what a row is known by.

        :raises NoIdentity: it has no value for one of the columns
        """
        if self._only_text is not None:  # the usual case, in one step
            value = row.values.get(self._only_text)
            if type(value) is str and (text := folded_text(value)):
                return text
        parts = []
        for column, read, fold in self._read:
            value = read(row)
            try:
                same = None if value is None or value == "" else fold(value)
            except BadRequest as error:
                raise NoIdentity(f"column {column}: {error}", column) from error
            if same is None:
                raise NoIdentity(f"column {column}: a row is known by it, and it is empty here", column)
            parts.append(_text(same))
        return parts[0] if len(parts) == 1 else BETWEEN.join(parts)


def without_accents(text: str) -> str:
    """Return what a row is known by where the collation does not tell accents apart, nor wide letters from narrow ones."""
    return text if text.isascii() else str(loosely([text])[0])


def _way(column: Column | None, name: str) -> tuple[Callable[[LoadRow], Any], Callable[[Any], Hashable]]:
    """Return how a column's value is read off a row, and how it is made comparable."""
    if column is None:
        return lambda row: row.values[name] if name in row.values else row.raw.get(name), folded
    if column.navigation:
        return _lookup(column), folded  # what it is looked up by is no id yet
    kind = column.type
    return (
        lambda row: row.values[name] if name in row.values else row.raw.get(name),
        lambda value: folded(value, kind),
    )


def _lookup(column: Column) -> Callable[[LoadRow], Any]:
    """Return what reads a lookup: an id, what binds it, or all the parts that the row is looked up by."""
    part = f"{column.name}."
    whole = {column.name, *(f"{navigation}@odata.bind" for navigation in column.navigation.values())}

    def read(row: LoadRow) -> Any:
        found = {
            name: value
            for name, value in row.values.items()
            if value is not None and (name in whole or name.startswith(part))
        }
        if len(found) > 1:
            return BETWEEN.join(f"{name}={_text(folded(value))}" for name, value in sorted(found.items()))
        return next(iter(found.values()), None)

    return read


def _text(same: Hashable) -> str:
    if isinstance(same, Decimal):
        return written(same.normalize()) if same else "0"
    return same if isinstance(same, str) else str(same)
