"""Waiting for a credential's end: what the expiry sensor asks on a worker, and its trigger in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.triggers.looking import DynamicsTrigger

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["DynamicsCredentialExpiryTrigger", "find_ending"]


class DynamicsCredentialExpiryTrigger(DynamicsTrigger):
    """Fire when a connection's credential has less than ``warn_days`` left, or is known to be dead.

    The event is ``{"status": "success", "dynamics_conn_id": …, "days_left": …, "sentence": …, …}``.

    :param warn_days: days before the end from which it fires
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    :param longest_interval: double the interval after each look in vain, up to so many seconds
    :param silent: never give up because of problems that may pass
    """

    def __init__(
        self,
        *,
        warn_days: float = 30,
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 3600.0,
        longest_interval: float | None = None,
        silent: bool = False,
    ) -> None:
        super().__init__(
            dynamics_conn_id=dynamics_conn_id,
            environment=environment,
            poll_interval=poll_interval,
            longest_interval=longest_interval,
            silent=silent,
        )
        self.warn_days = warn_days

    def look(self, client: Client) -> dict[str, Any] | None:
        return find_ending(DynamicsHook(self.dynamics_conn_id, self.environment), self.warn_days)


def find_ending(hook: DynamicsHook, warn_days: float) -> dict[str, Any] | None:
    """Return what is known of a credential that ends within so many days, or None."""
    health = hook.credential_health()
    if not health.ends_within(warn_days):
        return None
    return {"dynamics_conn_id": hook.dynamics_conn_id, **health.to_json()}
