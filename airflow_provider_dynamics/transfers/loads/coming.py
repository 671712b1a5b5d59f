"""Rows that a load would make, for its own lookups while it is only planned: nothing else knows of them yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.reading.folding import folded
from airflow_provider_dynamics.dataverse.rows.comparing import reference_id
from airflow_provider_dynamics.transfers.loads.finder import written
from airflow_provider_dynamics.transfers.loads.lookup_keys import TargetKey

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.row import LoadRow

__all__ = ["Coming"]


class Coming:
    """The values, by the keys that lookups ask for, of rows that a plan says will be there; some 60 bytes each.

    :param keys: what lookups of the run point to rows by
    """

    def __init__(self, keys: Iterable[TargetKey] = ()) -> None:
        self._known: dict[TargetKey, set[bytes]] = {key: set() for key in keys}
        self._types: dict[TargetKey, tuple[str, ...]] = {}

    def note(self, table: Table, row: LoadRow) -> None:
        """Take in a row that will be there."""
        for key, known in self._known.items():
            if key.table == table.logical_name:
                columns = key.columns or (table.primary_id,)
                self._types[key] = tuple(table.column(name).type for name in columns)
                values = [_value(table, row, name) for name in columns]
                if None not in values and (digest := self._digest(key, values)) is not None:
                    known.add(digest)

    def has(self, key: TargetKey, values: Sequence[Any]) -> bool:
        """Say whether a row with these values will be there."""
        known = self._known.get(key)
        return bool(known) and self._digest(key, values) in known  # type: ignore[operator]  # not None there

    def _digest(self, key: TargetKey, values: Sequence[Any]) -> bytes | None:
        try:
            same = [
                written(folded(value, kind)) for value, kind in zip(values, self._types[key], strict=True)
            ]
        except BadRequest:
            return None
        return hashlib.blake2b(repr(same).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _value(table: Table, row: LoadRow, name: str) -> Any:
    if name == table.primary_id and row.row_id:
        return row.row_id
    value = row.values.get(name)
    return reference_id(table.columns[name], row.values) if value is None else value
