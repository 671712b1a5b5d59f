"""The sensor that waits for a credential's end, so that somebody is told in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_dynamics.retry import airflow_errors
from airflow_provider_dynamics.sensors.base import DynamicsSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.triggers import DynamicsCredentialExpiryTrigger

__all__ = ["DynamicsCredentialExpirySensor"]


class DynamicsCredentialExpirySensor(DynamicsSensor):
    """Wait until a connection's credential has less than ``warn_days`` left, or is known to be dead.

    What comes after it is the warning. With ``wait=False``, for a daily DAG, it looks once and is skipped when
    all is well; what is wrong with the connection still fails it.

    It asks no service: a refresh token's end follows from its last renewal (90 days at Entra; 8 hours at AD FS,
    unless its administrator set another time), a certificate says its own, a client secret's is the connection's
    *Client secret's end date*. What is not known never fires. Managed and workload identities do not end.

    Returns ``{"dynamics_conn_id", "mode", "user", "what", "expires_at", "days_left", "dead", "failure",
    "sentence", …}``, without any secret; ``sentence`` is worded for a notification.

    :param warn_days: days before the end from which it is true
    :param wait: False looks once
    :param poke_interval: seconds between looks; an hour, since days are counted
    :param deferrable: wait in the triggerer, whatever ``mode`` says; default: Airflow's ``[operators]
        default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*DynamicsSensor.template_fields, "warn_days")

    def __init__(
        self, *, warn_days: float | str = 30, wait: bool = True, poke_interval: float = 3600, **kwargs: Any
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.warn_days = warn_days
        self.wait = wait

    def execute(self, context: Context) -> Any:
        """Wait, or look once.

        :raises AirflowSkipException: with ``wait=False``: nothing ends soon, as far as is known
        """
        if self.wait:
            return super().execute(context)
        found = self.poke(context)
        if not found:
            raise AirflowSkipException(
                f"Nothing of {self.dynamics_conn_id} is known to end within {self._days:g} days."
            )
        return found.xcom_value

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once at what is known of the credential."""
        from airflow_provider_dynamics.triggers import find_ending

        with airflow_errors():
            found = find_ending(self.hook, self._days)
        if found:
            self.log.warning("%s: %s", self.dynamics_conn_id, found["sentence"])
        return PokeReturnValue(found is not None, found)

    def trigger(self) -> DynamicsCredentialExpiryTrigger:
        """Return the trigger."""
        from airflow_provider_dynamics.triggers import DynamicsCredentialExpiryTrigger

        return DynamicsCredentialExpiryTrigger(warn_days=self._days, **self.waiting)

    @property
    def _days(self) -> float:
        """The days, which a template may have left as text."""
        try:
            return float(self.warn_days)
        except (TypeError, ValueError):
            raise AirflowFailException(f"warn_days is {self.warn_days!r}: give a number of days.") from None
