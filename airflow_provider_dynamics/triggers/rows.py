"""Waiting for a row: what the row sensor asks on a worker, and its trigger in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_dynamics.triggers.looking import DynamicsTrigger

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, Condition

__all__ = ["DynamicsRowTrigger", "find_row"]


class DynamicsRowTrigger(DynamicsTrigger):
    """Fire when a table has a row: one with this id, one that matches the filter, or both at once.

    The event is ``{"status": "success", "table": …, "row_id": …}``.

    :param table: the table's logical name
    :param filter: OData ``$filter`` text
    :param row_id: the row's GUID
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param poll_interval: seconds between looks
    """

    def __init__(
        self,
        *,
        table: str,
        filter: str | None = None,
        row_id: str | None = None,
        dynamics_conn_id: str = "dynamics_default",
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__(dynamics_conn_id=dynamics_conn_id, poll_interval=poll_interval)
        self.table = table
        self.filter = filter
        self.row_id = row_id

    def look(self, client: Client) -> dict[str, Any] | None:
        found = find_row(client, self.table, filter=self.filter, row_id=self.row_id)
        return None if found is None else {"table": self.table, "row_id": found}


def find_row(
    client: Client, table: str, *, filter: str | Condition | None = None, row_id: str | None = None
) -> str | None:
    """Return the id of a row that matches, or None: what the sensor asks on a worker and the trigger in its loop."""
    from airflow_provider_dynamics.dataverse.conditions import column, combined
    from airflow_provider_dynamics.dataverse.odata import guid
    from airflow_provider_dynamics.dataverse.query import Query

    primary_id = client.table(table).primary_id
    where = combined(column(primary_id) == UUID(guid(row_id)) if row_id else None, filter)
    query = Query(table, select=(primary_id,), filter=where, top=1)
    return next((str(row[primary_id]) for row in client.rows(query)), None)
