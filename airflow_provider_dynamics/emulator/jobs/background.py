"""Background operations: custom APIs asked for with ``Prefer: respond-async``, run like system jobs and watched.

They wait and run as `jobs` is set, are tried four times, and can be canceled until they start. A callback is not sent.
https://learn.microsoft.com/power-apps/developer/data-platform/background-operations
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_provider_dynamics.emulator.call import Call, reply
from airflow_provider_dynamics.emulator.jobs.job import CANCELED, CANCELING, READY, Job
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Request, Response
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.writer import Writer

MONITOR = re.compile(r"^/api/backgroundoperation/(?P<id>[0-9a-fA-F-]{36})$")
_OPERATION = TABLES["backgroundoperation"]
_RETRIES = 3
_LIVES = 90 * 24 * 3600  # seconds
_CALLBACK = re.compile(r"(?:^|,)\s*(?:odata\.)?callback\b", re.IGNORECASE)
Run = Callable[[Call], Response]


class Background:
    """Accepts requests, runs them later, and tells how they went."""

    def __init__(self, store: Store, writer: Writer, jobs: Jobs) -> None:
        self._store = store
        self._writer = writer
        self._jobs = jobs
        writer.guards[_OPERATION.name] = self._guard

    def accept(self, call: Call, name: str, run: Run) -> Response:
        """Answer 202 and keep ``run`` for later; it is called with the request as of that moment."""
        if _CALLBACK.search(call.headers.get("prefer", "")):
            raise NotEmulated("the callback of a background operation")
        values = {
            "name": name,
            "displayname": name,
            "inputparameters": call.body.decode("utf-8", "replace") or None,
            "backgroundoperationstatecode": READY[0],
            "backgroundoperationstatuscode": READY[1],
            "retrycount": 0,
            "runas": call.caller.user_id,
            "ttlinseconds": _LIVES,
        }
        with self._store.transaction():
            operation_id = self._writer.make(call, _OPERATION, values)
        due = self._jobs.now() + timedelta(seconds=self._jobs.waiting)
        job = Job(operation_id, _OPERATION, call, lambda share: self._step(job, run, share), due)
        self._jobs.add(job)
        origin = call.root.partition("/api/data/")[0]
        headers = (
            ("OData-Version", "4.0"),
            ("Location", f"{origin}/api/backgroundoperation/{operation_id}"),
            ("x-ms-dyn-backgroundoperationid", operation_id),
            ("Preference-Applied", "respond-async"),
        )
        return Response(202, headers, b"")

    def _step(self, job: Job, run: Run, share: float) -> None:
        """Do the work when its time is up; three more times when it fails."""
        if share < 1.0:
            return
        call = replace(job.call, now=self._jobs.now())
        tried = -1
        answer = None
        while answer is None:
            tried += 1
            self._note(job, call, {"retrycount": tried})
            answer = self._tried(call, run, last=tried == _RETRIES)
        self._note(job, call, {"outputparameters": _output(answer)})

    def _tried(self, call: Call, run: Run, *, last: bool) -> Response | None:
        """Run it once; None when it failed and may be tried again."""
        try:
            with self._store.transaction():
                return run(call)
        except Fault:
            if last:
                raise
            return None

    def _note(self, job: Job, call: Call, values: dict[str, Any]) -> None:
        self._writer.change(call, _OPERATION, self._writer.existing(_OPERATION, job.job_id), values)

    def _guard(self, call: Call, row: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """PATCH 2/22 cancels an operation that has not started."""
        wanted = (
            values.get("backgroundoperationstatecode"),
            values.get("backgroundoperationstatuscode"),
        )
        if wanted == (None, None):
            return values
        if wanted != CANCELING:
            raise Fault(
                400,
                "0x80044162",
                "The target state could not be set because the state transition is not valid.",
            )
        if row["backgroundoperationstatecode"] == READY[0]:
            self._jobs.drop(row["backgroundoperationid"])
            return _state(CANCELED)
        return {}

    # -- the status monitor -------------------------------------------------------------------------

    def monitor(self, request: Request, operation_id: str) -> Response:
        """GET tells how an operation stands, DELETE cancels it when it has not started."""
        with self._store.transaction():
            row = self._store.row(_OPERATION, operation_id.lower())
            if row is None:
                raise Fault(404, "0x80040217", f"{_OPERATION.name} With Id = {operation_id} Does Not Exist")
            if request.method == "DELETE":
                row = self._cancel(row)
            elif request.method != "GET":
                raise Fault(
                    405,
                    "0x80060888",
                    f"The requested resource does not support http method '{request.method}'.",
                )
        return reply(200, _told(row))

    def _cancel(self, row: dict[str, Any]) -> dict[str, Any]:
        job = self._jobs.drop(row["backgroundoperationid"], only=READY)
        if job is not None:
            self._jobs.show(job, CANCELED, self._jobs.now(), {})
        return self._store.row(_OPERATION, row["backgroundoperationid"]) or row


def _state(state: tuple[int, int]) -> dict[str, Any]:
    return {"backgroundoperationstatecode": state[0], "backgroundoperationstatuscode": state[1]}


def _output(answer: Response) -> str | None:
    """What an operation returned, as the row keeps it: a JSON array of keys and values."""
    if not answer.body:
        return None
    members = json.loads(answer.body)
    return json.dumps(
        [{"Key": name, "Value": value} for name, value in members.items() if not name.startswith("@odata.")]
    )


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if row["errorcode"] is not None:
        told["backgroundOperationErrorCode"] = row["errorcode"]
        told["backgroundOperationErrorMessage"] = row["errormessage"]
    told["backgroundOperationStateCode"] = row["backgroundoperationstatecode"]
    told["backgroundOperationStatusCode"] = row["backgroundoperationstatuscode"]
    told |= {one["Key"]: one["Value"] for one in json.loads(row["outputparameters"] or "[]")}
    return told
