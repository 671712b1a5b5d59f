"""Lookups by the other table's key: what a file says of a row is turned into that row's id, a batch in few requests.

What was found is remembered, as much as memory should hold; rows that are not there are refused, created or left out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.transfers.loads.columns import BIND
from airflow_provider_dynamics.transfers.loads.finder import Finder, Found, Values
from airflow_provider_dynamics.transfers.loads.lookup_keys import Lookup, TargetKey
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage, open_rows

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.coming import Coming

__all__ = ["Lookups"]

log = logging.getLogger(__name__)

Answers = dict[TargetKey, dict[Values, Found]]
Ask = Callable[[Finder, Iterable[Values]], dict[Values, Found]]

SHOWN = 80  # characters of a value in a message


class Lookups(Stage):
    """Puts row ids in place of what a file says of the rows that lookups point to.

    :param table: the table that is loaded
    :param lookups: checked by ``check_lookups``
    :param on_missing: for a row that is not there: ``reject`` the row that points to it, ``create`` it with nothing but its
        key, or leave the lookup ``null``
    :param key: columns that find the loaded rows, whose ids stay under their columns' names
    :param writes: False while nothing may be written: a row that would be created counts as there
    :param coming: while nothing may be written: the rows that this run would make, which count as there too
    :param options: what goes with the rows it creates
    :param written: the rows themselves are written already, by an earlier pass
    """

    ordered = False

    def __init__(
        self,
        client: Client,
        table: Table,
        lookups: Sequence[Lookup],
        *,
        on_missing: str = "reject",
        key: Iterable[str] = (),
        writes: bool = True,
        coming: Coming | None = None,
        options: WriteOptions = NO_OPTIONS,
        written: bool = False,
    ) -> None:
        self._client = client
        self._table = table
        self._lookups = lookups
        self._on_missing = on_missing
        self._key = frozenset(key)
        self._writes = writes
        self._coming = coming
        self._options = options
        self._before = "The row is written, and what had to wait is refused: " if written else ""
        self._finders: dict[TargetKey, Finder] = {}
        self._lock = threading.Lock()
        self.left_out = 0

    @property
    def created(self) -> Mapping[str, int]:
        """How many rows were created because lookups point to them, by table."""
        counts: dict[str, int] = {}
        for finder in self._finders.values():
            counts[finder.key.table] = counts.get(finder.key.table, 0) + finder.created
        return {table: count for table, count in counts.items() if count}

    def __call__(self, batch: list[LoadRow]) -> None:
        """Replace what the open rows say of other rows by these rows' ids, or refuse them."""
        rows = open_rows(batch)
        for lookup in self._lookups:
            self._resolve(lookup, rows)

    def close(self) -> None:
        """Say what was done about rows that were not there."""
        for table, count in self.created.items():
            log.info(
                "Created %s rows of %s that lookups of %s point to.",
                f"{count:,}",
                table,
                self._table.logical_name,
            )
        if self.left_out:
            log.warning(
                "Left %s lookups of %s empty, as no row has what they say.",
                f"{self.left_out:,}",
                self._table.logical_name,
            )

    def _resolve(self, lookup: Lookup, rows: Iterable[LoadRow]) -> None:
        asked = [one for row in rows if row.reject is None and (one := self._asked(lookup, row)) is not None]
        known = self._answers(asked, Finder.find)
        absent = [one for one in asked if not _count(one, known)]
        supplied = self._answers(filter(None, map(self._to_supply, absent)), Finder.supply) if absent else {}
        for key, answers in supplied.items():
            known[key] = {**known[key], **answers}
        for one in asked:
            self._settle(lookup, one, known)

    def _answers(self, asked: Iterable[_Asked], ask: Ask) -> Answers:
        wanted: dict[TargetKey, dict[Values, None]] = {}
        for one in asked:
            for key, values in one.values.items():
                wanted.setdefault(key, {})[values] = None
        return {key: ask(self._finder(key), values) for key, values in wanted.items()}

    def _to_supply(self, asked: _Asked) -> _Asked | None:
        """Return which of a row's tables may get the row that none of them has; None where none may."""
        if self._on_missing == "create" and len(asked.values) == 1:
            return asked
        if self._writes or (coming := self._coming) is None:
            return None
        pending = {key: values for key, values in asked.values.items() if coming.has(key, values)}
        return _Asked(asked.row, dict(list(pending.items())[:1])) if pending else None

    def _finder(self, key: TargetKey) -> Finder:
        with self._lock:
            if key not in self._finders:
                self._finders[key] = Finder(self._client, key, writes=self._writes, options=self._options)
            return self._finders[key]

    def _asked(self, lookup: Lookup, row: LoadRow) -> _Asked | None:
        """Take what a row says for a lookup out of its values; None where it says nothing, or nothing to look up."""
        said = {name: row.values.pop(name) for name in lookup.names if name in row.values}
        if not said:
            return None
        of_table = said.pop(lookup.table_part, None)
        if all(map(_empty, said.values())):
            row.values[lookup.column] = None
            return None
        try:
            values = _values(lookup, said, of_table)
        except ValueError as error:
            self._refuse(row, lookup, str(error))
            return None
        return _Asked(row, values)

    def _settle(self, lookup: Lookup, asked: _Asked, known: Answers) -> None:
        count = _count(asked, known)
        if count == 1:
            [(key, one)] = [(key, one) for key, one in _found(asked, known) if one.count]
            self._bind(lookup, key, asked.row, one.row_id or "")
        elif count:
            ways = _ways(asked.values)
            self._refuse(asked.row, lookup, f"there are {count:,} rows {ways}, and it can point to one only")
        elif self._on_missing == "null":
            asked.row.values[lookup.column] = None
            with self._lock:
                self.left_out += 1
        else:
            self._refuse(asked.row, lookup, f"there is no row {_ways(asked.values)}{self._why(asked, known)}")

    def _why(self, asked: _Asked, known: Answers) -> str:
        """Say why a row that is not there was not created."""
        refused = next((one.refused for _, one in _found(asked, known) if one.refused), None)
        if refused is None and self._on_missing == "create":
            refused = "nothing says of which of the tables it would be"
        return f", and none could be created: {refused}" if refused else ""

    def _bind(self, lookup: Lookup, key: TargetKey, row: LoadRow, row_id: str) -> None:
        """Set a lookup to a row: by the column's name where that says which table, else bound by the table's name for it."""
        column = self._table.columns[lookup.column]
        if column.name in self._key or _of_one_table(column):
            row.values[column.name] = row_id
        else:
            navigation = column.navigation.get(key.table) or column.navigation.get("owner") or column.name
            row.values[f"{navigation}{BIND}"] = f"/{self._client.entity_set(key.table)}({row_id})"

    def _refuse(self, row: LoadRow, lookup: Lookup, message: str) -> None:
        from airflow_provider_dynamics.transfers.loads.row import Reject

        row.reject = Reject.of(
            row,
            f"{self._before}The lookup {lookup.column}: {message}.",
            table=self._table.logical_name,
            column=lookup.column,
        )


