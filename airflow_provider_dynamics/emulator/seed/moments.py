"""When grown rows were created: evenly over three years, or most of them at once, as imports leave them.

Readers that divide a table by its creation dates are tried with both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

_FIRST_DAY = date(2021, 1, 1)
_DAYS = 3 * 365
_DAY = 86_400  # seconds


def evenly(count: int) -> list[str]:
    """Moments as stored, equally far from each other, over three years up to the end of 2023."""
    return _spread(count, 0, _DAYS * _DAY)


def skewed(count: int) -> list[str]:
    """A tenth over three years, most on the day after them, and the last tenth in one second: an import."""
    few = count // 10
    start = _DAYS * _DAY
    return _spread(few, 0, start) + _spread(count - 2 * few, start, _DAY) + _spread(few, start + _DAY, 1)


WAYS: Mapping[str, Callable[[int], list[str]]] = {"evenly": evenly, "skewed": skewed}


def _spread(count: int, start: int, length: int) -> list[str]:
    """``count`` moments from ``start`` on, in seconds since the first day."""
    days = [(_FIRST_DAY + timedelta(days=number)).isoformat() for number in range(_DAYS + 2)]
    clock = [f"T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z" for number in range(_DAY)]
    offsets = (start + number * length // count for number in range(count))
    return [days[offset // _DAY] + clock[offset % _DAY] for offset in offsets]
