"""Finds rows by the values of a few columns, many values at a time: what a lookup, a comparison or a doubt needs.

Which of the rows that came back belongs to which value is decided here, as Dataverse compares key values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata, pages
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.odata import IDS, NUMBERS, Row
from airflow_provider_dynamics.dataverse.protocol.sizes import LONGEST_INSIDE
from airflow_provider_dynamics.dataverse.queries import query_functions
from airflow_provider_dynamics.dataverse.queries.spelling import Scope
from airflow_provider_dynamics.dataverse.reading.folding import TEXTS, folded, loosely
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Values", "find_rows", "folded"]

Values = tuple[Any, ...]
"""The values of a key's columns, in the key's order."""

# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#condition-limits
_MOST_CONDITIONS = 450  # of 500: what the service adds itself is not said
_LONGEST_LISTED = 850  # characters of a text that In takes
_MOST_VALUES = 1_000  # of a request: SQL Server takes 2,100 parameters
_LONGEST_FILTER = LONGEST_INSIDE - 8_000  # characters; the rest is for the columns and the environment's name
_WORTH_A_LIST = 2  # values
_LISTED = NUMBERS | IDS | {"String"}  # what In takes


def find_rows(  # noqa: PLR0917  # one question: what, where, of which values
    transport: Sender,
    tables: Tables,
    table: Table,
    key: Sequence[str],
    values: Iterable[Values],
    select: Sequence[str] = (),
    *,
    stop: Stop | None = None,
    at_once: int = 4,
    annotations: str | None = None,
) -> dict[Values, list[Row]]:
    """Return for each of `values` the rows whose columns `key` hold it, [] for none, in as few requests as limits allow.

    `key` is the primary id alone or any readable columns; a lookup's value is a row id. Rows have the columns
    of `select`, the key's and the row id, by their wire names. Text compares without case and trailing
    blanks, and as far as this environment ignores accents and the width of letters, without those. A value
    that a column cannot hold, or too long for a query, finds nothing. `annotations` names those that
    rows bring along. At most `at_once` requests are under way. Raises UnknownColumn, and DataverseError as any read.
    """
    wanted = _Wanted(table, tables, key)
    for value in values:
        wanted.add(value)
    columns = ",".join(table.wire_names([*select, *wanted.names, table.primary_id]))
    headers = odata.prefer(annotations=annotations or False)
    asked = [
        (
            number,
            Request(
                "GET", f"{table.entity_set}{odata.options({'$select': columns, '$filter': text})}", headers
            ),
        )
        for number, among in enumerate(wanted.rounds)
        for text in _filters(wanted, among.values())
    ]
    for number, rows in _read(transport, asked, stop or Stop(), at_once):
        for row in rows:
            wanted.found(row, wanted.rounds[number])
    return wanted.result()


class _Wanted:
    """The values that are looked for, and the rows found for each.

    Values that only accents tell apart are asked for in different rounds: which rows come back then says
    whether this environment tells them apart.
    """

    def __init__(self, table: Table, tables: Tables, key: Sequence[str]) -> None:
        self.columns = [table.column(name) for name in key]
        self.names = [column.name for column in self.columns]
        self.rounds: list[dict[Values, Values]] = []  # of each the values, by their loose form
        self.literals: dict[Values, tuple[str, ...]] = {}
        self._scope = Scope(table, tables)
        self._given: dict[Values, Values | None] = {}  # to the folded value, None where no row can have it
        self._rows: defaultdict[Values, list[Row]] = defaultdict(list)
        self._near: defaultdict[Values, list[Row]] = defaultdict(list)

    def add(self, value: Values) -> None:
        if value in self._given:
            return
        if len(value) != len(self.columns):
            raise ValueError(
                f"{len(value)} values for the {len(self.columns)} columns {', '.join(self.names)}"
            )
        try:
            same = self._folded(value)
            if same not in self.literals:
                self.literals[same] = tuple(map(self._literal, self.columns, value))
                self._enter(same)
        except errors.BadRequest:
            self._given[value] = None
        else:
            self._given[value] = same

    def found(self, row: Row, among: dict[Values, Values]) -> None:
        """Take a row that came back when the values of one round were asked for."""
        held = self._folded(tuple(row.get(column.wire_name) for column in self.columns))
        same = among.get(loosely(held))
        if same is not None:
            (self._rows if same == held else self._near)[same].append(row)

    def result(self) -> dict[Values, list[Row]]:
        return {
            value: [] if same is None else list(self._rows.get(same) or self._near.get(same) or ())
            for value, same in self._given.items()
        }

    def _enter(self, same: Values) -> None:
        loose = loosely(same)
        for values in self.rounds:
            if loose not in values:
                values[loose] = same
                return
        self.rounds.append({loose: same})

    def _folded(self, value: Values) -> Values:
        return tuple(folded(one, column.type) for one, column in zip(value, self.columns, strict=True))

    def _literal(self, column: Column, value: Any) -> str:
        """Return a value as a filter compares it; blanks at its end make no difference in the database."""
        if column.type in TEXTS:
            value = str("" if value is None else value).rstrip(" ") or None
        literal = self._scope.literal(column.name, value)
        if _length(literal) > _LONGEST_FILTER // 2:
            raise errors.BadRequest(f"A value for {column.name} is too long to be asked for")
        return literal


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a filter, with what it counts for: conditions, values and characters on the wire."""

    text: str
    conditions: int
    values: int
    characters: int


