"""Waiting for rows: what the row sensor asks on a worker, and its trigger in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_dynamics.triggers.looking import DynamicsTrigger

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, Condition

__all__ = ["MAX_NAMED", "MOST_ROWS", "DynamicsRowTrigger", "find_rows"]

MAX_NAMED = 100
"""Ids that a result names; Airflow keeps it in its database."""

MOST_ROWS = 50_000
"""How many rows a condition may be about: the service counts no further."""

_LISTED = 1000
"""Up to so many rows their ids are asked for; more are counted by the service."""


class DynamicsRowTrigger(DynamicsTrigger):
    """Fire when a table has as many rows as wanted with this id, that match the filter, or both at once.

    The event is ``{"status": "success", "table", "row_id", "row_ids", "count"}``.

    :param table: the table's logical name
    :param filter: OData ``$filter`` text
    :param row_id: the row's GUID
    :param min_rows: how many there have to be at least
    :param max_rows: how many there may be at most; None for any number
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
        filter: str | None = None,
        row_id: str | None = None,
        min_rows: int = 1,
        max_rows: int | None = None,
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
        self.filter = filter
        self.row_id = row_id
        self.min_rows = min_rows
        self.max_rows = max_rows

    def look(self, client: Client) -> dict[str, Any] | None:
        return find_rows(
            client,
            self.table,
            filter=self.filter,
            row_id=self.row_id,
            min_rows=self.min_rows,
            max_rows=self.max_rows,
        )


def find_rows(
    client: Client,
    table: str,
    *,
    filter: str | Condition | None = None,
    row_id: str | None = None,
    min_rows: int = 1,
    max_rows: int | None = None,
) -> dict[str, Any] | None:
    """Return what a sensor tells of the rows that match, None where there are too few or too many of them.

    That is ``{"table", "row_id", "row_ids", "count"}``: the first id or None, at most `MAX_NAMED` ids, and how many
    rows there are, counted as far as the condition goes: up to `min_rows` where there is no `max_rows`. It is one
    request for a few ids; the service counts where a condition is about many rows.
    """
    from airflow_provider_dynamics.dataverse.protocol.odata import guid
    from airflow_provider_dynamics.dataverse.queries.conditions import column, combined

    where = filter
    if row_id:
        where = combined(column(client.table(table).primary_id) == UUID(guid(row_id)), filter)
    enough = min_rows if max_rows is None else max_rows + 1
    if enough > _LISTED:
        count = _counted(client, table, where, enough)
        row_ids = _ids(client, table, where, MAX_NAMED) if _fits(count, min_rows, max_rows) else []
    else:
        row_ids = _ids(client, table, where, enough)
        count = len(row_ids)
    if not _fits(count, min_rows, max_rows):
        return None
    return {
        "table": table,
        "row_id": row_ids[0] if row_ids else None,
        "row_ids": row_ids[:MAX_NAMED],
        "count": count,
    }


def _fits(count: int, min_rows: int, max_rows: int | None) -> bool:
    return min_rows <= count and (max_rows is None or count <= max_rows)


def _counted(client: Client, table: str, where: str | Condition | None, enough: int) -> int:
    from airflow_provider_dynamics.dataverse import Query
    from airflow_provider_dynamics.dataverse.errors import AggregateLimit

    try:
        return min(client.count(Query(table, filter=where)), enough)
    except AggregateLimit:  # more than 50,000
        return enough


def _ids(client: Client, table: str, where: str | Condition | None, most: int) -> list[str]:
    from airflow_provider_dynamics.dataverse import Query

    primary_id = client.table(table).primary_id
    query = Query(table, select=(primary_id,), filter=where, top=most)
    return [str(row[primary_id]) for row in client.rows(query)]
