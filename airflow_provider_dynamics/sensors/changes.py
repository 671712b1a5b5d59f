"""The sensor that waits until a table's rows change, and remembers from one run of its DAG to the next how far it has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import names, one_of
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.sensors.base import DynamicsSensor
from airflow_provider_dynamics.state.cursor import RunRange
from airflow_provider_dynamics.triggers.payloads import change_event

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition
    from airflow_provider_dynamics.state import CursorStore
    from airflow_provider_dynamics.triggers import DynamicsChangedRowsTrigger
    from airflow_provider_dynamics.triggers.awaited import Means
    from airflow_provider_dynamics.triggers.watching import Looks, Step

__all__ = ["DynamicsChangeSensor"]

Place = Mapping[str, Any]


class DynamicsChangeSensor(DynamicsSensor):
    """Wait until rows of a table were created, changed or deleted since the sensor was last successful.

    The very first time it waits for what changes from its first look on. That look reads all ids once, because Dataverse
    hands out the place from which changes can be followed only behind them; the log says what it costs. A
    run that is retried or cleared finds again what it has found. When the place was lost, after a week of rest
    or by a restored environment, it fires with ``mode`` ``full``: read the whole table.

    Where the place is kept: with Airflow 3.3 and the table's asset among the task's ``inlets``, in that
    asset's state, else in a Variable.

    Returns ``{"status": "success", "table", "environment", "source": "poll", "mode", "changes": [{"row_id",
    "operation": "upsert" | "delete"}], "count", "complete", "from", "to"}``. At most 1,000 changes are named;
    ``complete`` is false where there are more.

    :param table: the table's logical name; it must track changes, or ``means`` be ``versions``
    :param select: columns whose values each changed row brings along as ``row``; they are kept in Airflow's database
    :param filter: OData ``$filter`` text, or a condition made with ``column(…)``: changed rows that do not match it
        are left out. Deleted rows are always named
    :param means: ``tracking`` follows the table's change tracking; ``versions`` its version numbers or times of
        change where it has none, and does not see deleted rows
    :param deferrable: wait in the triggerer, whatever ``mode`` says; default: Airflow's ``[operators]
        default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DynamicsSensor.template_fields,
        "table",
        "select",
        "filter",
        "means",
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        table: str,
        select: Sequence[str] | str | None = None,
        filter: str | Condition | None = None,
        means: Means = "tracking",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.select = select
        self.filter = filter
        self.means: Means = means
        self._looks: Looks | None = None
        self._place: Place | None = None
        self._begun = False
        self._text: str | None = None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once at what changed since the place that is remembered.

        :raises AirflowFailException: the service refuses it for good, such as a table that does not track changes
        """
        one_of("means", self.means, ("tracking", "versions"))
        with self.client() as client:
            run = self._run(context, client.environment)
            if self._place is None:
                self._place, self._begun = run.begin(), True
            if self._place is None and run.forgotten:
                return self._done(run, change_event(self.table, client.environment, "poll", [], mode="full"))
            self._text = client.filter_text(self.table, self.filter)
            step = self._look(client, run)
            return self._done(run, step.events[0]) if step.events else PokeReturnValue(is_done=False)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Remember the place that the trigger has reached, and return what it has found."""
        told = super().execute_complete(context, event)
        self._place, found = told["place"], told["found"]
        self.noted_environment = found["environment"]
        return self._done(self._run(context, found["environment"]), found).xcom_value

    def trigger(self) -> DynamicsChangedRowsTrigger:
        """Return the trigger, which looks from where the first look has ended.

        :raises DynamicsRetryableError: the first look got to know neither its place nor the columns of a condition
        """
        from airflow_provider_dynamics.triggers import DynamicsChangedRowsTrigger

        if not self._begun:
            raise DynamicsRetryableError(f"From where to look at {self.table} could not be read.")
        text = self._text or self.filter
        if not isinstance(text, str | None):
            raise DynamicsRetryableError(
                f"The columns of {self.table} could not be read, which the filter needs."
            )
        return DynamicsChangedRowsTrigger(
            table=self.table,
            place=self._place,
            select=names(self.select),
            filter=text,
            means=self.means,
            **self.waiting,
        )

    def _look(self, client: Client, run: _Run) -> Step:
        """Go on until there is nothing more to read; each place before which nothing was found is kept."""
        from airflow_provider_dynamics.triggers.awaited import look_on, looks_at

        if self._looks is None:
            self._looks = looks_at(self.table, names(self.select), self._text, self.means, self.log)
        while True:
            step = look_on(self._looks, client, self._place)
            self._place = step.place
            if not step.events:
                run.mark(step.place)
            if step.events or not step.more:
                return step

    def _done(self, run: _Run, payload: dict[str, Any]) -> PokeReturnValue:
        run.commit(self._place)
        if payload["mode"] == "full":
            self.log.warning(
                "Nobody knows what changed in %s, so the whole table has to be read.", self.table
            )
        else:
            self.log.info("Changed rows of %s: %s.", self.table, f"{payload['count']:,}")
        return PokeReturnValue(is_done=True, xcom_value=payload)

    def _run(self, context: Context, environment: str) -> _Run:
        from airflow_provider_dynamics.state import CursorKey, cursor_store, run_order

        index = context["ti"].map_index
        filtered = (
            "" if self.filter in {None, ""} else "filtered"
        )  # which decides on the columns of a delta link
        key = CursorKey(
            *(self.dag_id, self.task_id, -1 if index is None else index),
            *(environment, self.table, names(self.select)),
            f"sensor {self.means} {filtered}".strip(),
        )
        return _Run(cursor_store(context, key, self.inlets), str(context["run_id"]), run_order(context))


@dataclass(frozen=True)
class _Run:
    """The place of one run of the DAG among those that the sensor remembers; places are kept as text."""

    cursors: CursorStore
    run_id: str
    order: str

    @property
    def forgotten(self) -> bool:
        """Whether the run is so old that nobody knows any more from where it looked."""
        return self.cursors.load().is_forgotten(self.run_id, self.order)

    def begin(self) -> Place | None:
        """Return where this run looks from, None where there is no place yet."""
        text = self.cursors.begin(self.run_id, self.order)
        place: Place | None = None if text is None else json.loads(text)
        return place

    def mark(self, place: Place) -> None:
        """Have this run and later ones look from here on: a place that nobody moves is lost after a week."""
        text, cursor = json.dumps(place), self.cursors.load()
        runs = {**cursor.runs, self.run_id: RunRange(self.order, text)}
        for_all = (
            "link" in place or not cursor.order
        )  # else a first place, or a lost one, is still being made
        self.cursors.save(replace(cursor, link=text if for_all else cursor.link, runs=runs))

    def commit(self, place: Place | None) -> None:
        """Have later runs look from this place, unless one of them has already begun."""
        cursor = self.cursors.load()
        since = cursor.runs[self.run_id].since if self.run_id in cursor.runs else None
        until = cursor.link if place is None else json.dumps(place)
        if until is not None:
            self.cursors.commit(self.run_id, self.order, since=since, until=until)
