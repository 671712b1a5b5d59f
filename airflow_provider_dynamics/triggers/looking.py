"""What our triggers have in common: how they ask with the client they share, and a loop that looks until there is something to say.

The client is synchronous, so each look is one piece of work on our own threads that never waits in there: throttling
comes back as an error and is slept off in the event loop, together with everything else that passes. From
those threads Airflow's own data can be read too: its triggerer carries such a question over to its loop.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.hooks import DynamicsHook, sign_in_options
from airflow_provider_dynamics.retry import Reason, reason_of
from airflow_provider_dynamics.triggers.sharing import SharedClient, in_thread, shared_client

if TYPE_CHECKING:
    from airflow_provider_dynamics.connection import Settings
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["MAX_BACKOFF", "MAX_TRANSIENT_ERRORS", "DynamicsClientTrigger", "DynamicsTrigger", "in_thread"]

T = TypeVar("T")

MAX_TRANSIENT_ERRORS = 10
"""Passing problems in a row before a trigger gives up and lets the task's retries decide."""

MAX_BACKOFF = 300.0

SHORTEST_WAIT = 5.0
"""Seconds before a first look: what fires sooner may meet the end of the task that has deferred."""

LONGEST_SPREAD = 30.0
"""Seconds over which those come back that the service has asked to wait."""

_PACKAGE = __name__.rpartition(".")[0]


def _parameters(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]  # without self


