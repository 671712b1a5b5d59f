"""The steps that are registered, and what runs at them: an ``Update`` of an account is posted to a webhook.

The pipelines of single and bulk messages are one: a step at Create runs for every row of a CreateMultiple, a step at
CreateMultiple once for all of them, and for the one row of a Create.
https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations#message-processing-pipelines-merged and
https://learn.microsoft.com/power-apps/developer/data-platform/special-update-operation-behavior
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.jobs.job import SYSTEM_JOB, Job
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.webhooks.address import Address, address_of
from airflow_provider_dynamics.emulator.webhooks.execution_context import NO_ID, Occasion, Registered, context
from airflow_provider_dynamics.emulator.webhooks.posting import Message, Webhooks
from airflow_provider_dynamics.emulator.writing.happenings import MULTIPLE, Happening
from airflow_provider_dynamics.emulator.writing.plugins import passes_by

POST_OPERATION = 40
_SYSTEM_EVENT = 1  # operationtype
_ENABLED = 0
# Fields for which the pipeline of Update runs a second time, after the others'.
_APART: Mapping[str, frozenset[str]] = {
    "systemuser": frozenset({"businessunitid", "parentsystemuserid"}),
    "team": frozenset({"businessunitid"}),
    "businessunit": frozenset({"parentbusinessunitid"}),
}
_STATE = frozenset({"statecode", "statuscode"})
_STATE_OF_STEPS = 'SELECT count(*), max(versionnumber) FROM "sdkmessageprocessingstep"'


@dataclass(frozen=True)
class Step:
    """One enabled step: when it runs, and whom it posts to."""

    registered: Registered
    table: str | None
    endpoint_id: str
    filtering: frozenset[str]
    auto_delete: bool

    def runs_for(self, table: Table, message: str) -> bool:
        """Whether it is registered for a message of a table."""
        return self.registered.message == message and self.table in {None, table.name}

    def lets(self, happening: Happening) -> bool:
        """Whether one of the columns it is filtered by is among those that were given."""
        if not self.filtering or happening.message != "Update":
            return True
        return not self.filtering.isdisjoint(happening.given)


class Steps:
    """Runs the steps of one environment; the writer tells it what happens."""

    def __init__(self, store: Store, jobs: Jobs, webhooks: Webhooks) -> None:
        self._store = store
        self._jobs = jobs
        self._webhooks = webhooks
        self._known: tuple[tuple[Any, ...] | None, tuple[Step, ...]] = (None, ())
        self._gathered: list[Happening] | None = None
        self._occasion: tuple[Call | None, Occasion | None] = (None, None)

    def forget(self) -> None:
        """The rows of steps are others now."""
        self._known = (None, ())

    # -- what the writer tells ----------------------------------------------------------------------

    def listens(self, table: Table, message: str) -> bool:
        """Whether a step is registered for it, alone or in bulk."""
        if not table.creatable:
            return False  # what the service writes down by itself, such as how its jobs go
        messages = (message, MULTIPLE.get(message, ""))
        return any(step.runs_for(table, one) for step in self._all() for one in messages)

    def before(self, call: Call, happenings: Sequence[Happening]) -> None:
        """Run what is registered before the main operation, which only synchronous steps are."""
        for happening in happenings:
            self._run_single(call, happening, before=True)

    def after(self, call: Call, happenings: Sequence[Happening]) -> None:
        """Run what is registered after the main operation, and note what is to run after the commit."""
        parts = [part for one in happenings for part in _parts(one)]
        for part in parts:
            self._run_single(call, part, before=False)
        if self._gathered is not None:
            self._gathered += parts
        else:
            self._run_bulk(call, parts)

    @contextmanager
    def together(self, call: Call, table: Table) -> Iterator[None]:
        """Run the steps of bulk messages once for everything that happens inside."""
        if self._gathered is not None or not any(self.listens(table, name) for name in MULTIPLE):
            yield
            return
        self._gathered = []
        try:
            yield
            gathered = self._gathered
        finally:
            self._gathered = None
        self._run_bulk(call, gathered)

    # -- running ------------------------------------------------------------------------------------

    def _run_single(self, call: Call, happening: Happening, *, before: bool) -> None:
        for step in self._of(happening.table, happening.message):
            if (step.registered.stage < POST_OPERATION) == before and step.lets(happening):
                self._run(call, step, [happening])

    def _run_bulk(self, call: Call, happenings: Sequence[Happening]) -> None:
        for single, bulk in MULTIPLE.items():
            for table in {one.table.name: one.table for one in happenings}.values():
                rows = [one for one in happenings if (one.message, one.table.name) == (single, table.name)]
                for step in self._of(table, bulk):
                    let = [one for one in rows if step.lets(one)]
                    if let:
                        self._run(call, step, let)

    def _run(self, call: Call, step: Step, happenings: Sequence[Happening]) -> None:
        if passes_by(call, step.registered.step_id, asynchronous=step.registered.asynchronous):
            return
        job = self._job(call, step, happenings) if step.registered.asynchronous else None
        occasion = self._occasion_of(call)
        operation_id = job.job_id if job else NO_ID
        first = happenings[0]
        content = context(step.registered, occasion, happenings, operation_id)
        message = Message(
            address=lambda: self._address(step.endpoint_id),
            content=content,
            headers=_headers(call, step, first, occasion),
            about={
                "message": step.registered.message,
                "table": first.table.name,
                "row_id": content["PrimaryEntityId"],
                "mode": step.registered.mode,
            },
        )
        if job is None:
            self._webhooks.post(message)
        else:
            self._store.after_commit(lambda: self._webhooks.post_later(message, job))

    def _job(self, call: Call, step: Step, happenings: Sequence[Happening]) -> Job:
        first = happenings[0]
        values: dict[str, Any] = {
            "name": step.registered.name,
            "operationtype": _SYSTEM_EVENT,
            "messagename": step.registered.message,
            "primaryentitytype": first.table.name,
            "owningextensionid": step.registered.step_id,
        }
        if any(
            target.table == first.table.name for target in SYSTEM_JOB.by_name["regardingobjectid"].targets
        ):
            values |= {"regardingobjectid": first.row_id, "regardingobjectid__type": first.table.name}
        values["correlationid"] = self._occasion_of(call).correlation_id
        return self._jobs.start_beside(call, values, stays=not step.auto_delete)

    def _address(self, endpoint_id: str) -> Address:
        endpoint = self._store.row(TABLES["serviceendpoint"], endpoint_id)
        if endpoint is None:
            raise Fault(400, "0x80040217", f"serviceendpoint With Id = {endpoint_id} Does Not Exist")
        return address_of(endpoint, anywhere=self._webhooks.anywhere)

    def _occasion_of(self, call: Call) -> Occasion:
        """The same for everything that one request does."""
        known, occasion = self._occasion
        if known is not call or occasion is None:
            sql = SQL["organization"]
            found = self._store.one(sa.select(sql.c.organizationid, sql.c.name)) or (NO_ID, "")
            occasion = Occasion(call.caller, call.now, str(uuid.uuid4()), found, str(uuid.uuid4()))
            self._occasion = (call, occasion)
        return occasion

    # -- which steps there are ----------------------------------------------------------------------

    def _of(self, table: Table, message: str) -> list[Step]:
        return [step for step in self._all() if step.runs_for(table, message)]

    def _all(self) -> tuple[Step, ...]:
        """Every enabled step in the order they run, read again when one has changed."""
        state = self._store.read(_STATE_OF_STEPS)[0]
        if state != self._known[0]:
            self._known = (state, tuple(self._read()))
        return self._known[1]

    def _read(self) -> Iterator[Step]:
        step, message, kind = SQL["sdkmessageprocessingstep"], SQL["sdkmessage"], SQL["sdkmessagefilter"]
        joined = step.join(message, message.c.sdkmessageid == step.c.sdkmessageid).outerjoin(
            kind, kind.c.sdkmessagefilterid == step.c.sdkmessagefilterid
        )
        columns = (
            step.c.sdkmessageprocessingstepid,
            step.c.name,
            message.c.name,
            step.c.stage,
            step.c.mode,
            step.c.impersonatinguserid,
            kind.c.primaryobjecttypecode,
            step.c.eventhandler,
            step.c.filteringattributes,
            step.c.asyncautodelete,
        )
        found = sa.select(*columns).select_from(joined).where(step.c.statecode == _ENABLED)
        for row in self._store.fetch(found.order_by(step.c.stage, step.c.rank, step.c.sdkmessagefilterid)):
            names = frozenset(filter(None, (name.strip().lower() for name in (row[8] or "").split(","))))
            yield Step(Registered(*row[:6]), row[6], row[7], names, bool(row[9]))


def _parts(happening: Happening) -> list[Happening]:
    """One, or two for an update of state or owner fields beside others: the pipeline runs once for either."""
    if happening.message != "Update":
        return [happening]
    apart = _STATE | _APART.get(happening.table.name, frozenset())
    there = apart.intersection(happening.given)
    if not there or there == happening.given.keys():
        return [happening]
    others = {name: value for name, value in happening.given.items() if name not in there}
    return [
        replace(happening, given=others),
        replace(happening, given={name: happening.given[name] for name in there}),
    ]


def _headers(call: Call, step: Step, happening: Happening, occasion: Occasion) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "x-ms-dynamics-organization": urlsplit(call.root).netloc,
        "x-ms-dynamics-entity-name": happening.table.name,
        "x-ms-dynamics-request-name": step.registered.message,
        "x-ms-correlation-request-id": occasion.correlation_id,
    }
