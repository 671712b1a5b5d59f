"""Divides a query's rows for readers that know nothing of each other, such as tasks on several machines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from airflow_provider_dynamics.dataverse.lanes import planning
from airflow_provider_dynamics.dataverse.lanes.planning import Plan
from airflow_provider_dynamics.dataverse.lanes.statistics import Asked
from airflow_provider_dynamics.dataverse.lanes.windows import Window
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.queries.query import Query
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchSender

__all__ = ["divided"]


def divided(
    transport: BatchSender,
    tables: Tables,
    query: Query,
    pieces: int,
    *,
    column: str | None,
    lanes: int,
    stop: Stop,
) -> tuple[Window, ...]:
    """Return at most `pieces` windows of about equal rows; raises ValueError for a query that cannot be divided."""
    if isinstance(pieces, bool) or not isinstance(pieces, int) or pieces < 1:
        raise ValueError(f"pieces is {pieces!r}; it must be a whole number from 1 up")
    if query.top is not None or query.apply is not None:
        option = "apply" if query.apply else "top"
        raise ValueError(f"A query with {option} cannot be divided: {option} is for one reading of all rows")
    columns = planning.candidates(tables.outline(query.table), column)
    page_rows = min(query.page_size or LARGEST_PAGE, LARGEST_PAGE)
    plan = Plan(
        Asked(transport, tables, query),
        columns if pieces > 1 else [],
        [Window()],
        lanes=lanes,
        page_rows=page_rows,
        pieces=pieces,
    )
    with ThreadPoolExecutor(lanes, thread_name_prefix="dynamics-lane-plan") as pool:
        while jobs := plan.next():
            asked = [pool.submit(job.ask, stop) for job in jobs]
            for job, answer in zip(jobs, asked, strict=True):
                job.answer = answer.result()
    return tuple(plan.take())
