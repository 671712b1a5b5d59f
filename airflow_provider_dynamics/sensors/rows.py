"""The sensor that waits for rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.sensors.base import DynamicsSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Condition
    from airflow_provider_dynamics.triggers import DynamicsRowTrigger

__all__ = ["DynamicsRowSensor"]


class DynamicsRowSensor(DynamicsSensor):
    """Wait until a table has a row, or as many as wanted: with this id, that match the filter, or both at once.

    ``min_rows=500`` waits until a load is complete, ``max_rows=0`` until nothing is left to be done. Returns
    ``{"table", "row_id", "row_ids", "count"}``: the first row's id or None, at most 100 ids, and how many rows
    there are. They are counted as far as the condition goes: without ``max_rows`` up to ``min_rows``.

    :param table: the table's logical name, such as ``account``
    :param filter: OData ``$filter`` text, into which a date is rendered as an OData literal, or a condition made with
        ``column(…)``
    :param row_id: the row's GUID
    :param min_rows: how many rows there have to be at least, up to 50,000; 1, or 0 where there is a ``max_rows``
    :param max_rows: how many there may be at most, below 50,000; None for any number
    :param deferrable: wait in the triggerer, whatever ``mode`` says; default: Airflow's ``[operators]
        default_deferrable``
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DynamicsSensor.template_fields,
        "table",
        "filter",
        "row_id",
        "min_rows",
        "max_rows",
    )
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        filter: str | Condition | None = None,
        row_id: str | None = None,
        min_rows: int | str | None = None,
        max_rows: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.filter = filter
        self.row_id = row_id
        self.min_rows = min_rows
        self.max_rows = max_rows
        self._text: str | None = None

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once whether there are such rows.

        :raises AirflowFailException: the service refuses it for good, or the numbers of rows contradict each other
        """
        from airflow_provider_dynamics.triggers import find_rows

        least, most = self._bounds()
        if self.row_id is not None and not str(self.row_id).strip():
            raise AirflowFailException(
                "row_id is empty: its template has left nothing, and any row would do."
            )
        with self.client() as client:
            if not isinstance(self.filter, str | None):
                self._text = client.filter_text(self.table, self.filter)
            found = find_rows(
                *(client, self.table),
                filter=self._text or self.filter,
                row_id=self.row_id,
                min_rows=least,
                max_rows=most,
            )
        self._link(found)
        return PokeReturnValue(found is not None, found)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return the rows that the trigger has found."""
        found = super().execute_complete(context, event)
        self._link(found)
        return found

    def trigger(self) -> DynamicsRowTrigger:
        """Return the trigger; a trigger keeps text, so a condition is given as the first look has spelled it.

        :raises DynamicsRetryableError: it could not spell it, for it never got to know the table's columns
        """
        from airflow_provider_dynamics.triggers import DynamicsRowTrigger

        text = self._text or self.filter
        if not isinstance(text, str | None):
            raise DynamicsRetryableError(
                f"The columns of {self.table} could not be read, which the filter needs."
            )
        least, most = self._bounds()
        return DynamicsRowTrigger(
            table=self.table,
            filter=text,
            row_id=self.row_id,
            min_rows=least,
            max_rows=most,
            **self.waiting,
        )

    def _link(self, found: Mapping[str, Any] | None) -> None:
        self.linked_row = found["row_id"] if found and found.get("count", 1) == 1 else None

    def _bounds(self) -> tuple[int, int | None]:
        """Return the least and the most rows, which a template may have left as text."""
        from airflow_provider_dynamics.triggers.rows import MOST_ROWS

        most = _number("max_rows", self.max_rows, MOST_ROWS - 1)
        least = _number("min_rows", self.min_rows, MOST_ROWS)
        if least is None:
            least = 1 if most is None else 0
        if most is not None and least > most:
            raise AirflowFailException(f"min_rows is {least} and max_rows {most}: no number of rows is both.")
        if most is None and not least:
            raise AirflowFailException(
                "min_rows is 0, which is always so: give max_rows, or a number from 1 up."
            )
        if self.row_id and least > 1:
            raise AirflowFailException(f"min_rows is {least}, and there is at most one row with a row_id.")
        return least, most


def _number(name: str, value: Any, most: int) -> int | None:
    if value is None or value == "":
        return None
    text = str(value).strip()
    if not text.isdecimal() or int(text) > most:
        raise AirflowFailException(f"{name} is {value!r}: give a whole number from 0 to {most:,}.")
    return int(text)
