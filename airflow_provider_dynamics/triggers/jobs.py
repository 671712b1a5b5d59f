"""Waiting for a job of the service, and cancelling it when somebody stops the task that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.retry import reason_of
from airflow_provider_dynamics.triggers.looking import DynamicsTrigger

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.administration.job import JobKind

__all__ = ["DynamicsJobTrigger"]


class DynamicsJobTrigger(DynamicsTrigger):
    """Fire when a job is done, however it ended.

    The event is ``{"status": "success", "job": {"id", "kind", "name", "state", "status", "message", "code",
    "outputs"}}``; ``job["status"]`` says whether it ``succeeded``, ``failed`` or was ``canceled``.

    :param job_id: the job's GUID
    :param kind: ``system`` for a system job, ``background`` for a background operation
    :param answer: what else the action answered that started the job; the event brings it along as ``answer``
    :param cancel_on_kill: cancel the job when a user stops the deferred task; Airflow 3.3 tells triggers of that
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    :param longest_interval: double the interval after each look in vain, up to so many seconds
    :param silent: never give up because of problems that may pass
    """

    def __init__(
        self,
        *,
        job_id: str,
        kind: JobKind = "system",
        answer: dict[str, Any] | None = None,
        cancel_on_kill: bool = False,
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 60.0,
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
        self.job_id = job_id
        self.kind: JobKind = kind
        self.answer = answer
        self.cancel_on_kill = cancel_on_kill

    def look(self, client: Client) -> dict[str, Any] | None:
        job = client.jobs.get(self.job_id, self.kind)
        if not job.done:
            return None
        return {"job": job.to_json(), **({"answer": self.answer} if self.answer else {})}

    async def on_kill(self) -> None:
        """Cancel the job; one that cannot be cancelled is said in the log, and goes on."""
        if not self.cancel_on_kill:
            return
        try:
            job = await self.ask(lambda client: client.jobs.cancel(self.job_id, self.kind))
            if job.ending:
                self.log.info("The %s is %s.", job, job.status)
            else:
                self.log.warning("The %s was not cancelled and goes on: it is %s.", job, job.status)
        except Exception as error:
            if reason_of(error) is None:
                raise
            self.log.warning("The job %s could not be cancelled and goes on: %s", self.job_id, error)
        finally:
            await self.cleanup()
