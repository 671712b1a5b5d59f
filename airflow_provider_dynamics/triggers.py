"""The waiting half of sensors: triggers that look now and then, without holding a worker.

The client is synchronous, so each look is one request on a small thread pool of our own that never waits in
there: throttling comes back as an error and is slept off in the event loop, together with everything else
that passes.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_dynamics.compat import mask_secret
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import Reason, reason_of

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["DynamicsRowTrigger", "DynamicsTrigger", "find_row"]

T = TypeVar("T")

THREADS = 8
"""Requests of all our triggers in one triggerer at a time; asyncio's own pool is shared with everybody else's."""

MAX_TRANSIENT_ERRORS = 10
"""Passing problems in a row before a trigger gives up and lets the task's retries decide."""

MAX_BACKOFF = 300.0


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="dynamics-trigger")


def _parameters(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]  # without self


class DynamicsTrigger(BaseTrigger):
    """Look at Dynamics every ``poll_interval`` seconds until there is something to say, then fire once.

    A subclass is its arguments and ``look``; the arguments are what is serialised, so they are the
    connection's id and a query, never a secret. The first look comes after the first interval: whoever defers
    has just looked, and
    Airflow 3.3 fails tasks whose trigger fires at once (https://github.com/apache/airflow/issues/71580).

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param poll_interval: seconds between looks
    """

    def __init__(self, *, dynamics_conn_id: str = "dynamics_default", poll_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.dynamics_conn_id = dynamics_conn_id
        self.poll_interval = poll_interval
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._client: Client | None = None

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
        return f"{cls.__module__}.{cls.__qualname__}", arguments

    @abstractmethod
    def look(self, client: Client) -> dict[str, Any] | None:
        """Ask once, on a thread; return the event's payload without ``status``, or None to look again later."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, look, and fire ``{"status": "success", …}`` or ``{"status": "error", …}``."""
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
                if (found := await self._look_once()) is not None:
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

    async def cleanup(self) -> None:
        """Close the client; runs at every end of a trigger, also when the triggerer shuts down."""
        client, self._client = self._client, None
        if client is not None:
            client.cancel()
            await _in_thread(client.close)

    async def on_kill(self) -> None:
        """End a running wait at once when a user stops the deferred task; there is nothing else to stop."""
        if self._client is not None:
            self._client.cancel()

    def _pause(self, reason: Reason, failures: int) -> float:
        if reason.retry_after is not None:
            return reason.retry_after  # exactly what the service asked for, never less
        return min(self.poll_interval * 2.0 ** (failures - 1), max(MAX_BACKOFF, self.poll_interval))

    async def _look_once(self) -> dict[str, Any] | None:
        if self._client is None:
            self._client = await self._open_client()
        client = self._client
        return await _in_thread(lambda: self.look(client))

    async def _open_client(self) -> Client:
        from airflow_provider_dynamics.dataverse.throttle import RetryPolicy

        settings = await DynamicsHook(self.dynamics_conn_id).aget_settings()
        return await _in_thread(lambda: settings.client(on_token=mask_secret, retry=RetryPolicy.never()))


class DynamicsRowTrigger(DynamicsTrigger):
    """Fire when a table has a row: one with this id, one that matches the filter, or both at once.

    The event is ``{"status": "success", "table": …, "row_id": …}``.

    :param table: the table's logical name
    :param filter: OData ``$filter`` text
    :param row_id: the row's GUID
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param poll_interval: seconds between looks
    """

    def __init__(
        self,
        *,
        table: str,
        filter: str | None = None,
        row_id: str | None = None,
        dynamics_conn_id: str = "dynamics_default",
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__(dynamics_conn_id=dynamics_conn_id, poll_interval=poll_interval)
        self.table = table
        self.filter = filter
        self.row_id = row_id

    def look(self, client: Client) -> dict[str, Any] | None:
        found = find_row(client, self.table, filter=self.filter, row_id=self.row_id)
        return None if found is None else {"table": self.table, "row_id": found}


def find_row(
    client: Client, table: str, *, filter: str | None = None, row_id: str | None = None
) -> str | None:
    """Return the id of a row that matches, or None: what the sensor asks on a worker and the trigger in its loop."""
    from airflow_provider_dynamics.dataverse.query import Query

    primary_id = client.table(table).primary_id
    terms = [f"({filter})"] if filter else []
    if row_id:
        terms.insert(0, f"{primary_id} eq {row_id}")
    query = Query(table, select=(primary_id,), filter=" and ".join(terms) or None, top=1)
    return next((str(row[primary_id]) for row in client.rows(query)), None)


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)
