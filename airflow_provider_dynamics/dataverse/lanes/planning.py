"""Decides in which windows a table is read: by the ends of a column and by counts, asked for while reading goes on.

Rows are seldom spread evenly over time, so pieces that turn out full are divided further and counted again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_dynamics.dataverse.lanes.statistics import Asked
from airflow_provider_dynamics.dataverse.lanes.windows import WINDOW_TYPES, Axis, Slice, Window, cut, evenly
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.sizes import COUNTABLE
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Job", "Plan", "candidates"]

CREATED = "createdon"
_SOUGHT = COUNTABLE // 4  # rows in a slice: well below what can be counted, as they are not spread evenly
_SLICES = 16  # at most, for each lane at first, and for each slice that was too full
_FEW, _TOGETHER = 4, 16  # counts in one request, at least and at most
_ROUNDS = 8
_LOOKS = 2  # times in a row that a slice is looked into that could be counted
_ROWS_A_COUNT = 20_000  # so many rows of the table allow one count
_COUNTS = 512  # allowed for any table
_DEPTH = 1.5  # the rows left are divided so often by lanes: large windows first, small ones to end together
_FIT = 0.98  # of whole pages: a page more for the last few rows would cost as much as a full one


@dataclass
class Job:
    """A question to the service, and its answer once it is there."""

    ask: Callable[[Stop], Any]
    answer: Any = None


def candidates(table: Table, wanted: str | None) -> list[Column]:
    """Return the columns to divide a table by, the best first: the wanted one, or those that never change.

    Raises UnknownColumn, and ValueError for one whose values cannot be compared.
    """
    if wanted is not None:
        column = table.column(wanted)
        if column.type not in WINDOW_TYPES:
            raise ValueError(
                f"{wanted} cannot be a window column: it is of type {column.type}, not a date or a number"
            )
        return [column]
    fixed = [
        column
        for column in table.columns.values()
        if column.type in WINDOW_TYPES and column.valid_for_read and _never_changes(column)
    ]
    return sorted(fixed, key=lambda column: (column.name != CREATED, column.type == "DateTime", column.name))


def _never_changes(column: Column) -> bool:
    """Say whether a value is given with the row and stays; calculated ones are not given either, but change."""
    return column.name == CREATED or (column.valid_for_create and not column.valid_for_update)


class Plan:
    """Turns `roots` into windows. Ask the jobs of `next`, fill in their answers, and call it again until there are none.

    `pending` and all `windows` that were taken together are everything there is to read, at any time. With
    `pieces` so many windows of about equal rows are made at the end, instead of many of falling size.
    """

    def __init__(
        self,
        asked: Asked,
        columns: Sequence[Column],
        roots: Sequence[Window],
        *,
        lanes: int,
        page_rows: int,
        pieces: int | None = None,
    ) -> None:
        self._asked = asked
        divided = next((root.column for root in roots if root.column), None)
        self._columns = [one for one in columns if divided in {None, one.name}]
        self._lanes = pieces or lanes
        self._pieces = pieces
        self._page_rows = page_rows
        self.pending: list[Window] = list(roots)
        self.windows: list[Window] = []
        self._jobs: list[Job] = []
        self._step: Callable[[], list[Job]] = self._ask_ends if len(roots) == 1 else self._ask_again
        self._axis: Axis | None = None
        self._nulls_at: int | None = None
        self._total: float | None = None
        self.rows: int | None = None
        self._counted = self._rounds = 0
        self._crowd = 1.5 * _SOUGHT  # rows in a slice that are hardly spread evenly
        self._slices: list[Slice] = []
        self._leaves: list[Slice] = []

    def next(self) -> list[Job]:
        """Return what to ask now, when the answers to the last jobs are in; [] when there is no more to ask."""
        self._jobs = self._step()
        return self._jobs

    def take(self) -> list[Window]:
        """Return the windows that are ready, each once."""
        ready, self.windows = self.windows, []
        return ready

    # -- the ends

    def _ask_ends(self) -> list[Job]:
        if not self._columns:
            return self._settle(self.pending)
        [root], name = self.pending, self._columns[0].name
        self._step = self._read_ends
        return [
            Job(
                lambda stop: (
                    root.start if _bounded(root) else self._asked.end(name, root, last=False, stop=stop)
                )
            ),
            Job(
                lambda stop: root.end if _bounded(root) else self._asked.end(name, root, last=True, stop=stop)
            ),
            Job(lambda stop: self._asked.count([root], stop)[0]),
            Job(lambda stop: root.rows if root.column else self._asked.total(stop)),
            Job(lambda stop: self._nulls(name, root, stop)),
        ]

    def _nulls(self, name: str, root: Window, stop: Stop) -> float | None:
        """Return how many rows have no value; every row has a time of creation."""
        if name == CREATED or not (root.nulls or root.column is None):
            return 0
        return self._asked.count([Window(name, 0, 0, nulls=True)], stop)[0]

    def _read_ends(self) -> list[Job]:
        low, high, counted, known, nulls = (job.answer for job in self._jobs)
        [root], column = self.pending, self._columns.pop(0)
        exact = counted is not None and counted <= COUNTABLE
        self._total = counted if exact else max(known or 0, COUNTABLE + 1)
        self.rows = int(self._total) if exact or known else None
        if exact and counted <= 2 * self._page_rows and not self._pieces:
            return self._settle([replace(root, rows=int(counted))])
        whole = self._whole(column, low, high, root)
        if whole is None or not whole.divisible:
            return self._ask_ends()
        self._part_nulls(root, whole, nulls)
        slices = evenly(whole, self._first_slices())
        self._crowd = max(2 * self._page_rows, min(self._crowd, 1.5 * self._total / len(slices)))
        return self._count(slices)

    def _whole(self, column: Column, low: Any, high: Any, root: Window) -> Slice | None:
        """Return all of the axis, None where its ends are not known, make no sense, or lie between its places."""
        if low is None or high is None:
            return None
        self._axis = axis = Axis.of(column, low)
        try:
            whole = Slice(axis.place(low), axis.place(high) + (0 if _bounded(root) else 1))
            axis.value(whole.end)
            exact = all(axis.holds(side) for side in (root.start, root.end) if side is not None)
        except (ValueError, OverflowError):
            return None
        return whole if exact else None

    def _part_nulls(self, root: Window, whole: Slice, nulls: float | None) -> None:
        """Let rows without a value go with the last window, or alone where they are many."""
        if root.column is not None and not root.nulls:
            return
        if self._pieces or not nulls or nulls <= self._page_rows:
            self._nulls_at = whole.end
            return
        rows = None if nulls > COUNTABLE else int(nulls)
        side = self._value(whole.end)
        self.windows.append(Window(self._name, side, side, nulls=True, rows=rows))

    def _first_slices(self) -> int:
        wanted = math.ceil((self._total or 0) / _SOUGHT)
        least = min(2 * self._lanes, math.ceil((self._total or 0) / self._page_rows))
        return max(wanted, least) if wanted <= _SLICES * self._lanes else _SLICES * self._lanes

    # -- the counts

    def _ask_again(self) -> list[Job]:
        """Go on with windows that an earlier plan had not counted yet."""
        if not self.pending or self.pending[0].column is None:
            return self._settle(self.pending)
        column = self._asked.table.column(self.pending[0].column)
        self._axis = axis = Axis.of(column, self.pending[0].start)
        slices = sorted(Slice(axis.place(one.start), axis.place(one.end)) for one in self.pending)
        self._nulls_at = next((axis.place(one.end) for one in self.pending if one.nulls), None)
        return self._count(slices)

    def _count(self, slices: list[Slice]) -> list[Job]:
        allowed = max(_COUNTS, (self._total or 0) / _ROWS_A_COUNT)
        if not slices or self._rounds >= _ROUNDS or self._counted + len(slices) > allowed:
            return self._end(slices)
        self._slices, self._rounds, self._counted = slices, self._rounds + 1, self._counted + len(slices)
        self.pending = [self._window(one) for one in slices]
        self._step = self._read_counts
        groups = max(min(self._lanes, math.ceil(len(slices) / _FEW)), math.ceil(len(slices) / _TOGETHER))
        return [self._counting(self.pending[number::groups]) for number in range(groups)]

    def _counting(self, windows: Sequence[Window]) -> Job:
        return Job(lambda stop: self._asked.count(windows, stop))

    def _read_counts(self) -> list[Job]:
        found: list[float | None] = [None] * len(self._slices)
        for number, job in enumerate(self._jobs):
            found[number :: len(self._jobs)] = job.answer
        if None in found:  # then counts are not to be had
            return self._end(self._slices)
        counted = [
            replace(one, rows=None if rows is None or rows > COUNTABLE else int(rows))
            for one, rows in zip(self._slices, found, strict=True)
        ]
        again = [one for one in counted if one.divisible and self._is_full(one)]
        self._leaves += [one for one in counted if one not in again]
        if not self._pieces:
            self._emit(again)
        return self._count([part for one in again for part in evenly(one, self._parts(one, counted))])

    def _is_full(self, one: Slice) -> bool:
        """Say whether a slice has to be looked into: it could not be counted, or holds so much that it is hardly even."""
        return one.rows is None or (one.rows > self._crowd and one.looks < _LOOKS)

    def _parts(self, one: Slice, counted: Sequence[Slice]) -> int:
        """Return in how many a full slice is cut."""
        if one.rows is not None:
            return _SLICES
        known = sum(other.rows or 0 for other in counted)
        share = ((self._total or 0) - known) / sum(other.rows is None for other in counted)
        return max(2, min(_SLICES, math.ceil(max(COUNTABLE, share) / _SOUGHT)))

    # -- the windows

    def _emit(self, full: Sequence[Slice]) -> None:
        """Hand out the counted slices, joined and cut to size."""
        left = sum(one.rows or COUNTABLE for one in [*self._leaves, *full])
        sizes = self._falling(left)
        for run in _neighbours(self._leaves, self._crowd):
            self.windows += map(self._window, cut(run, sizes) if len(run) > 1 else run)
        self._leaves = []

    def _falling(self, left: float) -> Iterator[float]:
        while True:
            pages = max(1, int(left / (_DEPTH * self._lanes * self._page_rows)))
            yield pages * self._page_rows * _FIT
            left -= pages * self._page_rows * _FIT

    def _end(self, slices: Sequence[Slice]) -> list[Job]:
        """Make windows of what could not be counted as it is."""
        if not self._pieces:
            return self._settle([self._window(one) for one in slices])
        leaves = sorted([*self._leaves, *slices])
        known = sum(one.rows or 0 for one in leaves)
        unknown = [one for one in leaves if one.rows is None]
        share = max(1, int(max(COUNTABLE, (self._total or 0) - known) / max(1, len(unknown))))
        guessed = [one if one.rows is not None else replace(one, rows=share) for one in leaves]
        total = sum(one.rows or 0 for one in guessed)
        sizes = [max(1.0, total / self._pieces)] * (self._pieces - 1)
        return self._settle([self._window(one) for one in cut(guessed, sizes)])

    def _settle(self, windows: Sequence[Window]) -> list[Job]:
        self.windows += windows
        self.pending, self._leaves = [], []
        self._step = list
        return []

    @property
    def _name(self) -> str:
        return self._axis.column if self._axis else ""

    def _value(self, place: int) -> Any:
        return self._axis.value(place) if self._axis else None

    def _window(self, piece: Slice) -> Window:
        nulls = piece.end == self._nulls_at
        return Window(self._name, self._value(piece.start), self._value(piece.end), nulls, piece.rows)


def _bounded(window: Window) -> bool:
    return window.start is not None and window.end is not None


def _neighbours(slices: Sequence[Slice], crowd: float) -> Iterator[list[Slice]]:
    """Yield runs of slices that follow each other; one too full to be taken for even is a run of its own."""
    run: list[Slice] = []
    for one in sorted(slices, key=lambda piece: piece.start):
        if run and (run[-1].end != one.start or _full(one, crowd) or _full(run[-1], crowd)):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _full(one: Slice, crowd: float) -> bool:
    return one.rows is None or one.rows > crowd
