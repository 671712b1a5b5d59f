"""Looks after what was told until its DAGs have run: while events come quickly, Airflow may let the last of them lie.

A run takes the events up to the moment its DAG was queued, and then empties the queue; what came in between waits for
the asset's next event, which may never come. So the next event is made here.
https://github.com/apache/airflow/issues/56050
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.triggers.payloads import change_event

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Aftercare", "Told", "Waiting", "Waker", "by_asset"]

log = logging.getLogger(__name__)

_AT_MOST = 2_000  # events that are looked after
_FOR = timedelta(hours=1)
_EVERY = 3.0  # seconds
_WAKINGS = 5  # for one event: a DAG that Airflow has reasons not to run is not woken for ever


@dataclass(frozen=True)
class Told:
    """An event that was made; `wakings` says how often events were made because of it."""

    event_id: int
    asset_id: int
    at: datetime
    payload: dict[str, Any] = field(repr=False)
    team: str | None = None
    wakings: int = 0


@dataclass(frozen=True)
class Waiting:
    """How the DAGs of some assets are: by asset the DAGs that would run, and of each what it has taken and when it last ran.

    `queued` are pairs of an asset and a DAG that Airflow is about to run, `taken` of an event and a DAG.
    """

    dags: dict[int, set[str]]
    queued: set[tuple[int, str]]
    taken: set[tuple[int, str]]
    last_run: dict[str, datetime]


class Waker:
    """Makes events again, or an empty one after them, where Airflow lets them lie. One thread at a time.

    `look` says how the DAGs of assets are, `register` makes an event, and both are given a session whose end commits.
    """

    def __init__(
        self,
        session: Callable[[], Any],
        look: Callable[[Session, Iterable[int], Iterable[int]], Waiting],
        register: Callable[[Session, int, str | None, dict[str, Any]], Told],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._session, self._look, self._register, self._now = session, look, register, now
        self._told: list[Told] = []

    def told(self, events: Iterable[Told]) -> None:
        """Look after events from now on."""
        self._told = [*self._told, *events][-_AT_MOST:]

    def check(self) -> bool:
        """Wake whoever Airflow has forgotten, and say whether there is something left to look after."""
        oldest = self._now() - _FOR
        self._told = [one for one in self._told if one.at > oldest]
        if self._told:
            with self._session() as session:
                left, made = self._checked(session)
            self._told = [*left, *made]
        return bool(self._told)

    def _checked(self, session: Session) -> tuple[list[Told], list[Told]]:
        """Return the events that still wait for their DAGs, and those that were made so that they run."""
        asset_ids = {one.asset_id for one in self._told}
        found = self._look(session, asset_ids, [one.event_id for one in self._told])
        by_state: dict[str, list[Told]] = defaultdict(list)
        for one in self._told:
            by_state[_state(one, found)].append(one)
        again, forgotten = (
            [one for one in by_state[state] if one.wakings < _WAKINGS]
            for state in ("passed over", "forgotten")
        )
        made = [self._wake(session, one, one.payload) for one in again]
        woken = {one.asset_id for one in again}
        for one in {one.asset_id: one for one in forgotten if one.asset_id not in woken}.values():
            nothing = change_event(one.payload["table"], one.payload["environment"], "webhook", [])
            made.append(self._wake(session, one, nothing))
        if made:
            lying = len(again) + len(forgotten)
            log.info("Airflow's scheduler let %d events lie; their DAGs are woken again", lying)
        return by_state["queued"], made

    def _wake(self, session: Session, one: Told, payload: dict[str, Any]) -> Told:
        made = self._register(session, one.asset_id, one.team, payload)
        return replace(made, wakings=one.wakings + 1)


def _state(one: Told, found: Waiting) -> str:
    """Say how an event is with its DAGs: as it is with the one that is worst off."""
    states = {_state_with(one, dag_id, found) for dag_id in found.dags.get(one.asset_id, ())}
    return next((state for state in ("passed over", "forgotten", "queued") if state in states), "taken")


def _state_with(one: Told, dag_id: str, found: Waiting) -> str:
    """Say how an event is with a DAG: taken, queued, passed over (no later run takes it), or forgotten (the next one does)."""
    if (one.event_id, dag_id) in found.taken:
        return "taken"
    if (one.asset_id, dag_id) in found.queued:
        return "queued"
    last = found.last_run.get(dag_id)
    return "passed over" if last is not None and one.at <= last else "forgotten"


class Aftercare:
    """Checks every few seconds, for as long as there is something to look after. For one event loop."""

    def __init__(
        self,
        check: Callable[[], bool],
        executor: Executor,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._check, self._executor, self._sleep = check, executor, sleep
        self._running: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """See to it that it is checked."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        left = True
        while left:
            await self._sleep(_EVERY)
            try:
                left = await asyncio.get_running_loop().run_in_executor(self._executor, self._check)
            except Exception as error:  # noqa: BLE001 - a database's bad moment; what it says may hold anything
                log.info(
                    "What Airflow has done with events could not be looked up (%s)", type(error).__name__
                )


def by_asset(pairs: Iterable[tuple[int, str]]) -> dict[int, set[str]]:
    """Return the DAGs of each asset."""
    found: dict[int, set[str]] = defaultdict(set)
    for asset_id, dag_id in pairs:
        found[asset_id].add(dag_id)
    return found
