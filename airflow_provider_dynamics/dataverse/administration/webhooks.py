"""Webhooks registered in Dataverse: listed, made as they are wanted, made right again, and taken away.

https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/sdkmessageprocessingstep
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.endpoints import (
    LONGEST_NAME,
    MESSAGES,
    Mode,
    Registration,
    Step,
    Webhook,
    authvalue,
    check_name,
    check_url,
)
from airflow_provider_dynamics.dataverse.metadata.table import did_you_mean
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.pages import walk
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Webhooks"]

_WEBHOOK = 8  # contract
_HTTP_HEADER = 5  # authtype
_POST_OPERATION = 40  # stage
_MODES: Mapping[Mode, int] = {"synchronous": 0, "asynchronous": 1}
_ENDPOINT_COLUMNS = "serviceendpointid,name,url,authtype,isauthvalueset"
_STEP_COLUMNS = "sdkmessageprocessingstepid,filteringattributes,mode,stage,statecode"
_STEP_EXPAND = "sdkmessageid($select=name),sdkmessagefilterid($select=primaryobjecttypecode)"


class Webhooks:
    """The webhooks of one environment. Safe to use from several threads."""

    def __init__(self, transport: Sender, tables: Tables, environment: str, stop: Stop) -> None:
        self._transport, self._tables = transport, tables
        self._environment, self._stop = environment, stop

    def all(self, name: str | None = None) -> list[Webhook]:
        """Return all webhooks, or those of a name, with their steps."""
        where = f"contract eq {_WEBHOOK}"
        if name is not None:
            where += f" and name eq {odata.literal(name)}"
        found = self._rows("serviceendpoints", _ENDPOINT_COLUMNS, where)
        return [
            Webhook(
                one["serviceendpointid"],
                one["name"],
                one.get("url") or "",
                tuple(self._steps(one["serviceendpointid"])),
                key_is_set=bool(one.get("isauthvalueset", True)),
            )
            for one in found
        ]

    def register(self, name: str, url: str, key: str, steps: Iterable[Step]) -> Registration:
        """Let changes be posted to a URL: make the webhook of this name and its steps, or make them so.

        The steps of the tables that `steps` names are exactly those then; those of other tables stay as they
        are. The key is sent every time, as nobody can read which one is there. Doing it again changes nothing
        else. Raises UnknownTable, UnknownColumn, BadRequest for what nothing can be posted at or to.
        """
        wanted = self._checked(steps)
        body = {
            "name": check_name(name),
            "url": check_url(url, self._environment),
            "authtype": _HTTP_HEADER,
            "authvalue": authvalue(key),
        }
        there = self._one(name)
        bindings = {step.of: self._binding(step) for step in wanted}  # before anything is written
        if there is None:
            row_id = self._made_here(name)
            fixed = {"serviceendpointid": row_id, "contract": _WEBHOOK}
            self._create("serviceendpoints", body, fixed)
            there = Webhook(row_id, name, url)
            return self._settle(there, wanted, bindings, "created")
        self._update(f"serviceendpoints({there.row_id})", body)
        return self._settle(there, wanted, bindings, "updated")

    def remove(self, name: str, tables: Iterable[str] = ()) -> Registration:
        """Let nothing be posted any more for these tables, or for any: take the steps away, and then the webhook that has none left."""
        there, chosen = self._one(name), {table.lower() for table in tables}
        if there is None:
            return Registration(name, "absent")
        doomed = [step for step in there.steps if not chosen or step.table in chosen]
        for step in doomed:
            self._delete(f"sdkmessageprocessingsteps({step.row_id})")
        kept = len(doomed) < len(there.steps)
        if not kept:
            self._delete(f"serviceendpoints({there.row_id})")
        return Registration(name, "kept" if kept else "removed", removed=tuple(map(str, doomed)))

    def _settle(
        self,
        there: Webhook,
        wanted: Sequence[Step],
        bindings: Mapping[tuple[str, str], Row],
        endpoint: Literal["created", "updated"],
    ) -> Registration:
        """Make the steps of the wanted steps' tables the wanted ones."""
        tables = {step.table for step in wanted}
        held: dict[tuple[str, str], Step] = {}
        doomed: list[Step] = []
        asked = {step.of for step in wanted}
        for step in there.steps:
            if step.table not in tables:
                continue
            if step.of in asked and step.of not in held:
                held[step.of] = step
            else:
                doomed.append(step)
        done: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": []}
        for step in wanted:
            done[self._ensure(step, held.get(step.of), there, bindings[step.of])].append(str(step))
        for step in doomed:
            self._delete(f"sdkmessageprocessingsteps({step.row_id})")
        return Registration(
            there.name,
            endpoint,
            removed=tuple(map(str, doomed)),
            **{what: tuple(steps) for what, steps in done.items()},
        )

    def _ensure(self, step: Step, held: Step | None, there: Webhook, binding: Row) -> str:
        body: Row = {
            "filteringattributes": ",".join(sorted(step.columns)) or None,
            "mode": _MODES[step.mode],
            "stage": _POST_OPERATION,
            "asyncautodelete": step.mode == "asynchronous",  # jobs that have succeeded would fill the table
        }
        if held is not None and held == replace(step, message=held.message):  # messages have no case
            return "unchanged"
        if held is not None:
            self._update(
                f"sdkmessageprocessingsteps({held.row_id})", {**body, "statecode": 0, "statuscode": 1}
            )
            return "updated"
        fixed: Row = {
            "sdkmessageprocessingstepid": self._made_here(there.row_id, *step.of),
            "name": f"{there.name}: {step}"[:LONGEST_NAME],
            "description": "Posts changes to Apache Airflow",
            "rank": 1,
            "supporteddeployment": 0,
            "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({there.row_id})",
        }
        self._create("sdkmessageprocessingsteps", body, {**fixed, **binding})
        return "created"

    # -- what is asked for

    def _checked(self, steps: Iterable[Step]) -> list[Step]:
        """Return steps whose tables and columns exist, each once; raises UnknownTable, UnknownColumn, BadRequest."""
        wanted: dict[tuple[str, str], Step] = {}
        for step in steps:
            table = self._tables.whole(step.table)
            if step.columns and step.message.lower() != "update":
                raise errors.BadRequest(
                    f"Columns narrow Update only, and this is {step}", remedy="Leave the columns out."
                )
            table.wire_names(sorted(step.columns))
            wanted[step.of] = step
        if not wanted:
            raise errors.BadRequest("There is no step to register", remedy="Name tables and messages.")
        return list(wanted.values())

    def _binding(self, step: Step) -> Row:
        """Return what ties a step to its message and table; raises BadRequest where there is no such message, or no step on it."""
        message = self._message(step.message)
        where = f"_sdkmessageid_value eq {message} and primaryobjecttypecode eq {odata.literal(step.table)}"
        found = self._rows("sdkmessagefilters", "sdkmessagefilterid,iscustomprocessingstepallowed", where)
        if not found or not found[0].get("iscustomprocessingstepallowed", True):
            raise errors.BadRequest(
                f"Nothing can be registered at {step}",
                remedy="Watch the table instead (DynamicsChangesTrigger), or choose another message.",
            )
        return {
            "sdkmessageid@odata.bind": f"/sdkmessages({message})",
            "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({found[0]['sdkmessagefilterid']})",
        }

    def _message(self, name: str) -> str:
        found = self._rows("sdkmessages", "sdkmessageid", f"name eq {odata.literal(name)}")
        if not found:
            raise errors.BadRequest(
                f"There is no message {name!r}",
                remedy=did_you_mean(name, MESSAGES) or f"Use {', '.join(MESSAGES)}.",
            )
        row_id: str = found[0]["sdkmessageid"]
        return row_id

    # -- what is there

    def _one(self, name: str) -> Webhook | None:
        found = self.all(name)
        if len(found) > 1:
            ids = ", ".join(sorted(one.row_id for one in found))
            raise errors.BadRequest(
                f"There are {len(found)} webhooks called {name!r} ({ids})",
                remedy="Delete all but one, or register under another name.",
            )
        return found[0] if found else None

    def _steps(self, endpoint_id: str) -> Iterable[Step]:
        where = f"_eventhandler_value eq {endpoint_id}"
        for one in self._rows("sdkmessageprocessingsteps", _STEP_COLUMNS, where, _STEP_EXPAND):
            columns = (one.get("filteringattributes") or "").split(",")
            synchronous, wrong_stage = one.get("mode") == 0, one.get("stage") != _POST_OPERATION
            yield Step(
                ((one.get("sdkmessagefilterid") or {}).get("primaryobjecttypecode") or "none").lower(),
                (one.get("sdkmessageid") or {}).get("name") or "",
                frozenset(name.strip() for name in columns if name.strip()),
                "synchronous" if synchronous else "asynchronous",
                enabled=one.get("statecode") == 0 and not wrong_stage,
                row_id=one["sdkmessageprocessingstepid"],
            )

    def _rows(self, entity_set: str, select: str, where: str, expand: str | None = None) -> list[Row]:
        target = f"{entity_set}{odata.options({'$select': select, '$filter': where, '$expand': expand})}"
        pages = walk(self._transport, Request("GET", target), stop=self._stop, ahead=False)
        return [row for page in pages for row in page.rows]

    def _made_here(self, *parts: str) -> str:
        """Return an id that is the same whenever it is made of the same, so that two that register make one row."""
        return str(uuid5(NAMESPACE_URL, "\n".join((self._environment.lower(), *parts))))

    # -- writing

    def _create(self, entity_set: str, row: Row, fixed: Row) -> None:
        """Make a row with an id that was made here; one that is there already is made so, but for what is `fixed`."""
        body = odata.encode({**row, **fixed})
        try:
            self._transport.send(Request("POST", entity_set, body=body, repeatable=True), self._stop)
        except errors.DuplicateKey:  # made meanwhile: by a request whose answer was lost, or by somebody else
            (row_id,) = (value for name, value in fixed.items() if name == f"{entity_set[:-1]}id")
            self._update(f"{entity_set}({row_id})", row)

    def _update(self, address: str, row: Row) -> None:
        headers = {"If-Match": "*"}  # without it a row that is gone would be made anew
        self._transport.send(
            Request("PATCH", address, headers, odata.encode(row), repeatable=True), self._stop
        )

    def _delete(self, address: str) -> None:
        try:
            self._transport.send(Request("DELETE", address, repeatable=True), self._stop)
        except errors.RowNotFound:
            return
