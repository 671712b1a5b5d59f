"""How many rows there are: quickly from the service's own statistics, or exactly.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/count-rows
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import decoded, walk
from airflow_provider_dynamics.dataverse.queries.query import Query
from airflow_provider_dynamics.dataverse.reading import reading
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["exact", "record_counts"]

_COUNTED = "rows_counted"


def record_counts(transport: Sender, tables: Tables, names: Iterable[str]) -> dict[str, int]:
    """Return how many rows tables had up to a day ago, by their names; raises UnknownTable.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrievetotalrecordcount
    """
    wanted = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not wanted:
        return {}
    listed = json.dumps(wanted).replace('"', "'")
    request = Request(
        "GET", f"RetrieveTotalRecordCount(EntityNames=@names){odata.options({'@names': listed})}"
    )
    try:
        found = decoded(transport.send(request), request)["EntityRecordCountCollection"]
    except (errors.BadRequest, errors.NotFound):
        for name in wanted:
            tables.entity_set(name)  # an unknown table is said as that
        raise
    counted = dict(zip(found["Keys"], found["Values"], strict=True))
    return {name: int(counted[name]) for name in wanted if name in counted}


def exact(transport: Sender, tables: Tables, query: Query, stop: Stop) -> int:
    """Return how many rows a query has now, at most 50,000 of them; raises AggregateLimit, UnknownColumn."""
    if query.apply is not None or query.top is not None:
        raise ValueError("A count takes a query's table and filter, not apply or top")
    counting = Query(query.table, filter=query.filter, apply=f"aggregate($count as {_COUNTED})")
    request = reading.query_request(counting, tables.outline(query.table), tables)
    rows = [row for page in walk(transport, request, stop=stop, ahead=False) for row in page.rows]
    return int(rows[0].get(_COUNTED) or 0) if rows else 0
