"""The door itself: who may post, how much, and what they are answered.

Dataverse signs nothing; all that it can prove itself with is a fixed header. So nothing is read before the header
is right, every refusal for it looks alike and takes the same time, and of a post nothing is kept but ids.
https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from airflow_provider_dynamics.auth.network import is_loopback
from airflow_provider_dynamics.connection.webhook_address import CONN_ID
from airflow_provider_dynamics.dataverse.administration.endpoints import KEY_HEADER
from airflow_provider_dynamics.webhooks.gathering import TooMany
from airflow_provider_dynamics.webhooks.ledger import Entry, NotRecorded, Outcome
from airflow_provider_dynamics.webhooks.places import Place, Places
from airflow_provider_dynamics.webhooks.posts import NotAPost, Post, read_post
from airflow_provider_dynamics.webhooks.telling import Teller, shown

__all__ = ["ANSWERED_WITHIN", "LARGEST", "REFUSED_AFTER", "Door"]

LARGEST = 512 * 1024
"""Bytes of a body. Dataverse leaves parts out past 256 KB; what it calls a KB, and how it counts, it does not say."""

REFUSED_AFTER = 0.5
"""Seconds after which a post without the right key is answered, however soon that was known."""

ANSWERED_WITHIN = 50.0
"""Seconds; the platform waits 60, and tries again after a 503 but not after silence."""

_LONGEST_KEY = 1024  # characters of a header that is compared at all
_ENVIRONMENT = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9_.-]{1,100})?")
_ORGANIZATION = "x-ms-dynamics-organization"


class _Refused(Exception):
    """The answer to a post that came in with the right key and is not taken."""

    def __init__(self, status: int, text: str, *, level: int = logging.WARNING) -> None:
        super().__init__(text)
        self.status, self.level = status, level


@dataclass(frozen=True)
class Door:
    """Answers posts to `/dynamics/events/<connection>`, and to `…/<environment's host>` below it.

    `places` are asked on threads, since they may ask a database: on `executor` for doors that a right key has opened,
    and on `strangers` for all others, so that nobody without a key keeps Dataverse waiting. `record` returns when a
    post is safe.
    """

    places: Places
    executor: Executor
    strangers: Executor
    record: Callable[[Entry], Awaitable[Outcome]]
    asset_uri: Callable[[str, str], str]
    """Makes a table's asset of its name and its environment."""
    teller: Teller
    now: Callable[[], float]
    """Seconds of a clock that only goes forward."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    within: float = ANSWERED_WITHIN
    """Seconds that reading a post and writing it down may take."""

    async def __call__(self, request: Request) -> Response:
        """Answer a post."""
        came = self.now()
        # Airflow logs each request's query, and a step registered in another way would put its key there
        request.scope["query_string"] = b""
        conn_id, environment = request.path_params["conn_id"], request.path_params.get("environment", "")
        opened, place = await self._opened(request, conn_id, environment)
        if not opened:
            return await self._refuse(request, conn_id, place, came)
        try:
            outcome = await self._take_in_time(request, place)
        except _Refused as refused:
            text = f"A post to the webhook of connection {shown(conn_id)} was answered {refused.status}: {refused}."
            self.teller.tell(refused.level, f"{refused.status} {conn_id}", text)
            # of this deployment's own troubles nobody outside is told
            return _answer(refused.status, "Not now." if refused.status == 503 else f"{refused}.")
        return _answer(200, outcome)

    async def _opened(self, request: Request, conn_id: str, environment: str) -> tuple[bool, Place]:
        key = request.headers.get(KEY_HEADER, "")
        named = CONN_ID.fullmatch(conn_id) and (not environment or _ENVIRONMENT.fullmatch(environment))
        if not named or not 0 < len(key) <= _LONGEST_KEY:
            return False, Place()
        threads = self.executor if self.places.was_opened(conn_id, environment) else self.strangers
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, self.places.open, conn_id, environment, key)

    async def _refuse(self, request: Request, conn_id: str, place: Place, came: float) -> Response:
        """Answer whoever did not show the right key: the same, and at the same time, whatever was wrong."""
        reason = place.trouble or "it did not show the right key"
        client = shown(request.client.host) if request.client else "nobody knows where"
        text = f"A post from {client} to the webhook of connection {shown(conn_id)} was refused: {reason}."
        # whoever posts chooses the environment, and may choose another one each time
        kind = "an environment" if request.path_params.get("environment") else reason
        self.teller.tell(logging.WARNING, f"refused {kind}", text)
        await self.sleep(max(0.0, REFUSED_AFTER - (self.now() - came)))
        return _answer(401, "Not taken.")

    async def _take_in_time(self, request: Request, place: Place) -> Outcome:
        """Do as `_take` does, but answer before the platform gives up; raises _Refused."""
        try:
            return await asyncio.wait_for(self._take(request, place), self.within)
        except asyncio.TimeoutError:
            raise _Refused(503, f"it was not written down within {self.within:g} seconds") from None

    async def _take(self, request: Request, place: Place) -> Outcome:
        """Read a post and have it recorded; raises _Refused."""
        _check_organization(request.headers.get(_ORGANIZATION, ""), place)
        post = await self._read(request)
        uri = self.asset_uri(post.table, place.environment)
        try:
            # what waits is still written down when nobody waits for it any more
            outcome = await asyncio.shield(self.record(Entry(post, uri, place.environment, place.team)))
        except TooMany:
            raise _Refused(503, "too many posts are waiting to be written down") from None
        except NotRecorded as error:
            raise _Refused(
                503, f"Airflow's database did not take it ({error})", level=logging.ERROR
            ) from None
        except Exception as error:  # noqa: BLE001 - the platform tries again after a 503, and the text may hold anything
            raise _Refused(503, f"it failed with {type(error).__name__}", level=logging.ERROR) from None
        if outcome == "nobody":
            text = f"Dynamics reports changes of {uri}, an asset that no DAG here uses. Remove the step, or schedule a DAG on it."
            self.teller.tell(logging.INFO, f"nobody {uri}", text, at_once=1, every=math.inf)
        return outcome

    async def _read(self, request: Request) -> Post:
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _Refused(400, "its content type is not application/json")
        body = await _body(request)
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executor, read_post, body)
        except NotAPost as error:
            raise _Refused(400, str(error)) from None


async def _body(request: Request) -> bytes:
    """Read a body, no further than it may be long; raises _Refused."""
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and (len(announced) > 12 or int(announced) > LARGEST):
        raise _Refused(413, f"it is longer than {LARGEST:,} bytes")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                raise _Refused(413, f"it is longer than {LARGEST:,} bytes")
    except ClientDisconnect:
        raise _Refused(400, "it did not arrive whole", level=logging.INFO) from None
    return bytes(body)


def _check_organization(named: str, place: Place) -> None:
    """Refuse what another environment sent; raises _Refused.

    On premises the platform need not know the address it is reached at, and this machine has several names.
    https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks#header-data
    """
    host = (urlsplit(place.environment).hostname or "").lower()
    sender = named.strip().lower()
    if place.on_premises or is_loopback(host) or sender.partition(":")[0] in {"", host}:
        return
    raise _Refused(403, f"it comes from another environment ({shown(sender)}) than the connection's ({host})")


def _answer(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers={"Cache-Control": "no-store"})
