"""The one file of differences between the Airflow versions this provider runs on: 3.2 lacks what 3.3 brought.

Whoever needs a newer feature asks here, where its absence is answered; nobody else looks at a version.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk.log import mask_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Asset, Connection

__all__ = [
    "HAS_RETRY_POLICY",
    "RetryDecision",
    "RetryPolicy",
    "StateStoreAccessor",
    "aread_extra",
    "asset_state_store",
    "mask_secret",
]

HAS_RETRY_POLICY = find_spec("airflow.sdk.definitions.retry_policy") is not None

if TYPE_CHECKING or HAS_RETRY_POLICY:
    from airflow.sdk import RetryDecision, RetryPolicy
else:

    class RetryPolicy:
        """Stands in for 3.3's base class, so that a policy can be defined and imported; 3.2 never asks it."""

    class RetryDecision:
        """Stands in for 3.3's answer of a retry policy."""


class StateStoreAccessor(Protocol):
    """What 3.3's store of an asset's state can do that is needed here; values are JSON and never None."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


def asset_state_store(context: Mapping[str, Any], asset: Asset) -> StateStoreAccessor | None:
    """Return the state store of one of the task's inlets; None on Airflow 3.2, which has none.

    https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/assets.html
    """
    stores = context.get("asset_state_store")
    return None if stores is None else stores[asset]


async def aread_extra(connection: Connection) -> dict[str, Any]:
    """Return a connection's extra inside an event loop, where `extra_dejson` would block it to have secrets masked."""
    if hasattr(connection, "aextra_dejson"):
        return dict(await connection.aextra_dejson())
    return dict(json.loads(connection.extra or "{}"))
