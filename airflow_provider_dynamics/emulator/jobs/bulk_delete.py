"""BulkDelete: a system job that deletes the rows some queries find, a part of them at a time.

https://learn.microsoft.com/power-apps/developer/data-platform/delete-data-bulk
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.fetch_xml.query_expressions import document, entity_of, expression
from airflow_provider_dynamics.emulator.jobs.job import CANCELED, Job, signed
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.jobs.recurrence import Daily, daily
from airflow_provider_dynamics.emulator.literals import moment_text, utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations import Operation, Parameter
from airflow_provider_dynamics.emulator.operations.model import need
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.queries import Queries
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.writer import Writer

_OPERATION, _FAILURE = TABLES["bulkdeleteoperation"], TABLES["bulkdeletefailure"]
_TYPE = 13
# "Sandbox fast delete": no step runs.
_PAST_EVERYTHING = {"mscrm.bypassbusinesslogicexecution": "CustomSync,CustomAsync"}


@dataclass
class _Course:
    """How far one job has come: which rows there were when it began, and what became of them."""

    operation_id: str
    documents: Sequence[tuple[Table, str]]
    targets: list[tuple[Table, str, int]] = field(default_factory=list)
    begun: bool = False
    done: int = 0
    deleted: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Plan:
    """What a job is to delete, from when on, and how often."""

    name: str
    documents: Sequence[tuple[Table, str]]
    start: datetime
    rule: Daily | None


class BulkDelete:
    """Answers the action, and does the deleting."""

    def __init__(
        self, store: Store, writer: Writer, queries: Queries, privileges: Privileges, jobs: Jobs
    ) -> None:
        self._store = store
        self._writer = writer
        self._queries = queries
        self._privileges = privileges
        self._jobs = jobs

    def operations(self) -> tuple[Operation, ...]:
        """The action, and the function that makes its queries of FetchXML."""
        return (
            Operation(
                "BulkDelete",
                (
                    need("QuerySet", "Collection(mscrm.QueryExpression)"),
                    need("JobName", "Edm.String"),
                    need("SendEmailNotification", "Edm.Boolean"),
                    need("ToRecipients", "Collection(mscrm.activityparty)"),
                    need("CCRecipients", "Collection(mscrm.activityparty)"),
                    need("RecurrencePattern", "Edm.String"),
                    need("StartDateTime", "Edm.DateTimeOffset"),
                    Parameter("SourceImportId", "Edm.Guid"),
                    Parameter("RunNow", "Edm.Boolean"),
                    Parameter("Options", "mscrm.BulkDeleteOptions"),
                ),
                (need("JobId", "Edm.Guid"),),
                privilege="prvBulkDelete",
                run=lambda invocation: self.submit(invocation.call, invocation.parameters),
            ),
            Operation(
                "FetchXmlToQueryExpression",
                (need("FetchXml", "Edm.String"),),
                (Parameter("Query", "mscrm.QueryExpression"),),
                is_function=True,
                run=lambda invocation: {"Query": expression(invocation.parameters["FetchXml"])},
            ),
        )

    def submit(self, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
        """Start a job from the action's parameters, in the caller's transaction. Returns the action's result."""
        pattern = given.get("RecurrencePattern")
        start = _moment(given.get("StartDateTime"))
        plan = _Plan(
            given["JobName"],
            self._documents(call, given["QuerySet"]),
            start or self._jobs.now(),
            daily(pattern) if pattern else None,
        )
        if (given.get("Options") or {}).get("RunJobForSandbox"):
            call = replace(call, headers={**call.headers, **_PAST_EVERYTHING})
        return {"JobId": self._begin(call, plan, start)}

    def _begin(self, call: Call, plan: _Plan, at: datetime | None) -> str:
        """Start the plan's next run. Returns the id of its system job."""
        course = _Course(str(uuid.uuid4()), plan.documents)
        values = {
            "name": plan.name,
            "operationtype": _TYPE,
            "messagename": "BulkDelete",
            "primaryentitytype": plan.documents[0][0].name,
            "data": "\n".join(text for _, text in plan.documents),
        }
        if plan.rule:
            values |= {"recurrencepattern": plan.rule.pattern, "recurrencestarttime": utc_text(plan.start)}
        job = self._jobs.start(call, values, lambda share: self._step(job, course, share), at=at)
        job.ended = lambda state, _: self._ended(job, course, plan, state)
        self._writer.make(
            call,
            _OPERATION,
            {
                "bulkdeleteoperationid": course.operation_id,
                "name": plan.name,
                "asyncoperationid": job.job_id,
                "orderedquerysetxml": values["data"],
                "isrecurring": int(plan.rule is not None),
                "nextrun": utc_text(at) if plan.rule and at else None,
                "successcount": 0,
                "failurecount": 0,
                "statecode": job.state[0],
                "statuscode": job.state[1],
            },
        )
        return job.job_id

    def _ended(self, job: Job, course: _Course, plan: _Plan, state: tuple[int, int]) -> None:
        """Tell how a run ended; one that was not cancelled is followed by the next, which has a job of its own."""
        following = None
        if plan.rule and state != CANCELED:
            following = plan.rule.after(plan.start, self._jobs.now())
            self._begin(replace(job.call, now=self._jobs.now()), plan, following)
        self._tell(job, course, state, {"nextrun": following and utc_text(following)} if plan.rule else {})

    def _documents(self, call: Call, queries: Sequence[Any]) -> list[tuple[Table, str]]:
        if not queries:
            raise Fault(400, "0x80040203", "Required field 'QuerySet' is missing")
        found = []
        for query in queries:
            table = TABLES.get(entity_of(query))
            if table is None:
                raise Fault(
                    400,
                    "0x80041102",
                    f"The entity with a name = '{entity_of(query)}' was not found in the MetadataCache.",
                )
            self._privileges.need(call, table, "Read", "Delete")
            text = document(query, table.primary_id)
            self._queries.check(call, text)
            found.append((table, text))
        return found

    def _step(self, job: Job, course: _Course, share: float) -> None:
        """Delete so many of the rows that were there when the job began."""
        if not course.begun:
            course.begun = True
            for number, (table, text) in enumerate(course.documents):
                course.targets += [(table, row_id, number) for row_id in self._queries.ids(job.call, text)]
        now = replace(job.call, now=self._jobs.now())
        before = course.done
        for table, row_id, number in course.targets[before : int(len(course.targets) * share)]:
            course.done += 1
            self._delete(now, table, row_id, (job.job_id, number), course)
        if course.done > before:
            self._tell(job, course, job.state)

    def _delete(self, call: Call, table: Table, row_id: str, place: tuple[str, int], course: _Course) -> None:
        """Delete one row unless it is gone already; a refusal is kept as a failure."""
        try:
            with self._store.transaction():
                if self._store.exists(table, row_id):
                    self._writer.delete(call, table, row_id)
                    course.deleted += 1
        except Fault as fault:
            course.failed += 1
            job_id, number = place
            failure = {
                "bulkdeleteoperationid": course.operation_id,
                "asyncoperationid": job_id,
                "orderedqueryindex": number,
                "errordescription": fault.message[:512],
                "errornumber": signed(fault.code),
                "regardingobjecttypecode": table.name,
            }
            if table.name in {target.table for target in _FAILURE.by_name["regardingobjectid"].targets}:
                failure |= {"regardingobjectid": row_id, "regardingobjectid__type": table.name}
            self._writer.make(call, _FAILURE, failure)

    def _tell(
        self, job: Job, course: _Course, state: tuple[int, int], more: Mapping[str, Any] | None = None
    ) -> None:
        row = self._store.row(_OPERATION, course.operation_id)
        if row is None:
            return
        values = {
            "successcount": course.deleted,
            "failurecount": course.failed,
            "statecode": state[0],
            "statuscode": state[1],
            **(more or {}),
        }
        self._writer.change(replace(job.call, now=self._jobs.now()), _OPERATION, row, values)


def _moment(given: object) -> datetime | None:
    text = moment_text(given)
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
