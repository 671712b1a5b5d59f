"""Where a watcher keeps what it must not forget: its asset's state store, or Variables where there is none for it alone.

Airflow 3.2 has no such store, and equal watchers of several assets are one trigger, which cannot tell them apart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_dynamics.triggers.looking import in_thread

if TYPE_CHECKING:
    from airflow_provider_dynamics.state.variables import Variables

__all__ = ["Place", "VariablePlace", "place_of"]

_PREFIX = "dynamics_watcher."
_DESCRIPTION = (
    "What the watcher of a Dynamics table remembers; delete it to begin with what changes from now on"
)


class Place(Protocol):
    """JSON values by name, read and written in an event loop; what Airflow's asset state store can do."""

    async def aget(self, key: str, default: Any = None) -> Any: ...

    async def aset(self, key: str, value: Any) -> None: ...

    async def adelete(self, key: str) -> None: ...


class VariablePlace:
    """Airflow Variables in the shape of an asset's state store; raises StoreError."""

    def __init__(self, variables: Variables | None = None) -> None:
        from airflow_provider_dynamics.state.variables import AirflowVariables

        self._variables = variables or AirflowVariables()

    async def aget(self, key: str, default: Any = None) -> Any:
        text = await in_thread(lambda: self._variables.get(_PREFIX + key))
        return default if text is None else json.loads(text)

    async def aset(self, key: str, value: Any) -> None:
        text = json.dumps(value)
        await in_thread(lambda: self._variables.put(_PREFIX + key, text, _DESCRIPTION))

    async def adelete(self, key: str) -> None:
        await in_thread(lambda: self._variables.delete(_PREFIX + key))


async def place_of(asset_state_store: Place | None, key: str) -> Place:
    """Return the asset's own store, or Variables; `key` is a name that will be asked for anyway.

    https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/event-scheduling.html
    """
    if asset_state_store is None:
        return VariablePlace()
    try:
        await asset_state_store.aget(key)
    except ValueError:  # Airflow's answer where the trigger watches for several assets
        return VariablePlace()
    return asset_state_store
