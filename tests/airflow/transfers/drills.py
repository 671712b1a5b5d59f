"""What services and networks do in the middle of a read, and tasks that ride it out without sitting through the waits."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from airflow_provider_dynamics.dataverse import Client, Clock, RetryPolicy
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import airflow_errors

__all__ = ["DRILLS", "Impatiently", "Patiently", "QuickClock"]


class QuickClock(Clock):
    """Waits are over at once, and count in full."""

    def __init__(self):
        self._ahead = 0.0

    def now(self):
        return super().now() + self._ahead

    def sleep(self, seconds, stop):
        stop.check()
        stop.wait(min(seconds, 0.001))
        self._ahead += seconds


class Patiently:
    """Put before an operator: it tries again as any other, but does not sit the waits out."""

    tries = RetryPolicy()
    hook: DynamicsHook

    @contextmanager
    def client(self, **options):
        settings = self.hook.settings
        with (
            airflow_errors(),
            Client(
                settings.environment,
                settings.credential(None),
                ca_bundle=settings.ca_bundle,
                clock=QuickClock(),
                retry=self.tries,
            ) as client,
        ):
            yield client


class Impatiently(Patiently):
    """Put before an operator: it leaves it to Airflow to try again."""

    tries = RetryPolicy(attempts=2, throttled_attempts=1, connect_attempts=1, budget=0.0)


DRILLS = [
    pytest.param(("throttle", {"every": 3, "retry_after": 0}), id="429 on every third request"),
    pytest.param(("throttle", {"limit": "time", "count": 2, "retry_after": 0}), id="429 for execution time"),
    pytest.param(
        ("throttle", {"limit": "concurrency", "count": 2, "retry_after": 0}), id="429 for concurrency"
    ),
    pytest.param(("status", {"skip": 1, "count": 2}), id="503 with a page of HTML"),
    pytest.param(("status", {"status": 504, "skip": 1, "count": 1}), id="504 with a page of HTML"),
    pytest.param(("expired_token", {"skip": 2, "count": 1}), id="one 401 in mid-run"),
    pytest.param(("reset", {"skip": 1, "count": 2}), id="connection reset"),
    pytest.param(("truncate", {"skip": 1, "count": 2}), id="truncated body"),
    pytest.param(("truncate", {"skip": 1, "count": 1, "length": "cut"}), id="body cut by a proxy"),
    pytest.param(("slow", {"skip": 1, "count": 2, "seconds": 0.3}), id="slow answers"),
]