def _filters(wanted: _Wanted, values: Iterable[Values]) -> Iterator[str]:
    """Yield filters that find the rows of all values, each within what one query may hold."""
    texts: list[str] = []
    conditions = listed = characters = 0
    for piece in _pieces(wanted, list(values)):
        full = conditions + piece.conditions > _MOST_CONDITIONS or listed + piece.values > _MOST_VALUES
        if texts and (full or characters + piece.characters > _LONGEST_FILTER):
            yield " or ".join(texts)
            texts, conditions, listed, characters = [], 0, 0, 0
        texts.append(piece.text)
        conditions += piece.conditions
        listed += piece.values
        characters += piece.characters + len("%20or%20")
    if texts:
        yield " or ".join(texts)


def _pieces(wanted: _Wanted, values: list[Values]) -> Iterator[_Piece]:
    """Yield conditions: values that differ in one column only are listed in one, where that column allows it."""
    place = _most_varied(values)
    groups: defaultdict[Values, list[Values]] = defaultdict(list)
    for value in values:
        groups[(*value[:place], *value[place + 1 :])].append(value)
    column = wanted.columns[place]
    for members in groups.values():
        literals = [wanted.literals[value] for value in members]
        same = [
            f"{other.wire_name} eq {literal}"
            for other, literal in zip(wanted.columns, literals[0], strict=True)
            if other is not column
        ]
        yield from _of_group(column, same, [literal[place] for literal in literals])


def _most_varied(values: Sequence[Values]) -> int:
    return max(range(len(values[0])), key=lambda place: len({value[place] for value in values}))


def _of_group(column: Column, same: Sequence[str], literals: Sequence[str]) -> Iterator[_Piece]:
    """Yield the conditions for values of one column, all with the `same` conditions on the other columns."""
    listed: list[str] = []
    alone: list[str] = []
    for literal in literals:
        (listed if _in_a_list(column, literal) else alone).append(literal)
    if len(listed) < _WORTH_A_LIST:
        listed, alone = [], [*listed, *alone]
    for some in _runs(listed):
        call = query_functions.call("In", column.name, [_bare(literal) for literal in some])
        yield _piece([*same, call], values=len(some))
    for literal in alone:
        yield _piece([*same, f"{column.wire_name} eq {literal}"], values=1)


def _in_a_list(column: Column, literal: str) -> bool:
    """Say whether In takes a value: https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#condition-limits."""
    if column.type not in _LISTED or literal == "null" or len(literal) > _LONGEST_LISTED:
        return False
    return column.type != "String" or (column.max_length or 0) <= _LONGEST_LISTED


def _bare(literal: str) -> str:
    """Return a literal as In has it in its list: texts without their quotes."""
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def _runs(literals: Sequence[str]) -> Iterator[list[str]]:
    """Yield the literals in runs that fit into half a filter each, so that two of them share a request."""
    run: list[str] = []
    characters = 0
    for literal in literals:
        length = _length(literal) + len("%22%22,")
        if run and (len(run) >= _MOST_VALUES // 2 or characters + length > _LONGEST_FILTER // 2):
            yield run
            run, characters = [], 0
        run.append(literal)
        characters += length
    if run:
        yield run


def _piece(conditions: Sequence[str], *, values: int) -> _Piece:
    text = conditions[0] if len(conditions) == 1 else f"({' and '.join(conditions)})"
    return _Piece(text, len(conditions), values + len(conditions) - 1, _length(text))


def _length(text: str) -> int:
    return len(odata.options({"$filter": text}))


def _read(
    transport: Sender, asked: Sequence[tuple[int, Request]], stop: Stop, at_once: int
) -> Iterator[tuple[int, list[Row]]]:
    """Yield the rows of each request with the round it belongs to, pages joined."""
    if len(asked) < 2:  # no thread for the usual case
        for number, request in asked:
            yield number, _all_pages(transport, request, stop)
        return
    stop = stop.child()
    with ThreadPoolExecutor(at_once, thread_name_prefix="dynamics-find") as pool:
        try:
            answers = pool.map(lambda one: _all_pages(transport, one[1], stop), asked)
            yield from zip((number for number, _ in asked), answers, strict=True)
        finally:
            stop.set()  # whoever waits in vain, after an error, does not wait on


def _all_pages(transport: Sender, request: Request, stop: Stop) -> list[Row]:
    return [row for page in pages.walk(transport, request, stop=stop, ahead=False) for row in page.rows]
