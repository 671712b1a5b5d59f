"""The sensor that waits for a job of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_dynamics.links import DynamicsRowLink
from airflow_provider_dynamics.retry import airflow_errors
from airflow_provider_dynamics.sensors.base import DynamicsSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Job
    from airflow_provider_dynamics.dataverse.administration.job import JobKind
    from airflow_provider_dynamics.triggers import DynamicsJobTrigger

__all__ = ["DynamicsJobSensor"]


class DynamicsJobSensor(DynamicsSensor):
    """Wait until a job that something else has started is done, and fail if the job did.

    Returns ``{"job_id", "name", "status", …}`` with a background operation's outputs. Stopping the sensor leaves
    the job alone.

    :param job_id: the job's GUID
    :param kind: ``system`` for a system job, ``background`` for a background operation
    :param deferrable: wait in the triggerer, whatever ``mode`` says; default: Airflow's ``[operators]
        default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*DynamicsSensor.template_fields, "job_id")
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
        """Return the trigger."""
        from airflow_provider_dynamics.triggers import DynamicsJobTrigger

        return DynamicsJobTrigger(job_id=self.job_id, kind=self.kind, **self.waiting)

    def _told(self, job: Job) -> dict[str, Any]:
        if job.kind == "system":
            self.noted_table, self.linked_row = "asyncoperation", job.id
        job.check()
        return {"job_id": job.id, "name": job.name, "status": job.status, **job.outputs}
