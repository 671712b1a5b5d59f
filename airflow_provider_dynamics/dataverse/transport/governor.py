"""Holds one client's requests to what the service grants its user, which it learns from the service's refusals alone.

Limits are counted for each user and web server, other tasks use them up too, and the remaining amounts in headers
tell of one server only: so what counts is what was answered in the time before a refusal.
https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_dynamics.dataverse.errors import Throttled
from airflow_provider_dynamics.dataverse.throttle import Clock, Stop
from airflow_provider_dynamics.dataverse.transport.budgets import Budget, Refusal

__all__ = ["Governor"]

REQUESTS, TIME, CONCURRENCY, COSTLY_QUERY = "0x80072322", "0x80072321", "0x80072326", "0x80048544"

_FEWER = 0.75  # of the requests at a time that proved too many
_LONGEST_LOOK = 1.0  # seconds after which a wait is reckoned anew: more may have become known
_QUIET = 60.0  # seconds without a refusal after which one more request at a time is tried


class Governor:
    """Lets requests through in the order they came: all at once until a limit is known, then evenly within it.

    A little of a budget is left to whoever else the user is, so that one request of a sensor or a trigger gets
    through while an extract takes all it may. `ceiling` is the most at a time whatever the service grants.
    """

    def __init__(self, clock: Clock, ceiling: int | None = None) -> None:
        self._clock = clock
        self._ceiling = ceiling or math.inf
        self._change = threading.Condition()
        self._line: deque[object] = deque()
        self._running = 0
        self._open_from = 0.0
        self._held = _Held()
        self._requests, self._seconds = Budget(unit=1.0), Budget()
        self._at_once = _AtOnce()

    @property
    def closed_for(self) -> float:
        """Seconds requests were held so far; waits of several threads at the same time count once."""
        with self._change:
            return self._held.total(self._clock.now())

    @property
    def most_at_once(self) -> int | None:
        """How many requests at a time the service was found to take; None while it takes all."""
        return self._at_once.most

    def note_wait(self, seconds: float) -> None:
        """Count a wait that the service asked of one request, and that others need not share."""
        now = self._clock.now()
        with self._change:
            self._held.until(now, now + seconds)

    def close(self, seconds: float) -> None:
        """Let nothing through for so many seconds, because the service asked for it."""
        now = self._clock.now()
        with self._change:
            self._held.until(now, now + seconds)
            self._open_from = max(self._open_from, now + seconds)

    @contextmanager
    def turn(self, stop: Stop, *, waits: bool = True) -> Iterator[None]:
        """Hold a request until it may go, and learn from its end; raises Interrupted.

        Without `waits` it goes at once and is only counted: whoever asks waits by itself.
        """
        began = self._enter(stop) if waits else self._counted_in(self._clock.now())
        refused: Throttled | None = None
        try:
            yield
        except Throttled as error:
            refused = error
            raise
        finally:
            self._leave(began, refused)

    def _enter(self, stop: Stop) -> float:
        me = object()
        with self._change:
            self._line.append(me)
        try:
            while not self._let_through(me, stop):
                pass
        except BaseException:
            with self._change:
                self._line.remove(me)
                self._held.release(self._clock.now(), waiting=len(self._line))
            raise
        return self._clock.now()

    def _let_through(self, me: object, stop: Stop) -> bool:
        """Count this one in if it may go; else wait until that can have changed."""
        with self._change:
            now, place = self._clock.now(), self._line.index(me) + 1
            wait = max(0.0, self._open_from - now) or self._wait(now, place)
            wanted = self._running + place
            if not wait and (wanted > self._ceiling or self._at_once.full(now, wanted)):
                self._clock.hold(self._change, stop)
                return False
            if not wait:
                self._line.remove(me)
                self._held.release(now, waiting=len(self._line))
                self._count(now)
                return True
        self._clock.sleep(wait, stop)
        return False

    def _wait(self, now: float, place: int) -> float:
        """Return the seconds until the budgets let as many requests go as stand in line up to this place."""
        wait = max(budget.wait(now, place, self._running) for budget in (self._requests, self._seconds))
        if wait > 0:
            self._held.hold(now)
        return min(wait, _LONGEST_LOOK)

    def _counted_in(self, now: float) -> float:
        with self._change:
            self._count(now)
        return now

    def _count(self, now: float) -> None:
        self._running += 1
        self._requests.spend(now)
        self._seconds.spend(now)

    def _leave(self, began: float, refused: Throttled | None) -> None:
        now = self._clock.now()
        with self._change:
            self._running -= 1
            if refused:
                self._learn(refused, now, began)
            self._requests.add(min(now, began + self._requests.leeway), 1.0)
            if not refused:
                self._seconds.add(now, now - began)
            self._change.notify_all()

    def _learn(self, error: Throttled, now: float, began: float) -> None:
        refusal, under_way = Refusal.read(error.message), self._running + 1
        if error.code == REQUESTS:
            learned = self._requests.learn(now, began, refusal, self._running)
            if learned is None and under_way > 1:  # one alone is refused for what others did
                self._at_once.lower(now, began, under_way // 2)
        elif error.code == TIME:
            granted = self._seconds.learn(now, began, refusal.in_seconds(), self._running)
            fewer = under_way // 2 if granted is None else math.ceil(granted / refusal.window)
            self._at_once.lower(now, began, fewer)
        elif error.code in {CONCURRENCY, COSTLY_QUERY}:
            self._at_once.lower(now, began, int(under_way * _FEWER))


class _AtOnce:
    """How many requests may be under way, None while nobody complained."""

    def __init__(self) -> None:
        self.most: int | None = None
        self._changed = 0.0

    def full(self, now: float, wanted: int) -> bool:
        if self.most is None:
            return False
        if now - self._changed > _QUIET:
            self.most, self._changed = self.most + 1, now
        return wanted > self.most

    def lower(self, now: float, began: float, most: int) -> None:
        """Take fewer from now on; a refusal of what began before the last change says nothing new."""
        if self.most is None or began >= self._changed:
            self.most = max(1, most if self.most is None else min(most, self.most))
            self._changed = now


class _Held:
    """The time somebody was held, each moment counted once."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._end = 0.0
        self._since: float | None = None

    def until(self, now: float, end: float) -> None:
        self.release(now, waiting=0)
        self._seconds += max(0.0, end - max(self._end, now))
        self._end = max(self._end, end)

    def hold(self, now: float) -> None:
        if self._since is None:
            self._since = max(now, self._end)

    def release(self, now: float, *, waiting: int) -> None:
        if self._since is not None and not waiting:
            self._seconds += max(0.0, now - self._since)
            self._since, self._end = None, max(self._end, now)

    def total(self, now: float) -> float:
        held = self._seconds + (max(0.0, now - self._since) if self._since is not None else 0.0)
        return held - max(0.0, self._end - now)  # what is still to come has not been waited
