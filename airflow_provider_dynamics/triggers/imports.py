"""Waiting for a solution's import, and saying in the task's log how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.triggers.jobs import DynamicsJobTrigger

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.administration.job import JobKind

__all__ = ["DynamicsImportTrigger", "worth_telling"]

_STEP = 5.0  # percent between two lines of the log


class DynamicsImportTrigger(DynamicsJobTrigger):
    """Fire when the job that imports a solution is done, however it ended; the event is that of ``DynamicsJobTrigger``.

    :param job_id: the job's GUID
    :param import_job_id: the id of the import's log, ``ImportJobKey`` in the service's answer
    :param solution: what the log calls the solution
    :param kind: ``system`` for a system job
    :param answer: what else the action answered that started the job; the event brings it along as ``answer``
    :param cancel_on_kill: cancel the job when a user stops the deferred task; Airflow 3.3 tells triggers of that
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    """

    def __init__(
        self,
        *,
        job_id: str,
        import_job_id: str = "",
        solution: str = "the solution",
        kind: JobKind = "system",
        answer: dict[str, Any] | None = None,
        cancel_on_kill: bool = False,
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 10.0,
    ) -> None:
        super().__init__(
            job_id=job_id,
            kind=kind,
            answer=answer,
            cancel_on_kill=cancel_on_kill,
            dynamics_conn_id=dynamics_conn_id,
            environment=environment,
            poll_interval=poll_interval,
        )
        self.import_job_id = import_job_id
        self.solution = solution
        self._told: float | None = None

    def look(self, client: Client) -> dict[str, Any] | None:
        found = super().look(client)
        progress = client.solutions.progress(self.import_job_id) if self.import_job_id else None
        if progress is not None and worth_telling(progress, self._told):
            self._told = progress
            self.log.info("The import of %s: %.0f %%.", self.solution, progress)
        return found


def worth_telling(progress: float, told: float | None) -> bool:
    """Say whether an import has come so much further that a line in the log is due."""
    return told is None or progress >= told + _STEP or (progress >= 100 > told)
