"""The operator that keeps a person's sign-in alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.base import DynamicsOperator
from airflow_provider_dynamics.retry import DynamicsRetryableError, airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.connection.health import Health

__all__ = ["DynamicsRefreshTokenOperator"]

_OLD = 60.0  # days since the last renewal, of the 90 that Entra gives, from which somebody should know


class DynamicsRefreshTokenOperator(DynamicsOperator):
    """Renew a signed-in person's refresh token now, so that it does not die of not being used.

    A DAG that runs at least every few weeks keeps its own sign-in alive; this is for connections that rest
    longer. Entra drops a refresh token after 90 days without use:
    https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime

    Returns ``{"dynamics_conn_id", "mode", "renewed", "user", "rotated_at", "days_since_rotation_before",
    "days_left"}``. A connection that has no refresh token is left alone and says ``"renewed": False``, so that
    one mapped task can serve all connections.

    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Sign in anew, which saves the new token in the credential store, and ask the environment who we are.

        :raises AirflowFailException: the sign-in is dead, or ``[dynamics] credential_store`` keeps nothing
        :raises DynamicsRetryableError: a service or the store has a passing problem, or the new token was not saved
        """
        with airflow_errors():
            before = self.hook.credential_health()
        if before.what == "refresh token":
            self._warn_of(before)
            return self._told(before, self._renewed(before), renewed=True)
        self.log.info("%s signs in with %s: nothing to renew.", self.dynamics_conn_id, before.mode)
        return self._told(before, before, renewed=False)

    def _told(self, before: Health, after: Health, *, renewed: bool) -> dict[str, Any]:
        now = after.to_json()
        return {
            "dynamics_conn_id": self.dynamics_conn_id,
            "renewed": renewed,
            "days_since_rotation_before": before.to_json()["days_since_rotation"],
            **{name: now[name] for name in ("mode", "user", "rotated_at", "days_left")},
        }

    def _renewed(self, before: Health) -> Health:
        """Renew the token and return what is stored of it then, which must be newer than before."""
        with airflow_errors():
            self._renew()
            after = self.hook.credential_health()
        if after.rotated_at is None or after.rotated_at == before.rotated_at:
            raise DynamicsRetryableError(
                f"{self.dynamics_conn_id} was signed in to, but its new refresh token was not saved; the log says why. Correct "
                "that, or the connection will have to be signed in again."
            )
        return after

    def _renew(self) -> None:
        from airflow_provider_dynamics.auth.store import NoStore
        from airflow_provider_dynamics.auth.tokens import TokenCache
        from airflow_provider_dynamics.state import credential_store

        if isinstance(credential_store(), NoStore):
            raise AirflowFailException(
                "[dynamics] credential_store is none, so a renewed refresh token would be lost and the connection's own would "
                "grow old all the same. Have whoever runs Airflow choose variable, file:// or redis://."
            )
        with self.client(cache=TokenCache()) as client:  # an empty cache, so that it signs in
            client.who_am_i()

    def _warn_of(self, before: Health) -> None:
        if (before.days_since_rotation or 0) > _OLD:
            self.log.warning(
                "The refresh token of %s had not been used for %.0f days; Entra drops it after 90. Run this more often.",
                *(self.dynamics_conn_id, before.days_since_rotation),
            )
