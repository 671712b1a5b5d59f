"""Out of Dynamics: the rows of a table, of FetchXML or of a view, to a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, whole_number
from airflow_provider_dynamics.operators.query import source_of
from airflow_provider_dynamics.retry import airflow_errors
from airflow_provider_dynamics.transfers.partitions import check_own_file, part_name, part_window
from airflow_provider_dynamics.transfers.transfer import counted, effort, seconds_throttled, storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition, Expand, Source, Window
    from airflow_provider_dynamics.formats.storage import Place
    from airflow_provider_dynamics.transfers.drift import Settled
    from airflow_provider_dynamics.transfers.extract import Extract

__all__ = ["DynamicsToObjectStorageOperator"]


class DynamicsToObjectStorageOperator(DynamicsOperator):
    """Write rows to a Parquet, NDJSON or CSV file; types come from metadata, never from the rows.

    What is read is a table, a FetchXML document (``fetch_xml``), or a view (``table`` and ``saved_query`` or
    ``user_query``). A table is read over several lanes at a time: a row that exists throughout and whose window
    column does not change is read exactly once, in no particular order. ``order_by``, ``top``, ``apply``,
    FetchXML and views are read one page after the other.

    The file appears under its name only when it is complete. On Airflow 3.3 a retry goes on behind the last
    page that was read. Returns ``{"rows", "path", "mode": "full", "lanes", "pages", "requests",
    "throttled_seconds", "resumed_rows", "columns_added", "columns_removed"}``.

    :param table: the table's logical name, such as ``account``
    :param destination_path: where to write; anything ``ObjectStoragePath`` takes. With ``partition`` a path that ends in
        ``/`` gets ``part-00003.parquet``
    :param destination_conn_id: the connection of that storage, where it needs one
    :param select: logical names of the columns; empty for all. The row id is always there
    :param filter: OData ``$filter`` text, into which a date is rendered as an OData literal, or a condition made with
        ``column(…)``
    :param expand: OData ``$expand`` text, or a list of ``Expand``: related rows
    :param order_by: OData ``$orderby`` text
    :param top: at most so many rows
    :param apply: OData ``$apply`` text: aggregates and groups
    :param fetch_xml: a FetchXML document, or the path of a template that ends in ``.xml``; it names its table itself
    :param saved_query: name or id of a system view of ``table``
    :param user_query: name or id of a view that a user has saved
    :param labels: also write labels of choices, and names and tables of lookups, as columns of their own
    :param page_size: at most so many rows a request; default: as many as the service gives
    :param lanes: at most so many readers at a time; default: as many as the service and the connection allow. 1 reads one
        page after the other
    :param window_column: the column that divides the table among lanes; default: chosen from metadata
    :param partition: the part of the table to read, from ``DynamicsPartitionsOperator``
    :param file_format: ``parquet``, ``ndjson`` or ``csv``; default: by the path's suffix
    :param if_exists: ``replace`` the file, or ``fail`` before reading a row
    :param on_schema_change: when columns are not those of the last run: ``evolve`` with them, ``fail`` before reading a row,
        or ``ignore`` what is new and write nulls for what is gone
    :param checkpoint_seconds: how much reading a killed worker may lose; None: all of it
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        "table",
        "destination_path",
        "destination_conn_id",
        "select",
        "filter",
        "expand",
        "order_by",
        "top",
        "apply",
        "fetch_xml",
        "saved_query",
        "user_query",
        "page_size",
        "lanes",
        "window_column",
        "partition",
        "file_format",
        "if_exists",
        "on_schema_change",
    )
    template_ext: Sequence[str] = (".xml",)
    operator_extra_links = (DynamicsTableLink(),)
    template_fields_renderers: ClassVar[dict[str, str]] = {"fetch_xml": "xml"}

    def __init__(
        self,
        *,
        destination_path: str | ObjectStoragePath,
        table: str | None = None,
        destination_conn_id: str | None = None,
        select: Sequence[str] = (),
        filter: str | Condition | None = None,
        expand: str | Sequence[Expand] | None = None,
        order_by: str | None = None,
        top: int | str | None = None,
        apply: str | None = None,
        fetch_xml: str | None = None,
        saved_query: str | None = None,
        user_query: str | None = None,
        labels: bool = False,
        page_size: int | str | None = None,
        lanes: int | str | None = None,
        window_column: str | None = None,
        partition: Mapping[str, Any] | None = None,
        file_format: str | None = None,
        if_exists: str = "replace",
        on_schema_change: str = "evolve",
        checkpoint_seconds: float | None = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.destination_path = destination_path
        self.destination_conn_id = destination_conn_id
        self.select = select
        self.filter = filter
        self.expand = expand
        self.order_by = order_by
        self.top = top
        self.apply = apply
        self.fetch_xml = fetch_xml
        self.saved_query = saved_query
        self.user_query = user_query
        self.labels = labels
        self.page_size = page_size
        self.lanes = lanes
        self.window_column = window_column
        self.partition = partition
        self.file_format = file_format
        self.if_exists = if_exists
        self.on_schema_change = on_schema_change
        self.checkpoint_seconds = checkpoint_seconds

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the file.

        :raises AirflowFailException: the table, a column, the query, the file's place or the connection is wrong; nothing
            stands under the file's name then that did not stand there before
        """
        from airflow_provider_dynamics.lineage import file_place, read
        from airflow_provider_dynamics.transfers.drift import memory_of, settled

        source, window = self._source(), self._window()
        lanes = self._lanes()
        target, file_format = self._target(context)
        with self.client() as client:
            self.note_table(source.table)
            memory = memory_of(context, client.environment, source, self.inlets)
            columns = settled(client, source, self.on_schema_change, memory)
            extract = self._extract(context, client, columns, target, file_format)
            extract.lanes, extract.window = lanes, window
            done = extract.run()
            columns.remember()
            place = file_place(target.label)
            self.moved = read(client.environment, source.table, columns.fields, place, rows=done.rows)
        self.log.info(
            "Wrote %s rows of %s to %s%s; %s, %s, %s.",
            *(f"{done.rows:,}", source.table, target.label, _earlier(done.resumed_rows)),
            *(counted(done.pages, "page"), counted(done.lanes, "lane"), effort(client)),
        )
        return {
            "rows": done.rows,
            "path": target.label,
            "mode": "full",
            "lanes": done.lanes,
            "pages": done.pages,
            "requests": client.requests_sent,
            "throttled_seconds": seconds_throttled(client),
            "resumed_rows": done.resumed_rows,
            "columns_added": list(columns.added),
            "columns_removed": list(columns.removed),
        }

    def _source(self) -> Source:
        return source_of(
            self.table,
            fetch_xml=self.fetch_xml,
            saved_query=self.saved_query,
            user_query=self.user_query,
            page_size=self.page_size,
            labels=self.labels,
            select=self.select,
            filter=self.filter,
            expand=self.expand,
            order_by=self.order_by,
            top=self.top,
            apply=self.apply,
        )

    def _lanes(self) -> int | None:
        """Return the ceiling; refuse several lanes where they cannot be had without another result."""
        lanes = whole_number("lanes", self.lanes)
        if self.top and (lanes or 1) > 1:
            raise AirflowFailException(
                f"top={self.top} and lanes={lanes} do not go together: lanes read in no order, so the first {self.top} rows "
                "of them would be any. Leave lanes out, or divide the table with filter instead of top."
            )
        return lanes

    def _seconds(self) -> float | None:
        try:
            return None if self.checkpoint_seconds is None else float(self.checkpoint_seconds)
        except (TypeError, ValueError) as error:
            raise AirflowFailException(
                f"checkpoint_seconds is {self.checkpoint_seconds!r}: give a number of seconds, or None."
            ) from error

    def _window(self) -> Window | None:
        if self.partition is None:
            return None
        whole = ("top", "order_by", "apply", "fetch_xml", "saved_query", "user_query")
        others = [name for name in whole if getattr(self, name)]
        return part_window(self.partition, self.table, self.filter, others)

    def _target(self, context: Context) -> tuple[Place, str]:
        """Return where to write, after making sure that it can be written to, and the format."""
        from airflow_provider_dynamics.formats import file_format_of
        from airflow_provider_dynamics.formats.storage import place
        from airflow_provider_dynamics.transfers.segments import ready

        with airflow_errors():
            path = storage_path(self._path(context), self.destination_conn_id)
            file_format = file_format_of(path, self.file_format)
            target = place(path)
            ready(target, self.if_exists)
        return target, file_format

    def _path(self, context: Context) -> str | ObjectStoragePath:
        path = str(self.destination_path or "")
        if not path:
            raise AirflowFailException("destination_path is not set: name the file to write.")
        if path.endswith("/"):
            return self._in_folder(path)
        if self.partition is not None:
            check_own_file(context, self.task_id, path, self.partition)
        return self.destination_path

    def _in_folder(self, folder: str) -> str:
        if self.partition is None:
            raise AirflowFailException(
                f"destination_path {folder} is a folder, and only partitions get names in it: add the file's name."
            )
        suffix, of = self.file_format or "parquet", self.partition.get("of")
        if isinstance(of, int) and self._exists(beyond := f"{folder}{part_name(self.partition, suffix, of)}"):
            raise AirflowFailException(
                f"{beyond} is of a division into more than {of} parts, and its rows would be counted twice. Empty the folder, or "
                "give each run one of its own, such as {{ ts_nodash }}/."
            )
        return f"{folder}{part_name(self.partition, suffix)}"

    def _exists(self, path: str) -> bool:
        from airflow_provider_dynamics.formats.storage import place

        return place(storage_path(path, self.destination_conn_id)).exists()

    def _extract(
        self, context: Context, client: Client, columns: Settled, target: Place, file_format: str
    ) -> Extract:
        from airflow_provider_dynamics.state.progress import checkpoints
        from airflow_provider_dynamics.transfers.extract import Extract

        task = context["ti"]
        parts = (task.dag_id, task.run_id, task.task_id, task.map_index)
        return Extract(
            client,
            columns.source,
            columns.fields,
            target,
            file_format,
            self.if_exists,
            checkpoints(context),
            key=hashlib.sha256(repr(parts).encode()).hexdigest()[:12],
            window_column=self.window_column or None,
            checkpoint_seconds=self._seconds(),
            first_try=task.try_number <= 1,
        )


def _earlier(rows: int) -> str:
    return f", {rows:,} of which earlier tries had read" if rows else ""
