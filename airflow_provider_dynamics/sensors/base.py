"""What the sensors have in common: three ways to wait, and the same end whichever it was.

Airflow's own loop decides what an exception of a look means; deferred, the first look and the event of the trigger
are held to the same rules here.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralError,
)

from airflow_provider_dynamics.operators.base import DynamicsOperator, crashed, deferred
from airflow_provider_dynamics.retry import DynamicsRetryableError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.triggers import DynamicsTrigger

__all__ = ["DynamicsSensor"]


class DynamicsSensor(DynamicsOperator, BaseSensorOperator):
    """Base of the sensors: a subclass says how to look (``poke``) and which trigger looks for it (``trigger``).

    Airflow's ``timeout``, ``poke_interval``, ``mode``, ``exponential_backoff``, ``max_wait``, ``soft_fail``,
    ``never_fail`` and ``silent_fail`` mean what they always mean, deferred too.

    :param deferrable: wait in the triggerer, whatever ``mode`` says; default: Airflow's ``[operators]
        default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    def __init__(self, *, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferred(deferrable)

    @abstractmethod
    def trigger(self) -> DynamicsTrigger:
        """Return the trigger that looks for what ``poke`` looks for."""

    @property
    def waiting(self) -> dict[str, Any]:
        """What every trigger is given."""
        longest = self.max_wait.total_seconds() if self.max_wait else self.timeout
        return {
            "dynamics_conn_id": self.dynamics_conn_id,
            "environment": self.environment,
            "poll_interval": self.poke_interval,
            "longest_interval": longest if self.exponential_backoff else None,
            "silent": self.silent_fail,
        }

    def execute(self, context: Context) -> Any:
        """Look until it is there; deferred, look once and leave the rest to the trigger.

        The first look stays here so that a wrong query or credential fails at once, and because Airflow 3.3
        fails tasks whose trigger fires before their first half has ended.
        """
        if not self.deferrable:
            return super().execute(context)
        found = self._first_look(context)
        if not found:
            self._defer()
        return found.xcom_value if isinstance(found, PokeReturnValue) else None

    def _first_look(self, context: Context) -> bool | PokeReturnValue:
        try:
            return self.poke(context)
        except AirflowSkipException:
            raise
        except (Exception, AirflowTaskTimeout) as error:
            fails = isinstance(error, (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout))
            if self.silent_fail and not fails:
                self.log.exception("The first look failed; the trigger looks again.")
                return False
            if self.never_fail or (self.soft_fail and fails):
                raise AirflowSkipException("Skipped, because the sensor may not fail.") from error
            raise

    def _defer(self) -> NoReturn:
        self.defer(
            trigger=self.trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the trigger, and end as Airflow's own loop would have ended.

        There ``soft_fail`` skips what has failed for good or has run out of time, and leaves what may pass to the
        task's retries.

        :raises AirflowSensorTimeout: it was not there in time
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException as skipped:
            cause = skipped.__cause__
            if self.never_fail or not isinstance(cause, (DynamicsRetryableError, TaskDeferralError)):
                raise
            if isinstance(cause, DynamicsRetryableError):
                raise cause from cause.__cause__
            raise crashed(cause, next_kwargs) from cause
        except AirflowSensorTimeout as late:
            raise AirflowSensorTimeout(
                f"Sensor has timed out; it waited in the triggerer for the specified timeout of {self.timeout:g} seconds."
            ) from late
