"""What all our triggers in one triggerer have together: a few threads, and one client for a connection and environment.

A thousand waiting tasks are then one sign-in, one HTTP session and one reading of the connection, and how a
trigger ends is nothing to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["CLIENT_LIFE", "LEAST_LIFE", "THREADS", "SharedClient", "in_thread", "shared_client"]

T = TypeVar("T")
Key = tuple[str, str]

THREADS = 16
"""Requests of all our triggers in one triggerer at a time; asyncio's own pool is shared with everybody else's."""

CLIENT_LIFE = 600.0
"""Seconds that a client is used for; then the connection is read anew, since it may have been changed."""

LEAST_LIFE = 30.0
"""Seconds within which a client is not replaced, however many triggers have problems with it."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="dynamics-trigger")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, done on our pool."""
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


@dataclass
class _Opened:
    """A client, since when there is one, and how many questions are under way with it."""

    client: Client
    at: float
    asking: int = 0
    retired: bool = False

    async def close(self) -> None:
        self.client.cancel()
        await in_thread(self.client.close)


@dataclass(frozen=True)
class _Failure:
    error: Exception
    trace: TracebackType | None


class SharedClient:
    """One client for whoever holds it, renewed while it is in use, and closed when nobody holds it any more.

    It belongs to one event loop. Whoever asks is lent the client; one that has been replaced is closed when the
    last question that was put with it is answered.
    """

    def __init__(self) -> None:
        self._holders: set[object] = set()
        self._opened: _Opened | None = None
        self._opening: asyncio.Task[_Failure | None] | None = None
        self._quiet_until = 0.0
        self.refusals = 0
        """How often the service has asked for silence so far."""

    def hold(self, holder: object) -> None:
        """Keep the client open for this one, until `release`."""
        self._holders.add(holder)

    async def release(self, holder: object) -> None:
        """Let go of the client; the last one closes it."""
        self._holders.discard(holder)
        if not self._holders:
            await self._retire()

    @asynccontextmanager
    async def lent(
        self, opening: Callable[[], Awaitable[Client]], now: Callable[[], float]
    ) -> AsyncIterator[Client]:
        """Lend the client, which `opening` makes where there is none; raises what that raises."""
        opened = await self._current(opening, now)
        opened.asking += 1
        try:
            yield opened.client
        finally:
            opened.asking -= 1
            if opened.retired and not opened.asking:
                await opened.close()

    async def doubt(self, client: Client, now: float) -> None:
        """Have the connection read anew before the next question: somebody may have corrected what is wrong with it."""
        opened = self._opened
        if opened is not None and opened.client is client and now - opened.at >= LEAST_LIFE:
            await self._retire()

    def quiet(self, seconds: float, now: float) -> None:
        """Note that the service wants to hear nothing for so long, from any of the holders."""
        self.refusals += 1
        self._quiet_until = max(self._quiet_until, now + seconds)

    def quiet_for(self, now: float) -> float:
        """Return the seconds for which nothing may be asked yet."""
        return max(0.0, self._quiet_until - now)

    async def _current(self, opening: Callable[[], Awaitable[Client]], now: Callable[[], float]) -> _Opened:
        if self._opened is not None and now() - self._opened.at >= CLIENT_LIFE:
            await self._retire()
        while self._opened is None:
            # one opens it for all; a task of its own, because the trigger that came first may be cancelled
            task = self._opening = self._opening or asyncio.ensure_future(self._open(opening, now))
            await asyncio.wait([task])
            if not task.cancelled() and (failure := task.result()) is not None:
                raise failure.error.with_traceback(
                    failure.trace
                )  # as it was, not as the one before raised it
        return self._opened

    async def _open(
        self, opening: Callable[[], Awaitable[Client]], now: Callable[[], float]
    ) -> _Failure | None:
        try:
            opened = _Opened(await opening(), now())
        except Exception as error:  # noqa: BLE001 - each of those who wait for it raises it
            return _Failure(error, error.__traceback__)
        finally:
            self._opening = None  # here: those who wait may all be gone, and the next one tries anew
        if self._holders:
            self._opened = opened
        else:  # everybody who waited for it has gone
            await opened.close()
        return None

    async def _retire(self) -> None:
        opened, self._opened = self._opened, None
        if opened is None:
            return
        opened.retired = True
        if not opened.asking:
            await opened.close()


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, SharedClient]] = WeakKeyDictionary()


def shared_client(dynamics_conn_id: str, environment: str | None) -> SharedClient:
    """Return what the triggers of this event loop share for a connection and environment."""
    loop = asyncio.get_running_loop()
    return _clients.setdefault(loop, {}).setdefault((dynamics_conn_id, environment or ""), SharedClient())
