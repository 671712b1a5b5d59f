"""What our triggers share: a client on a thread pool of our own, and a loop that looks until there is something to say.

The client is synchronous, so each look is one piece of work on that pool that never waits in there: throttling
comes back as an error and is slept off in the event loop, together with everything else that passes. From
those threads Airflow's own data can be read too: its triggerer carries such a question over to its loop.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_dynamics.hooks import DynamicsHook, sign_in_options
from airflow_provider_dynamics.retry import Reason, reason_of

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["MAX_BACKOFF", "MAX_TRANSIENT_ERRORS", "DynamicsClientTrigger", "DynamicsTrigger", "in_thread"]

T = TypeVar("T")

THREADS = 8
"""Requests of all our triggers in one triggerer at a time; asyncio's own pool is shared with everybody else's."""

MAX_TRANSIENT_ERRORS = 10
"""Passing problems in a row before a trigger gives up and lets the task's retries decide."""

MAX_BACKOFF = 300.0

CLIENT_LIFE = 600.0
"""Seconds that a client is used for; then the connection is read anew, since it may have been changed."""

_PACKAGE = __name__.rpartition(".")[0]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="dynamics-trigger")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, done on our pool."""
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)


def _parameters(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]  # without self


class DynamicsClientTrigger(BaseTrigger):
    """A trigger with a client: how it is serialised, opens what it needs, and lets go of it.

    A subclass's arguments are what is serialised, so they are the connection's id and a query, never a secret.

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param poll_interval: seconds between looks
    """

    def __init__(self, *, dynamics_conn_id: str = "dynamics_default", poll_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.dynamics_conn_id = dynamics_conn_id
        self.poll_interval = poll_interval
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.now: Callable[[], float] = time.monotonic
        self._client: Client | None = None
        self._opened_at = 0.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a subclass that could not be rebuilt in the triggerer, where nobody would see why."""
        super().__init_subclass__(**kwargs)
        kinds = {parameter.kind for parameter in _parameters(cls)}
        if inspect.Parameter.VAR_KEYWORD in kinds or inspect.Parameter.VAR_POSITIONAL in kinds:
            raise TypeError(
                f"{cls.__name__}.__init__ must name each of its arguments: they are what is serialised."
            )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the constructor's arguments, each kept in an attribute of the same name."""
        cls = type(self)
        arguments = {parameter.name: getattr(self, parameter.name) for parameter in _parameters(cls)}
        home = _PACKAGE if cls.__module__.startswith(f"{_PACKAGE}.") else cls.__module__
        return f"{home}.{cls.__qualname__}", arguments

    async def cleanup(self) -> None:
        """Close the client; runs at every end of a trigger, also when the triggerer shuts down."""
        await self._close_client()

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.cancel()
            await in_thread(client.close)

    async def on_kill(self) -> None:
        """End a running wait at once when a user stops the deferred task; there is nothing else to stop."""
        if self._client is not None:
            self._client.cancel()

    async def ask(self, question: Callable[[Client], T]) -> T:
        """Return the answer to a question, which is put on a thread; raises what the client raises."""
        if self._client is not None and self.now() - self._opened_at >= CLIENT_LIFE:
            await self._close_client()
        if self._client is None:
            self._client, self._opened_at = await self._open_client(), self.now()
        client = self._client
        return await in_thread(lambda: question(client))

    async def _open_client(self) -> Client:
        from airflow_provider_dynamics.dataverse.throttle import RetryPolicy

        settings = await DynamicsHook(self.dynamics_conn_id).aget_settings()
        return await in_thread(lambda: settings.client(**sign_in_options(), retry=RetryPolicy.never()))


class DynamicsTrigger(DynamicsClientTrigger):
    """Look at Dynamics every ``poll_interval`` seconds until there is something to say, then fire once.

    A subclass is its arguments and ``look``. The first look comes after the first interval: whoever defers has
    just looked, and Airflow 3.3 fails tasks whose trigger fires at once
    (https://github.com/apache/airflow/issues/71580).

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param poll_interval: seconds between looks
    """

    @abstractmethod
    def look(self, client: Client) -> dict[str, Any] | None:
        """Ask once, on a thread; return the event's payload without ``status``, or None to look again later."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, look, and fire ``{"status": "success", …}`` or ``{"status": "error", "message", "kind", "code", …}``."""
        try:
            payload = await self._wait()
        finally:
            await self.cleanup()
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self) -> dict[str, Any]:
        wait, failures = self.poll_interval, 0
        while True:
            await self.sleep(wait)
            try:
                if (found := await self.ask(self.look)) is not None:
                    return {"status": "success", **found}
            except Exception as error:
                reason = reason_of(error)
                if reason is None:
                    raise
                failures += 1
                if not reason.retryable or failures > MAX_TRANSIENT_ERRORS:
                    return reason.as_event()
                wait = self._pause(reason, failures)
                self.log.warning("Looking again in %.0f s: %s", wait, reason.message)
            else:
                wait, failures = self.poll_interval, 0

    def _pause(self, reason: Reason, failures: int) -> float:
        if reason.retry_after is not None:
            return reason.retry_after  # exactly what the service asked for, never less
        return min(self.poll_interval * 2.0 ** (failures - 1), max(MAX_BACKOFF, self.poll_interval))
