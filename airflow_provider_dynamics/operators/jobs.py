"""Operators that start a job of the service and wait until it is done, on a worker or in the triggerer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.actions import bound_to
from airflow_provider_dynamics.operators.base import one_of, true
from airflow_provider_dynamics.operators.job_waiting import JobWaiter
from airflow_provider_dynamics.operators.query import source_of
from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator
from airflow_provider_dynamics.state.jobs import run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition, Job, Started

__all__ = ["DynamicsBulkDeleteOperator", "DynamicsJobOperator"]


class DynamicsJobOperator(JobWaiter, WritingOperator):
    """Call an action that starts a job, such as ``ExportSolutionAsync``, and wait until the job is done.

    With ``background`` the action is a custom API that runs as a background operation.

    A retry goes on waiting for the job of the try before (Airflow 3.3; the older one says before it starts that
    it cannot). The action itself is sent once: if its answer is lost, nobody knows whether there is a job, and
    the task fails without a retry. Returns ``{"job_id", "name", "status", …}`` with what else the action has
    answered (``ExportJobId``) and a background operation's outputs.

    :param action: the action's name, Microsoft's or a custom API's
    :param parameters: its parameters, by name
    :param table: the table it is called on, where it is bound to one
    :param row_id: the id of the row it is called on, where it is bound to rows
    :param key: instead, a dict of an alternate key's columns and their values
    :param background: run a custom API in the background
    :param checked: False for what ``$metadata`` does not list: private custom APIs
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job; Microsoft asks for a minute in the background
    :param cancel_on_kill: cancel the job when the task is stopped; what it has done until then stays done
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse rows that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *(*JobWaiter.template_fields, "action", "parameters", "table", "row_id", "key", "checked"),
        *OPTIONS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}

    def __init__(
        self,
        *,
        action: str,
        parameters: Mapping[str, Any] | None = None,
        table: str | None = None,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        background: bool = False,
        checked: bool | str = True,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(poll_interval=poll_interval or (60.0 if background else 10.0), **kwargs)
        self.action = action
        self.parameters = parameters
        self.table = table
        self.row_id = row_id
        self.key = key
        self.background = background
        self.checked = checked

    def arguments(self) -> Sequence[Any]:
        return (self.action, self.parameters, self.table, self.row_id, self.key, self.background)

    def start(self, client: Client, context: Context) -> Started:
        from airflow_provider_dynamics.dataverse.calling.actions import in_doubt
        from airflow_provider_dynamics.dataverse.errors import DataverseError

        try:
            return client.jobs.start(
                *(self.action, self.parameters),
                bound_to=bound_to(self.table, self.row_id, self.key),
                background=self.background,
                options=self.options(),
                checked=true("checked", self.checked),
            )
        except DataverseError as error:
            if not in_doubt(error):
                raise
            raise AirflowFailException(
                f"Whether {self.action} has started its job is not known, so it is not sent again: see in Dynamics under System "
                f"Jobs, then clear the task if there is none. {error}"
            ) from error


class DynamicsBulkDeleteOperator(JobWaiter, WritingOperator):
    """Delete all rows of a query by a job of Dynamics, and wait until it is done.

    For many rows: they are deleted where they are, with everything that follows from it, and nothing of them is
    read here. The query is FetchXML, a view, or a table with a condition made by ``column(…)``; OData's text is
    not among what the job takes. Rows that were created after the job has started stay.

    A retry goes on waiting for the job of the try before, or takes what it has done by then, on Airflow 3.2 too,
    where it is found by its name; one that has failed is followed by another, which finds what is left. Returns ``{"job_id", "name",
    "status", "deleted", "failed", "failures"}``.

    With ``recurrence`` the job is not waited for: the service carries it out by itself again and again, and the task only
    sees to it that there is exactly one such job of this name, as it is described here. Another description takes the
    place of the one before. Returns ``{"job_id", "name", "status", "recurrence"}`` then; the status is ``scheduled``,
    ``unchanged`` or ``removed``.

    :param table: the table's logical name
    :param filter: a condition made with ``column(…)``
    :param fetch_xml: a FetchXML document, or the path of a template that ends in ``.xml``; it names its table itself
    :param saved_query: name or id of a system view of ``table``
    :param user_query: name or id of a view that a user has saved
    :param whole_table: allow a query without a condition, which deletes every row
    :param job_name: what the job is called in Dynamics; the run's own name follows it
    :param max_failures: how many rows may stay because they cannot be deleted, before the task fails; None for any number
    :param recycle: False keeps the rows out of the recycle bin: they cannot be had back
    :param fast: pass by plug-ins, workflows and the recycle bin
    :param recurrence: how often the service is to repeat the job, such as ``FREQ=DAILY;INTERVAL=7;``
    :param start_at: when the job is to run first, a moment or its ISO text; default: now
    :param state: ``present``, or ``absent`` to take a recurring job away
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped; what is deleted by then stays deleted
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse rows that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *JobWaiter.template_fields,
        "table",
        "filter",
        "fetch_xml",
        "saved_query",
        "user_query",
        "job_name",
        "recurrence",
        "start_at",
        "state",
        *OPTIONS,
    )
    template_ext: Sequence[str] = (".xml",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"fetch_xml": "xml"}
    starts_twice_safely = True  # what is deleted is deleted

    def __init__(
        self,
        *,
        table: str | None = None,
        filter: Condition | None = None,
        fetch_xml: str | None = None,
        saved_query: str | None = None,
        user_query: str | None = None,
        whole_table: bool = False,
        job_name: str = "Bulk delete by Airflow",
        max_failures: int | None = 0,
        recycle: bool | None = None,
        fast: bool = False,
        recurrence: str | None = None,
        start_at: datetime | str | None = None,
        state: str = "present",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.filter = filter
        self.fetch_xml = fetch_xml
        self.saved_query = saved_query
        self.user_query = user_query
        self.whole_table = whole_table
        self.job_name = job_name
        self.max_failures = max_failures
        self.recycle = recycle
        self.fast = fast
        self.recurrence = recurrence
        self.start_at = start_at
        self.state = state

    def arguments(self) -> Sequence[Any]:
        query = (self.table, self.filter, self.fetch_xml, self.saved_query, self.user_query)
        return (*map(str, query), self.recycle, self.fast)

    def find(self, client: Client, context: Context) -> Job | None:
        if self.recurrence:
            return None
        mine, clears = run_name(context, self.job_name), self._clears(context)
        job = client.jobs.find(f"{mine}{clears}", done=True)
        if job is None or (job.done and not job.succeeded):
            job = client.jobs.find(mine, longer=True) or job
        return job

    def _clears(self, context: Context) -> str:
        """Return what tells the jobs of a cleared task from those before: Airflow then grants as many tries again."""
        tries = context["ti"].max_tries - (self.retries or 0)
        return f" from try {tries + 1}" if tries > 0 else ""

    def start(self, client: Client, context: Context) -> Started:
        from airflow_provider_dynamics.dataverse import Started

        name = f"{run_name(context, self.job_name)}{self._clears(context)}"
        return Started(self._begun(client, name), "system", {})

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        """See to it that there is one recurring job, or none; None where the job is to run once."""
        one_of("state", self.state, ("present", "absent"))
        if not self.recurrence:
            if self.state == "absent":
                raise AirflowFailException(
                    "state is 'absent': give the recurrence of the job to be removed, too."
                )
            return None
        known = client.jobs.going_on(f"{self.job_name} [")
        name = f"{self.job_name} [{self._digest()}]"
        same = (
            [job for job in known if job.name == name and not job.ending] if self.state == "present" else []
        )
        for job in known:
            if job not in same and not job.ending:
                self.log.info("Taking the %s away.", job)
                client.jobs.cancel(job.id, job.kind)
        told = {"name": name, "recurrence": self.recurrence}
        if same:
            self.log.info("The %s is there already.", same[0])
            return {"job_id": same[0].id, "status": "unchanged", **told}
        if self.state == "absent":
            return {"job_id": None, "status": "removed" if known else "unchanged", **told}
        job_id = self._begun(client, name, recurrence=self.recurrence, start_at=self._moment())
        self.log.info("The job %r (%s) repeats by %s.", name, job_id, self.recurrence)
        return {"job_id": job_id, "status": "scheduled", **told}

    def _begun(self, client: Client, name: str, **timing: Any) -> str:
        source = source_of(
            self.table,
            filter=self.filter,
            fetch_xml=self.fetch_xml,
            saved_query=self.saved_query,
            user_query=self.user_query,
        )
        try:
            return client.jobs.start_bulk_delete(
                source,
                name=name,
                whole_tables=self.whole_table,
                recycle=self.recycle,
                fast=self.fast,
                options=self.options(),
                **timing,
            )
        except (ValueError, TypeError) as error:
            raise AirflowFailException(f"{error}.") from error

    def _digest(self) -> str:
        """Return what tells one description of a recurring job from the next, to be part of its name."""
        told = json.dumps([*self.arguments(), self.recurrence, str(self.start_at or "")], default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def _moment(self) -> datetime | None:
        if not self.start_at or isinstance(self.start_at, datetime):
            return self.start_at or None
        try:
            return datetime.fromisoformat(str(self.start_at).replace("Z", "+00:00"))
        except ValueError:
            raise AirflowFailException(
                f"start_at is {self.start_at!r}: give a moment such as 2026-01-31T03:00:00Z."
            ) from None

    def left_by(self, client: Client, job: Job) -> str:
        from airflow_provider_dynamics.dataverse.errors import DataverseError

        try:
            done = client.jobs.deletions(job.id)
        except DataverseError as error:
            return f"How many rows it has deleted before is not known: {error}"
        return f"Before, it deleted {done.deleted:,} rows and could not delete {done.failed:,}"

    def finished(self, client: Client, job: Job) -> dict[str, Any]:
        """Return what was deleted.

        :raises AirflowFailException: more rows than ``max_failures`` could not be deleted
        """
        done = client.jobs.deletions(job.id)
        self.log.info(
            "The %s has deleted %s rows and failed at %s.", job, f"{done.deleted:,}", f"{done.failed:,}"
        )
        if self.max_failures is not None and done.failed > self.max_failures:
            why = "; ".join(f"{one['row_id']}: {one['message']}" for one in done.failures[:3])
            raise AirflowFailException(
                f"The {job} deleted {done.deleted:,} rows and could not delete {done.failed:,}: {why or 'nobody says why'}. "
                "Correct that, or raise max_failures."
            )
        return {
            "job_id": job.id,
            "name": job.name,
            "status": job.status,
            "deleted": done.deleted,
            "failed": done.failed,
            "failures": [dict(one) for one in done.failures],
        }
