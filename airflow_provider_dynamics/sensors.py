"""Sensors: wait for something in Dynamics, on a worker or, deferred, in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator
from airflow_provider_dynamics.retry import DynamicsRetryableError, airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Condition, Job
    from airflow_provider_dynamics.dataverse.jobs import JobKind
    from airflow_provider_dynamics.triggers import (
        DynamicsCredentialExpiryTrigger,
        DynamicsJobTrigger,
        DynamicsRowTrigger,
        DynamicsTrigger,
    )

__all__ = ["DynamicsCredentialExpirySensor", "DynamicsJobSensor", "DynamicsRowSensor", "DynamicsSensor"]


class DynamicsSensor(DynamicsOperator, BaseSensorOperator):
    """Base of the sensors: a subclass says how to look (``poke``) and which trigger looks for it (``trigger``).

    Airflow's ``timeout``, ``poke_interval``, ``mode``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean
    what they always mean; deferred, ``poke_interval`` is the trigger's interval.

    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    def __init__(self, *, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable

    def trigger(self) -> DynamicsTrigger:
        """Return the trigger that looks for what ``poke`` looks for."""
        raise NotImplementedError

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
        except Exception as error:
            if self.never_fail or (self.soft_fail and not isinstance(error, DynamicsRetryableError)):
                raise AirflowSkipException("Skipped, because the sensor may not fail.") from error
            if self.silent_fail and isinstance(error, DynamicsRetryableError):
                self.log.exception("The first look failed; the trigger looks again.")
                return False
            raise

    def _defer(self) -> NoReturn:
        self.defer(
            trigger=self.trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )


class DynamicsRowSensor(DynamicsSensor):
    """Wait until a table has a row: one with this id, one that matches the filter, or both at once.

    Returns ``{"table": …, "row_id": …}`` of a row that was found.

    :param table: the table's logical name, such as ``account``
    :param filter: OData ``$filter`` text, into which a date is rendered as an OData literal, or a condition made with
        ``column(…)``
    :param row_id: the row's GUID
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = ("dynamics_conn_id", "table", "filter", "row_id")
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        filter: str | Condition | None = None,
        row_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.filter = filter
        self.row_id = row_id
        self._text: str | None = None

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once whether there is such a row."""
        from airflow_provider_dynamics.triggers import find_row

        with self.client() as client:
            if not isinstance(self.filter, str | None):
                self._text = client.filter_text(self.table, self.filter)
            found = find_row(client, self.table, filter=self._text or self.filter, row_id=self.row_id)
        self.linked_row = found
        return PokeReturnValue(found is not None, {"table": self.table, "row_id": found} if found else None)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return the row that the trigger has found."""
        found = super().execute_complete(context, event)
        self.linked_row = found.get("row_id")
        return found

    def trigger(self) -> DynamicsRowTrigger:
        """Return the trigger; a trigger keeps text, so a condition is given as the first look has spelled it.

        :raises DynamicsRetryableError: it could not spell it, for it never got to know the table's columns
        """
        from airflow_provider_dynamics.triggers import DynamicsRowTrigger

        text = self._text or self.filter
        if not isinstance(text, str | None):
            raise DynamicsRetryableError(
                f"The columns of {self.table} could not be read, which the filter needs."
            )
        return DynamicsRowTrigger(
            table=self.table,
            filter=text,
            row_id=self.row_id,
            dynamics_conn_id=self.dynamics_conn_id,
            poll_interval=self.poke_interval,
        )


class DynamicsJobSensor(DynamicsSensor):
    """Wait until a job that something else has started is done, and fail if the job did.

    Returns ``{"job_id", "name", "status", …}`` with a background operation's outputs. Stopping the sensor leaves
    the job alone.

    :param job_id: the job's GUID
    :param kind: ``system`` for a system job, ``background`` for a background operation
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = ("dynamics_conn_id", "job_id")
    operator_extra_links = (DynamicsRowLink(),)

    def __init__(self, *, job_id: str, kind: JobKind = "system", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.kind: JobKind = kind

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once how the job is.

        :raises AirflowFailException: it failed or was cancelled, or is not there any more
        """
        with self.client() as client:
            job = client.jobs.get(self.job_id, self.kind)
            return PokeReturnValue(job.done, self._told(job) if job.done else None)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return what the trigger has seen of the job."""
        from airflow_provider_dynamics.dataverse import Job

        found = super().execute_complete(context, event)
        with airflow_errors():
            return self._told(Job.from_json(found["job"]))

    def trigger(self) -> DynamicsJobTrigger:
        from airflow_provider_dynamics.triggers import DynamicsJobTrigger

        return DynamicsJobTrigger(
            job_id=self.job_id,
            kind=self.kind,
            dynamics_conn_id=self.dynamics_conn_id,
            poll_interval=self.poke_interval,
        )

    def _told(self, job: Job) -> dict[str, Any]:
        if job.kind == "system":
            self.noted_table, self.linked_row = "asyncoperation", job.id
        job.check()
        return {"job_id": job.id, "name": job.name, "status": job.status, **job.outputs}


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
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = ("dynamics_conn_id", "warn_days")

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
        from airflow_provider_dynamics.triggers import DynamicsCredentialExpiryTrigger

        return DynamicsCredentialExpiryTrigger(
            warn_days=self._days, dynamics_conn_id=self.dynamics_conn_id, poll_interval=self.poke_interval
        )

    @property
    def _days(self) -> float:
        """The days, which a template may have left as text."""
        try:
            return float(self.warn_days)
        except (TypeError, ValueError):
            raise AirflowFailException(f"warn_days is {self.warn_days!r}: give a number of days.") from None
