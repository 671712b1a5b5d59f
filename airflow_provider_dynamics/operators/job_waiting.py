"""What operators that wait for a job share: one job for all tries, a wait here or in the triggerer, a job that is cancelled.

Whatever ends a try, the job goes on; so which one it is is noted as soon as it is known, and the next try waits
for the same one. Only a person who stops the task cancels it.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk.exceptions import AirflowFailException, TaskDeferralTimeout

from airflow_provider_dynamics.links import DynamicsRowLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, deferred
from airflow_provider_dynamics.retry import airflow_error, reason_of
from airflow_provider_dynamics.state.jobs import JobMemory, Remembered, job_memory

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Job, Started
    from airflow_provider_dynamics.dataverse.administration.job import JobKind
    from airflow_provider_dynamics.triggers import DynamicsJobTrigger

__all__ = ["JobWaiter"]


class JobWaiter(DynamicsOperator):
    """Base of the operators here: a subclass says how to start its job and what comes of it.

    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped
    """

    operator_extra_links = (DynamicsRowLink(),)
    starts_twice_safely: ClassVar[bool] = False
    """Whether a second job in place of one that nobody can ask about any more does no harm."""

    _job: Job | None = None
    _answer: Mapping[str, Any] = MappingProxyType({})
    """What else the action has answered that started the job."""
    _killed = False

    def __init__(
        self,
        *,
        deferrable: bool | None = None,
        poll_interval: float = 30.0,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if poll_interval <= 0:
            raise ValueError(f"poll_interval is {poll_interval}: give seconds, more than none")
        self.deferrable = deferred(deferrable)
        self.poll_interval = poll_interval
        self.cancel_on_kill = cancel_on_kill

    @abstractmethod
    def start(self, client: Client, context: Context) -> Started:
        """Start the job."""

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        """Return the task's result where no job is needed, having done what is; None where one has to be started."""
        return None

    @abstractmethod
    def arguments(self) -> Sequence[Any]:
        """Return what the job depends on: a try with other arguments starts its own."""

    def find(self, client: Client, context: Context) -> Job | None:
        """Return a job of this task and run that nobody noted; None where there is none, or it cannot be told."""
        return None

    def finished(self, client: Client, job: Job) -> dict[str, Any]:
        """Return the task's result once the job has succeeded."""
        return {"job_id": job.id, "name": job.name, "status": job.status, **self._answer, **job.outputs}

    def left_by(self, client: Client, job: Job) -> str:
        """Return what a job that did not succeed has done until then, for the error."""
        return ""

    def failed(self, client: Client, job: Job) -> None:
        """Raise what a job that is done and did not succeed means."""
        job.check(self.left_by(client, job))

    def watch(self, client: Client) -> None:
        """Look at how far the job has come, for the log; called after each look at it on a worker."""

    def trigger(self, job: Job) -> DynamicsJobTrigger:
        """Return what waits for the job in the triggerer."""
        from airflow_provider_dynamics.triggers import DynamicsJobTrigger

        return DynamicsJobTrigger(**self.trigger_arguments(job))

    def trigger_arguments(self, job: Job) -> dict[str, Any]:
        """Return what every trigger that waits for a job is told."""
        return {
            "job_id": job.id,
            "kind": job.kind,
            "answer": dict(self._answer) or None,
            "cancel_on_kill": self.cancel_on_kill,
            "dynamics_conn_id": self.dynamics_conn_id,
            "environment": self.environment,
            "poll_interval": self.poll_interval,
        }

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the job, or take up the one of an earlier try, and wait for it.

        :raises AirflowFailException: the job failed or was cancelled, or the service refuses it for good
        :raises DynamicsRetryableError: a passing problem; the next try goes on waiting for the same job
        """
        from airflow_provider_dynamics.dataverse.errors import JobGone

        memory = job_memory(context)
        with self.client() as client:
            try:
                job = self._taken_up(client, context, memory)
                if job is None and (result := self.without_job(client, context)) is not None:
                    memory.clear()
                    return result
                job = job or self._started(client, context, memory)
                self._said(job)
                if not job.done and self.deferrable:
                    self._defer(job)
                if not job.done:
                    job = self._waited(client, job)
            except JobGone:
                memory.clear()
                raise
            return self._ended(client, job, memory)

    def execute_complete(
        self,
        context: Context,
        event: Mapping[str, Any] | None = None,
        answer: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the result of the job that the trigger has seen end."""
        from airflow_provider_dynamics.dataverse import Job

        memory = job_memory(context)
        answer = answer or (event or {}).get("answer")  # all that dag.test() of Airflow 3.2 hands over
        known = memory.load(self._fingerprint()) if answer is None else None
        self._answer = (known.answer if known else answer) or {}
        if event is not None and event.get("error_type") == "JobGone":
            memory.clear()
        self._said(job := Job.from_json(super().execute_complete(context, event)["job"]))
        with self.client() as client:
            return self._ended(client, job, memory)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Cancel the job, too, when the task has run out of time while it was deferred."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            if self.cancel_on_kill:
                self._cancel_known(context)
            raise

    def on_kill(self) -> None:
        """End the wait and cancel the job; one that cannot be cancelled is said in the log, and goes on."""
        self._killed = True
        super().on_kill()
        if self._job is not None and not self._job.done and self.cancel_on_kill:
            self._cancel(self._job.id, self._job.kind)

    def _cancel_known(self, context: Context) -> None:
        """Cancel the job that an earlier process of this task has started."""
        known = job_memory(context).load(self._fingerprint())
        if known is not None and known.job_id:
            self._cancel(known.job_id, known.kind)
            return
        with self.client() as client:
            job = self.find(client, context)
        if job is not None:
            self._cancel(job.id, job.kind)

    def _cancel(self, job_id: str, kind: JobKind) -> None:
        from airflow_provider_dynamics.dataverse import RetryPolicy

        try:
            with self.hook.get_conn(retry=RetryPolicy(attempts=3, throttled_attempts=3, budget=20)) as client:
                job = client.jobs.cancel(job_id, kind)
        except Exception as error:
            if reason_of(error) is None:
                raise
            self.log.warning("The job %s could not be cancelled and goes on: %s", job_id, error)
            return
        if job.ending:
            self.log.info("The %s is %s.", job, job.status)
        else:
            self.log.warning("The %s was not cancelled and goes on: it is %s.", job, job.status)

    def _taken_up(self, client: Client, context: Context, memory: JobMemory) -> Job | None:
        """Return the job of an earlier try that is worth waiting for: one that goes on, or has succeeded unheard."""
        from airflow_provider_dynamics.dataverse.errors import JobGone

        known = memory.load(self._fingerprint())
        if known is None:
            job = self.find(client, context) if context["ti"].try_number > 1 else None
        else:
            if not known.job_id:
                memory.clear()
                raise AirflowFailException(
                    "The last try died while it started its job, so whether there is one is not known: see in Dynamics under "
                    "System Jobs, then clear the task if there is none."
                )
            self._answer = known.answer
            try:
                job = client.jobs.get(known.job_id, known.kind)
            except JobGone as error:
                if not self.starts_twice_safely:
                    raise
                self.log.warning("%s A new one is started.", error)
                return None
        if job is None:
            return None
        if job.ending and not job.done:  # it may still succeed, and two at a time are never wanted
            self.log.info("The %s of an earlier try is %s; it has to end first.", job, job.status)
            self._job = job
            job = client.jobs.wait(job.id, job.kind, poll_interval=self.poll_interval)
        if job.done and not job.succeeded:
            self.log.info("The %s of an earlier try is %s: a new one is started.", job, job.status)
            return None
        self.log.info("Going on with the %s, which an earlier try has started; it is %s.", job, job.status)
        return job

    def _started(self, client: Client, context: Context, memory: JobMemory) -> Job:
        from airflow_provider_dynamics.dataverse import Job

        if not memory.kept and not self.starts_twice_safely:
            self.log.warning(
                "This Airflow keeps no state for tasks (3.3 does): if this try dies, the next one starts a second job."
            )
        if not self.starts_twice_safely:
            memory.save(Remembered("", "system", self._fingerprint(), {}))
        try:
            started = self.start(client, context)
        except Exception:
            memory.clear()
            raise
        self._job, self._answer = Job(started.job_id, started.kind), started.answer
        memory.save(Remembered(started.job_id, started.kind, self._fingerprint(), started.answer))
        if self._killed and self.cancel_on_kill:  # while the action was under way
            self._cancel(started.job_id, started.kind)
        self.log.info("Started the %s.", self._job)
        return self._job

    def _ended(self, client: Client, job: Job, memory: JobMemory) -> dict[str, Any]:
        if not job.succeeded:
            memory.clear()
            self.failed(client, job)
        try:
            result = self.finished(client, job)
        except Exception as error:
            if isinstance(airflow_error(error) or error, AirflowFailException):
                memory.clear()  # for good: whoever clears the task wants another job
            raise
        memory.clear()
        self.log.info("The %s has succeeded.", job)
        return result

    def _waited(self, client: Client, job: Job) -> Job:
        def told(found: Job) -> None:
            self._said(found)
            self.watch(client)

        return client.jobs.wait(job.id, job.kind, poll_interval=self.poll_interval, told=told)

    def _said(self, job: Job) -> None:
        """Note how the job is, for the log, the link and whoever may have to cancel it."""
        if self._job is not None and job.status != self._job.status:
            self.log.info("The %s: %s.", job, job.status)
        self._job = job
        if job.kind == "system":
            self.noted_table, self.linked_row = "asyncoperation", job.id

    def _fingerprint(self) -> str:
        where = [self.dynamics_conn_id, self.linked_environment]  # the connection's own may become another
        told = json.dumps([*where, *self.arguments()], default=str, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def _defer(self, job: Job) -> NoReturn:
        self.defer(
            trigger=self.trigger(job),
            method_name="execute_complete",
            kwargs={"answer": dict(self._answer)},
            timeout=self.execution_timeout,
        )
