"""Rollup columns and goals calculated now, as a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, names, true

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition

__all__ = ["DynamicsRecalculateOperator"]

_NAMED = 20  # rows that could not be calculated, in a summary
_LOGGED = 1000  # calculations between two lines of the log


class DynamicsRecalculateOperator(DynamicsOperator):
    """Calculate rollup columns of some rows now; the service does it by itself once an hour. Without columns, goals.

    Each row costs the service a calculation of its own, so this is for some thousand rows. Doing it twice does no harm,
    and a retry begins anew. Returns ``{"table", "rows", "calculated", "failed", "failures"}``.

    :param table: the table's logical name
    :param columns: logical names of its rollup columns; empty for ``goal``, whose rollups are calculated together
    :param row_ids: ids of the rows
    :param filter: instead, which rows: OData's text, or a condition made with ``column(…)``
    :param whole_table: instead, every row
    :param max_failures: how many calculations may fail before the task does; None for any number
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        *("table", "columns", "row_ids", "filter"),
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        table: str,
        columns: Sequence[str] | str = (),
        row_ids: Sequence[str] | str = (),
        filter: str | Condition | None = None,
        whole_table: bool | str = False,
        max_failures: int | None = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.columns = columns
        self.row_ids = row_ids
        self.filter = filter
        self.whole_table = whole_table
        self.max_failures = max_failures

    def execute(self, context: Context) -> dict[str, Any]:
        """Calculate them.

        :raises AirflowFailException: it is not said which rows, or more than ``max_failures`` calculations failed
        """
        from airflow_provider_dynamics.dataverse.recalculating import recalculate

        columns = self._checked_columns()
        done, rows, failures, failed = 0, set(), [], 0
        with self.client() as client:
            self.note_table(self.table)
            for one in recalculate(client, self.table, self._row_ids(client), columns):
                done += 1
                rows.add(one.row_id)
                if one.error is not None:
                    failed += 1
                    if failed <= _NAMED:
                        told = {"row_id": one.row_id, "column": one.column, "message": str(one.error)}
                        failures.append(told)
                if done % _LOGGED == 0:
                    self.log.info("Calculated %s, %s of them failed.", f"{done:,}", f"{failed:,}")
        self.log.info("Calculated %s values of %s rows.", f"{done - failed:,}", f"{len(rows):,}")
        if self.max_failures is not None and failed > self.max_failures:
            why = "; ".join(f"{one['row_id']} {one['column']}: {one['message']}" for one in failures[:3])
            raise AirflowFailException(f"{failed:,} of {done:,} calculations failed: {why}")
        return {
            "table": self.table,
            "rows": len(rows),
            "calculated": done - failed,
            "failed": failed,
            "failures": failures,
        }

    def _checked_columns(self) -> tuple[str, ...]:
        from airflow_provider_dynamics.dataverse.recalculating import GOALS

        columns = names(self.columns)
        if not columns and self.table != GOALS:
            raise AirflowFailException(f"columns is empty: name the rollup columns of {self.table}.")
        return columns

    def _row_ids(self, client: Client) -> Iterator[str]:
        from airflow_provider_dynamics.dataverse import Query

        ids = names(self.row_ids)
        where = None if self.filter == "" else self.filter
        ways = [bool(ids), where is not None, true("whole_table", self.whole_table)]
        if sum(ways) != 1:
            raise AirflowFailException("Say which rows: give one of row_ids, filter and whole_table.")
        if ids:
            yield from ids
            return
        primary = client.table(self.table).primary_id
        for row in client.rows(Query(self.table, select=[primary], filter=where)):
            yield str(row[primary])
