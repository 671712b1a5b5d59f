"""The emulator's door: ASGI in, ASGI out, and a record of what came through.

A bare ASGI callable, since there are three kinds of path and one function call per request less than in any
framework.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.entra.managed import refusal as managed_refusal
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.messages import Request, Response
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.switches import Settings
from airflow_provider_dynamics.emulator.web_api import WebApi
from airflow_provider_dynamics.emulator.wire import control, refusals
from airflow_provider_dynamics.emulator.wire.front import NOTHING, Front, Outcome, compressed

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

RECORDED = 20_000  # the oldest recorded requests are forgotten beyond this many
THREADS = 8
REDACTED = "[redacted]"
OPTION_HEADERS = ("mscrm", "callerobjectid")
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-identity-header"})
SECRET_PARAMETERS = re.compile(
    r"((?:^|&)(?:code|password|client_secret|client_assertion|refresh_token|id_token_hint)=)[^&]*",
    re.IGNORECASE,
)


class Answering(Protocol):
    """What stands behind the door: the front of an environment, or a service beside it."""

    async def answer(
        self, request: Request, threaded: Callable[[Callable[[], Any]], Awaitable[Any]]
    ) -> Outcome:
        """Answer one request; ``threaded`` runs work off the loop."""


class Environments(Protocol):
    """The environments that were added beside this one."""

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a control request asks."""

    def as_dict(self) -> dict[str, Any]:
        """Tell what there is."""

    def clear(self) -> None:
        """Take them away."""

    @property
    def discovery(self) -> Answering:
        """Who lists the environments, for whoever knows the first one's address only."""


