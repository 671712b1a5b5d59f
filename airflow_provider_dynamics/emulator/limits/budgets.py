"""Service protection: what each user may ask of each web server, counted always and enforced on demand.

Microsoft does not say how Retry-After comes about. Here it is the time after which one request alone would pass;
since refused requests are requests too, whoever goes on meanwhile moves it away.
https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_SERVERS = 16
DEFAULTS: Mapping[str, Any] = {
    "requests": 6000,
    "execution_seconds": 1200.0,
    "concurrency": 52,
    "window": 300.0,
    "servers": 2,
}


@dataclass(frozen=True)
class Refusal:
    """Which service protection limit was passed, and after how many seconds to come back."""

    code: str
    message: str
    retry_after: float


def throttled(limit: str, *, retry_after: float = 1, settings: Mapping[str, Any] | None = None) -> Refusal:
    """Word one of the three service protection errors."""
    values = settings or DEFAULTS
    window = int(values["window"])
    if limit == "requests":
        text = f"Number of requests exceeded the limit of {values['requests']} over time window of {window} seconds."
        return Refusal("0x80072322", text, retry_after)
    if limit == "time":
        budget = int(values["execution_seconds"] * 1000)
        text = (  # the page writes this number with commas, and the number of requests without
            f"Combined execution time of incoming requests exceeded limit of {budget:,} milliseconds over time window "
            f"of {window} seconds. Decrease number of concurrent requests or reduce the duration of requests and "
            "try again later."
        )
        return Refusal("0x80072321", text, retry_after)
    text = f"Number of concurrent requests exceeded the limit of {values['concurrency']}."
    return Refusal("0x80072326", text, retry_after)


@dataclass
class _Usage:
    """What one user has used of one server in the window.

    ``arrivals`` has the moment of each request, refused ones too; ``executions`` (moment it ended, seconds) of each
    that was done.
    """

    arrivals: deque[float] = field(default_factory=deque)
    executions: deque[tuple[float, float]] = field(default_factory=deque)
    execution: float = 0.0
    running: int = 0

    def forget(self, before: float) -> None:
        while self.arrivals and self.arrivals[0] <= before:
            self.arrivals.popleft()
        while self.executions and self.executions[0][0] <= before:
            self.execution -= self.executions.popleft()[1]


class Limits:
    """Service protection counters per user and web server; counted always, enforced when ``limits`` is on."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._usage: dict[tuple[str, int], _Usage] = {}
        self._running = 0
        self.most_at_once = 0
        """The most requests that were under way at one time, of all users on all servers."""

    def begin(self, user: str, server: int, enforced: Mapping[str, Any] | None) -> Refusal | None:
        """Count a request in; a refusal says which limit it passed. Refused requests count as requests too."""
        with self._lock:
            moment = self._now()
            usage = self._usage.setdefault((user, server), _Usage())
            settings = enforced or DEFAULTS
            usage.forget(moment - settings["window"])
            usage.arrivals.append(moment)
            refusal = _refusal(usage, moment, settings) if enforced else None
            usage.running += refusal is None
            self._running += refusal is None
            self.most_at_once = max(self.most_at_once, self._running)
            return refusal

    def end(self, user: str, server: int, seconds: float) -> None:
        """Count a request out that took that many seconds."""
        with self._lock:
            usage = self._usage.setdefault((user, server), _Usage())
            usage.running = max(0, usage.running - 1)
            self._running -= 1
            usage.executions.append((self._now(), seconds))
            usage.execution += seconds

    def remaining(self, user: str, server: int, enforced: Mapping[str, Any] | None) -> tuple[int, float]:
        """Return the requests and the execution seconds left in the window."""
        settings = enforced or DEFAULTS
        with self._lock:
            usage = self._usage.get((user, server)) or _Usage()
            usage.forget(self._now() - settings["window"])
            return max(0, settings["requests"] - len(usage.arrivals)), max(
                0.0, settings["execution_seconds"] - usage.execution
            )

    def clear(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._usage.clear()
            self.most_at_once = self._running


def _refusal(usage: _Usage, moment: float, settings: Mapping[str, Any]) -> Refusal | None:
    """Why the newest arrival is refused, with the time after which one request alone would not be."""
    window = settings["window"]
    over = len(usage.arrivals) - settings["requests"]
    if over > 0:
        frees = usage.arrivals[min(over, len(usage.arrivals) - 1)]
        return throttled("requests", retry_after=_wait(frees, moment, window), settings=settings)
    if usage.execution >= settings["execution_seconds"]:
        frees = _frees_execution(usage, settings["execution_seconds"], moment)
        return throttled("time", retry_after=_wait(frees, moment, window), settings=settings)
    if usage.running >= settings["concurrency"]:
        return throttled("concurrency", retry_after=1, settings=settings)
    return None


def _frees_execution(usage: _Usage, budget: float, moment: float) -> float:
    left = usage.execution
    for when, seconds in usage.executions:
        left -= seconds
        if left < budget:
            return when
    return moment


def _wait(frees: float, moment: float, window: float) -> int:
    """Whole seconds, as the header has them, and never too few."""
    return max(1, math.ceil(frees + window - moment))
