"""System jobs: rows of asyncoperation that wait, run and end in the course of time, and what can be done to them.

`Jobs` is ``Emulator.jobs``, and ``/_emulator/jobs`` takes and tells its members as JSON:

==============  ===========================================================================================
waiting         seconds a job is Ready before it starts (0.2)
running         seconds it is In Progress (0.5); what it does is spread over them
canceling       seconds a running job takes to be Canceled (0: at once)
held            true: no job moves
cancelable      false: cancelling is refused with 0x80044f00, as for jobs of the platform
keep_completed  false: the row of a job goes the moment the job is completed, as clean-up jobs remove them
advance         the jobs' clock moves on by so many seconds (``advance(seconds)``)
fail            the next jobs fail: {"message", "code", "after" (share of its time a job runs first, 1.0), "count" (1)}
begin           a job that does nothing is started: its name, or {"name", "operation_type", "message_name"}
forget          a job's row is removed, or those of all completed jobs: a job's id, or true
==============  ===========================================================================================

``begin(name)`` starts a job that does nothing, or what it is given.

A job moves when the next request comes, by the services' clock (``sign_ins.skew`` sets that one).
https://learn.microsoft.com/power-apps/developer/data-platform/asynchronous-service#manage-system-job-states
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_dynamics.emulator.call import Call, Caller, Prefer
from airflow_provider_dynamics.emulator.jobs.job import (
    CANCELED,
    CANCELING,
    FAILED,
    IN_PROGRESS,
    READY,
    SUCCEEDED,
    SYSTEM_JOB,
    WAITING,
    Failure,
    Job,
    Step,
    signed,
)
from airflow_provider_dynamics.emulator.jobs.job_changes import JobChanges
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.seed.identities import ROOT_UNIT, SERVICE_USER
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.writer import Writer

_log = logging.getLogger(__name__)

DEFAULTS: Mapping[str, Any] = {
    "waiting": 0.2,
    "running": 0.5,
    "canceling": 0.0,
    "held": False,
    "cancelable": True,
    "keep_completed": True,
}


class Jobs:
    """Starts jobs and moves them on; see the module for what can be set."""

    def __init__(self, store: Store, writer: Writer, now: Callable[[], datetime]) -> None:
        self._store = store
        self._writer = writer
        self._clock = now
        self.open: dict[str, Job] = {}
        self._failures: list[Failure] = []
        self.restore()
        writer.guards[SYSTEM_JOB.name] = JobChanges(self).guard

    # -- control ------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Settings as at the start, no job open."""
        self.waiting: float = DEFAULTS["waiting"]
        self.running: float = DEFAULTS["running"]
        self.canceling: float = DEFAULTS["canceling"]
        self.held: bool = DEFAULTS["held"]
        self.cancelable: bool = DEFAULTS["cancelable"]
        self.keep_completed: bool = DEFAULTS["keep_completed"]
        self._ahead = timedelta()
        self._failures.clear()
        self.forget_open()

    def forget_open(self) -> None:
        """The rows of jobs are gone."""
        self.open.clear()

    def advance(self, seconds: float) -> None:
        """Let that much time pass for jobs."""
        self._ahead += timedelta(seconds=seconds)
        self.catch_up()

    def begin(
        self, name: str, *, operation_type: int = 1, message_name: str | None = None, work: Step | None = None
    ) -> str:
        """Start a job of one's own and return its id: what a custom API starts, for example.

        ``work`` is called with the share of the job's time that has passed, 1.0 at its end; a ``Fault`` it raises is
        the job's failure. ValueError when ``operation_type`` is none of asyncoperation's.
        """
        if all(option.value != operation_type for option in SYSTEM_JOB.by_name["operationtype"].options):
            raise ValueError(f"a system job has no type {operation_type!r}")
        values = {"name": name, "operationtype": operation_type, "messagename": message_name}
        call = Call("POST", "", "", {}, (), {}, Prefer(), b"", self.now(), Caller(SERVICE_USER, ROOT_UNIT))
        with self._store.schemas.entered(), self._store.transaction():
            return self.start(call, values, work or (lambda _: None)).job_id

    def fail(
        self,
        message: str = Failure.message,
        code: str = Failure.code,
        *,
        after: float = 1.0,
        count: int = 1,
    ) -> None:
        """Let the next ``count`` jobs that are started end as Failed."""
        self._failures += [Failure(message, code, after)] * count

    def forget(self, job_id: str | None = None) -> None:
        """Remove the row of a job, or the rows of all completed ones; KeyError when there is no such job."""
        with self._store.schemas.entered(), self._store.transaction():
            if job_id is None:
                for row_id in self._store.matching_all(SYSTEM_JOB, {"statecode": SUCCEEDED[0]}):
                    self._remove(row_id)
            elif not self._store.exists(SYSTEM_JOB, job_id.lower()):
                raise KeyError(f"there is no system job {job_id}")
            else:
                self._remove(job_id.lower())

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a JSON object says and tell the state; ValueError on what there is not."""
        unknown = wanted.keys() - DEFAULTS.keys() - {"advance", "begin", "fail", "forget"}
        if unknown:
            raise ValueError(f"no such member: {', '.join(sorted(unknown))}; there are {', '.join(DEFAULTS)}")
        for name in DEFAULTS.keys() & wanted.keys():
            setattr(self, name, type(DEFAULTS[name])(wanted[name]))
        if "fail" in wanted:
            self.fail(**wanted["fail"])
        if "begin" in wanted:
            named = wanted["begin"]
            self.begin(**({"name": named} if isinstance(named, str) else named))
        if "advance" in wanted:
            self.advance(float(wanted["advance"]))
        if wanted.get("forget"):
            self.forget(None if wanted["forget"] is True else str(wanted["forget"]))
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The settings, and the ids of the jobs that have not ended."""
        return {**{name: getattr(self, name) for name in DEFAULTS}, "open": list(self.open)}

    # -- jobs ---------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """What time it is for jobs."""
        return self._clock() + self._ahead

    def start(self, call: Call, values: Mapping[str, Any], step: Step, *, at: datetime | None = None) -> Job:
        """A system job with these stored values, due ``at`` a moment or soon. Runs in the caller's transaction."""
        late = at is not None and at > self.now()
        state = WAITING if late else READY
        row = {**values, "statecode": state[0], "statuscode": state[1], "depth": 1, "retrycount": 0}
        if late and at is not None:
            row["postponeuntil"] = utc_text(at)
        job_id = self._writer.make(call, SYSTEM_JOB, {**row, "correlationid": str(uuid.uuid4())})
        due = at if late and at is not None else self.now() + timedelta(seconds=self.waiting)
        return self.add(Job(job_id, SYSTEM_JOB, call, step, due, state))

    def start_beside(self, call: Call, values: Mapping[str, Any], *, stays: bool = True) -> Job:
        """A system job that waits for `run_beside`: somebody else does what it stands for, and says how it went."""
        row = {**values, "statecode": READY[0], "statuscode": READY[1], "depth": 1, "retrycount": 0}
        job_id = self._writer.make(call, SYSTEM_JOB, row)
        job = Job(job_id, SYSTEM_JOB, call, lambda _: None, self.now(), stays=stays, beside=True)
        self.open[job_id] = job
        return job

    def run_beside(self, job: Job) -> bool:
        """Show that the work on it has begun; False when it was cancelled, or is gone."""
        with self._store.schemas.entered(), self._store.transaction():
            if self.open.get(job.job_id) is not job or not self._store.exists(job.table, job.job_id):
                return False
            job.due = self.now()
            self._begin(job)
            return True

    def finish(self, job: Job, fault: Fault | None = None) -> None:
        """Show that the work on it is done, or failed."""
        with self._store.schemas.entered(), self._store.transaction():
            if self.open.get(job.job_id) is job and self._store.exists(job.table, job.job_id):
                self._end(job, FAILED if fault else SUCCEEDED, self.now(), fault)

    def add(self, job: Job) -> Job:
        """Look after a job whose row exists."""
        job.failure = self._failures.pop(0) if self._failures else None
        self.open[job.job_id] = job
        return job

    def drop(self, job_id: str, only: tuple[int, int] | None = None) -> Job | None:
        """Look after a job no longer, in that state ``only`` where one is given. Returns it."""
        job = self.open.get(job_id)
        if job is None or (only is not None and job.state != only):
            return None
        return self.open.pop(job_id)

    def catch_up(self) -> None:
        """Move every job to where it is by now; does nothing inside a transaction, which may be undone."""
        if not self.open or self.held:
            return
        with self._store.schemas.entered(), self._store.lock:
            if self._store.in_transaction:
                return
            for job in list(self.open.values()):
                self._move_alone(job)

    def _move_alone(self, job: Job) -> None:
        """Move one job on; one that cannot go on is let go of, instead of stopping every request."""
        try:
            with self._store.transaction():
                self._move(job, self.now())
        except Exception:  # noqa: BLE001 - whatever it is, the request that comes by has nothing to do with it
            self.open.pop(job.job_id, None)
            _log.exception("The emulator's system job %s cannot go on", job.job_id)

    def _move(self, job: Job, now: datetime) -> None:
        if not self._store.exists(job.table, job.job_id):
            del self.open[job.job_id]
        elif job.beside:
            return
        elif job.state == CANCELING:
            if job.ends is not None and now >= job.ends:
                self._end(job, CANCELED, job.ends)
        elif job.state != IN_PROGRESS and job.due <= now:
            self._begin(job)
            self._run(job, now)
        elif job.state == IN_PROGRESS:
            self._run(job, now)

    def _begin(self, job: Job) -> None:
        job.state, job.started = IN_PROGRESS, job.due
        self.show(job, IN_PROGRESS, job.due, {"startedon": utc_text(job.due)})

    def _run(self, job: Job, now: datetime) -> None:
        """Do what is to be done by now, and end the job when its time is up or something fails."""
        passed = job.ran + (now - (job.started or now)).total_seconds()
        share = 1.0 if self.running <= 0 else min(1.0, passed / self.running)
        limit = job.failure.after if job.failure else 1.0
        try:
            job.step(min(share, limit))
        except Fault as fault:
            self._end(job, FAILED, now, fault)
            return
        except Exception as error:  # noqa: BLE001 - what a test's own job raises is the job's failure
            self._end(
                job, FAILED, now, Fault(500, "0x80040216", f"An unexpected error occurred: {error!r}"[:1000])
            )
            return
        when = now - timedelta(seconds=max(0.0, passed - limit * self.running))
        if job.failure and share >= limit:
            self._end(job, FAILED, when, Fault(500, job.failure.code, job.failure.message))
        elif share >= 1.0:
            self._end(job, SUCCEEDED, when)

    def _end(self, job: Job, state: tuple[int, int], when: datetime, fault: Fault | None = None) -> None:
        self.open.pop(job.job_id, None)
        job.state = state
        spent = job.ran + ((when - job.started).total_seconds() if job.started else 0.0)
        told: dict[str, Any] = {"completedon": utc_text(when), "executiontimespan": round(spent, 2)}
        if fault is not None:
            told |= {
                "errorcode": signed(fault.code),
                "message": fault.message,
                "friendlymessage": fault.message,
            }
        if job.ended is not None:
            job.ended(state, fault)
        self.show(job, state, when, told)
        if not self.keep_completed or (state == SUCCEEDED and not job.stays):
            self._remove(job.job_id)

    def show(self, job: Job, state: tuple[int, int], when: datetime, more: Mapping[str, Any]) -> None:
        """Write a job's state into its row; other tables have other columns for it."""
        if job.table is SYSTEM_JOB:
            values = {"statecode": state[0], "statuscode": state[1], **more}
        else:
            values = _in_the_background(state, more)
        row = self._writer.existing(job.table, job.job_id)
        self._writer.change(replace(job.call, now=when), job.table, row, values)

    def _remove(self, job_id: str) -> None:
        self.open.pop(job_id, None)
        for table in (SYSTEM_JOB, TABLES.get("backgroundoperation")):
            if table and self._store.exists(table, job_id):
                self._writer.remove(table, job_id)


def _in_the_background(state: tuple[int, int], more: Mapping[str, Any]) -> dict[str, Any]:
    """A state as the columns of backgroundoperation have it."""
    named = {"startedon": "starttime", "completedon": "endtime", "message": "errormessage"}
    kept = {"errorcode", "outputparameters", "retrycount", *named}
    return {
        "backgroundoperationstatecode": state[0],
        "backgroundoperationstatuscode": state[1],
        **{named.get(name, name): value for name, value in more.items() if name in kept},
    }
