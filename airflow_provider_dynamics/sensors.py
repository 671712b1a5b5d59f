"""Sensors: wait for something in Dynamics, on a worker or, deferred, in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferralError

from airflow_provider_dynamics.operators import DynamicsOperator
from airflow_provider_dynamics.retry import DynamicsRetryableError, Reason
from airflow_provider_dynamics.triggers import DynamicsRowTrigger, DynamicsTrigger, find_row

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DynamicsRowSensor", "DynamicsSensor"]


class DynamicsSensor(DynamicsOperator, BaseSensorOperator):
    """Base of the sensors: a subclass says how to look (``poke``) and which trigger looks for it (``trigger``).

    Airflow's ``timeout``, ``poke_interval``, ``mode``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean
    what they always mean; deferred, ``poke_interval`` is the trigger's interval.

    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    def __init__(self, *, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable

    def trigger(self) -> DynamicsTrigger:
        """Return the trigger that looks for what ``poke`` looks for."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Look until it is there; deferred, look once and leave the rest to the trigger.

        The first look stays here so that a wrong query or credential fails at once, and because Airflow 3.3
        fails tasks whose trigger fires before their first half has ended.
        """
        if not self.deferrable:
            return super().execute(context)
        found = self._first_look(context)
        if not found:
            self._defer()
        return found.xcom_value if isinstance(found, PokeReturnValue) else None

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return what the trigger found.

        :raises AirflowFailException: it cannot be found by trying again; no retries are spent
        :raises DynamicsRetryableError: it may pass
        """
        if event is None or event.get("status") not in {"success", "error"}:
            raise DynamicsRetryableError(f"The trigger of {self.task_id} fired without saying what happened.")
        if event["status"] == "error":
            raise Reason.from_event(event).as_exception()
        return {name: value for name, value in event.items() if name != "status"}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Say why when a trigger died of something nobody foresaw: Airflow's own text is only "Trigger failure"."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralError as error:
            lines = (next_kwargs or {}).get("traceback") or []
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            raise DynamicsRetryableError(f"{error}: {last}" if last else str(error)) from error

    def _first_look(self, context: Context) -> bool | PokeReturnValue:
        try:
            return self.poke(context)
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail or (self.soft_fail and not isinstance(error, DynamicsRetryableError)):
                raise AirflowSkipException("Skipped, because the sensor may not fail.") from error
            if self.silent_fail and isinstance(error, DynamicsRetryableError):
                self.log.exception("The first look failed; the trigger looks again.")
                return False
            raise

    def _defer(self) -> NoReturn:
        self.defer(
            trigger=self.trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )


class DynamicsRowSensor(DynamicsSensor):
    """Wait until a table has a row: one with this id, one that matches the filter, or both at once.

    Returns ``{"table": …, "row_id": …}`` of a row that was found.

    :param table: the table's logical name, such as ``account``
    :param filter: OData ``$filter`` text; a date rendered into it becomes an OData literal
    :param row_id: the row's GUID
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = ("dynamics_conn_id", "table", "filter", "row_id")

    def __init__(
        self, *, table: str, filter: str | None = None, row_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.filter = filter
        self.row_id = row_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once whether there is such a row."""
        with self.client() as client:
            found = find_row(client, self.table, filter=self.filter, row_id=self.row_id)
        return PokeReturnValue(found is not None, {"table": self.table, "row_id": found} if found else None)

    def trigger(self) -> DynamicsRowTrigger:
        return DynamicsRowTrigger(
            table=self.table,
            filter=self.filter,
            row_id=self.row_id,
            dynamics_conn_id=self.dynamics_conn_id,
            poll_interval=self.poke_interval,
        )
