"""Writes of single rows that were sent again because an answer was lost: whether the first time had come through.

The second time such a write is refused for what the first one did. What is there is looked at, before anybody
is told of an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.rows.comparing import compared_columns, differences, readable
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome, BatchSender
from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet
from airflow_provider_dynamics.dataverse.transport.row_requests import NewRow, RowRequest

__all__ = ["as_sent", "put_right"]


def as_sent(transport: BatchSender, rows: Sequence[NewRow], stop: Stop | None = None) -> list[bool]:
    """Say of each row whether it is there: by its id alone where that was chosen here, else with the values sent."""
    requests = [row.read(_wanted(row)) for row in rows]
    if len(requests) == 1:
        try:
            found: list[Response | None] = [transport.send(requests[0], stop)]
        except errors.NotFound:
            found = [None]
    else:
        found = [outcome.response for outcome in transport.send_together(requests, stop)] if requests else []
    return [
        response is not None and (row.made_here or _equal(row, decoded(response, request)))
        for row, request, response in zip(rows, requests, found, strict=True)
    ]


def put_right(
    transport: BatchSender,
    items: Sequence[Request | ChangeSet],
    outcomes: Sequence[BatchOutcome],
    stop: Stop | None = None,
) -> list[BatchOutcome]:
    """Return what came of a batch, without the errors of requests that had been carried out by an earlier attempt.

    One row that an attempt has made tells that all of its change set was done: there it is all or nothing.
    """
    left = iter(outcomes)
    groups = [list(itertools.islice(left, len(_members(item)))) for item in items]
    doubtful = [(group, row) for group in groups if (row := _telling(group)) is not None]
    there = as_sent(transport, [row for _, row in doubtful], stop)
    done = {id(group) for (group, _), landed in zip(doubtful, there, strict=True) if landed}
    return [
        _carried_out(outcome) if id(group) in done or _gone(group) else outcome
        for group in groups
        for outcome in group
    ]


def _members(item: Request | ChangeSet) -> Sequence[Request]:
    return item.requests if isinstance(item, ChangeSet) else (item,)


def _telling(group: Sequence[BatchOutcome]) -> NewRow | None:
    """Return the new row that tells whether a refused request or change set had been carried out before."""
    error = group[0].error
    if error is None or not error.repeated:
        return None
    if len(group) == 1 and not isinstance(error, errors.Conflict):
        return None
    return next(_new_rows(group), None)


def _new_rows(group: Sequence[BatchOutcome]) -> Iterator[NewRow]:
    for outcome in group:
        request = outcome.request
        if isinstance(request, RowRequest) and request.new and (request.tells or len(group) == 1):
            yield request.new


def _gone(group: Sequence[BatchOutcome]) -> bool:
    """Say whether a deletion that stands alone found nothing to delete, as it does when it is sent again."""
    request, error = group[0].request, group[0].error
    return (
        len(group) == 1
        and request.method == "DELETE"
        and request.repeatable
        and isinstance(error, errors.NotFound)
        and error.repeated
    )


def _carried_out(outcome: BatchOutcome) -> BatchOutcome:
    request = outcome.request
    made = request.new.address if isinstance(request, RowRequest) and request.new else ""
    headers = {"OData-EntityId": made} if made else {}
    return BatchOutcome(request, Response(204, headers, b"", repeated=True))


def _wanted(row: NewRow) -> Sequence[str]:
    if row.made_here:
        return [row.table.primary_id]
    return row.table.wire_names(readable(row.table, row.body))


def _equal(row: NewRow, stored: Row) -> bool:
    """Say whether a stored row has the values that were sent; rows inside the row are not looked at."""
    sent = {
        name: value
        for name, value in row.body.items()
        if not name.startswith("@") and not isinstance(value, (dict, list))
    }
    return not differences(compared_columns(row.table, sent), sent, stored)
