"""A door with everything around it in memory: connections, a clock that a test moves, a database that can fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from airflow_provider_dynamics.dataverse.administration.endpoints import KEY_HEADER
from airflow_provider_dynamics.webhooks.app import build_app
from airflow_provider_dynamics.webhooks.ledger import Entry, Outcome
from airflow_provider_dynamics.webhooks.places import Place
from tests.webhooks.bodies import body

KEY, OLD_KEY, WRONG_KEY = (
    "the-key-that-nobody-may-see",
    "the-old-key-that-still-fits",
    "a-key-of-somebody-else",
)
ENVIRONMENT = "https://contoso.crm4.dynamics.com"
ORGANIZATION = "contoso.crm4.dynamics.com"


@dataclass
class World:
    """Connections by their ids; `recorded` is what was written down, `fails` what the next writing raises."""

    places: dict[str, Place] = field(
        default_factory=lambda: {
            "sales": Place(ENVIRONMENT, (KEY,)),
            "keyless": Place(ENVIRONMENT, (), trouble="the connection has no Webhook secret"),
        }
    )
    recorded: list[Entry] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    outcome: Outcome = "told"
    read: list[tuple[str, str]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    now: float = 1_000.0
    lookup_takes: float = 0.0
    lookup_waits_for: threading.Event | None = None
    recording_waits_for: threading.Event | None = None
    elsewhere: dict[str, Place] = field(default_factory=dict)
    """Other environments by their hosts, where they are not simply the connection's."""

    def __post_init__(self) -> None:
        self.app = self.fresh_app()

    def fresh_app(self, within: float = 30.0) -> Starlette:
        app = build_app(self._read, self._record, now=lambda: self.now, sleep=self._sleep, within=within)
        return Starlette(routes=[Mount("/dynamics", app=app)])

    def _read(self, conn_id: str, environment: str) -> Place:
        self.read.append((conn_id, environment))
        self.now += self.lookup_takes
        if self.lookup_waits_for is not None:
            assert self.lookup_waits_for.wait(10), "the event loop was held"
        place = self.places.get(conn_id, Place(trouble="there is no such connection"))
        if environment in self.elsewhere:
            return self.elsewhere[environment]
        return (
            place if not environment else Place(f"https://{environment}", place.keys, trouble=place.trouble)
        )

    def _record(self, entries: Sequence[Entry]) -> list[Outcome]:
        if self.recording_waits_for is not None:
            assert self.recording_waits_for.wait(10)
        if self.fails:
            raise self.fails.pop()
        self.recorded += entries
        return [self.outcome for _ in entries]

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def post(self, conn_id: str = "sales", content: Any = None, **headers: Any) -> httpx.Response:
        return asyncio.run(self.apost(conn_id, content, **headers))

    async def apost(
        self,
        conn_id: str = "sales",
        content: bytes | AsyncIterator[bytes] | None = None,
        *,
        key: str | None = KEY,
        method: str = "POST",
        query: str = "",
        **headers: Any,
    ) -> httpx.Response:
        """Post as Dataverse does; underscores in a header's name stand for hyphens."""
        given = {
            "content-type": "application/json",
            "x-ms-dynamics-organization": ORGANIZATION,
            **({} if key is None else {KEY_HEADER: key}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="https://airflow.test"
        ) as client:
            return await client.request(
                method,
                f"/dynamics/events/{conn_id}{query}",
                content=body() if content is None else content,
                headers={name: value for name, value in given.items() if value},
            )

    async def asgi(self, receive: Callable[[], Awaitable[dict[str, object]]], key: str) -> int:
        """Post with a body that the test hands out itself, and return the status."""
        status = 0

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/dynamics/events/sales",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (KEY_HEADER.encode(), key.encode())],
        }
        await self.app(scope, receive, send)
        return status
