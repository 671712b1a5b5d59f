"""Rows of another table by the values of a key, remembered once found, and created exactly once where they are missing.

Whoever else creates the same row at the same time, another thread, another task, this task's earlier try, makes it
under the same id, which comes from the values; so there is one, and it is found by its values afterwards.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import BadRequest, DuplicateKey
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.reading.folding import TEXTS, folded
from airflow_provider_dynamics.transfers.loads.lookup_keys import TargetKey, may_choose_ids
from airflow_provider_dynamics.transfers.loads.row_ids import row_id

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, RowOutcome

__all__ = ["REMEMBERED", "Finder", "Found", "Values", "written"]

REMEMBERED = 50_000
"""Values of one key that are remembered, in about 20 MB."""

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one value of a key: how many rows have it, the id if it is one, why none could be created."""

    count: int
    row_id: str | None = None
    refused: str | None = None


NOTHING = Found(0)


class Finder:
    """Rows of one table by one key. Safe to use from several threads.

    :param writes: False where nothing may be written: what would be created counts as there
    :param options: what goes with the rows it creates
    :param remembered: how many values at most
    """

    def __init__(
        self,
        client: Client,
        key: TargetKey,
        *,
        writes: bool = True,
        options: WriteOptions = NO_OPTIONS,
        remembered: int = REMEMBERED,
    ) -> None:
        self.key = key
        self.created = 0
        self._client = client
        self._table = client.table(key.table)
        self._columns = key.columns or (self._table.primary_id,)
        self._types = [self._table.column(name).type for name in self._columns]
        self._writes = writes
        self._options = options
        self._known: OrderedDict[Values, Found] = OrderedDict()
        self._remembered = remembered
        self._lock = threading.Lock()
        self._creating = threading.Lock()

    def find(self, values: Iterable[Values]) -> dict[Values, Found]:
        """Return what is known of each of the values; what nobody knows yet is asked for."""
        same_as = {value: self._folded(value) for value in values}
        known = self._recalled(same_as.values())
        known |= self._fetched({same: value for same, value in _first(same_as).items() if same not in known})
        return {value: known[same] for value, same in same_as.items()}

    def supply(self, values: Iterable[Values]) -> dict[Values, Found]:
        """Create the rows of values that none has, with nothing but the key, unless another thread has by now."""
        same_as = {value: self._folded(value) for value in values}
        absent = _first(same_as)
        if not self._writes:
            return {value: Found(1, self._id_of(same)) for value, same in same_as.items()}
        with self._creating:
            known = {same: found for same, found in self._recalled(absent).items() if found != NOTHING}
            known |= self._created({same: value for same, value in absent.items() if same not in known})
        self._remember(known)
        return {value: known[same] for value, same in same_as.items()}

    def _recalled(self, folded: Iterable[Values]) -> dict[Values, Found]:
        known = {}
        with self._lock:
            for same in folded:
                if (found := self._known.get(same)) is not None:
                    self._known.move_to_end(same)
                    known[same] = found
        return known

    def _remember(self, found: Mapping[Values, Found]) -> None:
        with self._lock:
            for same, one in found.items():
                if one != NOTHING or same not in self._known:  # another thread may have created it meanwhile
                    self._known[same] = one
                self._known.move_to_end(same)
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)

    def _fetched(self, asked: Mapping[Values, Values]) -> dict[Values, Found]:
        """Ask for values, given by their folded form, and remember the answer."""
        if not asked:
            return {}
        rows = self._client.find(self.key.table, self._columns, list(asked.values()))
        found = {}
        for same, value in asked.items():
            ids = [row[self._table.primary_id] for row in rows[value]]
            found[same] = Found(len(ids), ids[0] if len(ids) == 1 else None) if ids else NOTHING
        self._remember(found)
        return found

    def _created(self, absent: Mapping[Values, Values]) -> dict[Values, Found]:
        made = {same: self._row(same, value) for same, value in absent.items()}
        known = {same: row for same, row in made.items() if isinstance(row, Found)}
        rows = {same: row for same, row in made.items() if not isinstance(row, Found)}
        outcomes = dict(zip(rows, self._written(list(rows.values())), strict=True))
        for same, outcome in outcomes.items():
            known[same] = Found(1, outcome.row_id) if _is_new(outcome) else _refused(outcome)
        self.created += sum(found.count for found in known.values())
        doubtful = {same: absent[same] for same, outcome in outcomes.items() if _may_be_there(outcome)}
        there = {same: found for same, found in self._fetched(doubtful).items() if found != NOTHING}
        return known | there

    def _written(self, rows: list[dict[str, Any]]) -> list[RowOutcome]:
        if not rows:
            return []
        chosen = may_choose_ids(self._table)
        outcomes = self._client.bulk(
            self.key.table,
            rows,
            operation="create" if chosen else "upsert",
            key=None if chosen else self._columns,
            options=self._options,
            derived_ids=chosen,
        )
        return list(outcomes)

    def _row(self, same: Values, value: Values) -> dict[str, Any] | Found:
        """Return the row to create, or why there can be none."""
        of_each = zip(self._columns, self._types, value, strict=True)
        try:
            row = {name: one if kind in TEXTS else folded(one, kind) for name, kind, one in of_each}
        except BadRequest as error:
            return Found(0, refused=error.message)
        return {**row, self._table.primary_id: self._id_of(same)} if may_choose_ids(self._table) else row

    def _id_of(self, same: Values) -> str:
        """Return the id of the row that is created for a value: the same whoever creates it, however it is spelled."""
        return row_id(json.dumps(["lookup", self.key.table, self._columns, [written(one) for one in same]]))

    def _folded(self, value: Values) -> Values:
        return tuple(_fold(one, kind) for one, kind in zip(value, self._types, strict=True))


def _first(same_as: Mapping[Values, Values]) -> dict[Values, Values]:
    """Return the first spelling of each value, by its folded form."""
    found: dict[Values, Values] = {}
    for value, same in same_as.items():
        found.setdefault(same, value)
    return found


def written(folded: Any) -> str | None:
    """Return a folded value as text, which is the same for the same value: 7 for 7.00."""
    if isinstance(folded, Decimal):
        return format(folded.normalize(), "f") if folded else "0"
    return None if folded is None else str(folded)


def _fold(value: Any, kind: str) -> Hashable:
    try:
        return folded(value, kind)
    except BadRequest:
        return str(value)  # which no row has: the answer will say so


def _is_new(outcome: RowOutcome) -> bool:
    return outcome.error is None and bool(outcome.created) and not outcome.existed


def _may_be_there(outcome: RowOutcome) -> bool:
    return not _is_new(outcome) and (outcome.error is None or isinstance(outcome.error, DuplicateKey))


def _refused(outcome: RowOutcome) -> Found:
    if outcome.error is None:
        return Found(0, refused="the row that was once created for it has another value now")
    return Found(0, refused=outcome.error.message)
