"""Watching a table: an event whenever rows change, for DAGs that are scheduled on the table's asset.

An event is a wake-up that names some rows, never the data: whoever is woken reads the changes with a cursor of
its own. Airflow starts a watcher that raises again within a second, without end, so this one never does.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.retry import Reason, reason_of
from airflow_provider_dynamics.triggers.looking import (
    MAX_BACKOFF,
    MAX_TRANSIENT_ERRORS,
    DynamicsClientTrigger,
)
from airflow_provider_dynamics.triggers.places import Place, place_of

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["MAX_NAMED", "DynamicsChangesTrigger", "Found"]

MAX_NAMED = 100
"""Changed rows that an event names, and deleted ones; Airflow logs events and keeps them in its database."""

LASTING_PAUSE = 300.0
"""Least seconds until a sign-in that somebody has to repair is tried again; at most it is twice that."""

SHORTEST_PAUSE = 5.0


@dataclass(frozen=True)
class Found:
    """What one look brought: the place reached, as it is stored, and the event's payload, None without changes."""

    place: dict[str, str]
    payload: dict[str, Any] | None = None


class DynamicsChangesTrigger(DynamicsClientTrigger, BaseEventTrigger):
    """Watch one table, in an ``AssetWatcher``: fire whenever rows were created, changed or deleted.

    The first look only marks the place from which changes count. An event is ``{"status": "success", "table":
    …, "mode": "delta", "changed": [ids], "deleted": [ids], "changed_count": …, "deleted_count": …}`` with at
    most 100 ids in each list; after a restart of the triggerer it may come twice, and it is never lost. When the
    place was lost (the watcher rested for more than a week) ``"mode"`` is ``full``: read the whole table.
    ``assets.changed_rows`` reads these events in a DAG.

    A problem never ends the watcher. It waits longer each time, five to ten minutes where somebody has to act,
    and keeps ``{"text", "kind", "code", "at", "next_try", …}`` under ``….last_error`` in the asset's state until
    all is well again.

    :param table: the table's logical name; it must track changes
    :param on_error: ``event`` also fires ``{"status": "error", …}``, once for each distinct problem that does not
        pass by itself, which ``assets.changed_rows`` turns into a failed task; ``log`` does not
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param poll_interval: seconds between looks
    """

    def __init__(
        self,
        *,
        table: str,
        on_error: Literal["log", "event"] = "log",
        dynamics_conn_id: str = "dynamics_default",
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__(dynamics_conn_id=dynamics_conn_id, poll_interval=poll_interval)
        if on_error not in {"log", "event"}:
            raise ValueError(f"on_error is {on_error!r}: use 'log' or 'event'.")
        self.table = table
        self.on_error = on_error
        self._place: Place | None = None
        self._reached: dict[str, str] | None = None
        self._unsaved = False
        self._failures = 0
        self._told: list[str] | None = None  # the problem that an event has told of
        self._noted = True  # a last_error may be stored, perhaps by the triggerer before this one

    @property
    def link_key(self) -> str:
        """The name under which the place reached is stored: an asset may have several watchers."""
        return f"{self.dynamics_conn_id}.{self.table}.delta_link"

    @property
    def error_key(self) -> str:
        """The name under which the last problem is stored."""
        return f"{self.dynamics_conn_id}.{self.table}.last_error"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire for ever."""
        try:
            while True:
                try:
                    payload, pause = await self._round(), self.poll_interval
                except Exception as error:  # noqa: BLE001 - raising would start it again at once, for ever
                    payload, pause = await self._failed(error)
                if payload is not None:
                    yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's
                await self.sleep(max(pause, 0.0))
        finally:
            await self.cleanup()

    async def _round(self) -> dict[str, Any] | None:
        """Look once; return an event's payload.

        A place that an event belongs to is stored a round later, when Airflow has long written the event down.
        """
        place = await self._opened()
        if self._unsaved:
            await self._save(place)
        found = await self.ask(lambda client: self.look(client, self._reached))
        self._unsaved, self._reached = found.place != self._reached, found.place
        if self._unsaved and found.payload is None:
            await self._save(place)
        await self._all_is_well(place)
        return None if found.payload is None else {"status": "success", **found.payload}

    def look(self, client: Client, reached: dict[str, str] | None) -> Found:
        """Ask once, on a thread, what changed since the place reached; None marks the place."""
        from airflow_provider_dynamics.dataverse.errors import DeltaLinkExpired

        since = reached["link"] if reached and reached.get("environment") == client.environment else None
        try:
            return self._read(client, since)
        except DeltaLinkExpired:
            place = self._read(client, None).place
            return Found(place, self._payload("full", [], [], 0, 0))

    def _read(self, client: Client, since: str | None) -> Found:
        primary_id = client.table(self.table).primary_id
        changed: list[str] = []
        deleted: list[str] = []
        changes = deletions = 0
        link = ""
        for page in client.changes(self.table, [primary_id], since):
            link = page.delta_link or link
            if since is None:
                continue
            changes, deletions = changes + len(page.rows), deletions + len(page.deleted)
            changed += [str(row[primary_id]) for row in page.rows[: MAX_NAMED - len(changed)]]
            deleted += [gone.row_id for gone in page.deleted[: MAX_NAMED - len(deleted)]]
        place = {"environment": client.environment, "link": link}
        if not changes and not deletions:
            return Found(place)
        return Found(place, self._payload("delta", changed, deleted, changes, deletions))

    def _payload(
        self, mode: str, changed: list[str], deleted: list[str], changes: int, deletions: int
    ) -> dict[str, Any]:
        return {
            "table": self.table,
            "mode": mode,
            "changed": changed,
            "deleted": deleted,
            "changed_count": changes,
            "deleted_count": deletions,
        }

    # --- what is remembered ------------------------------------------------------------------------------------

    async def _opened(self) -> Place:
        """Return where things are kept, having read from it once what another triggerer has left."""
        if self._place is None:
            place = await place_of(getattr(self, "asset_state_store", None), self.link_key)
            self._reached = await place.aget(self.link_key)
            known = await place.aget(self.error_key)
            self._told = known.get("told") if isinstance(known, dict) else None
            self._place = place
        return self._place

    async def _save(self, place: Place) -> None:
        await place.aset(self.link_key, self._reached)
        self._unsaved = False

    async def _all_is_well(self, place: Place) -> None:
        self._failures, self._told = 0, None
        if self._noted:
            await place.adelete(self.error_key)
            self._noted = False

    # --- what goes wrong ---------------------------------------------------------------------------------------

    async def _failed(self, error: Exception) -> tuple[dict[str, Any] | None, float]:
        """Note the problem; return an event's payload where there is something new to tell, and how long to wait.

        The client goes, so that the next look reads the connection anew.
        """
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
        return {**reason.as_event(), "table": self.table} if news else None, pause

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
