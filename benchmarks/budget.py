"""How much of a budget of requests an extract or a load gets, and how much of what it asks is refused.

The emulator counts the requests of a user as the service does, 600 in 30 seconds here, which is its 6,000 in 5
minutes ten times as fast, or their time, and 52 at a time; pages and chunks of ten rows make both ask for more than that.
"""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from ssl import create_default_context
from typing import Any

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, LaneRead, Query
from benchmarks.pages import new_row
from benchmarks.processes import serving

BUDGET, WINDOW, WINDOWS = 600, 30.0, 3
BUDGET_SECONDS = 120.0  # of execution
ROWS = 100_000
PAGE = 10


@dataclass(frozen=True)
class Used:
    """What was asked of a budget: shares of it that were used and of requests that were refused; seconds held back."""

    used: float
    refused: float
    late: int
    held: float


@dataclass(frozen=True)
class Limited:
    """What the emulator grants in a window: requests, or seconds that it takes over them."""

    requests: int
    seconds: float
    each: float = 0.0
    """Seconds that each answer takes, beyond the emulator's own."""

    def used(self, answers: int) -> float:
        """Return the share of the budget of some windows that so many answers used."""
        return (
            answers * self.each / self.seconds / WINDOWS if self.each else answers / self.requests / WINDOWS
        )


REQUESTS = Limited(requests=BUDGET, seconds=100_000.0)
SECONDS = Limited(requests=100_000, seconds=BUDGET_SECONDS, each=1.0)


def measure(work: Callable[[Client, float], None], limited: Limited = REQUESTS) -> Used:
    """Let a client work for some windows of a budget."""
    command = (
        "airflow_provider_dynamics.emulator",
        "--port",
        "0",
        "--rows",
        f"account={ROWS}",
        "--dop-hint",
        "8",
    )
    with serving(*command) as words:
        facts = dict(word.split("=", 1) for word in words[1:])
        control = _Control(words[0], facts["ca"])
        credential = ClientSecret(
            facts["tenant"], facts["client_id"], facts["client_secret"], authority=Authority(url=words[0])
        )
        with Client(words[0], credential, ca_bundle=facts["ca"]) as client:
            client.who_am_i()
            control.ask("reset", {})
            budget = {"requests": limited.requests, "execution_seconds": limited.seconds}
            control.ask("faults", {"kind": "limits", **budget, "window": WINDOW, "servers": 1})
            if limited.each:
                control.ask("faults", {"kind": "slow", "seconds": limited.each, "path": "Multiple$"})
            work(client, WINDOW * WINDOWS)
            answers = Counter(one["status"] for one in control.ask("requests") if "/api/" in one["path"])
            good = sum(number for status, number in answers.items() if status < 300)
            late = sum(number for status, number in answers.items() if status >= 500)
            return Used(limited.used(good), answers[429] / answers.total(), late, client.throttled_seconds)


def read(client: Client, seconds: float) -> None:
    """Read pages of ten rows over eight lanes."""
    ends = time.monotonic() + seconds
    pages: LaneRead[None] = client.lanes(Query("account", select=["name"], page_size=PAGE), lanes=8)
    with pages:
        for _ in pages:
            if time.monotonic() > ends:
                return


def write(client: Client, seconds: float) -> None:
    """Create rows in chunks of ten, as many chunks at a time as the client finds right."""
    ends = time.monotonic() + seconds
    endless = (new_row(serial) for serial in itertools.count())
    outcomes = client.bulk("account", endless, "create", chunk_size=PAGE)
    with closing(outcomes):
        for outcome in outcomes:
            if outcome.error is not None:
                raise SystemExit(f"a row was refused: {outcome.error}")
            if time.monotonic() > ends:
                return


class _Control:
    def __init__(self, url: str, ca: str) -> None:
        self._url, self._context = url, create_default_context(cafile=ca)

    def ask(self, what: str, body: Any = None) -> Any:
        """Ask the emulator's own API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/_emulator/{what}", data=data)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, context=self._context, timeout=30) as reply:  # noqa: S310 - the same
            return json.load(reply)
