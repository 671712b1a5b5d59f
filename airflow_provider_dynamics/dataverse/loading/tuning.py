"""How many rows a request takes and how many requests are under way: found out while the work goes on.

What the service recommends is where it begins. Microsoft advises against steering by the rate-limit headers, so
the only signs are how long answers take, and what the service refuses.
https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BATCH", "CHUNK", "ELASTIC", "MOST_AT_ONCE", "UNHINTED", "Pace", "Size", "Tuning"]

MOST_AT_ONCE = 48  # requests; the service takes 52 of a user, and some are others'
UNHINTED = 4  # requests at a time where the service did not recommend a number

_MOST_BEYOND = 4  # times what is recommended, while most of an answer's time is the way
_LONG = 10.0  # seconds that a request may take without becoming smaller
_BODY = 1024 * 1024  # bytes of a request that are enough
_FEW = 100  # rows: below that a request is not made smaller because some rows are refused
_FEWER = 0.75  # of the requests at a time, after a time-out
_PATIENCE = (
    32  # answers after which more is tried again than was too much; twice as many each time it still is
)
_MOST_PATIENCE = 1024
_NEW = 0.2  # weight of the latest answer's time


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a request begins with, and the most it takes."""

    start: int
    most: int

    def within(self, ceiling: int | None) -> Size:
        """Return the size under a ceiling of the caller's."""
        most = max(1, min(self.most, ceiling or self.most))
        return Size(min(self.start, most), most)


# https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations#number-of-records
CHUNK = Size(250, 1000)
ELASTIC = Size(100, 100)
# https://learn.microsoft.com/power-apps/developer/data-platform/optimize-performance-create-update
BATCH = Size(10, 100)


def _nobody_knows() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Pace:
    """What a connection knows of the service.

    `hint` is how many requests at a time it recommends, `quickest` the seconds of its quickest answer so far,
    `at_once` how many requests at a time it was found to take, None while it takes all.
    """

    hint: Callable[[], int | None] = _nobody_knows
    quickest: Callable[[], float] = float
    at_once: Callable[[], int | None] = _nobody_knows


class Tuning:
    """The size of requests and their number at a time. Safe to use from several threads.

    A request may grow while its answers come soon: what is fixed about it is shared by more rows. More of
    them may be under way than the service recommends as far as they are on their way and not in its hands:
    what is recommended counts what the service works on. `chunk_size` and `concurrency` are ceilings.
    """

    def __init__(
        self, size: Size, pace: Pace, *, chunk_size: int | None = None, concurrency: int | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._ceiling = chunk_size
        self._size = size.within(chunk_size)
        self._rows = self._size.start
        self.most_at_once = max(1, min(MOST_AT_ONCE, concurrency or MOST_AT_ONCE))
        self._hint = max(1, min(pace.hint() or UNHINTED, self.most_at_once))
        self._width = self._hint
        self._pace = pace
        self._limits = (self.most_at_once, self._hint)
        self._most = self._size.most  # rows, unless less proved too much
        self._good, self._patience, self._raised = 0, _PATIENCE, False
        self._usual: float | None = None  # seconds of an answer
        self._done = self._bad = 0  # rows

    @property
    def rows(self) -> int:
        """How many rows the next request takes."""
        return self._rows

    @property
    def width(self) -> int:
        """How many requests may be under way."""
        return max(1, min(self._width, self._pace.at_once() or self._width))

    def resize(self, size: Size) -> None:
        """Begin anew with requests of another kind."""
        with self._lock:
            self._size, self._usual = size.within(self._ceiling), None
            self._rows, self._most = self._size.start, self._size.most

    def answered(self, rows: int, seconds: float, size: int) -> None:
        """Learn from a request of so many rows and bytes that took so long; 0 seconds: nobody knows."""
        if not (rows and seconds):
            return
        with self._lock:
            self._done += rows
            self._recover()
            usual = seconds if self._usual is None else self._usual
            self._usual = usual + (seconds - usual) * _NEW
            self._rows = max(1, min(self._wanted_rows(rows, seconds), self._by_bytes(rows, size)))
            target = self._wanted_width(self._usual)
            self._width = min(self._width + 1, target)

    def too_much(self, rows: int, *, late: bool = False) -> None:
        """Learn that a request of so many rows was too much: too large, or too `late` an answer."""
        with self._lock:
            self._good = 0
            if rows // 2 < self._size.most and self._raised:  # tried in vain: nothing else has changed
                self._patience, self._raised = min(_MOST_PATIENCE, self._patience * 2), False
            elif rows // 2 < self._size.most and late:
                self.most_at_once = max(1, int(min(self._width, self.most_at_once) * _FEWER))
                self._hint = min(self._hint, self.most_at_once)
                self._width = min(self._width, self.most_at_once)
            self._lower(max(1, rows // 2))

    def refused(self, bad: int, rows: int) -> None:
        """Learn that so many of the rows of a request were bad, for which all of them were undone."""
        with self._lock:
            self._bad += bad
            self._done += rows
            self._rows = min(self._rows, self._by_refusals())

    def _recover(self) -> None:
        """Allow more again some time after it was too much: a time-out may have been anybody's fault."""
        most, hint = self._limits
        if (self._size.most, self.most_at_once, self._hint) == (self._most, most, hint):
            return
        self._good += 1
        if self._good < self._patience:
            return
        self._good, self._raised = 0, True
        self._size = Size(self._size.start, min(self._most, self._size.most * 2))
        self.most_at_once = min(most, self.most_at_once + 1)
        self._hint = min(hint, self._hint + 1)

    def _lower(self, most: int) -> None:
        if most < self._size.most:
            self._size = Size(min(self._size.start, most), most)
        self._rows = min(self._rows, self._size.most)

    def _wanted_rows(self, rows: int, seconds: float) -> int:
        """Return how many rows take as long as a request may, going there in steps of twice or half as many."""
        if rows < self._rows:  # the last ones of the input, or of an earlier size, say nothing
            return self._rows
        wanted = int(rows * max(0.5, min(2.0, _LONG / seconds)))
        if rows > self._rows:
            return min(wanted, self._rows)
        return min(wanted, self._size.most, self._by_refusals())

    def _by_refusals(self) -> int:
        return max(_FEW, self._done // self._bad) if self._bad else self._size.most

    def _by_bytes(self, rows: int, size: int) -> int:
        return max(1, _BODY * rows // size) if size > 0 else self._size.most

    def _wanted_width(self, seconds: float) -> int:
        """Return how many requests keep as many in the service's hands as it recommends."""
        served = seconds - self._pace.quickest()
        beyond = seconds / served if served * _MOST_BEYOND > seconds else float(_MOST_BEYOND)
        return max(1, min(self.most_at_once, int(self._hint * beyond)))