@dataclass(slots=True)
class _Asked:
    """A row that has something to look up, and the values by the keys they may be of."""

    row: LoadRow
    values: dict[TargetKey, Values]


def _values(lookup: Lookup, said: Mapping[str, Any], of_table: Any) -> dict[TargetKey, Values]:
    """Return by which values of which keys a row names another; raises ValueError where it names none."""
    if several := next((name for name, value in said.items() if isinstance(value, (list, dict))), None):
        raise ValueError(f"{several} holds several values")
    table = None if _empty(of_table) else str(of_table).strip().lower()
    if table is not None and table not in lookup.tables:
        tables = ", ".join(sorted(lookup.tables))
        raise ValueError(f"{lookup.table_part} is {_shown(of_table)}; it must be one of {tables}")
    values = {}
    for key in lookup.keys:
        if table in {None, key.table} and (names := lookup.sources(key, said)):
            found = tuple([said[name] for name in names])
            if not all(map(_empty, found)):
                values[key] = found
    if not values:
        raise ValueError(f"{lookup.table_part} is {_shown(of_table)}, and nothing says which row of it")
    return values


def _found(asked: _Asked, known: Answers) -> list[tuple[TargetKey, Found]]:
    return [(key, known[key][values]) for key, values in asked.values.items()]


def _count(asked: _Asked, known: Answers) -> int:
    return sum([known[key][values].count for key, values in asked.values.items()])


def _of_one_table(column: Column) -> bool:
    return len([target for target in column.navigation if target != "owner"]) == 1


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _ways(values: Mapping[TargetKey, Values]) -> str:
    """Say what was looked for, as it reads behind "row" or "rows"."""
    return " or ".join(f"of {key.table} with {_said(key, value)}" for key, value in values.items())


def _said(key: TargetKey, values: Values) -> str:
    names = key.columns or ("id",)
    return ", ".join(f"{name} {_shown(value)}" for name, value in zip(names, values, strict=True))


def _shown(value: Any) -> str:
    text = repr(str(value)) if value is not None else "empty"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
