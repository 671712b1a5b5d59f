"""Ranges of one column that divide a table: as values that travel between tasks, and how they are cut.

Dataverse compares dates and numbers but not row ids, so these are what several readers can share a table by.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_FLOOR, Decimal
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.protocol import odata

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["WINDOW_TYPES", "Axis", "Slice", "Window", "cut", "evenly"]

WINDOW_TYPES = frozenset({"DateTime", "Integer", "BigInt", "Decimal", "Money", "Double"})
"""Column types that can be compared, by Dataverse's AttributeType."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY = len("2024-01-31")
_FINEST = Decimal("0.0001")
_NEARLY = 1.1  # a rest this much larger than a piece is not cut any more


@dataclass(frozen=True)
class Window:
    """The rows whose `column` is at least `start` and below `end`; None leaves a side open, no `column` means every row.

    With `nulls` the rows that have no value belong to it too; where `start` equals `end`, they alone do.
    `rows` is how many it was counted to hold, None where that is not known. Dates are kept as the Web API
    writes them, exact numbers as text, so that the whole is JSON.
    """

    column: str | None = None
    start: Any = None
    end: Any = None
    nulls: bool = False
    rows: int | None = None

    def __post_init__(self) -> None:
        for side in ("start", "end"):
            object.__setattr__(self, side, _plain(getattr(self, side)))

    @property
    def nulls_alone(self) -> bool:
        """Whether nothing but the rows without a value belong to it."""
        return self.nulls and self.start is not None and self.start == self.end

    def covers(self, other: Window) -> bool:
        """Whether it is the same range, however many rows it was counted to hold."""
        return replace(self, rows=None) == replace(other, rows=None)

    def condition(self, table: Table) -> str | None:
        """Return it as OData's text, None where every row belongs to it; raises UnknownColumn, BadRequest."""
        if self.column is None:
            return None
        column = table.column(self.column)
        missing = f"{column.wire_name} eq null"
        if self.nulls_alone:
            return missing
        sides = [
            f"{column.wire_name} {operator} {odata.literal_as(column.type, side)}"
            for operator, side in (("ge", self.start), ("lt", self.end))
            if side is not None
        ]
        if not sides:
            return None if self.nulls else f"{column.wire_name} ne null"
        text = " and ".join(sides)
        return f"({text}) or {missing}" if self.nulls else text

    def to_json(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        return {name: getattr(self, name) for name in ("column", "start", "end", "nulls", "rows")}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Window:
        """Return the window of such a dict, whatever else is in it; raises ValueError for something else."""
        if not isinstance(found, Mapping) or "column" not in found:
            raise ValueError(f"{found!r} is not a window: it must have a column, a start and an end")
        return cls(
            column=found["column"],
            start=found.get("start"),
            end=found.get("end"),
            nulls=bool(found.get("nulls")),
            rows=found.get("rows"),
        )


@dataclass(frozen=True)
class Axis:
    """The values of one column as whole numbers, so that a range of them can be cut anywhere.

    A step is a second for times (finer ones Dataverse does not keep), a day for dates, and for numbers as much
    as the column may distinguish.
    """

    column: str
    kind: str
    step: Decimal

    @classmethod
    def of(cls, column: Column, example: Any) -> Axis:
        """Return the axis of a column of one of WINDOW_TYPES, one value of which is known."""
        if column.type == "DateTime":
            return cls(column.name, "day" if len(str(example)) == _DAY else "second", Decimal(1))
        whole = column.type in {"Integer", "BigInt"}
        return cls(column.name, "number", Decimal(1) if whole else _FINEST)

    def place(self, value: Any) -> int:
        """Return where a value lies, rounded down; raises ValueError for what is no value of the column."""
        try:
            if self.kind == "number":
                return int((Decimal(str(value)) / self.step).to_integral_value(ROUND_FLOOR))
            if self.kind == "day":
                return date.fromisoformat(str(value)[:_DAY]).toordinal()
            return (_moment(str(value)) - _EPOCH) // timedelta(seconds=1)
        except (ArithmeticError, ValueError):
            raise ValueError(f"{value!r} is not a value of the column {self.column}") from None

    def holds(self, value: Any) -> bool:
        """Say whether a value lies exactly on a place, and not between two; raises ValueError as `place` does."""
        if self.kind == "number":
            return self.place(value) * self.step == Decimal(str(value))
        text = str(value)
        return len(text) == _DAY if self.kind == "day" else re.search(r"\.\d*[1-9]", text) is None

    def value(self, place: int) -> Any:
        """Return the value at a place, in the form of a window's bounds; raises OverflowError, ValueError beyond the calendar."""
        if self.kind == "number":
            return place if self.step == 1 else f"{place * self.step:f}"
        if self.kind == "day":
            return date.fromordinal(place).isoformat()
        return odata.instant(_EPOCH + timedelta(seconds=place))


@dataclass(frozen=True, order=True)
class Slice:
    """A piece of an axis from `start` to before `end`; `rows` is None where they were too many to count, or are not counted.

    `looks` is how often in a row it was cut although it could be counted.
    """

    start: int
    end: int
    rows: int | None = None
    looks: int = 0

    @property
    def divisible(self) -> bool:
        return self.end - self.start > 1


def evenly(piece: Slice, count: int) -> list[Slice]:
    """Return the piece cut into at most so many of the same width."""
    width = piece.end - piece.start
    count = max(1, min(count, width))
    sides = [piece.start + width * number // count for number in range(count + 1)]
    looks = 0 if piece.rows is None else piece.looks + 1
    return [Slice(start, end, looks=looks) for start, end in pairwise(sides)]


def cut(slices: Sequence[Slice], sizes: Iterable[float]) -> Iterator[Slice]:
    """Yield neighbouring counted slices as pieces of about these sizes, in rows; the last piece takes what is left.

    Between the sides of a slice its rows are taken to lie evenly.
    """
    places = [slices[0].start, *(one.end for one in slices)]
    sums = [0, *accumulate(one.rows or 0 for one in slices)]
    start, passed = places[0], 0.0
    for size in sizes:
        if sums[-1] - passed <= size * _NEARLY:
            break
        end = max(start + 1, round(_between(passed + size, sums, places)))
        if end >= places[-1]:
            break
        reached = _between(end, places, sums)
        yield Slice(start, end, round(reached - passed))
        start, passed = end, reached
    yield Slice(start, places[-1], round(sums[-1] - passed))


def _between(known: float, knots: Sequence[float], values: Sequence[float]) -> float:
    """Return what belongs to a number between knots, on the straight line from one to the next."""
    after = min(bisect_right(knots, known), len(knots) - 1)
    width = knots[after] - knots[after - 1]
    share = (known - knots[after - 1]) / width if width else 1.0
    return values[after - 1] + share * (values[after] - values[after - 1])


def _moment(text: str) -> datetime:
    """Return a time as the Web API or a person writes it, without its fraction of a second."""
    found = datetime.fromisoformat(re.sub(r"\.\d+", "", text.replace("Z", "+00:00")))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _plain(value: Any) -> Any:
    """Return a bound in the form that JSON can hold."""
    if isinstance(value, datetime):
        return odata.instant(value)
    if isinstance(value, (date, Decimal)):
        return str(value)
    return value
