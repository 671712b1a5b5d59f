"""One limit of the service over a sliding window: what is known of it, what was used of it, when there is more.

https://learn.microsoft.com/power-apps/developer/data-platform/api-limits#service-protection-api-limits-evaluation
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass, replace

__all__ = ["Budget", "Refusal"]

WINDOW = 300.0  # seconds, unless the service names another time
_SHARE = 0.98  # of what is granted: the rest is for whoever else works as this user
_PROBE, _NEARLY = 1.03, 0.9  # beyond what the service names, when nearly all of it was used
_AT_ONCE = 0.02  # of what is granted that may be caught up at once
_SOON = 0.02  # seconds until it is looked again whether a request has ended
_INSTANT = 0.001  # seconds: less is lost in the digits of the time
_LEAST, _NOTHING = 1e-3, 1e-6
_MINE = 0.05  # of the service's number: whoever used less was not the one who used it up
_YIELD = 0.95  # of what was granted that is kept, when there are more of them
_GROWTH, _MOST_GROWTH = 1.1, 2.0  # up to what the service names, after one quiet window and after many

_NUMBER = re.compile(r"\d{1,3}(?:[ .,'\u2019\u00a0\u202f]\d{2,3})+(?!\d)|\d+")
_NO_NUMBER = re.compile(r"\b0x[0-9a-f]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """The limit and the time in a refusal's message, in any language: its last two numbers, the time at most WINDOW."""

    limit: float | None = None
    window: float = WINDOW

    @classmethod
    def read(cls, message: str) -> Refusal:
        found = _NUMBER.findall(_NO_NUMBER.sub("", message))
        numbers = [number for one in found if (number := float(re.sub(r"\D", "", one)))][-2:]
        if not numbers or numbers[-1] <= WINDOW:
            return cls(*numbers)
        limit, window = numbers[-1], numbers[0]  # the other way round
        return cls(limit, min(window, WINDOW))

    def in_seconds(self) -> Refusal:
        """Return it with its limit, given in milliseconds, as seconds."""
        return self if self.limit is None else replace(self, limit=self.limit / 1000)


class Budget:
    """An amount that may be used in any window of time: requests, or seconds of execution.

    Until a refusal everything may be used. Then what was used in the window before it is taken to be granted,
    and is spread evenly: a burst would leave nothing for minutes. Something counts from when it is begun until
    a window after its end.
    """

    def __init__(self, unit: float | None = None) -> None:
        self.granted: float | None = None
        self._unit = unit  # what one request uses; None: what they used on the average
        self._window = WINDOW
        self._ceiling = math.inf
        self._used: deque[tuple[float, float]] = deque()
        self._sum = 0.0
        self._refused = 0.0  # of the sum, by the refusals that came together with the last one learned from
        self._learned = self._changed = -math.inf
        self._growth = _GROWTH
        self._purse, self._filled = 0.0, 0.0

    @property
    def usual(self) -> float:
        """What one request uses."""
        if self._unit is not None:
            return self._unit
        return self._sum / len(self._used) if self._used else 0.0

    @property
    def leeway(self) -> float:
        """The seconds after its start within which a request is taken to have reached the service."""
        return self._window / 100

    def add(self, moment: float, amount: float) -> None:
        """Count what was used at a moment."""
        self._used.append((moment, amount))
        self._sum += amount
        self._forget(moment)

    def spend(self, now: float) -> None:
        """Take one request's use from what may be used at this moment."""
        if self.granted is not None:
            self._fill(now)
            self._purse -= self.usual

    def wait(self, now: float, place: int, running: int) -> float:
        """Return the seconds until the request at this place in line may go, while others are under way; 0: now."""
        if self.granted is None:
            return 0.0
        self._forget(now)
        self._fill(now)
        short = place * self.usual - self._purse
        even = max(_INSTANT, short / self._rate) if short > _NOTHING else 0.0
        return max(even, self._free_in(now, (place + running) * self.usual))

    def learn(self, now: float, began: float, refusal: Refusal, running: int) -> float | None:
        """Take what was used in the window before a refusal for what is granted, and return it.

        Who used next to nothing of what the service names was refused because of others, and learns nothing:
        None. Requests that began before the last lesson were refused for the same reason, and only make it
        exact. A refusal within what was granted means that there are more users now.
        """
        self._window = refusal.window
        self._forget(now)
        again = self.granted is not None and began <= self._learned
        used = self._sum - (self._refused if again else 0.0) + running * self.usual
        if refusal.limit is None or used < refusal.limit * _MINE:
            return None
        if not again:
            crowded = self.granted is not None and used <= self.granted
            self._refused, self._purse, self._filled, self._learned = 0.0, 0.0, now, now
            self.granted = used * _YIELD if crowded else used
        self.granted = min(self.granted or used, used)
        self._refused += self.usual
        self._changed, self._growth = now, _GROWTH
        self._ceiling = refusal.limit * max(1, math.ceil(self.granted / refusal.limit - 0.1))
        return self.granted

    @property
    def _rate(self) -> float:
        return (self.granted or _LEAST) * _SHARE / self._window

    def _fill(self, now: float) -> None:
        granted = self.granted or _LEAST
        if now - self._changed > self._window:
            granted = self.granted = self._grown(granted)
            self._changed, self._growth = now, min(_MOST_GROWTH, self._growth**2)
        most = max(granted * _AT_ONCE, self.usual)
        self._purse = min(most, self._purse + (now - self._filled) * self._rate)
        self._filled = now

    def _grown(self, granted: float) -> float:
        """Return what may be granted after a window without a refusal: limits are raised, too, and others leave."""
        if granted < self._ceiling:
            return min(self._ceiling, granted * self._growth)
        return granted * _PROBE if self._sum > granted * _NEARLY else granted

    def _free_in(self, now: float, wanted: float) -> float:
        """Return the seconds until so much of what was used lies a window back that this much fits in."""
        excess = self._sum + wanted - (self.granted or _LEAST)
        if excess <= _NOTHING:
            return 0.0
        for ended, amount in self._used:
            excess -= amount
            if excess <= _NOTHING:
                return max(_SOON, ended + self._window - now)
        return _SOON if self._used or wanted > self.usual else 0.0  # alone, even the largest may go

    def _forget(self, now: float) -> None:
        while self._used and self._used[0][0] <= now - self._window:
            self._sum -= self._used.popleft()[1]
        if not self._used:
            self._sum = 0.0
