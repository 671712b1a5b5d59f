"""How long to wait and when to stop trying: time as a value that tests can replace, and waits that can be ended at once.

https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.dataverse.errors import (
    CustomizationRunning,
    DataverseError,
    Interrupted,
    Throttled,
    Unreachable,
)

__all__ = ["Clock", "RetryPolicy", "Stop"]

_LOOK_UP = 0.2  # seconds between looks at whether the work was cancelled, which no condition can tell


class Stop:
    """A switch that ends waits; what is made with `child` ends with it, but not the other way round."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._children: weakref.WeakSet[Stop] = weakref.WeakSet()
        self._lock = threading.RLock()  # a signal handler may set it in the middle of `child`

    def set(self) -> None:
        with self._lock:
            self._event.set()
            children = list(self._children)
        for child in children:
            child.set()

    def child(self) -> Stop:
        made = Stop()
        with self._lock:
            self._children.add(made)
            if self._event.is_set():
                made.set()
        return made

    def check(self) -> None:
        """Raise Interrupted if the switch is set."""
        if self._event.is_set():
            raise Interrupted("The work was cancelled")

    def wait(self, seconds: float) -> bool:
        """Wait until the switch is set, at most so long; return whether it is."""
        return self._event.wait(seconds)


class Clock:
    """The real time: epoch seconds, and waiting."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float, stop: Stop) -> None:
        """Wait so many seconds; raises Interrupted as soon as `stop` is set."""
        if stop.wait(seconds):
            stop.check()

    def hold(self, change: threading.Condition, stop: Stop) -> None:
        """Wait until another thread announces a change, or a moment; raises Interrupted. The condition's lock is held."""
        change.wait(_LOOK_UP)
        stop.check()


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a request is repeated. All times are seconds.

    `Retry-After` is obeyed exactly; where it asks for more than `longest_retry_after` the error is raised
    instead. Without it, or with 0, the wait doubles from `first_delay` to `longest_delay`, each time lengthened by up to
    its own length at random. No attempt starts later than `budget` after the first. Being throttled is normal
    under load and so allowed more often than faults are; a host that cannot even be reached is given up
    sooner.

    A sign-in service's bad minute is ridden out by time and not by attempts: until `sign_in_budget` after its
    first failure, with waits of at most `longest_sign_in_delay`, so that whatever ends by then costs no task.
    """

    attempts: int = 10
    throttled_attempts: int = 60
    connect_attempts: int = 4
    budget: float = 1800.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    longest_retry_after: float = 600.0
    sign_in_budget: float = 120.0
    longest_sign_in_delay: float = 15.0
    random: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    @classmethod
    def never(cls) -> RetryPolicy:
        """One attempt: whoever uses it waits by itself, as triggers do."""
        return cls(attempts=1, throttled_attempts=1, connect_attempts=1)

    @property
    def waits(self) -> bool:
        return self.attempts > 1

    def delay(
        self, error: DataverseError | AuthenticationError, attempt: int, elapsed: float
    ) -> float | None:
        """Return how long to wait after this attempt (the first is 1) ended in this error, or None to give up.

        `attempt` and `elapsed` count from where the trouble began: of a sign-in's, from its first failure in a row.
        """
        if isinstance(error, AuthenticationError):
            return self._sign_in_delay(error, attempt, elapsed)
        if attempt >= self._attempts(error):
            return None
        if not error.retry_after:  # 0 would be sixty requests in a moment
            delay = self._doubled(attempt, self.longest_delay)
        elif error.retry_after > self.longest_retry_after:
            return None
        else:
            delay = error.retry_after
        return delay if elapsed + delay <= self.budget else None

    def _sign_in_delay(self, error: AuthenticationError, attempt: int, elapsed: float) -> float | None:
        if not self.waits:
            return None
        budget = self.sign_in_budget if error.patience is None else min(self.sign_in_budget, error.patience)
        delay = error.retry_after
        if delay is None:
            delay = self._doubled(attempt, self.longest_sign_in_delay / 2.0)
        return delay if elapsed + delay <= budget else None

    def _doubled(self, attempt: int, most: float) -> float:
        return min(most, self.first_delay * 2.0 ** min(attempt - 1, 30)) * (1.0 + self.random())

    def _attempts(self, error: Exception) -> int:
        if isinstance(error, (Throttled, CustomizationRunning)):  # it comes to an end, and nothing was done
            return self.throttled_attempts
        if isinstance(error, Unreachable) and not error.sent:
            return self.connect_attempts
        return self.attempts
