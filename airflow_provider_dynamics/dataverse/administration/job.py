"""What a job is: how it stands, in Dynamics' own words, and how the answers that tell of it are read.

https://learn.microsoft.com/power-apps/developer/data-platform/asynchronous-service
https://learn.microsoft.com/power-apps/developer/data-platform/background-operations
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.codes import BY_CODE, spelled
from airflow_provider_dynamics.dataverse.protocol.exchange import Response

__all__ = [
    "KEY_STATES",
    "LONGEST",
    "Job",
    "JobKind",
    "Started",
    "background_job",
    "key_job",
    "started",
    "system_job",
]

JobKind = Literal["system", "background", "key"]
"""A system job is a row of asyncoperation; a background operation is a custom API's call with `respond-async`.

The building of an alternate key's index is known by the key: its id is "table/key", as `key_job` gives it.
"""

STATES = {0: "ready", 1: "suspended", 2: "locked", 3: "completed"}
STATUSES = {
    0: "waiting for resources",
    10: "waiting",
    11: "retrying",
    12: "paused",
    20: "in progress",
    21: "pausing",
    22: "canceling",
    30: "succeeded",
    31: "failed",
    32: "canceled",
}
KEY_STATES: Mapping[str, tuple[str, str]] = {
    "Pending": ("ready", "waiting for resources"),
    "InProgress": ("locked", "in progress"),
    "Active": ("completed", "succeeded"),
    "Failed": ("completed", "failed"),
}
"""https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity#monitor-index-creation-for-alternate-keys"""
_IDS = ("AsyncOperationId", "JobId", "AsyncJobId")  # what the answers of such actions call the job
LONGEST = 1000  # characters of what a job says for itself; it may be a whole trace


@dataclass(frozen=True, slots=True)
class Job:
    """How a job is now: `state` and `status` in Dynamics' own words, in lower case; see STATES and STATUSES.

    `message` and `code` say why it failed, "" where nothing is said. `outputs` is what a background operation
    that succeeded has to give.
    """

    id: str
    kind: JobKind = "system"
    name: str = ""
    state: str = "ready"
    status: str = "waiting for resources"
    message: str = ""
    code: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.state == "completed"

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    @property
    def ending(self) -> bool:
        """Whether it is over, or about to be because somebody has cancelled it."""
        return self.done or self.status == "canceling"

    def check(self, also: str = "") -> None:
        """Raise JobFailed for a job that is done and did not succeed; `also` is one more thing to say of it."""
        if self.succeeded or not self.done:
            return
        said = f": {self.message}" if self.message else ""
        said = f"{said.rstrip('.')}. {also}" if also else said
        cancelled = "Somebody or something cancelled it; start it again if that was a mistake."
        kind, remedy = BY_CODE.get(self.code, (None, None))
        raise errors.JobFailed(
            f"The {self} {'was canceled' if self.status == 'canceled' else self.status}{said}",
            code=self.code,
            remedy=cancelled
            if self.status == "canceled"
            else remedy or (kind.default_remedy if kind else None),
            retryable=kind is not None and kind.default_retryable,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        """Return what `to_json` gave; members of another version are left out."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})

    def __str__(self) -> str:
        if self.kind == "key":
            table, _, key = self.id.partition("/")
            return f"index of the key {key} of {table}"
        kind = "system job" if self.kind == "system" else "background operation"
        return f"{kind} {f'{self.name!r} ' if self.name else ''}({self.id})"


@dataclass(frozen=True, slots=True)
class Started:
    """A job that an action has started, and whatever else the action answered."""

    job_id: str
    kind: JobKind
    answer: Mapping[str, Any]


def key_job(table: str, key: str) -> str:
    """Return the id of the job that builds a key's index, by the logical names of both."""
    return f"{table}/{key}"


def started(response: Response, answer: Mapping[str, Any], *, background: bool) -> Started | None:
    """Return the job that an action's answer speaks of, None where it speaks of none."""
    if background:
        given = response.headers.get("x-ms-dyn-backgroundoperationid") or answer.get("backgroundOperationId")
        return Started(odata.guid(given), "background", answer) if given else None
    for name in _IDS:
        if answer.get(name):
            rest = {key: value for key, value in answer.items() if key != name}
            return Started(odata.guid(answer[name]), "system", rest)
    return None


def system_job(row: Mapping[str, Any], job_id: str) -> Job:
    """Return what a row of asyncoperation says."""
    failed = row.get("statuscode") in {31, 32}
    said = row.get("friendlymessage") or row.get("message") or ""
    return Job(
        odata.guid(job_id),
        "system",
        row.get("name") or "",
        STATES.get(row["statecode"], str(row["statecode"])),
        STATUSES.get(row["statuscode"], str(row["statuscode"])),
        errors.shortened(str(said), LONGEST) if failed else "",
        spelled(row["errorcode"]) if failed and row.get("errorcode") else "",
    )


def background_job(row: Mapping[str, Any], job_id: str) -> Job:
    """Return what the status monitor says: its own members begin alike, all others are the operation's outputs."""
    own = {name[0].lower() + name[1:]: value for name, value in row.items()}
    state, status = own.get("backgroundOperationStateCode"), own.get("backgroundOperationStatusCode")
    code = own.get("backgroundOperationErrorCode")
    outputs = {
        name: value
        for name, value in row.items()
        if not name.lower().startswith(("backgroundoperation", "@odata."))
    }
    return Job(
        job_id,
        "background",
        "",
        STATES.get(state or 0, str(state)),
        STATUSES.get(status or 0, str(status)),
        errors.shortened(str(own.get("backgroundOperationErrorMessage") or ""), LONGEST),
        spelled(code) if code else "",
        outputs,
    )
