"""Waiting until a table's rows change: what the change sensor asks on a worker, and its trigger in the triggerer.

Both go step by step with the watcher's own means, from the place that the sensor keeps between the runs of its DAG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_dynamics.triggers.looking import DynamicsTrigger
from airflow_provider_dynamics.triggers.tracking import Tracking
from airflow_provider_dynamics.triggers.versions import Versions
from airflow_provider_dynamics.triggers.watching import Looks, Step, Watch

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client

__all__ = ["MAX_NAMED", "DynamicsChangedRowsTrigger", "Means", "look_on", "looks_at"]

Means = Literal["tracking", "versions"]
T = TypeVar("T")

MAX_NAMED = 1000
"""Changes that a sensor's result names; what is beyond is counted."""


def looks_at(table: str, select: Sequence[str], filter: str | None, means: Means, log: Any) -> Looks:
    """Return what finds the changes of a table, all of one look in one event; `log` is a logger of Airflow's."""
    watch = Watch(table, tuple(select), filter, batch_size=MAX_NAMED, max_events=1)
    return Versions(watch, log) if means == "versions" else Tracking(watch, log)


def look_on(looks: Looks, client: Client, place: Mapping[str, Any] | None) -> Step:
    """Take one step from a place on this thread, without an event loop; raises what the client raises."""

    async def ask(question: Callable[[Client], T]) -> T:
        return question(client)

    step = looks.step(ask, place)
    try:
        step.send(None)
    except StopIteration as stop:
        found: Step = stop.value
        return found
    step.close()
    raise RuntimeError("a step waited for something else than an answer")


class DynamicsChangedRowsTrigger(DynamicsTrigger):
    """Fire when rows of a table were created, changed or deleted since a place.

    The event is ``{"status": "success", "found": …, "place": …}``: what ``payloads.change_event`` makes, and the
    place behind it.

    :param table: the table's logical name
    :param place: where to look from, as ``Looks.step`` gives it, without any secret; None for this moment
    :param select: columns whose values each changed row brings along
    :param filter: OData ``$filter`` text that changed rows have to match
    :param means: ``tracking`` for change tracking, ``versions`` for version numbers
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's
    :param poll_interval: seconds between looks
    :param longest_interval: double the interval after each look in vain, up to so many seconds
    :param silent: never give up because of problems that may pass
    """

    def __init__(
        self,
        *,
        table: str,
        place: Mapping[str, Any] | None = None,
        select: Sequence[str] = (),
        filter: str | None = None,
        means: Means = "tracking",
        dynamics_conn_id: str = "dynamics_default",
        environment: str | None = None,
        poll_interval: float = 60.0,
        longest_interval: float | None = None,
        silent: bool = False,
    ) -> None:
        super().__init__(
            dynamics_conn_id=dynamics_conn_id,
            environment=environment,
            poll_interval=poll_interval,
            longest_interval=longest_interval,
            silent=silent,
        )
        self.table = table
        self.place = None if place is None else dict(place)
        self.select = list(select)
        self.filter = filter
        self.means: Means = means
        self._looks: Looks | None = None
        self._reached: Mapping[str, Any] | None = self.place

    def look(self, client: Client) -> dict[str, Any] | None:
        """Take one step on this thread."""
        return self._told(look_on(self._how(), client, self._reached))

    async def look_once(self) -> dict[str, Any] | None:
        """Go on from the place reached until there is nothing more to read, with one request on a thread at a time."""
        while True:
            step = await self._how().step(self.ask, self._reached)
            if (found := self._told(step)) is not None or not step.more:
                return found

    def _how(self) -> Looks:
        self._looks = self._looks or looks_at(self.table, self.select, self.filter, self.means, self.log)
        return self._looks

    def _told(self, step: Step) -> dict[str, Any] | None:
        self._reached = step.place
        return {"found": step.events[0], "place": dict(step.place)} if step.events else None
