"""Spans of days by name: weeks, months, years and fiscal periods round a day, for query functions and FetchXML alike.

Weeks run from Sunday to Saturday. The fiscal year is the calendar year in quarters, what a new environment has.
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/reference/operators
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

_DAY = timedelta(days=1)
_QUARTERS = 4
Span = tuple["datetime | None", "datetime | None"]


def month(day: datetime, months: int) -> datetime:
    """The first day of the month that is ``months`` later."""
    index = day.year * 12 + day.month - 1 + months
    return day.replace(year=index // 12, month=index % 12 + 1, day=1)


def same_day(day: datetime, months: int) -> datetime:
    """The same day in another month; the 29th and later become the 28th."""
    return month(day, months).replace(day=min(day.day, 28))


def _week(day: datetime, weeks: int) -> datetime:
    return day - ((day.weekday() + 1) % 7) * _DAY + weeks * 7 * _DAY


def _year(day: datetime, years: int) -> datetime:
    return day.replace(year=day.year + years, month=1, day=1)


def _quarter(day: datetime, quarters: int) -> datetime:
    return month(day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1), 3 * quarters)


def _given(day: datetime, period: int, year: int) -> datetime:
    if not 1 <= period <= _QUARTERS:
        raise ValueError("fiscal periods are the quarters 1 to 4")
    return day.replace(year=year, month=3 * period - 2, day=1)


def _next(start: datetime) -> datetime:
    return _quarter(start, 1)


# From midnight of today and the numbers given: the first day, and the day after the last; None leaves a side open.
SPANS: Mapping[str, Callable[[datetime, list[int]], Span]] = {
    "LastWeek": lambda day, _: (_week(day, -1), _week(day, 0)),
    "ThisWeek": lambda day, _: (_week(day, 0), _week(day, 1)),
    "NextWeek": lambda day, _: (_week(day, 1), _week(day, 2)),
    "NextYear": lambda day, _: (_year(day, 1), _year(day, 2)),
    "LastXWeeks": lambda day, x: (day - 7 * x[0] * _DAY, day + _DAY),
    "LastXYears": lambda day, x: (same_day(day, -12 * x[0]), day + _DAY),
    "NextXWeeks": lambda day, x: (day, day + (7 * x[0] + 1) * _DAY),
    "NextXMonths": lambda day, x: (day, same_day(day, x[0]) + _DAY),
    "NextXYears": lambda day, x: (day, same_day(day, 12 * x[0]) + _DAY),
    "OlderThanXWeeks": lambda day, x: (None, day - 7 * x[0] * _DAY),
    "OlderThanXMonths": lambda day, x: (None, same_day(day, -x[0])),
    "OlderThanXYears": lambda day, x: (None, same_day(day, -12 * x[0])),
    "ThisFiscalYear": lambda day, _: (_year(day, 0), _year(day, 1)),
    "LastFiscalYear": lambda day, _: (_year(day, -1), _year(day, 0)),
    "NextFiscalYear": lambda day, _: (_year(day, 1), _year(day, 2)),
    "LastXFiscalYears": lambda day, x: (_year(day, -x[0]), _year(day, 0)),
    "NextXFiscalYears": lambda day, x: (_year(day, 1), _year(day, 1 + x[0])),
    "InFiscalYear": lambda day, x: (_year(day, x[0] - day.year), _year(day, x[0] + 1 - day.year)),
    "ThisFiscalPeriod": lambda day, _: (_quarter(day, 0), _quarter(day, 1)),
    "LastFiscalPeriod": lambda day, _: (_quarter(day, -1), _quarter(day, 0)),
    "NextFiscalPeriod": lambda day, _: (_quarter(day, 1), _quarter(day, 2)),
    "LastXFiscalPeriods": lambda day, x: (_quarter(day, -x[0]), _quarter(day, 0)),
    "NextXFiscalPeriods": lambda day, x: (_quarter(day, 1), _quarter(day, 1 + x[0])),
    "InFiscalPeriodAndYear": lambda day, x: (_given(day, *x), _next(_given(day, *x))),
    "InOrBeforeFiscalPeriodAndYear": lambda day, x: (None, _next(_given(day, *x))),
    "InOrAfterFiscalPeriodAndYear": lambda day, x: (_given(day, *x), None),
}
# How many numbers a span takes, where it is not as the X in its name says.
_ARITY = {
    "InFiscalYear": 1,
    "InFiscalPeriodAndYear": 2,
    "InOrBeforeFiscalPeriodAndYear": 2,
    "InOrAfterFiscalPeriodAndYear": 2,
}


def arity(name: str) -> int:
    """How many numbers a span takes."""
    return _ARITY.get(name, int("X" in name))
