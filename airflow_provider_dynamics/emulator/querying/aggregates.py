"""Sums, averages, extremes and counts over rows, for ``$apply`` and for FetchXML alike.

Exact numbers stay exact: SQL adds scaled integers, the division of an average is done here.
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/aggregate-data
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa

from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.querying.projection import FORMATTED
from airflow_provider_dynamics.emulator.render import formatter, renderer
from airflow_provider_dynamics.emulator.schema import Column
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS
from airflow_provider_dynamics.emulator.store import Store

AGGREGATE_LIMIT = 50_000
_NUMBERS = EXACT_KINDS | {"Integer", "BigInt", "Double"}
_EXTREMES = _NUMBERS | {"DateTime"}
# Microsoft's samples show sums and averages of money with nine digits after the point.
_DIGITS = Decimal("0.000000001")


@dataclass
class QueryLimits:
    """How many rows the service takes into one query; a test lowers what it wants to meet.

    ``aggregate``: rows that may go into an aggregate. ``simple_paging``: rows that can be reached without a paging cookie.
    """

    aggregate: int = AGGREGATE_LIMIT
    simple_paging: int = 50_000

    def restore(self) -> None:
        """Back to Microsoft's numbers."""
        self.aggregate, self.simple_paging = AGGREGATE_LIMIT, 50_000

    def change(self, **numbers: int) -> None:
        """Set some of them; raises ValueError on an unknown name or a number below 1."""
        for name, number in numbers.items():
            if name not in {"aggregate", "simple_paging"}:
                raise ValueError(f"there is no query limit {name!r}; there are aggregate and simple_paging")
            if type(number) is not int or number < 1:
                raise ValueError(f"the query limit {name} must be a whole number above 0, not {number!r}")
            setattr(self, name, number)


@dataclass(frozen=True)
class Summary:
    """One aggregated value: how ("count", "countcolumn", "sum", "avg", "min", "max"), of what, under which name."""

    method: str
    alias: str
    column: Column | None = None
    value: Any = None
    distinct: bool = False

    def check(self) -> None:
        """Refuse what the method is not known to do with a column of this type."""
        known = {"sum": _NUMBERS, "avg": _NUMBERS, "min": _EXTREMES, "max": _EXTREMES}.get(self.method)
        if known and (self.column is None or self.column.kind not in known):
            kind = self.column.kind if self.column else "nothing"
            raise NotEmulated(f"the aggregate {self.method} of {kind}")

    def sql(self) -> list[Any]:
        """What to select; two values, of which ``made`` makes one."""
        if self.method == "count":
            return [sa.func.count(), sa.null()]
        if self.method == "countcolumn":
            return [sa.func.count(self.value.distinct() if self.distinct else self.value), sa.null()]
        if self.method in {"min", "max"}:
            return [getattr(sa.func, self.method)(self.value), sa.null()]
        return [sa.func.sum(self.value), sa.func.count(self.value)]

    def made(self, value: Any, rows: Any) -> Any:
        """The stored value of the aggregate, None where there is none; a sum of nothing is 0."""
        if self.method == "sum":
            return value or 0
        if self.method != "avg" or not rows:
            return value
        return _average(self.column, value, rows)

    def shown(self, stored: Any) -> Any:
        """The JSON value of what ``made`` made."""
        if self.method in {"count", "countcolumn"} or self.column is None:
            return stored
        if self.column.kind in EXACT_KINDS:
            number = Decimal(stored).scaleb(-self.column.scale)
            if self.method in {"sum", "avg"}:
                return msgspec.Raw(f"{number.quantize(_DIGITS):f}".encode())
            return msgspec.Raw(f"{number:f}".encode())
        render = renderer(self.column)
        return render(stored) if render else stored

    def formatted(self, stored: Any) -> str | None:
        """The value as it is formatted for people."""
        if self.method in {"count", "countcolumn"} or self.column is None:
            return f"{stored:,}"
        show = formatter(self.column)
        return show(int(stored) if self.column.kind in EXACT_KINDS else stored) if show else None

    def members(self, value: Any, rows: Any, *, formatted: bool) -> dict[str, Any]:
        """The members of a row, none where there is no value."""
        stored = self.made(value, rows)
        if stored is None:
            return {}
        text = self.formatted(stored) if formatted else None
        return {**({f"{self.alias}@{FORMATTED}": text} if text else {}), self.alias: self.shown(stored)}


def _average(column: Column | None, total: Any, rows: int) -> Any:
    if column is None or column.kind == "Double":
        return total / rows
    if column.kind in EXACT_KINDS:
        return Decimal(total) / rows
    return int(Decimal(total) / rows)  # SQL Server's average of whole numbers is a whole number


def too_many_rows() -> Fault:
    """0x8004e023, an aggregate over more rows than the service adds up."""
    return Fault(400, "0x8004e023", "AggregateQueryRecordLimit exceeded. Cannot perform this operation.")


def counted(store: Store, source: Any, conditions: Sequence[Any], limit: int) -> int:
    """How many rows go into an aggregate; raises ``Fault`` when there are more than ``limit``.

    Never looks at more than one row beyond the limit, so that a count over a large table is refused at once.
    """
    some = sa.select(sa.literal(1).label("one")).select_from(source).where(*conditions).limit(limit + 1)
    found = store.one(sa.select(sa.func.count()).select_from(some.subquery()))
    rows = int(found[0]) if found else 0
    if rows > limit:
        raise too_many_rows()
    return rows
