"""What stands between the wire and the Web API: gateway, token, service protection, and the headers of every answer.

In this order, as a request meets them in the real service; the fault switches act at the place they are
about.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import logging
import re
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import unquote

from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.jobs.background import MONITOR
from airflow_provider_dynamics.emulator.limits.budgets import MOST_SERVERS
from airflow_provider_dynamics.emulator.limits.faults import DATA_KINDS, Faults, Switch
from airflow_provider_dynamics.emulator.limits.measures import rows_of
from airflow_provider_dynamics.emulator.messages import Principal, Request, Response
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.switches import Plugin, Settings
from airflow_provider_dynamics.emulator.web_api import Poison, WebApi
from airflow_provider_dynamics.emulator.wire import refusals
from airflow_provider_dynamics.emulator.wire.batch import Batch

log = logging.getLogger(__name__)

T = TypeVar("T")
Threaded = Callable[[Callable[[], T]], Awaitable[T]]

# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview names the length, not the answer
LONGEST_URL = 32_768
GZIP_FROM = 4096  # bytes; smaller bodies are not worth the work
READING = frozenset({"GET", "HEAD", "OPTIONS"})
API = re.compile(r"^/api/data/v[89]\.[0-2](/|$)")
BATCH = re.compile(r"^(/[^/]+)?/api/data/v[89]\.[0-2]/\$batch$")
AFFINITY = re.compile(r"ARRAffinity=(?P<server>[^;,\s]+)")
SOURCE = "1102122184388741472227281771242034204771681828610123991219190145111757119484"
# A web server is known by the value of its affinity cookie.
# https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests#server-affinity
SERVERS = tuple(uuid.uuid5(uuid.NAMESPACE_DNS, f"server{number}").hex * 2 for number in range(MOST_SERVERS))


@dataclass(frozen=True)
class Outcome:
    """An answer, and how to spoil it on the wire; status 0 stands for none at all."""

    response: Response
    reset: bool = False
    truncate: Mapping[str, Any] | None = None


NOTHING = Outcome(Response(0, (), b""), reset=True)


@dataclass(frozen=True)
class Seat:
    """Where a request is served: for whom, on which web server, under which enforced limits."""

    user: str
    server: int
    limits: Mapping[str, Any] | None


class Front:
    """The front of one environment."""

    def __init__(
        self, service: WebApi, faults: Faults, entra: Entra, sign_ins: SignIns, settings: Settings
    ) -> None:
        self._service = service
        self._faults = faults
        self._entra = entra
        self._sign_ins = sign_ins
        self._settings = settings
        self.written = False  # since the last reset: what was only read needs no new rows
        self._turn = itertools.count()
        self._fault_version = -1
        self._state_lock = threading.Lock()

    async def answer(self, request: Request, threaded: Threaded[tuple[Response, float]]) -> Outcome:
        """Answer one request under /api; ``threaded`` runs the work off the loop."""
        self._copy_states()
        target = unquote(f"{request.path}?{request.query}" if request.query else request.path)
        with self._service.entered():
            hit = self._faults.strike(
                DATA_KINDS, request.method, target, size=lambda: (rows_of(request), len(request.body))
            )
        slow = _slowness(hit)
        caller = self._caller(request)
        turned_away = self._turned_away(request, caller, hit)
        if turned_away or caller is None:
            await asyncio.sleep(slow)
            return turned_away or Outcome(self._unauthorized(request))
        seat = self._seat(request, caller, hit)
        return await self._seated(replace(request, principal=caller), seat, hit, slow, threaded)

    async def _seated(
        self,
        request: Request,
        seat: Seat,
        hit: Mapping[str, Switch],
        slow: float,
        threaded: Threaded[tuple[Response, float]],
    ) -> Outcome:
        """Do the work under service protection; a slow answer uses up execution time like any other."""
        refusal = self._faults.limits.begin(seat.user, seat.server, seat.limits)
        if refusal:
            return Outcome(self._dressed(request, refusals.throttled(refusal), seat))
        self.written |= request.method not in READING
        seconds = slow + self._settings.seconds_for(lambda: rows_of(request))
        try:
            await asyncio.sleep(seconds)
            response, worked = await threaded(lambda: self._work(request, seat, hit))
            seconds += worked
        finally:
            self._faults.limits.end(seat.user, seat.server, seconds)
        truncate = hit["truncate"].settings if "truncate" in hit else None
        return Outcome(response, reset="reset" in hit, truncate=truncate)

    def _copy_states(self) -> None:
        """Hand the switches that are states of the data side to it, once after each change."""
        if self._faults.version == self._fault_version:
            return
        with self._state_lock:
            version = self._faults.version
            data = self._service.faults
            pages = self._faults.state("short_page")
            data.page_size_limit = pages[-1]["rows"] if pages else None
            data.expired_delta = bool(self._faults.state("expired_delta"))
            data.files_in_database = bool(self._faults.state("files_in_database"))
            self._service.keep_counts(kept=bool(self._faults.state("old_counts")))
            data.plugins = [Plugin(**settings) for settings in self._faults.state("plugin")]
            data.poison = [Poison(**settings) for settings in self._faults.state("poison")]
            self._fault_version = version

    def _turned_away(
        self, request: Request, caller: Principal | None, hit: Mapping[str, Switch]
    ) -> Outcome | None:
        """Return what a gateway or the token check answers; None lets a request with a token pass."""
        when = hit["reset"].settings["when"] if "reset" in hit else None
        if when == "before" or (when == "midway" and not BATCH.match(unquote(request.path))):
            return NOTHING
        answer = self._gateway(request, hit) or self._challenge(request, caller, hit)
        return Outcome(answer) if answer else None

    def _gateway(self, request: Request, hit: Mapping[str, Switch]) -> Response | None:
        if len(request.origin) + len(request.path) + len(request.query) >= LONGEST_URL:
            return refusals.gateway(414, None)
        if "status" in hit:
            return refusals.gateway(hit["status"].settings["status"], hit["status"].settings["retry_after"])
        if "too_large" in hit and hit["too_large"].settings["who"] == "gateway":
            return refusals.gateway(413, None)
        return refusals.gateway(200, None) if "html" in hit else None

    def _challenge(
        self, request: Request, caller: Principal | None, hit: Mapping[str, Switch]
    ) -> Response | None:
        if "expired_token" in hit:
            return self._unauthorized(request, expired=True)
        if "claims" in hit and caller and not caller.answers_challenge:
            return refusals.claims_challenge(request.origin, self._entra.client_id)
        return None

    def _caller(self, request: Request) -> Principal | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        prefix = self._service.deployment.prefix
        places = (request.origin, request.origin + prefix) if prefix else (request.origin,)
        return self._entra.check(token.strip(), *places)

    def _unauthorized(self, request: Request, *, expired: bool = False) -> Response:
        on_premises = self._service.deployment.on_premises
        tenant = "adfs" if on_premises else self._entra.tenant_id
        return refusals.unauthorized(request.origin, tenant, expired=expired)

    def _seat(self, request: Request, caller: Principal, hit: Mapping[str, Switch]) -> Seat:
        """Pick the web server: the affinity cookie's when it is sent, else the next one in turn."""
        limits = hit["limits"].settings if "limits" in hit else None
        servers = int(limits["servers"]) if limits else 2
        found = AFFINITY.search(request.headers.get("cookie", ""))
        if found and found["server"] in SERVERS[:servers]:
            return Seat(caller.key, SERVERS.index(found["server"]), limits)
        return Seat(caller.key, next(self._turn) % servers, limits)

    def _work(self, request: Request, seat: Seat, hit: Mapping[str, Switch]) -> tuple[Response, float]:
        start = time.perf_counter()
        try:
            midway = "reset" in hit and hit["reset"].settings["when"] == "midway"
            with self._service.entered():
                response = refusals.switched(hit, request) or self._handled(request, midway=midway)
            if "repeated_page" in hit:
                response = refusals.repeated(request, response)
        except Exception:
            log.exception("the emulator failed on %s %s", request.method, request.path)
            response = refusals.error(500, "0x80040216", "The emulator itself failed; its log says where.")
        worked = time.perf_counter() - start
        return compressed(request, self._dressed(request, response, seat)), worked

    def _handled(self, request: Request, *, midway: bool = False) -> Response:
        if request.principal and not self._sign_ins.admits(request.principal):
            return refusals.error(403, "0x80072560", refusals.NOT_A_MEMBER)
        deployment = self._service.deployment
        below = deployment.below_api(request.path) or ""
        if lacking := refusals.no_place(request.path, below, deployment):
            return lacking
        if BATCH.match(unquote(below)):
            if request.method != "POST":
                return refusals.error(405, "0x80060888", "The $batch resource takes POST only.")
            return Batch(request, self._service.handle, self._service.transaction).answer(midway=midway)
        if API.match(below) or (MONITOR.match(below) and not deployment.on_premises):
            return self._service.handle(request)
        return refusals.not_emulated(request.path)

    def _hint(self) -> tuple[tuple[str, str], ...]:
        number = self._settings.dop_hint
        return (
            ()
            if number is None or self._service.deployment.on_premises
            else (("x-ms-dop-hint", str(number)),)
        )

    def _left(self, seat: Seat) -> tuple[tuple[str, str], ...]:
        """What service protection still lets through, which there is in the cloud only."""
        if self._service.deployment.on_premises:
            return ()
        left, seconds = self._faults.limits.remaining(seat.user, seat.server, seat.limits)
        return (
            ("x-ms-ratelimit-time-remaining-xrm-requests", f"{seconds:,.2f}"),
            ("x-ms-ratelimit-burst-remaining-xrm-requests", str(left)),
        )

    def _dressed(self, request: Request, response: Response, seat: Seat) -> Response:
        """Add what every answer of Dataverse carries, repeats included."""
        request_id = str(uuid.uuid4())
        correlation = request.headers.get("x-ms-client-request-id") or str(uuid.uuid4())
        cookie = f"ARRAffinity={SERVERS[seat.server]}; path=/; secure; HttpOnly"
        headers = (
            *response.headers,
            ("Cache-Control", "no-cache"),
            ("Allow", "OPTIONS,GET,HEAD,POST"),
            ("Expires", "-1"),
            ("Vary", "Accept-Encoding"),
            ("x-ms-service-request-id", correlation),
            ("x-ms-service-request-id", request_id),
            ("Set-Cookie", cookie),
            ("Set-Cookie", f"ReqClientId={seat.user}; path=/; secure; HttpOnly"),
            ("Set-Cookie", f"orgId={self._service.organization.organization_id}; path=/; secure; HttpOnly"),
            ("Set-Cookie", cookie),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
            ("REQ_ID", request_id),
            ("CRM.ServiceId", "framework"),
            ("AuthActivityId", str(uuid.uuid4())),
            *self._hint(),
            *self._left(seat),
            ("X-Source", SOURCE),
            ("X-Source", SOURCE[::-1]),
            ("Public", "OPTIONS,GET,HEAD,POST"),
        )
        return Response(response.status, headers, response.body)


def _slowness(hit: Mapping[str, Switch]) -> float:
    """Seconds that the service takes longer over a request."""
    seconds: float = sum(hit[kind].settings["seconds"] for kind in ("slow", "time_out") if kind in hit)
    if "query_throttling" in hit and hit["query_throttling"].settings["how"] == "delay":
        seconds += hit["query_throttling"].settings["seconds"]
    return seconds


def compressed(request: Request, response: Response) -> Response:
    """Gzip a big body at the cheapest level when the client can take it."""
    if len(response.body) < GZIP_FROM or "gzip" not in request.headers.get("accept-encoding", ""):
        return response
    if ("Content-Type", "application/octet-stream") in response.headers:
        return response  # a file, perhaps a part of one
    headers = (*response.headers, ("Content-Encoding", "gzip"))
    return Response(response.status, headers, gzip.compress(response.body, compresslevel=1, mtime=0))