class Connections(Protocol):
    """What the server knows about open sockets, for faults below HTTP."""

    def reset(self, client: tuple[str, int]) -> None:
        """Send RST on the connection to this peer."""

    def close(self, client: tuple[str, int]) -> None:
        """Close the connection to this peer once what was written is sent."""


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it came, for assertions; the token is left out. Status 0: the connection was reset first."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body_size: int
    status: int

    @property
    def options(self) -> dict[str, str]:
        """What it asked for beside its body: impersonation, the ``MSCRM.…`` headers in lower case, and the ``tag``.

        https://learn.microsoft.com/power-apps/developer/data-platform/optional-parameters
        """
        found = {name: value for name, value in self.headers.items() if name.startswith(OPTION_HEADERS)}
        tags = parse_qs(self.query).get("tag")
        return {**found, "tag": tags[0]} if tags else found

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain values."""
        return {**self.__dict__, "headers": dict(self.headers)}


class App:
    """The ASGI application; create one per server."""

    def __init__(
        self,
        service: WebApi,
        faults: Faults,
        entra: Entra,
        sign_ins: SignIns | None = None,
        settings: Settings | None = None,
        *,
        front: Answering | None = None,
        controlled: App | None = None,
    ) -> None:
        self.service = service
        self.faults = faults
        self.connections: Connections | None = None
        self.requests: deque[RecordedRequest] = deque(maxlen=RECORDED)
        self._entra = entra
        self.sign_ins = sign_ins or SignIns(entra, service.faults)
        self.settings = settings or Settings()
        self._own_front = Front(service, faults, entra, self.sign_ins, self.settings)
        self._front: Answering = front or self._own_front
        self._controlled = controlled or self
        self.environments: Environments | None = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dynamics-emulator")

    def close(self) -> None:
        """End the worker threads, and posting."""
        self.service.webhooks.close()
        self.close_threads()

    def close_threads(self) -> None:
        """End the worker threads."""
        self._pool.shutdown(wait=True)

    def reset(self, *, touched: bool = False) -> None:
        """Rows as seeded, no faults, nothing recorded, sign-ins and settings as at the start; tokens stay good.

        ``touched`` says that rows may have changed without a request.
        """
        self.faults.clear()
        self.sign_ins.reset()
        self.settings.reset()
        self.service.query_limits.restore()
        self.service.jobs.restore()
        self.service.webhooks.restore()
        self.service.operations.forget_custom()
        self.service.duplicates.restore()
        self.requests.clear()
        if self.environments:
            self.environments.clear()
        if touched or self._own_front.written:
            self.service.reset()
            self._own_front.written = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        request = await _request(scope, receive)
        if request is None:
            return
        if request.path.startswith("/_emulator"):
            await self._send(send, await self._threaded(lambda: control.answer(self._controlled, request)))
            return
        outcome = await self._answer(request)
        self._record(request, outcome)
        await self._deliver(outcome, scope, receive, send)

    async def _answer(self, request: Request) -> Outcome:
        if self._entra.is_mine(request.path):
            return await self._sign_in(request)
        if self.environments and request.path.startswith("/api/discovery/"):
            return await self.environments.discovery.answer(request, self._threaded)
        outcome = await self._front.answer(request, self._threaded)
        await asyncio.sleep(self.settings.latency)
        return outcome

    async def _sign_in(self, request: Request) -> Outcome:
        hit = self._entra.strike(request)
        if "token_slow" in hit:
            await asyncio.sleep(hit["token_slow"].settings["seconds"])
        if "token_reset" in hit:
            return NOTHING
        if "token_status" in hit:
            settings = hit["token_status"].settings
            status, wait = settings["status"], settings["retry_after"]
            return Outcome(managed_refusal(request.path, status, wait) or refusals.gateway(status, wait))
        if "token_html" in hit:
            return Outcome(refusals.gateway(200, None))
        try:
            return Outcome(compressed(request, self._entra.handle(request, hit)))
        except Exception:
            log.exception("the emulator failed on %s %s", request.method, request.path)
            return Outcome(
                refusals.error(500, "0x80040216", "The emulator itself failed; its log says where.")
            )

    async def _threaded(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, contextvars.Context().run, work)

    def _record(self, request: Request, outcome: Outcome) -> None:
        headers = {
            name: REDACTED if name in SECRET_HEADERS else value for name, value in request.headers.items()
        }
        self.requests.append(
            RecordedRequest(
                request.method,
                request.path,
                SECRET_PARAMETERS.sub(rf"\1{REDACTED}", request.query),
                headers,
                len(request.body),
                outcome.response.status,
            )
        )

    async def _deliver(self, outcome: Outcome, scope: Scope, receive: Receive, send: Send) -> None:
        if outcome.reset and self.connections:
            self.connections.reset(scope["client"])
            await _gone(receive)
            return
        if outcome.truncate and outcome.response.body and self.connections:
            await self._deliver_part(outcome.response, outcome.truncate, scope, receive, send)
            return
        await self._send(send, outcome.response)

    async def _deliver_part(
        self, response: Response, how: Mapping[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        kept = response.body[: int(len(response.body) * how["keep"])]
        if how["length"] == "cut":
            await self._send(send, Response(response.status, response.headers, kept))
            return
        await send(self._start(response, len(response.body)))
        await send({"type": "http.response.body", "body": kept, "more_body": True})
        if self.connections:
            self.connections.close(scope["client"])
        await _gone(receive)

    async def _send(self, send: Send, response: Response) -> None:
        await send(self._start(response, len(response.body)))
        await send({"type": "http.response.body", "body": response.body})

    def _start(self, response: Response, length: int) -> MutableMapping[str, Any]:
        """Begin an answer with the time that the services' clock shows."""
        return _start(response, length, self._entra.now())


async def _request(scope: Scope, receive: Receive) -> Request | None:
    chunks = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        headers,
        b"".join(chunks),
        f"{scope['scheme']}://{headers.get('host', '127.0.0.1')}",
    )


def _start(response: Response, length: int, now: float) -> MutableMapping[str, Any]:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in (("Date", formatdate(now, usegmt=True)), *response.headers)
        if name.lower() != "content-length"
    ]
    if response.status not in (204, 304):
        headers.append((b"Content-Length", str(length).encode()))
    return {"type": "http.response.start", "status": response.status, "headers": headers}


async def _gone(receive: Receive) -> None:
    """Wait until the server has noticed that the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
