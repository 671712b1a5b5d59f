"""What others may do to a system job: cancel it, pause it, let it go on, postpone it.

https://learn.microsoft.com/power-apps/developer/data-platform/asynchronous-service#manage-system-job-states
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.jobs.job import (
    CANCELED,
    CANCELING,
    IN_PROGRESS,
    READY,
    SUCCEEDED,
    WAITING,
    Job,
)
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated


class OpenJobs(Protocol):
    """The jobs that have not ended, and how cancelling goes."""

    open: dict[str, Job]
    waiting: float
    canceling: float
    cancelable: bool

    def now(self) -> datetime: ...


class JobChanges:
    """Checks changes of asyncoperation rows and makes the jobs follow."""

    def __init__(self, jobs: OpenJobs) -> None:
        self._jobs = jobs

    def guard(self, call: Call, row: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """Check a change of a job's state or time, and make the job follow it."""
        wanted = values.get("statecode")
        current, job = row["statecode"], self._jobs.open.get(row["asyncoperationid"])
        if wanted is None:
            if values.get("postponeuntil") is not None and current in {READY[0], IN_PROGRESS[0]}:
                if job and job.beside:
                    raise NotEmulated("postponing the job of an asynchronous step")
                return self._postponed(job, values)
            return values
        if wanted == current != SUCCEEDED[0]:
            return values
        if not self._jobs.cancelable and wanted in {WAITING[0], CANCELED[0]}:
            canceled = wanted == CANCELED[0]
            verb = "canceled" if canceled else "paused"
            raise Fault(400, "0x80044f00" if canceled else "0x80044f01", f"This system job cannot be {verb}.")
        return self._moved(call, job, current, values)

    def _moved(self, call: Call, job: Job | None, current: int, values: dict[str, Any]) -> dict[str, Any]:
        wanted, status = values["statecode"], values.get("statuscode")
        if wanted == CANCELED[0] and current != CANCELED[0] and status == CANCELED[1]:
            return self._canceled(job, values)
        if wanted == READY[0] and current == WAITING[0]:
            if job:
                job.state, job.due = READY, self._jobs.now() + timedelta(seconds=self._jobs.waiting)
            return values
        if wanted == WAITING[0] and current == IN_PROGRESS[0]:
            if job and job.beside:
                raise NotEmulated("pausing the job of an asynchronous step")
            if job:
                self._pause(job, datetime.max.replace(tzinfo=timezone.utc))
            return values
        raise _INVALID[wanted]

    def _canceled(self, job: Job | None, values: dict[str, Any]) -> dict[str, Any]:
        if job is None:
            return values
        if job.state == IN_PROGRESS and self._jobs.canceling > 0:
            job.state, job.ends = CANCELING, self._jobs.now() + timedelta(seconds=self._jobs.canceling)
            return {**values, "statecode": CANCELING[0], "statuscode": CANCELING[1]}
        self._jobs.open.pop(job.job_id, None)
        job.state = CANCELED
        if job.ended is not None:
            job.ended(CANCELED, None)
        return {**values, "completedon": utc_text(self._jobs.now())}

    def _postponed(self, job: Job | None, values: dict[str, Any]) -> dict[str, Any]:
        if job:
            self._pause(job, datetime.fromisoformat(values["postponeuntil"].replace("Z", "+00:00")))
        return {**values, "statecode": WAITING[0], "statuscode": WAITING[1]}

    def _pause(self, job: Job, until: datetime) -> None:
        if job.started is not None:
            job.ran += (self._jobs.now() - job.started).total_seconds()
        job.state, job.started, job.due = WAITING, None, until


def _refused() -> Iterator[tuple[int, Fault]]:
    for state, code, word in (
        (READY[0], "0x80044166", "to ready "),
        (WAITING[0], "0x80044167", "to suspended "),
        (IN_PROGRESS[0], "0x80044162", ""),
        (CANCELED[0], "0x80044165", "to complete "),
    ):
        text = f"The target state could not be set {word}because the state transition is not valid."
        yield state, Fault(400, code, text)


_INVALID: Mapping[int, Fault] = dict(_refused())
