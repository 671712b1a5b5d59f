"""Two rows that are the same in life made one: the other is deactivated, what hangs on it moves over.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/merge-entity-using-web-api
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.calling.actions import in_doubt, run_action
from airflow_provider_dynamics.dataverse.calling.operations import Operations
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Sender
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.rows.rows import RowKey, Rows

__all__ = ["MERGEABLE", "merge"]

MERGEABLE = ("account", "contact", "incident", "lead")


def merge(  # noqa: PLR0917 - the client's rooms, and what is merged
    transport: Sender,
    rows: Rows,
    operations: Operations,
    table: Table,
    kept: RowKey,
    merged: RowKey,
    *,
    content: Row | None = None,
    check_parents: bool = False,
    options: WriteOptions = NO_OPTIONS,
) -> bool:
    """Merge the row `merged` into `kept`; say False, and send nothing, where that has been done before.

    `content` are columns of the merged row that the kept one takes over. `check_parents` refuses rows whose
    parents differ. Raises BadRequest for a table whose rows cannot be merged, RowNotFound.
    """
    if table.logical_name not in MERGEABLE:
        raise errors.BadRequest(
            f"Rows of {table.logical_name} cannot be merged", remedy=f"It works for {', '.join(MERGEABLE)}."
        )
    kept_id, _ = _identity(rows, table, kept)
    merged_id, master = _identity(rows, table, merged)
    if kept_id == merged_id:
        raise errors.BadRequest(f"A row of {table.logical_name} cannot be merged with itself")
    if master == kept_id:
        return False
    name = table.logical_name
    given: Row = {"Target": (name, kept_id), "Subordinate": (name, merged_id)}
    if content:
        given["UpdateContent"] = {"@odata.type": name, **content}
    given["PerformParentingChecks"] = check_parents
    try:
        run_action(transport, operations, "Merge", given, options=options)
    except errors.DataverseError as error:
        if not in_doubt(error) or _identity(rows, table, merged_id)[1] != kept_id:
            raise
    return True


def _identity(rows: Rows, table: Table, key: RowKey) -> tuple[str, str | None]:
    """Return a row's id and that of the row it has been merged into."""
    columns = [name for name in (table.primary_id, "masterid") if name in table.columns]
    found = rows.get(table, key, columns, expand=None, annotations=False)
    own = found.get(table.primary_id) or (None if isinstance(key, Mapping) else key)
    return odata.guid(own), found.get("_masterid_value")
