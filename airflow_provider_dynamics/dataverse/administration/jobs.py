"""Jobs: what the service does after its answer, in words that system jobs and background operations have in common.

https://learn.microsoft.com/power-apps/developer/data-platform/asynchronous-service
https://learn.microsoft.com/power-apps/developer/data-platform/background-operations
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.bulk_deletes import Deletions, Doomed, query_set
from airflow_provider_dynamics.dataverse.administration.job import (
    KEY_STATES,
    LONGEST,
    Job,
    JobKind,
    Started,
    background_job,
    started,
    system_job,
)
from airflow_provider_dynamics.dataverse.calling.actions import action_request
from airflow_provider_dynamics.dataverse.calling.operations import Binding, Operations, result
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.queries.conditions import no_pattern
from airflow_provider_dynamics.dataverse.throttle import Clock, Stop

__all__ = ["Jobs"]

_COLUMNS = "asyncoperationid,name,statecode,statuscode,message,friendlymessage,errorcode"


class Jobs:
    """The jobs of one environment. Safe to use from several threads."""

    def __init__(
        self,
        transport: Sender,
        tables: Tables,
        operations: Operations,
        environment: str,
        *,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._transport = transport
        self._tables = tables
        self._operations = operations
        self._environment = environment
        self._clock = clock
        self._stop = stop

    def start(
        self,
        action: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        bound_to: Binding = None,
        background: bool = False,
        options: WriteOptions = NO_OPTIONS,
        checked: bool = True,
    ) -> Started:
        """Call an action that answers with a job, or with `background` a custom API that is to run as one.

        It is sent once: where its answer is lost, nobody knows whether the job was started. `checked` False
        calls what `$metadata` does not list. Raises
        UnknownOperation, and BadRequest for an action that starts no job.
        """
        request = action_request(
            *(self._operations, action, parameters, bound_to), options=options, checked=checked
        )
        if background:
            request = replace(request, headers={**request.headers, "Prefer": "respond-async"})
        response = self._transport.send(request, self._stop)
        answer = result(response, request, self._operations)
        found = started(response, answer if isinstance(answer, Mapping) else {}, background=background)
        if found is None:
            raise errors.BadRequest(
                f"{action} started no {'background operation' if background else 'job'}: it has done its work already",
                asked=request.asked,
                remedy="Call it as an action."
                if not background
                else "Only custom APIs run in the background.",
            )
        return found

    def start_bulk_delete(
        self,
        queries: Doomed | Sequence[Doomed],
        *,
        name: str = "",
        whole_tables: bool = False,
        start_at: datetime | None = None,
        recurrence: str = "",
        recycle: bool | None = None,
        fast: bool = False,
        options: WriteOptions = NO_OPTIONS,
    ) -> str:
        """Start a job that deletes all rows of these queries, and return its id.

        A query is FetchXML, a view, or a `Query` whose filter is a condition; with `whole_tables` it may have
        none. `start_at` is a moment to come, `recurrence` such as "FREQ=DAILY;INTERVAL=1;". `recycle` False
        keeps nothing in the recycle bin, `fast` also passes by plug-ins and workflows: what is gone then is
        gone. It is sent once, as every action that is no repetition. Raises ValueError for a query that
        deletes a whole table unasked, BadFetchXml, UnknownColumn, UnknownView.
        https://learn.microsoft.com/power-apps/developer/data-platform/delete-data-bulk
        """
        found = query_set(self._transport, self._tables, queries, whole_tables=whole_tables, stop=self._stop)
        moment = start_at or datetime.fromtimestamp(self._clock.now(), timezone.utc)
        body: dict[str, Any] = {
            "QuerySet": found,
            "JobName": name or f"Bulk delete of {', '.join(one['EntityName'] for one in found)}",
            "SendEmailNotification": False,
            "ToRecipients": [],
            "CCRecipients": [],
            "RecurrencePattern": recurrence,
            "StartDateTime": odata.instant(moment.replace(microsecond=0)),
        }
        if recycle is not None or fast:
            body["Options"] = {
                "CanRecoverDeletedRecords": bool(recycle) and not fast,
                "RunJobForSandbox": fast,
            }
        request = Request("POST", options.addressed("BulkDelete"), options.headers(), odata.encode(body))
        return odata.guid(decoded(self._transport.send(request, self._stop), request)["JobId"])

    def get(self, job_id: str, kind: JobKind = "system") -> Job:
        """Return how a job is now; raises JobGone where its record is there no more, or never was."""
        if kind == "key":
            return self._key(job_id)
        job_id = odata.guid(job_id)
        target = f"asyncoperations({job_id})?$select={_COLUMNS}"
        if kind == "background":
            target = f"{self._environment}/api/backgroundoperation/{job_id}"
        request = Request("GET", target)
        try:
            found = decoded(self._transport.send(request, self._stop), request)
        except errors.NotFound as error:
            raise errors.JobGone(
                f"The {Job(job_id, kind)} is not there (any more), so nobody can say whether it succeeded",
                asked=error.asked,
                status=error.status,
                code=error.code,
                request_id=error.request_id,
            ) from error
        return system_job(found, job_id) if kind == "system" else background_job(found, job_id)

    def wait(
        self,
        job_id: str,
        kind: JobKind = "system",
        *,
        poll_interval: float = 10.0,
        told: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        """Return a job when it is done, however it ended; ask every `poll_interval` seconds, and tell `told` each answer."""
        while True:
            job = self.get(job_id, kind)
            told(job)
            if job.done:
                return job
            self._clock.sleep(poll_interval, self._stop)

    def cancel(self, job_id: str, kind: JobKind = "system") -> Job:
        """Ask for a job to be cancelled and return how it is then; one that is done stays as it is.

        What it has done until then stays done, and a key's index is always built to its end. Raises JobGone,
        and BadRequest or Conflict for a job that cannot be cancelled.
        """
        if kind == "key":
            return self.get(job_id, kind)
        job_id = odata.guid(job_id)
        entity_set, body = "asyncoperations", {"statecode": 3, "statuscode": 32}
        if kind == "background":
            entity_set = "backgroundoperations"
            body = {"backgroundoperationstatecode": 2, "backgroundoperationstatuscode": 22}
        request = Request(
            "PATCH", f"{entity_set}({job_id})", {"If-Match": "*"}, odata.encode(body), repeatable=True
        )
        job = self.get(job_id, kind)
        if job.ending:
            return job
        try:
            self._transport.send(request, self._stop)
        except (errors.BadRequest, errors.Conflict, errors.NotFound):
            job = self.get(job_id, kind)
            if not job.ending:
                raise
            return job
        return self.get(job_id, kind)

    def find(self, name: str, *, done: bool = False, longer: bool = False) -> Job | None:
        """Return the newest system job of this name that is not done, None where there is none.

        With `done` it may be done, with `longer` its name may go on.
        """
        of_name = _begins_with(name) if longer else f"name eq {odata.literal(name)}"
        query = {
            "$select": _COLUMNS,
            "$filter": of_name if done else f"{of_name} and statecode ne 3",
            "$orderby": "createdon desc",
            "$top": "1",
        }
        request = Request("GET", f"asyncoperations{odata.options(query)}")
        found = decoded(self._transport.send(request, self._stop), request)["value"]
        return system_job(found[0], found[0]["asyncoperationid"]) if found else None

    def _key(self, job_id: str) -> Job:
        """Return how far the index of a key is; why it failed is asked of the job that has built it."""
        table, _, name = job_id.partition("/")
        target = f"EntityDefinitions(LogicalName='{table}')/Keys?$select=LogicalName,EntityKeyIndexStatus"
        request = Request("GET", target, {"Consistency": "Strong"})
        listed = decoded(self._transport.send(request, self._stop), request)["value"]
        found = next((one for one in listed if one["LogicalName"] == name), None)
        if found is None:
            raise errors.JobGone(f"The table {table} has no key {name} (any more)", remedy="Create it again.")
        state, status = KEY_STATES.get(found["EntityKeyIndexStatus"], ("suspended", "waiting"))
        message = self._why(table, name) if status == "failed" else ""
        return Job(job_id, "key", name, state, status, message)

    def _why(self, table: str, key: str) -> str:
        path = f"EntityDefinitions(LogicalName='{table}')/Keys(LogicalName='{key}')"
        request = Request(
            "GET",
            f"{path}?$select=LogicalName&$expand=AsyncJob($select=message,friendlymessage)",
            optional=True,
        )
        try:
            job = decoded(self._transport.send(request, self._stop), request).get("AsyncJob") or {}
        except errors.DataverseError:  # the reason is a help, and no more
            job = {}
        said = str(job.get("friendlymessage") or job.get("message") or "")
        return errors.shortened(said, LONGEST) or (
            "rows that have the same values in its columns are the usual reason"
        )

    def going_on(self, name: str) -> list[Job]:
        """Return the system jobs that are not done and whose names begin so, the newest first: those to come, too."""
        query = {
            "$select": _COLUMNS,
            "$filter": f"{_begins_with(name)} and statecode ne 3",
            "$orderby": "createdon desc",
        }
        request = Request("GET", f"asyncoperations{odata.options(query)}")
        found = decoded(self._transport.send(request, self._stop), request)["value"]
        return [system_job(one, one["asyncoperationid"]) for one in found]

    def deletions(self, job_id: str) -> Deletions:
        """Return how many rows a bulk delete has deleted so far, and which it could not; raises JobGone."""
        return Deletions.of(self._transport, odata.guid(job_id), self._stop)


def _begins_with(name: str) -> str:
    return f"startswith(name,{odata.literal(no_pattern(name))})"
