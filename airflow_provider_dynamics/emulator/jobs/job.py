"""One system job as it stands: its states, when it is due, and how it is to fail.

https://learn.microsoft.com/power-apps/developer/data-platform/asynchronous-service#manage-system-job-states
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import TABLES, Table

Step = Callable[[float], None]
READY, WAITING, IN_PROGRESS, CANCELING = (0, 0), (1, 10), (2, 20), (2, 22)
SUCCEEDED, FAILED, CANCELED = (3, 30), (3, 31), (3, 32)
SYSTEM_JOB = TABLES["asyncoperation"]


@dataclass(frozen=True)
class Failure:
    """How a job is to fail: after which share of its time, and with which error."""

    message: str = "The system job failed (emulator's fault)."
    code: str = "0x80040216"
    after: float = 1.0


@dataclass
class Job:
    """One job that has not ended. ``step`` is called with the share of its time that has passed, up to 1."""

    job_id: str
    table: Table
    call: Call
    step: Step
    due: datetime
    state: tuple[int, int] = READY
    started: datetime | None = None
    ran: float = 0.0  # seconds, before it was paused
    ends: datetime | None = None
    failure: Failure | None = None
    ended: Callable[[tuple[int, int], Fault | None], None] | None = None
    stays: bool = True  # its row, when it has succeeded
    beside: bool = False  # a thread does the work and says how it went: no clock moves it


def signed(code: str) -> int:
    """An error code as the signed number that rows hold."""
    number = int(code, 16)
    return number - 2**32 if number >= 2**31 else number
