"""Out of Dynamics: a table's rows, or what changed in it, to a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators import DynamicsOperator, names, whole_number
from airflow_provider_dynamics.transfers.transfer import Progress, effort, seconds_throttled, storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Table
    from airflow_provider_dynamics.state import CursorKey

__all__ = ["DynamicsChangesToObjectStorageOperator", "DynamicsToObjectStorageOperator"]

OPERATION = "operation"
"""The column of a change file that says what happened to the row: ``upsert`` or ``delete``."""


class DynamicsToObjectStorageOperator(DynamicsOperator):
    """Write the rows of a table to a Parquet, NDJSON or CSV file; types come from the table's metadata.

    The file appears under its name only when it is complete. Returns
    ``{"rows": …, "path": …, "mode": "full", "throttled_seconds": …}``.

    :param table: the table's logical name, such as ``account``
    :param destination_path: where to write; anything ``ObjectStoragePath`` takes
    :param destination_conn_id: the connection of that storage, where it needs one
    :param select: logical names of the columns; empty for all. The row id is always there
    :param filter: OData ``$filter`` text; a date rendered into it becomes an OData literal
    :param order_by: OData ``$orderby`` text
    :param top: at most so many rows
    :param page_size: at most so many rows a request; default: as many as the service gives
    :param file_format: ``parquet``, ``ndjson`` or ``csv``; default: by the path's suffix
    :param if_exists: ``replace`` the file, or ``fail`` before reading a row
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        "dynamics_conn_id",
        "table",
        "destination_path",
        "destination_conn_id",
        "select",
        "filter",
        "order_by",
        "top",
        "page_size",
        "file_format",
        "if_exists",
    )

    def __init__(
        self,
        *,
        table: str,
        destination_path: str | ObjectStoragePath,
        destination_conn_id: str | None = None,
        select: Sequence[str] = (),
        filter: str | None = None,
        order_by: str | None = None,
        top: int | str | None = None,
        page_size: int | str | None = None,
        file_format: str | None = None,
        if_exists: str = "replace",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.destination_path = destination_path
        self.destination_conn_id = destination_conn_id
        self.select = select
        self.filter = filter
        self.order_by = order_by
        self.top = top
        self.page_size = page_size
        self.file_format = file_format
        self.if_exists = if_exists

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the file.

        :raises AirflowFailException: the table, a column, the query, the file's place or the connection is wrong; nothing
            stands under the file's name then that did not stand there before
        """
        from airflow_provider_dynamics.dataverse.query import Query
        from airflow_provider_dynamics.formats import writer

        path = storage_path(self.destination_path, self.destination_conn_id)
        query = Query(
            self.table,
            select=names(self.select),
            filter=self.filter,
            order_by=self.order_by,
            top=whole_number("top", self.top),
            page_size=whole_number("page_size", self.page_size),
        )
        progress = Progress(self.log, f"Read %d rows of {self.table} so far.")
        with self.client() as client:
            table = client.table(self.table)
            select = [table.column(name).name for name in query.select]
            with writer(path, self.file_format, table, select, if_exists=self.if_exists) as file:
                for page in client.pages(query):
                    file.write(page)
                    progress.reached(file.rows)
        self.log.info("Wrote %d rows of %s to %s; %s.", file.rows, self.table, path, effort(client))
        return {
            "rows": file.rows,
            "path": str(path),
            "mode": "full",
            "throttled_seconds": seconds_throttled(client),
        }


class DynamicsChangesToObjectStorageOperator(DynamicsOperator):
    """Write what changed in a table since this task's last run to a file, deleted rows too.

    The first run writes every row (``"mode": "full"``: take the file as the whole table), later ones what
    changed (``"mode": "delta"``). The column ``operation`` says ``upsert``, with the row's present state, or
    ``delete``, with the row id only. Where the reading stopped is remembered once the file is complete; a
    retried or cleared run reads again from its own start, so files applied in the order of their runs lose
    nothing. Let one run follow another (``max_active_runs=1``): Airflow's stores cannot settle two that end
    at the same moment.

    Give the table as an inlet (``inlets=[table_asset(…)]``) to keep that place with the table's asset;
    without one, and before Airflow 3.3, it is an Airflow Variable. Change tracking must be on for the table:
    https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems

    Returns ``{"rows": …, "upserts": …, "deleted": …, "path": …, "mode": …, "throttled_seconds": …}``.

    :param table: the table's logical name, such as ``account``
    :param destination_path: where to write; template it by run, such as ``…/{{ run_id }}.parquet``
    :param destination_conn_id: the connection of that storage, where it needs one
    :param select: logical names of the columns; empty for all. Other columns mean another cursor, so a full read
    :param page_size: at most so many rows a request; default: as many as the service gives
    :param file_format: ``parquet``, ``ndjson`` or ``csv``; default: by the path's suffix
    :param if_exists: ``replace`` the file, or ``fail`` before reading a row
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        "dynamics_conn_id",
        "table",
        "destination_path",
        "destination_conn_id",
        "select",
        "page_size",
        "file_format",
        "if_exists",
    )

    def __init__(
        self,
        *,
        table: str,
        destination_path: str | ObjectStoragePath,
        destination_conn_id: str | None = None,
        select: Sequence[str] = (),
        page_size: int | str | None = None,
        file_format: str | None = None,
        if_exists: str = "replace",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.destination_path = destination_path
        self.destination_conn_id = destination_conn_id
        self.select = select
        self.page_size = page_size
        self.file_format = file_format
        self.if_exists = if_exists

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the file, then move the cursor.

        :raises AirflowFailException: the table, a column, the file's place or the connection is wrong, or the table does
            not keep track of changes; neither file nor cursor has changed then
        """
        from airflow_provider_dynamics.state import cursor_store, run_order

        run_id, order = str(context["run_id"]), run_order(context)
        with self.client() as client:
            table = client.table(self.table)
            cursors = cursor_store(context, self._key(context, client.environment), self.inlets)
            since = cursors.begin(run_id, order)
            since, link, summary = self._write_from(client, table, since)
            cursors.commit(run_id, order, since=since, until=link)
        self.log.info(
            "Wrote %d changed and %d deleted rows of %s to %s (%s); %s.",
            *(
                summary["upserts"],
                summary["deleted"],
                self.table,
                summary["path"],
                summary["mode"],
                effort(client),
            ),
        )
        return summary

    def _key(self, context: Context, environment: str) -> CursorKey:
        from airflow_provider_dynamics.state import CursorKey

        index = context["ti"].map_index
        consumer = (self.dag_id, self.task_id, -1 if index is None else index)
        return CursorKey(*consumer, environment, self.table, names(self.select))

    def _write_from(
        self, client: Client, table: Table, since: str | None
    ) -> tuple[str | None, str, dict[str, Any]]:
        """Write what changed, or everything if the service refuses to go on from there; return where it started, too."""
        from airflow_provider_dynamics.dataverse.errors import (
            BadRequest,
            DeltaLinkExpired,
            ForeignLink,
            NotFound,
        )

        if since is not None:
            try:
                return since, *self._write(client, table, since)
            except (BadRequest, DeltaLinkExpired, ForeignLink, NotFound) as error:
                self.log.warning(
                    "Reading on from where the last run stopped is refused, so all rows are read: %s", error
                )
        return None, *self._write(client, table, None)

    def _write(self, client: Client, table: Table, since: str | None) -> tuple[str, dict[str, Any]]:
        """Write one file; return the link that the next reading starts from, and the summary."""
        from airflow_provider_dynamics.formats import writer

        path = storage_path(self.destination_path, self.destination_conn_id)
        select = [table.column(name).name for name in names(self.select)]
        progress = Progress(self.log, f"Read %d changes of {self.table} so far.")
        link, deleted = None, 0
        with writer(
            path, self.file_format, table, select, if_exists=self.if_exists, extra={OPERATION: "string"}
        ) as file:
            for page in client.changes(
                self.table, select=select, since=since, page_size=whole_number("page_size", self.page_size)
            ):
                file.write(page.rows if page.deleted else page, {OPERATION: "upsert"})
                if page.deleted:
                    file.write(
                        [{table.primary_id: gone.row_id} for gone in page.deleted], {OPERATION: "delete"}
                    )
                deleted += len(page.deleted)
                link = page.delta_link or link
                progress.reached(file.rows)
            if link is None:
                raise AirflowFailException(
                    f"The changes of {self.table} ended without a delta link, so the next run would not know where "
                    "to start; nothing was written. Try again, and report it if it happens again."
                )
        summary = {
            "rows": file.rows,
            "upserts": file.rows - deleted,
            "deleted": deleted,
            "path": str(path),
            "mode": "full" if since is None else "delta",
            "throttled_seconds": seconds_throttled(client),
        }
        return link, summary
