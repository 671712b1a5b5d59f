"""Which job of the service a task has started, so that its next try goes on waiting instead of starting a second one.

It lives in Airflow's task state store, which a task's tries share and its other runs do not see.
https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/task-state-store.html
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.compat import task_state_store

if TYPE_CHECKING:
    from airflow_provider_dynamics.compat import TaskStateStore
    from airflow_provider_dynamics.dataverse.administration.job import JobKind

__all__ = ["JobMemory", "Remembered", "job_memory", "run_name"]

log = logging.getLogger(__name__)

KEY = "dynamics_job"
KEPT_FOR = timedelta(days=30)
"""Longer than jobs last: a task may wait for its next try over a long weekend, and be cleared after it."""

_LONGEST_NAME = 200  # characters; Dynamics keeps 256 of a job's name


@dataclass(frozen=True)
class Remembered:
    """A job, and what else the action that started it has answered; `fingerprint` says of what."""

    job_id: str
    kind: JobKind
    fingerprint: str
    answer: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "kind": self.kind,
            "for": self.fingerprint,
            "answer": dict(self.answer),
        }


@dataclass(frozen=True)
class JobMemory:
    """The one job of a task; what cannot be kept or read is said in the log and costs the next try its knowledge."""

    store: TaskStateStore | None

    @property
    def kept(self) -> bool:
        """Whether there is anywhere to keep it: Airflow 3.2 has no task state store."""
        return self.store is not None

    def load(self, fingerprint: str) -> Remembered | None:
        """Return the job that an earlier try has started with the same arguments, None where none is known."""
        try:
            value = None if self.store is None else self.store.get(KEY)
            if value is None:
                return None
            found = Remembered(value["job_id"], value["kind"], value["for"], value["answer"])
        except Exception as error:  # noqa: BLE001  # whatever lies between here and Airflow's database
            log.warning("Which job the last try started cannot be read (%s).", error)
            return None
        if found.fingerprint != fingerprint:
            log.warning(
                "The last try started job %s with other arguments; it is left to itself.", found.job_id
            )
            return None
        return found

    def save(self, job: Remembered) -> None:
        """Keep it for a month, in place of the one before."""
        if self.store is None:
            return
        try:
            self.store.set(KEY, job.to_json(), retention=KEPT_FOR)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("The job %s could not be noted for the next try (%s).", job.job_id, error)

    def clear(self) -> None:
        """Forget it."""
        if self.store is None:
            return
        try:
            self.store.delete(KEY)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("The job could not be forgotten (%s): another try would look at it again.", error)


def job_memory(context: Mapping[str, Any]) -> JobMemory:
    """Return where the running task notes its job: nowhere on Airflow 3.2."""
    return JobMemory(task_state_store(context))


def run_name(context: Mapping[str, Any], title: str) -> str:
    """Return a job's name that only this task of this run gives: by it a later try finds the job in Dynamics."""
    task = context["ti"]
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    name = f"{title} ({task.dag_id}.{task.task_id}{index} {task.run_id})"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 13]} {hashlib.sha256(name.encode()).hexdigest()[:12]}"
