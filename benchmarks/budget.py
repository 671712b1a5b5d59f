"""How much of a budget of requests an extract gets, and how much of what it asks is refused.

The emulator counts the requests of a user as the service does, 600 in 30 seconds here, which is its 6,000 in 5
minutes ten times as fast; pages of ten rows make an extract ask for more than that.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from ssl import create_default_context
from typing import Any

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, LaneRead, Query
from benchmarks.processes import serving

BUDGET, WINDOW, WINDOWS = 600, 30.0, 3
ROWS = 100_000
PAGE = 10


def measure() -> tuple[float, float, float]:
    """Return the share of the budget that was used, the share of requests refused, and the seconds held back."""
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
            control.ask("faults", {"kind": "limits", "requests": BUDGET, "window": WINDOW, "servers": 1})
            _read(client, WINDOW * WINDOWS)
            answers = Counter(one["status"] for one in control.ask("requests") if "/api/" in one["path"])
            used = answers[200] / (BUDGET * WINDOWS)
            return used, answers[429] / answers.total(), client.throttled_seconds


def _read(client: Client, seconds: float) -> None:
    ends = time.monotonic() + seconds
    read: LaneRead[None] = client.lanes(Query("account", select=["name"], page_size=PAGE), lanes=8)
    with read:
        for _ in read:
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
