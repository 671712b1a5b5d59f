"""What can be asked about a query's rows without reading them: the ends of a column, and how many rows lie in windows.

Nothing depends on the answers but speed, so a question the service cannot answer is no error.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/count-rows
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.lanes.windows import Window
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.queries.query import Query
from airflow_provider_dynamics.dataverse.reading import counts, reading
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome, BatchSender

__all__ = ["Asked", "windowed"]

log = logging.getLogger(__name__)

_UNANSWERED = (errors.BadRequest, errors.NotFound, errors.Forbidden, errors.ServerError)
_COUNT = "rows_counted"


def windowed(query: Query, window: Window, tables: Tables, *more: str) -> Query:
    """Return the query narrowed to a window, and to further conditions; raises UnknownColumn."""
    table = tables.outline(query.table)
    conditions = [reading.filter_text(query.filter, table, tables), window.condition(table), *more]
    given = [text for text in conditions if text]
    text = " and ".join(f"({one})" for one in given) if len(given) > 1 else "".join(given)
    return replace(query, filter=text or None)


class Asked:
    """Questions about one query's rows. None for an answer means: not known."""

    def __init__(self, transport: BatchSender, tables: Tables, query: Query) -> None:
        self._transport = transport
        self._tables = tables
        self._query = Query(query.table, filter=query.filter)
        self.table: Table = tables.outline(query.table)

    def end(self, column: str, window: Window, *, last: bool, stop: Stop) -> Any:
        """Return the largest or the smallest value of a column inside a window."""
        wire = self.table.column(column).wire_name
        query = windowed(self._query, window, self._tables, f"{wire} ne null")
        query = replace(query, select=(column,), order_by=f"{wire} {'desc' if last else 'asc'}", top=1)
        try:
            rows = decoded(self._transport.send(request := self._request(query), stop), request)["value"]
        except _UNANSWERED as error:
            self._unanswered(error)
            return None
        return rows[0].get(wire) if rows else None

    def total(self, stop: Stop) -> int | None:
        """Return how many rows the table had up to a day ago; None where the query has a condition."""
        if self._query.filter is not None:
            return None
        stop.check()
        name = self._query.table
        try:
            return counts.record_counts(self._transport, self._tables, [name]).get(name)
        except _UNANSWERED as error:
            self._unanswered(error)
            return None

    def count(self, windows: Sequence[Window], stop: Stop) -> list[float | None]:
        """Return how many rows windows have, infinity where they are more than the service counts, in one request."""
        requests = [self._counting(window) for window in windows]
        if len(requests) == 1:
            return [self._counted(BatchOutcome(requests[0], *self._alone(requests[0], stop)))]
        try:
            return [self._counted(outcome) for outcome in self._transport.send_together(requests, stop)]
        except _UNANSWERED as error:
            self._unanswered(error)
            return [None] * len(windows)

    def _alone(self, request: Request, stop: Stop) -> tuple[Any, Any]:
        try:
            return self._transport.send(request, stop), None
        except _UNANSWERED as error:
            return None, error

    def _counted(self, outcome: BatchOutcome) -> float | None:
        if isinstance(outcome.error, errors.AggregateLimit):
            return math.inf
        if outcome.response is None:
            self._unanswered(outcome.error)
            return None
        rows = decoded(outcome.response, outcome.request)["value"]
        return int(rows[0].get(_COUNT) or 0) if rows else 0

    def _counting(self, window: Window) -> Request:
        narrowed = windowed(self._query, window, self._tables)
        return self._request(replace(narrowed, apply=f"aggregate($count as {_COUNT})"))

    def _request(self, query: Query) -> Request:
        return replace(reading.query_request(query, self.table, self._tables), optional=True)

    def _unanswered(self, error: Exception | None) -> None:
        log.debug("The rows of %s are divided without an answer: %s", self._query.table, error)
