"""The one file of differences between the Airflow versions this provider runs on: 3.2 lacks what 3.3 brought.

Whoever needs a newer feature asks here, where its absence is answered; nobody else looks at a version.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk.log import mask_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from airflow.sdk import Asset, Connection

__all__ = [
    "HAS_RETRY_POLICY",
    "RetryDecision",
    "RetryPolicy",
    "StateStoreAccessor",
    "TaskStateStore",
    "aread_extra",
    "asset_state_store",
    "mask_secret",
    "retry_arguments",
    "stats",
    "task_state_store",
]

HAS_RETRY_POLICY = find_spec("airflow.sdk.definitions.retry_policy") is not None

if TYPE_CHECKING or HAS_RETRY_POLICY:
    from airflow.sdk import RetryDecision, RetryPolicy
else:

    class RetryPolicy:
        """Stands in for 3.3's base class, so that a policy can be defined and imported; 3.2 never asks it."""

    class RetryDecision:
        """Stands in for 3.3's answer of a retry policy."""


def retry_arguments(policy: RetryPolicy | None) -> dict[str, Any]:
    """Return a task's retry policy as arguments of Airflow's operators: 3.2 takes none, and says so where it is given one."""
    return {"retry_policy": policy} if HAS_RETRY_POLICY or policy is not None else {}


class StateStoreAccessor(Protocol):
    """What 3.3's store of an asset's state can do that is needed here; values are JSON and never None."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


class TaskStateStore(StateStoreAccessor, Protocol):
    """What 3.3's store of a task's state can do that is needed here; `retention` is how long the value is kept."""

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None: ...

    def delete(self, key: str) -> None: ...


class Stats(Protocol):
    """What every version's metrics can do that is needed here; tags are dropped by a plain StatsD."""

    def incr(self, stat: str, *, tags: dict[str, Any] | None = None) -> None: ...

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any] | None = None) -> None: ...

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any] | None = None) -> None: ...


def stats() -> Stats:
    """Return Airflow's own metrics: the task's on a worker, the server's in the triggerer; silent where they are off.

    A worker sets up the SDK's copy, the triggerer the core's, and neither the other's. 3.2 keeps the set-up in
    the class, 3.3 in the module.
    https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/metrics.html
    """
    for name in ("airflow.sdk._shared", "airflow._shared"):
        with suppress(ImportError):
            home = import_module(f"{name}.observability.metrics.stats")
            found: Stats = home.Stats
            if getattr(home, "_factory", None) or getattr(found, "factory", None):
                return found
    return _NoStats()


class _NoStats:
    """Counts nothing."""

    def incr(self, stat: str, *, tags: dict[str, Any] | None = None) -> None: ...

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any] | None = None) -> None: ...

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any] | None = None) -> None: ...


def asset_state_store(context: Mapping[str, Any], asset: Asset) -> StateStoreAccessor | None:
    """Return the state store of one of the task's inlets; None on Airflow 3.2, which has none.

    https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/assets.html
    """
    stores = context.get("asset_state_store")
    return None if stores is None else stores[asset]


def task_state_store(context: Mapping[str, Any]) -> TaskStateStore | None:
    """Return the state store of the running task, which its tries share; None on Airflow 3.2, which has none.

    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/task-state-store.html
    """
    return context.get("task_state_store")


async def aread_extra(connection: Connection) -> dict[str, Any]:
    """Return a connection's extra inside an event loop, where `extra_dejson` would block it to have secrets masked."""
    if hasattr(connection, "aextra_dejson"):
        return dict(await connection.aextra_dejson())
    return dict(json.loads(connection.extra or "{}"))
