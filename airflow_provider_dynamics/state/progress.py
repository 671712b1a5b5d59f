"""How far a try of a task has come, so that the next try goes on instead of starting over.

It lives in Airflow's task state store, which a task's tries share and its other runs do not see.
https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/task-state-store.html
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.compat import task_state_store

if TYPE_CHECKING:
    from airflow_provider_dynamics.compat import TaskStateStore

__all__ = ["Checkpoint", "Checkpoints", "checkpoints"]

log = logging.getLogger(__name__)

KEY = "dynamics_progress"
VERSION = 1
KEPT_FOR = timedelta(days=1)
"""How long a place is worth going on from: what was read before it is that old."""


@dataclass(frozen=True)
class Checkpoint:
    """Files that are complete, as (name, rows, bytes), and the place in the work right behind them.

    ``fingerprint`` says of what: a try that does something else cannot go on from here. ``at`` is, in seconds
    since 1970, when the first row of it was read, or for a load when it was noted.
    """

    fingerprint: str
    files: tuple[tuple[str, int, int], ...]
    position: Mapping[str, Any] | None
    at: float

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "for": self.fingerprint,
            "files": [list(file) for file in self.files],
            "position": None if self.position is None else dict(self.position),
            "at": self.at,
        }

    @classmethod
    def from_json(cls, value: Any) -> Checkpoint:
        """Read what ``to_json`` wrote.

        :raises ValueError: the value is something else
        """
        try:
            if value["version"] != VERSION:
                raise ValueError("another version's progress")
            files = tuple((str(name), int(rows), int(size)) for name, rows, size in value["files"])
            if not isinstance(value["position"], (Mapping, type(None))):
                raise TypeError("no position")  # noqa: TRY301 - one error for every misfit
            return cls(str(value["for"]), files, value["position"], float(value["at"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not a task's progress") from error


@dataclass(frozen=True)
class Checkpoints:
    """The one checkpoint of a task; keeping it never fails the task, which only costs the next try its head start."""

    store: TaskStateStore | None
    now: Callable[[], float] = time.time

    @property
    def kept(self) -> bool:
        """Whether there is anywhere to keep it: Airflow 3.2 has no task state store."""
        return self.store is not None

    def load(self, fingerprint: str) -> Checkpoint | None:
        """Return the place to go on from; None where there is none, it is too old, or of another reading."""
        try:
            value = None if self.store is None else self.store.get(KEY)
            found = None if value is None else Checkpoint.from_json(value)
        except Exception as error:  # noqa: BLE001  # whatever lies between here and Airflow's database
            log.warning("How far the last try came cannot be read (%s); starting over.", error)
            return None
        if found is None:
            return None
        if found.fingerprint != fingerprint:
            log.info(
                "The last try was of something else (its arguments, source or file differ); starting over."
            )
            return None
        if self.now() - found.at > KEPT_FOR.total_seconds():
            log.info("What the last try left is more than a day old; starting over.")
            return None
        return found

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep it for a day, in place of the one before."""
        if self.store is None:
            return
        try:
            self.store.set(KEY, checkpoint.to_json(), retention=KEPT_FOR)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("How far this try came could not be kept (%s).", error)

    def clear(self) -> None:
        """Forget it."""
        if self.store is None:
            return
        try:
            self.store.delete(KEY)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("How far this task came could not be forgotten (%s).", error)


def checkpoints(context: Mapping[str, Any]) -> Checkpoints:
    """Return where the running task keeps how far it is: nowhere if it has no retries, or on Airflow 3.2."""
    if not (context["ti"].max_tries or 0):
        return Checkpoints(None)
    store = task_state_store(context)
    if store is None:
        log.info("This Airflow keeps no state for tasks (3.3 does): a retry starts over.")
    return Checkpoints(store)
