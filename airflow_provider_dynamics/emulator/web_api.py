"""The Dataverse Web API under /api/data/v9.x/, in process: a request goes in, a response comes out.

This is the door to the emulator's data side; the wire side (TLS, tokens, $batch) calls it. Public here:
``WebApi`` (``handle``, ``transaction``, ``reset``, ``seed``, ``rows``, ``expire_delta_tokens``, ``faults``),
``DataFaults`` and ``Poison`` (the switches), ``APPLICATION_ID`` is in ``seed.identities``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from typing import Any

from airflow_provider_dynamics.emulator.address import Segment, split_path
from airflow_provider_dynamics.emulator.call import Call, Prefer, make_call, no_content, parse_prefer, reply
from airflow_provider_dynamics.emulator.callers import Callers
from airflow_provider_dynamics.emulator.customizing.routes import Customizing
from airflow_provider_dynamics.emulator.customizing.workshop import Workshop
from airflow_provider_dynamics.emulator.deployment import CLOUD, CLOUD_ACTIONS, Deployment, schema_of
from airflow_provider_dynamics.emulator.elastic import expire, partition_of, refuse_paths
from airflow_provider_dynamics.emulator.error_body import refusal
from airflow_provider_dynamics.emulator.files.columns import Files
from airflow_provider_dynamics.emulator.files.contents import FileContents
from airflow_provider_dynamics.emulator.files.messages import FileMessages
from airflow_provider_dynamics.emulator.functions import Functions
from airflow_provider_dynamics.emulator.jobs.background import MONITOR, Background
from airflow_provider_dynamics.emulator.jobs.bulk_delete import BulkDelete
from airflow_provider_dynamics.emulator.jobs.goals import Goals
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.jobs.rollups import Rollups
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Request, Response
from airflow_provider_dynamics.emulator.metadata.definitions import ROOTS, metadata, service_document
from airflow_provider_dynamics.emulator.operation_paths import BOUND, OperationPaths
from airflow_provider_dynamics.emulator.operations import Operations, Rooms
from airflow_provider_dynamics.emulator.operations.standard import STANDARD
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.queries import Queries
from airflow_provider_dynamics.emulator.querying.aggregates import QueryLimits
from airflow_provider_dynamics.emulator.querying.changes import Changes, is_tracking
from airflow_provider_dynamics.emulator.querying.query import (
    Reader,
    Source,
    no_segment,
    one_partition,
    related,
    whole_table,
)
from airflow_provider_dynamics.emulator.schema import BY_SET, TABLES, Table
from airflow_provider_dynamics.emulator.schema.security import USER_ROLES
from airflow_provider_dynamics.emulator.seed import fill
from airflow_provider_dynamics.emulator.seed.identities import CONTOSO, Organization
from airflow_provider_dynamics.emulator.solutions.routes import Solutions
from airflow_provider_dynamics.emulator.store import MOST_KEPT, Store
from airflow_provider_dynamics.emulator.switches import DataFaults, Poison
from airflow_provider_dynamics.emulator.webhooks.posting import Webhooks
from airflow_provider_dynamics.emulator.webhooks.step_rules import StepRules
from airflow_provider_dynamics.emulator.webhooks.steps import Steps
from airflow_provider_dynamics.emulator.writing.bulk import NAMES, Bulk
from airflow_provider_dynamics.emulator.writing.duplicates import Duplicates
from airflow_provider_dynamics.emulator.writing.plugins import check_bypass
from airflow_provider_dynamics.emulator.writing.references import References
from airflow_provider_dynamics.emulator.writing.rows import Place, Rows, method_not_allowed
from airflow_provider_dynamics.emulator.writing.writer import Writer

__all__ = ["DataFaults", "Poison", "WebApi"]

_log = logging.getLogger(__name__)
_PATH = re.compile(
    r"(?P<root>(?:/[^/]+)?/api/data/v(?P<version>[89]\.[012]))(?:/(?P<resource>.*))?", re.DOTALL
)


def _source(table: Table, call: Call) -> Source:
    """The rows of a table, or of one partition of an elastic one."""
    refuse_paths(table, call.options)
    partition = partition_of(table, call)
    return whole_table(table) if partition is None else one_partition(table, partition)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class WebApi:
    """Everything under /api/data/ except $batch. Safe to call from several threads at once.

    ``seed`` is "sample", or "empty" (or None) for the platform's own rows only; ``rows`` grows tables to a
    total number of rows, ``created`` "evenly" over three years or "skewed". ``now`` is the clock of the service,
    ``deployment`` where it runs: on premises it lacks what only the cloud has.
    Up to ``most_kept`` bytes of rows are kept a second time, so that a reset takes no time.
    """

    def __init__(
        self,
        seed: str | None = "sample",
        rows: Mapping[str, int] | None = None,
        *,
        created: str = "evenly",
        most_kept: int = MOST_KEPT,
        now: Callable[[], datetime] = _utc_now,
        organization: Organization = CONTOSO,
        deployment: Deployment = CLOUD,
    ) -> None:
        self.faults = DataFaults(on_premises=deployment.on_premises)
        self.organization, self.deployment = organization, deployment
        self._now = now
        self._store = Store(most_kept, schema_of(deployment))
        self.query_limits = QueryLimits()
        self._reader = Reader(self._store, self.faults)
        self._writer = Writer(self._store, self.faults)
        self._rows = Rows(self._store, self._writer, self._reader)
        self._bulk = Bulk(self._store, self._writer)
        self._changes = Changes(self._store, self.faults)
        self._functions = Functions(self._store)
        self._callers = Callers(self._store)
        self._privileges = Privileges(self._store, self.faults)
        self._writer.need = self._privileges.need
        self._references = References(self._writer, self._reader, self._privileges, self._rows.place)
        self.files = Files(FileContents(self._store, self._writer, self.faults))
        rooms = Rooms(self._store, self._writer, self._reader, self._privileges)
        standard = [one for one in STANDARD if not (deployment.on_premises and one.name in NAMES)]
        self.operations = Operations(rooms, (*standard, *self._functions.operations()))
        bulk = None if deployment.on_premises else self._bulk
        self._paths = OperationPaths(self.operations, bulk, self._privileges)
        self._queries = Queries(self._store, self._reader, self._privileges, self.faults, self.query_limits)
        self.jobs = Jobs(self._store, self._writer, now)
        self.background = Background(self._store, self._writer, self.jobs)
        self.webhooks = Webhooks(self.jobs)
        self._steps = Steps(self._store, self.jobs, self.webhooks)
        self.operations.later = None if deployment.on_premises else self.background.accept
        bulk_delete = BulkDelete(self._store, self._writer, self._queries, self._privileges, self.jobs)
        self.customizing = Customizing(Workshop(rooms, self.jobs))
        self.solutions = Solutions(self.customizing)
        more = (
            *FileMessages(self.files).operations(),
            *bulk_delete.operations(),
            *self.customizing.operations(),
            *self.solutions.operations(),
            *Rollups(rooms).operations(),
            *Goals(rooms).operations(),
        )
        for operation in more:
            if not (deployment.on_premises and operation.name in CLOUD_ACTIONS):
                self.operations.add(operation)
        rules = StepRules(self._store, self.webhooks)
        self._writer.rules |= {"serviceendpoint": rules.endpoint, "sdkmessageprocessingstep": rules.step}
        self._writer.told = self._steps
        self._fill(seed, dict(rows or {}), created)

    # -- requests -----------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Answer one request; a refusal is a response too."""
        with self.entered():
            return self._handled(request)

    def _handled(self, request: Request) -> Response:
        try:
            self.jobs.catch_up()
            return self._answer(request)
        except Fault as fault:
            return refusal(fault, parse_prefer(request.headers.get("prefer", "")))
        except RecursionError:
            return refusal(NotEmulated("a query nested this deeply"), Prefer())
        except Exception:  # noqa: BLE001 - the service never breaks off either: it says 0x80040216
            _log.exception("The emulator failed on %s %s", request.method, request.path)
            return refusal(Fault(500, "0x80040216", "An unexpected error occurred."), Prefer())

    def _answer(self, request: Request) -> Response:
        if found := MONITOR.fullmatch(request.path):
            return self.background.monitor(request, found["id"])
        match = _PATH.fullmatch(request.path)
        if match is None or match["version"] not in self.deployment.versions:
            raise Fault(404, "0x8006088a", f"Resource not found for the segment '{request.path}'.")
        root = request.origin + match["root"]
        call = make_call(
            request,
            root,
            match["resource"] or "",
            self._now(),
            self._callers.of(request.headers, request.principal),
        )
        self._check_caller(call)
        segments = split_path(call.resource)
        return self._at(call, segments) if segments else service_document(call)

    def _at(self, call: Call, segments: Sequence[Segment]) -> Response:
        if segments[0].name == "$batch":
            raise NotEmulated("$batch in process")
        if segments[0].name == "$metadata":
            return self._paths.document(call)
        if self.customizing.serves(call, segments):
            return self.customizing.answer(call, segments)
        if segments[0].name in ROOTS:
            return metadata(call, segments)
        table = BY_SET.get(segments[0].name)
        if table is None:
            return self._paths.unbound(call, segments)
        if table.elastic:
            expire(self._store, table, call.now)
        if segments[0].inside is None:
            return self._on_set(call, table, segments[1:])
        with self._store.lock if call.method == "GET" else self._store.transaction():
            return self._on_row(call, self._rows.place(call, table, segments[0]), segments[1:])

    def _check_caller(self, call: Call) -> None:
        """Refuse impersonation and bypassing to who may not."""
        if call.caller.on_behalf_of:
            self._privileges.need_of(call.caller.on_behalf_of, call, "prvActOnBehalfOfAnotherUser")
        check_bypass(call, self._privileges)

    def _on_set(self, call: Call, table: Table, rest: Sequence[Segment]) -> Response:
        if rest and rest[0].name.startswith(BOUND):
            return self._paths.on_set(call, table, rest[0])
        if call.method == "POST" and not rest:
            self._privileges.need(call, table, "Create")
            return self._rows.create(call, table)
        if call.method != "GET":
            raise method_not_allowed(call.method)
        self._privileges.need(call, table, "Read")
        self._privileges.need_related(call, table)
        if not rest:
            return (
                self._changes.read(call, table)
                if is_tracking(call)
                else self._queries.collection(call, _source(table, call))
            )
        if rest[0].name == "$count" and len(rest) == 1:
            if "$deltatoken" in call.options:
                return self._changes.count(call, table)
            return self._reader.count(call, _source(table, call))
        raise no_segment(rest[0].name)

    def _on_row(self, call: Call, place: Place, rest: Sequence[Segment]) -> Response:
        if not rest:
            return self._whole_row(call, place)
        if rest[0].name.startswith(BOUND):
            return self._paths.on_row(call, place, rest)
        self._paths.check_name(place.table, rest[0])
        if len(rest) == 2 and rest[1].name == "$ref" and call.method != "GET":
            return self._reference(call, place, rest[0])
        if call.method != "GET":
            self._privileges.need(call, place.table, "Write")
        if self.files.serves(call, place.table, rest):
            self._privileges.need(call, place.table, "Read" if call.method == "GET" else "Write")
            return self.files.answer(call, place, rest[0].name)
        if call.method == "GET":
            return self._below(call, place, rest)
        return self._property(call, place, rest)

    def _property(self, call: Call, place: Place, rest: Sequence[Segment]) -> Response:
        if len(rest) == 1 and call.method == "PUT":
            return self._rows.put_property(call, place, rest[0].name)
        if len(rest) == 1 and call.method == "DELETE":
            return self._rows.delete_property(call, place, rest[0].name)
        raise NotEmulated(f"{call.method} below a row")

    def _reference(self, call: Call, place: Place, segment: Segment) -> Response:
        answer = self._references.answer(call, place, segment)
        if segment.name == USER_ROLES.relationship:
            self._privileges.forget()
        return answer

    def _whole_row(self, call: Call, place: Place) -> Response:
        verbs = {"GET": "Read", "PATCH": "Write" if place.row_id else "Create", "DELETE": "Delete"}
        if call.method in verbs:
            self._privileges.need(call, place.table, verbs[call.method])
        if call.method == "GET":
            self._privileges.need_related(call, place.table)
            return self._reader.row(call, place.table, place.existing())
        if call.method == "PATCH":
            if place.row_id:
                self._privileges.need_to_assign(call, place.table)
            return self._rows.patch(call, place)
        if call.method == "DELETE":
            return self._rows.delete(call, place)
        raise method_not_allowed(call.method)

    def _below(self, call: Call, place: Place, rest: Sequence[Segment]) -> Response:
        name, last = rest[0].name, rest[-1].name if len(rest) > 1 else ""
        self._privileges.need(call, place.table, "Read")
        row_id = place.existing()
        if name in place.table.by_wire:
            if last not in {"", "$value"}:
                raise no_segment(last)
            return self._reader.value(call, place.table, row_id, name, raw=last == "$value")
        navigation = self._reader.follow(place.table, name)
        if navigation.is_collection:
            source = related(place.table, row_id, navigation)
            self._privileges.need(call, source.table, "Read")
            self._privileges.need_related(call, source.table)
            answers = {
                "": self._queries.collection,
                "$count": self._reader.count,
                "$ref": self._reader.references,
            }
            if last not in answers or len(rest) > 2:
                raise NotEmulated(f"the path below {name}")
            return answers[last](call, source)
        found = self._reader.pointer(place.table, row_id, navigation)
        if found is None:
            return no_content()
        table, key = found
        if last == "$ref":
            link = {
                "@odata.context": call.context("$ref"),
                "@odata.id": f"{call.root}/{table.set_name}({key})",
            }
            return reply(200, link)
        return self._on_row(call, Place(table, key, {}, key), rest[1:])

    # -- control ------------------------------------------------------------------------------------

    def entered(self) -> AbstractContextManager[None]:
        """What is done inside knows this environment's tables; requests enter by themselves."""
        return self._store.schemas.entered()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All ``handle`` calls of this thread inside commit together; an exception rolls them all back.

        ``handle`` answers refusals instead of raising: raise yourself when a response is an error.
        """
        try:
            with self.entered(), self._store.transaction():
                yield
        except BaseException:
            # What was learnt of rows that are not there any more, or not yet again.
            for room in (self._writer, self._callers, self._privileges):
                room.forget()
            raise

    def reset(self) -> None:
        """Back to the rows given at construction or by the last ``seed``; the switches are left alone."""
        with (
            self.entered(),
            self._store.lock,
        ):  # no request sees the rows of now and what was learnt of those before
            if self._store.restore():
                self._forget()
            else:
                self._fill(*self._seeded)

    def seed(
        self, name: str | None, rows: Mapping[str, int] | None = None, *, created: str = "evenly"
    ) -> None:
        """Throw everything away and fill the tables anew; raises ValueError on an unknown seed or table."""
        self._fill(name, dict(rows or {}), created)

    def _fill(self, name: str | None, rows: Mapping[str, int], created: str) -> None:
        with self.entered(), self._store.transaction():
            self._store.clear()
            fill(self._store, name, rows, created, self.organization)
        self._seeded = name, rows, created
        self._store.keep()
        self._forget()

    def _forget(self) -> None:
        """Nothing that was learnt of the rows before holds."""
        self._writer.forget()
        self._changes.forget()
        self._callers.forget()
        self.files.forget()
        self.jobs.forget_open()
        self._steps.forget()
        self.solutions.forget()
        self._privileges.forget()
        self.operations.forget_custom()
        self._writer.duplicates.restore()

    @property
    def duplicates(self) -> Duplicates:
        """The published rules of duplicate detection."""
        return self._writer.duplicates

    def keep_counts(self, *, kept: bool) -> None:
        """Let RetrieveTotalRecordCount tell of this moment until it is no longer kept, as its snapshots do for a day."""
        self._functions.keep_counts(kept=kept)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table (by logical name), as the Web API shows it, without annotations.

        Raises KeyError when there is no such table.
        """
        with self.entered():
            self.jobs.catch_up()
            return self._reader.dump(TABLES[table])

    def expire_delta_tokens(self, table: str | None = None) -> None:
        """Every delta token handed out so far, or those of one table, is answered 0x80044352 from now on.

        Raises KeyError when there is no such table.
        """
        with self.entered():
            self._changes.expire(TABLES[table] if table else None)
