"""Out of Dynamics: what changed in a table, to change files, or to a file that is kept equal to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, names, one_of, whole_number
from airflow_provider_dynamics.transfers.transfer import (
    Progress,
    effort,
    rows_about,
    seconds_throttled,
    storage_path,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition, Feed, Query
    from airflow_provider_dynamics.formats.storage import Place
    from airflow_provider_dynamics.lineage import Moved
    from airflow_provider_dynamics.state import CursorKey
    from airflow_provider_dynamics.transfers.drift import Settled
    from airflow_provider_dynamics.transfers.following import Followed, Following

__all__ = ["DynamicsChangesToObjectStorageOperator"]

MODES = ("auto", "delta", "window")
OUTPUTS = ("changes", "snapshot")


class DynamicsChangesToObjectStorageOperator(DynamicsOperator):
    """Follow a table: write what changed since this task's last run, or keep one file equal to the table.

    With ``output="changes"`` every run writes a file to be merged in the order of the runs: column
    ``operation`` says ``upsert``, with the row's present state, or ``delete``, with the row id only, and
    ``version`` grows with every state of a row. With ``output="snapshot"`` the file at the destination is brought up
    to date.

    Deletions come from change tracking where the table has it, and from comparing row ids where it has not or
    where the place of the last run is lost; for that, the ids handed on are kept beside the files. The place
    moves on once the file is complete. A missed, repeated, killed or cleared run loses nothing. Let one run follow
    another (``max_active_runs=1``).

    Give the table as an inlet (``inlets=[table_asset(…)]``) to keep the place with the table's asset; without
    one, and before Airflow 3.3, it is an Airflow Variable.

    Returns ``{"rows", "upserts", "deleted", "path", "mode", "reason", "throttled_seconds", "columns_added",
    "columns_removed"}``. ``mode`` is ``full`` (take the file as the whole table), ``delta``, ``window``, or ``reconcile``:
    every row was read, for the reason given, and what is gone is named.

    :param table: the table's logical name, such as ``account``
    :param destination_path: where to write; for changes template it by run, such as ``…/{{ run_id }}.parquet``
    :param destination_conn_id: the connection of that storage, where it needs one
    :param select: logical names of the columns; empty for all. Other columns mean another place, so a full read
    :param output: ``changes`` or ``snapshot``
    :param mode: ``auto`` uses change tracking where the table has it and a window of version numbers, or of modification
        times, elsewhere; ``delta`` and ``window`` insist on one
    :param detect_deletes: find deletions by comparing row ids where change tracking does not tell them
    :param filter: OData ``$filter`` text or a condition, for windows only: Dataverse takes none with change tracking
    :param labels: also write labels of choices, and names and tables of lookups, as columns of their own
    :param keys_path: the folder for the row ids handed on; default: hidden, beside the first run's file
    :param page_size: at most so many rows a request; default: as many as the service gives
    :param file_format: ``parquet``, ``ndjson`` or ``csv``; default: by the path's suffix
    :param if_exists: ``replace`` the file, or ``fail`` before reading a row; for changes only
    :param on_schema_change: when columns are not those of the last run: ``evolve`` with them, which reads every row where
        columns are new, ``fail`` before reading a row, or ``ignore`` what is new and write nulls for what is gone
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        "table",
        "destination_path",
        "destination_conn_id",
        "select",
        "mode",
        "filter",
        "keys_path",
        "page_size",
        "file_format",
        "if_exists",
        "on_schema_change",
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        table: str,
        destination_path: str | ObjectStoragePath,
        destination_conn_id: str | None = None,
        select: Sequence[str] = (),
        output: str = "changes",
        mode: str = "auto",
        detect_deletes: bool = True,
        filter: str | Condition | None = None,
        labels: bool = False,
        keys_path: str | None = None,
        page_size: int | str | None = None,
        file_format: str | None = None,
        if_exists: str = "replace",
        on_schema_change: str = "evolve",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.destination_path = destination_path
        self.destination_conn_id = destination_conn_id
        self.select = select
        self.written_as = output  # Airflow has a property of the other name
        self.mode = mode
        self.detect_deletes = detect_deletes
        self.filter = filter
        self.labels = labels
        self.keys_path = keys_path
        self.page_size = page_size
        self.file_format = file_format
        self.if_exists = if_exists
        self.on_schema_change = on_schema_change

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the file, then move the place that the next run starts from.

        :raises AirflowFailException: the table, a column, an argument, the file's place or the connection is wrong; neither
            file nor place has changed then
        """
        from airflow_provider_dynamics.transfers.drift import memory_of, settled

        self._check()
        with self.client() as client:
            query = self._query()
            memory = memory_of(context, client.environment, query, self.inlets)
            columns = settled(client, query, self.on_schema_change, memory)
            with Progress(self.log, f"Read %d changes of {self.table}", client) as progress:
                following = self._following(context, client, columns, progress)
                followed = following.run()
            columns.remember()
            self.moved = self._moved(client, columns, following.path, followed.written.rows)
        self._tell(followed, client, following.place)
        return self._summary(followed, client, columns, following.place)

    def _moved(self, client: Client, columns: Settled, path: ObjectStoragePath, rows: int) -> Moved:
        """Return for lineage which columns went to the file."""
        from airflow_provider_dynamics.lineage import file_place, read
        from airflow_provider_dynamics.transfers.change_files import change_fields

        fields, extra = columns.fields, {}
        if self.written_as == "changes":
            fields, operation, _ = change_fields(fields)
            extra = {operation: "string"}
        place = file_place(path)
        return read(client.environment, self.table, fields, place, rows=rows, extra=extra)

    def _check(self) -> None:
        one_of("mode", self.mode, MODES)
        one_of("output", self.written_as, OUTPUTS)
        if self.written_as == "snapshot" and self.if_exists != "replace":
            raise AirflowFailException(
                f"if_exists={self.if_exists!r} does not go with output='snapshot', which replaces its file in every run: "
                "leave it out."
            )

    def _query(self) -> Query:
        from airflow_provider_dynamics.dataverse.queries.query import Query

        return Query(self.table, select=names(self.select), labels=self.labels)

    def _following(self, context: Context, client: Client, columns: Settled, progress: Progress) -> Following:
        from airflow_provider_dynamics.formats import file_format_of
        from airflow_provider_dynamics.formats.storage import place
        from airflow_provider_dynamics.state import cursor_store, run_order
        from airflow_provider_dynamics.transfers.following import Following, keys_folder
        from airflow_provider_dynamics.transfers.segments import ready

        path = storage_path(self.destination_path, self.destination_conn_id)
        target = place(path)
        file_format = file_format_of(path, self.file_format)
        ready(target, self.if_exists)
        key = self._key(context, client.environment, path)
        beside = keys_folder(str(path), self.table, key.dag_id, key.task_id, key.map_index, key.environment)
        size = whole_number("page_size", self.page_size)
        source: Any = columns.source

        def open_feed(since: str | None) -> Feed:
            feed = client.feed(
                *(self.table, source.select, since),
                mode=self.mode,  # type: ignore[arg-type]  # checked above
                detect_deletes=self.detect_deletes,
                page_size=size,
                labels=self.labels,
                filter=self.filter,
            )
            progress.estimate = partial(rows_about, client, self.table) if feed.complete else None
            return feed

        return Following(
            feed=open_feed,
            primary_id=client.table(self.table).primary_id,
            fields=columns.fields,
            new_columns=columns.added if self.on_schema_change == "evolve" else (),
            cursors=cursor_store(context, key, self.inlets),
            run_id=str(context["run_id"]),
            order=run_order(context),
            path=path,
            place=target,
            file_format=file_format,
            if_exists=self.if_exists,
            output=self.written_as,
            keys=(self.keys_path or beside) if self.detect_deletes and self.written_as == "changes" else None,
            keys_fixed=bool(self.keys_path),
            keys_at=self._keys_at,
            progress=lambda rows, pages: progress.reached(rows, pages=pages),
        )

    def _keys_at(self, text: str) -> Place:
        """Return the folder of the keys; the destination's connection is for its kind of storage."""
        from airflow_provider_dynamics.formats.storage import place

        same = text.partition("://")[0] == str(self.destination_path).partition("://")[0]
        return place(storage_path(text, self.destination_conn_id if same else None))

    def _key(self, context: Context, environment: str, path: ObjectStoragePath) -> CursorKey:
        from airflow_provider_dynamics.state import CursorKey

        index = context["ti"].map_index
        consumer = (self.dag_id, self.task_id, -1 if index is None else index)
        variant = [
            f"snapshot {path}" if self.written_as == "snapshot" else "",
            f"filter {self.filter}" if self.filter not in {None, ""} else "",
            "labels" if self.labels else "",
        ]
        return CursorKey(
            *consumer, environment, self.table, names(self.select), " ".join(filter(None, variant))
        )

    def _tell(self, followed: Followed, client: Client, place: Place) -> None:
        if followed.reason:
            self.log.warning("Every row of %s was read: %s.", self.table, followed.reason)
        self.log.info(
            "Wrote %d changed and %d deleted rows of %s to %s (%s); %s.",
            *(followed.written.upserts, followed.written.deleted, self.table),
            *(place.label, followed.mode, effort(client)),
        )

    def _summary(self, followed: Followed, client: Client, columns: Settled, place: Place) -> dict[str, Any]:
        return {
            "rows": followed.written.rows,
            "upserts": followed.written.upserts,
            "deleted": followed.written.deleted,
            "path": place.label,
            "mode": followed.mode,
            "reason": followed.reason,
            "throttled_seconds": seconds_throttled(client),
            "columns_added": list(columns.added),
            "columns_removed": list(columns.removed),
        }