class DynamicsClientTrigger(BaseTrigger):
    """A trigger with a client: how it is serialised, opens what it needs, and lets go of it.

    A subclass's arguments are what is serialised, so they are the connection's id and a query, never a secret.

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    """

    def __init__(
        self,
        *,
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.dynamics_conn_id = dynamics_conn_id
        self.environment = environment
        self.poll_interval = poll_interval
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self.now: Callable[[], float] = time.monotonic
        self.random: Callable[[], float] = random.random
        self._shared: SharedClient | None = None
        self._waited_for = 0  # of the service's refusals

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
        """Let go of the client; runs at every end of a trigger, also when the triggerer shuts down."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.release(self)

    async def ask(self, question: Callable[[Client], T]) -> T:
        """Return the answer to a question, which is put on a thread; raises what the client raises.

        The client is that of all triggers with the same connection and environment. What the service has asked of
        one of them, to be quiet for a while, holds for all.
        """
        shared = self._held()
        await self._quiet(shared)
        async with shared.lent(self._open_client, self.now) as client:
            try:
                return await in_thread(lambda: question(client))
            except Exception as error:
                reason = reason_of(error)
                if reason is not None and reason.retry_after:
                    shared.quiet(reason.retry_after, self.now())
                    self._waited_for = shared.refusals  # whoever gets to know of it waits by itself
                else:
                    await shared.doubt(client, self.now())
                raise

    def _held(self) -> SharedClient:
        if self._shared is None:
            self._shared = shared_client(self.dynamics_conn_id, self.environment)
            self._shared.hold(self)
        return self._shared

    async def _quiet(self, shared: SharedClient) -> None:
        while self._waited_for != shared.refusals:
            self._waited_for = shared.refusals
            if (wait := shared.quiet_for(self.now())) > 0:
                self.log.warning("Looking in %.0f s: the service wants to hear nothing until then.", wait)
                await self.sleep(wait + self.spread())

    def spread(self) -> float:
        """Return some seconds, at random, so that many triggers do not come back at the same moment."""
        return self.random() * min(self.poll_interval, LONGEST_SPREAD)

    async def _open_client(self) -> Client:
        await in_thread(_imported)
        settings = await DynamicsHook(self.dynamics_conn_id, self.environment).aget_settings()
        return await in_thread(lambda: _opened(settings))


@cache
def _imported() -> None:
    """Import what the event loop will need, which takes longer than it may be held, once in a process."""
    import airflow_provider_dynamics.connection
    import airflow_provider_dynamics.dataverse  # noqa: F401 - only to have it

    reason_of(ValueError())
    spare_the_collector("imported")


@cache
def spare_the_collector(_when: str) -> None:
    """Have what is there by now no more looked through for garbage, once for each of the moments that are named.

    Nearly all of it is code, Airflow's and ours, and a full collection of that holds up everybody's event loop for a
    tenth of a second and more, again and again. The price: of what is frozen, cycles are never freed. It is paid twice in a
    process and no more, and what was new and garbage has been collected before.
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect(1)  # the young: milliseconds
    gc.freeze()


def _opened(settings: Settings) -> Client:
    from airflow_provider_dynamics.dataverse.throttle import RetryPolicy

    return settings.client(**sign_in_options(), retry=RetryPolicy.never())


class DynamicsTrigger(DynamicsClientTrigger):
    """Look at Dynamics every ``poll_interval`` seconds until there is something to say, then fire once.

    A subclass is its arguments and ``look``. The first look comes after about an interval: whoever defers has
    just looked, and Airflow 3.3 fails tasks whose trigger fires at once
    (https://github.com/apache/airflow/issues/71580). It is half an interval sooner or later, at random: a triggerer
    that starts a thousand triggers at once has them look one after the other ever after.

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    :param longest_interval: double the interval after each look in vain, up to so many seconds
    :param silent: never give up because of problems that may pass
    """

    def __init__(
        self,
        *,
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 60.0,
        longest_interval: float | None = None,
        silent: bool = False,
    ) -> None:
        super().__init__(
            dynamics_conn_id=dynamics_conn_id, environment=environment, poll_interval=poll_interval
        )
        self.longest_interval = longest_interval
        self.silent = silent

    @abstractmethod
    def look(self, client: Client) -> dict[str, Any] | None:
        """Ask once, on a thread; return the event's payload without ``status``, or None to look again later."""

    async def look_once(self) -> dict[str, Any] | None:
        """Do what `look` says; what takes several questions replaces it."""
        return await self.ask(self.look)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, look, and fire ``{"status": "success", …}`` or ``{"status": "error", "message", "kind", "code", …}``."""
        spare_the_collector("started")
        try:
            payload = await self._wait()
        finally:
            await self.cleanup()
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self) -> dict[str, Any]:
        wait, failures, in_vain = self._first_wait(), 0, 0
        while True:
            await self.sleep(wait)
            try:
                if (found := await self.look_once()) is not None:
                    return {"status": "success", **found}
            except Exception as error:
                failures += 1
                reason = self._reason(error)
                if reason is None:
                    raise
                if not reason.retryable or (failures > MAX_TRANSIENT_ERRORS and not self.silent):
                    return reason.as_event()
                wait = self._pause(reason, failures)
                self.log.warning("Looking again in %.0f s: %s", wait, reason.message)
            else:
                wait, failures, in_vain = self._interval(in_vain), 0, in_vain + 1

    def _reason(self, error: Exception) -> Reason | None:
        reason = reason_of(error)
        if reason is None and self.silent:
            self.log.error("The look failed.", exc_info=error)
            return Reason(fitted(f"{type(error).__name__}: {error}"), kind="transient")
        return reason

    def _first_wait(self) -> float:
        least = min(self.poll_interval, max(self.poll_interval / 2.0, SHORTEST_WAIT))
        return least + self.random() * self.poll_interval

    def _interval(self, in_vain: int) -> float:
        if self.longest_interval is None:
            return self.poll_interval
        doubled = self.poll_interval * 2.0 ** min(in_vain, 30)
        return max(self.poll_interval, min(doubled, self.longest_interval))

    def _pause(self, reason: Reason, failures: int) -> float:
        if reason.retry_after is not None:
            return reason.retry_after + self.spread()  # what the service asked for, never less
        return min(self.poll_interval * 2.0 ** min(failures - 1, 30), max(MAX_BACKOFF, self.poll_interval))
