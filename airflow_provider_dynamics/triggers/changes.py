"""Watching a table: an event whenever rows change, for DAGs that are scheduled on the table's asset.

An event is a wake-up that names some rows: whoever is woken reads the changes with a cursor of its own. Airflow
starts a watcher that raises again within a second, without end, so this one never does.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.retry import Reason, reason_of
from airflow_provider_dynamics.triggers.looking import (
    MAX_BACKOFF,
    MAX_TRANSIENT_ERRORS,
    DynamicsClientTrigger,
)
from airflow_provider_dynamics.triggers.payloads import BATCH_SIZE, MAX_BATCH_SIZE
from airflow_provider_dynamics.triggers.places import Place, place_of
from airflow_provider_dynamics.triggers.tracking import Tracking
from airflow_provider_dynamics.triggers.versions import Versions
from airflow_provider_dynamics.triggers.watching import Looks, Step, Watch

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Condition

__all__ = ["MAX_EVENTS", "SETTLED_AFTER", "DynamicsChangesTrigger", "Means"]

Means = Literal["tracking", "versions"]

MAX_EVENTS = 20
"""Events of one look, unless somebody asks for more or fewer: Airflow keeps each in its database."""

SETTLED_AFTER = 10.0
"""Seconds after which Airflow has long written an event down, so that the place behind it may be stored."""

IDLE_SAVE = 600.0
"""Seconds after which a place is stored although nothing has happened: a link is good for a week."""

LASTING_PAUSE = 300.0
"""Least seconds until a sign-in that somebody has to repair is tried again; at most it is twice that."""

SHORTEST_PAUSE = 5.0

_LONGEST_NAME = 200  # characters; of a Variable's name they are 250


class DynamicsChangesTrigger(DynamicsClientTrigger, BaseEventTrigger):
    """Watch one table, in an ``AssetWatcher``: fire whenever rows were created, changed or deleted.

    An event is ``{"status": "success", "table", "environment", "source": "poll", "mode", "changes": [{"row_id",
    "operation": "upsert" | "delete"}], "count", "complete", "from", "to"}``. It names at most ``batch_size``
    changes; more become more events, at most ``max_events`` a look, the last of which counts what none of them
    names and has ``complete`` false. ``from`` and ``to`` are short names of the places between which the changes
    lie. After a restart of the triggerer an event may come twice, and none is lost. When the place was lost (the
    watcher rested for more than a week) ``mode`` is ``full``: read the whole table. ``assets.changed_rows`` reads
    these events in a DAG.

    Dataverse hands out the place from which changes can be followed only behind one reading of all ids, which the
    first look does page by page; the log says what it costs, and a restart goes on with the page it had reached.

    A problem never ends the watcher. It waits longer each time, five to ten minutes where somebody has to act,
    and keeps ``{"text", "kind", "code", "at", "next_try", …}`` under ``….last_error`` in the asset's state until
    all is well again.

    :param table: the table's logical name; it must track changes, or ``means`` be ``versions``
    :param select: columns whose values each change of a row brings along as ``row``. They are kept in Airflow's
        log and database; without it no value leaves Dynamics
    :param filter: OData ``$filter`` text, or a condition made with ``column(…)``: changed rows that do not match it
        are left out. It is asked of the rows as they are when they are looked at; deleted rows are always named
    :param start: ``now``, or a moment: rows modified since are named first, as if they had changed just now. One without
        a time zone is in UTC; a DAG file must name the same moment each time it is read
    :param batch_size: changes that an event names, up to 1000
    :param max_events: events that one look fires
    :param means: ``tracking`` follows the table's change tracking; ``versions`` its version numbers or times of
        change where it has none, and does not see deleted rows
    :param on_error: ``event`` also fires ``{"status": "error", …}``, once for each distinct problem that does not
        pass by itself, which ``assets.changed_rows`` turns into a failed task; ``log`` does not
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    """

    def __init__(
        self,
        *,
        table: str,
        select: Sequence[str] | None = None,
        filter: str | Condition | None = None,
        start: str | date = "now",
        batch_size: int = BATCH_SIZE,
        max_events: int = MAX_EVENTS,
        means: Means = "tracking",
        on_error: Literal["log", "event"] = "log",
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__(
            dynamics_conn_id=dynamics_conn_id, environment=environment, poll_interval=poll_interval
        )
        _check_words(on_error=(on_error, ("log", "event")), means=(means, get_args(Means)))
        _check_numbers(batch_size=(batch_size, MAX_BATCH_SIZE), max_events=(max_events, MAX_BATCH_SIZE))
        if poll_interval <= 0:
            raise ValueError(f"poll_interval is {poll_interval!r}: use seconds, such as 60.")
        if isinstance(select, str):
            raise TypeError(f"select takes a list of columns, not one text: select=[{select!r}].")
        self.table = table
        self.select = None if select is None else list(select)
        self.filter = _text_of(filter)
        self.start = _start_of(start)
        self.batch_size = batch_size
        self.max_events = max_events
        self.means: Means = means
        self.on_error = on_error
        self._looks: Looks | None = None
        self._place: Place | None = None
        self._reached: dict[str, Any] | None = None
        self._unsettled: deque[tuple[float, dict[str, Any]]] = deque()
        self._saved_at: float | None = None
        self._failures = 0
        self._told: list[str] | None = None  # the problem that an event has told of
        self._noted = True  # a last_error may be stored, perhaps by the triggerer before this one

    def _make_looks(self) -> Looks:
        watch = Watch(
            self.table,
            tuple(self.select or ()),
            self.filter,
            None if self.start == "now" else self.start,
            self.batch_size,
            self.max_events,
        )
        return Versions(watch, self.log) if self.means == "versions" else Tracking(watch, self.log)

    @property
    def place_key(self) -> str:
        """The name under which the place reached is stored: an asset may have several watchers."""
        return f"{self._key}.place"

    @property
    def error_key(self) -> str:
        """The name under which the last problem is stored."""
        return f"{self._key}.last_error"

    @property
    def _key(self) -> str:
        """Name whatever makes a watcher another one; how often it looks and how much an event names does not."""
        select = sorted(self.select or ())
        parts = [
            self.dynamics_conn_id,
            self.environment,
            self.table,
            select,
            self.filter,
            self.start,
            self.means,
        ]
        fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
        readable = f"{self.dynamics_conn_id}.{self.table}"[:_LONGEST_NAME]
        return f"{readable}.{fingerprint}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire for ever."""
        try:
            while True:
                try:
                    payloads, pause = await self._round()
                except Exception as error:  # noqa: BLE001 - raising would start it again at once, for ever
                    payloads, pause = await self._failed(error)
                for payload in payloads:
                    yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's
                await self.sleep(max(pause, 0.0))
        finally:
            await self.cleanup()

    async def _round(self) -> tuple[Sequence[dict[str, Any]], float]:
        """Go one step on; return events' payloads and how long to wait."""
        place = await self._opened()
        await self._save_settled(place)
        self._looks = self._looks or self._make_looks()
        step = await self._looks.step(self.ask, self._reached)
        await self._keep(place, step)
        await self._all_is_well(place)
        return step.events, 0.0 if step.more else self.poll_interval

    # --- what is remembered ------------------------------------------------------------------------------------

    async def _opened(self) -> Place:
        """Return where things are kept, having read from it once what another triggerer has left."""
        if self._place is None:
            place = await place_of(getattr(self, "asset_state_store", None), self.place_key)
            found = await place.aget(self.place_key)
            self._reached = found if isinstance(found, dict) else None
            known = await place.aget(self.error_key)
            self._told = known.get("told") if isinstance(known, dict) else None
            self._place = place
        return self._place

    async def _keep(self, place: Place, step: Step) -> None:
        """Note the place reached: one behind events is stored when Airflow has written those down, never sooner."""
        before, self._reached = self._reached, step.place
        if step.events or self._unsettled:
            self._unsettled.append((self.now() + SETTLED_AFTER if step.events else 0.0, step.place))
        elif step.place != before and (step.more or before is None or "pass" in before or self._due()):
            await self._save(place, step.place)

    async def _save_settled(self, place: Place) -> None:
        """Store the last place whose events, and those of every place before it, are written down."""
        settled = None
        for at, reached in self._unsettled:
            if at > self.now():
                break
            settled = reached
        if settled is None:
            return
        await self._save(place, settled)
        while self._unsettled.popleft()[1] is not settled:
            pass

    def _due(self) -> bool:
        return self._saved_at is None or self.now() - self._saved_at >= IDLE_SAVE

    async def _save(self, place: Place, reached: dict[str, Any]) -> None:
        await place.aset(self.place_key, reached)
        self._saved_at = self.now()

    async def _all_is_well(self, place: Place) -> None:
        self._failures, self._told = 0, None
        if not self._noted:
            return
        try:
            await place.adelete(self.error_key)
            self._noted = False
        except Exception:  # the events of this round come first; the next round tries again
            self.log.warning("The last problem could not be cleared in the asset's state.", exc_info=True)

    # --- what goes wrong ---------------------------------------------------------------------------------------

    async def _failed(self, error: Exception) -> tuple[Sequence[dict[str, Any]], float]:
        """Note the problem; return an event's payload where there is something new to tell, and how long to wait."""
        reason = self._reason(error)
        self._failures += 1
        pause = self._pause(reason)
        problem = [reason.error_type, reason.code or "", reason.kind]
        lasting = not reason.retryable or self._failures > MAX_TRANSIENT_ERRORS
        news = self.on_error == "event" and lasting and problem != self._told
        if news:
            self._told = problem
        self.log.warning("The watcher of %s looks again in %.0f s: %s", self.table, pause, reason.message)
        await self.cleanup()
        await self._note(reason, pause)
        return [{**reason.as_event(), "table": self.table}] if news else [], pause

    def _reason(self, error: Exception) -> Reason:
        reason = reason_of(error)
        if reason is not None:
            return reason
        self.log.error("The watcher of %s met something nobody foresaw.", self.table, exc_info=error)
        name = type(error).__name__
        said = f": {error}" if isinstance(error, AirflowException) else ""
        text = f"The watcher of {self.table} met {name}{said}; the triggerer's log has it in full."
        return Reason(fitted(text), name, kind="transient")

    def _pause(self, reason: Reason) -> float:
        """Return how long to wait: at random, so that many watchers do not come back at the same moment."""
        if not reason.retryable:
            return max(self.poll_interval, LASTING_PAUSE * (1.0 + random.random()))
        shortest = max(self.poll_interval, SHORTEST_PAUSE)
        doubled = min(shortest * 2.0 ** min(self._failures - 1, 30), max(MAX_BACKOFF, shortest))
        return max(reason.retry_after or 0.0, doubled * (1.0 + random.random() / 4.0))

    async def _note(self, reason: Reason, pause: float) -> None:
        now = datetime.now(timezone.utc)
        noted = {
            "text": reason.message,
            "kind": reason.kind,
            "code": reason.code,
            "at": now.isoformat(timespec="seconds"),
            "next_try": (now + timedelta(seconds=pause)).isoformat(timespec="seconds"),
            "told": self._told,
        }
        try:
            await (await self._opened()).aset(self.error_key, noted)
            self._noted = True
        except Exception:  # the place itself may be what is broken
            self.log.warning("The problem could not be noted in the asset's state.", exc_info=True)


def _check_words(**given: tuple[str, Sequence[str]]) -> None:
    for name, (word, words) in given.items():
        if word not in words:
            raise ValueError(f"{name} is {word!r}: use {' or '.join(map(repr, words))}.")


def _check_numbers(**given: tuple[int, int]) -> None:
    for name, (number, most) in given.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            raise ValueError(f"{name} is {number!r}: use a whole number from 1 to {most}.")


def _text_of(filter: str | Condition | None) -> str | None:
    """Return a condition as the text that a trigger keeps, None for a blank one; raises BadRequest for a value it cannot spell."""
    text = filter if filter is None or isinstance(filter, str) else filter.render()
    return text if text and text.strip() else None


def _start_of(start: str | date) -> str:
    """Return ``now``, or the moment in UTC as the Web API writes it; raises ValueError."""
    if start == "now":
        return "now"
    try:
        found = datetime.fromisoformat(str(start).replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"start is {start!r}: use 'now', or a date or time such as '2026-01-31'.") from None
    aware = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
