"""Files and images: from object storage into columns of rows, and back.

A file goes block by block, so memory holds a few blocks whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator
from airflow_provider_dynamics.retry import airflow_errors
from airflow_provider_dynamics.transfers.file_moving import FileMover, RowId, Tally, unchanged
from airflow_provider_dynamics.transfers.transfer import storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_dynamics.dataverse import Client, Condition, WriteOptions
    from airflow_provider_dynamics.formats.storage import Place
    from airflow_provider_dynamics.lineage import Moved
    from airflow_provider_dynamics.transfers.path_templates import PathTemplate

__all__ = ["DynamicsFileToObjectStorageOperator", "ObjectStorageToDynamicsFileOperator"]


class ObjectStorageToDynamicsFileOperator(FileMover, WritingOperator):
    """Put files from object storage into a file or image column, of one row or of many.

    One row is named by ``row_id`` or ``key``. Without them the path says whose file it is, by columns in braces:
    ``s3://inbox/contracts/{accountnumber}.pdf`` puts each such file into the account with that number,
    ``…/{accountid}/*.pdf`` goes by the row's id; ``*`` stands for any text of one folder.

    A file replaces the one in the column as a whole or not at all, so a retry, which sends all files again, does
    no harm. Returns ``{"files", "bytes", "empty", "rejected", "rejects", "path", "requests",
    "throttled_seconds"}``.

    :param source_path: the file, or the files with columns in braces; anything ``ObjectStoragePath`` takes
    :param source_conn_id: the connection of that storage, where it needs one
    :param table: the table's logical name, such as ``account``
    :param column: the file or image column's logical name
    :param row_id: the GUID of the one row
    :param key: the one row's alternate key, as a dict of its columns
    :param file_name: what Dynamics calls the file; default: its name in the storage
    :param content_type: its MIME type; default: Dynamics tells it by the name
    :param if_none: ``fail`` when there is no file, or ``skip`` the task
    :param on_file_error: ``fail``, or ``collect`` what is refused for the file's or its row's sake in the summary
    :param concurrency: how many files to send at a time
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse rows that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *WritingOperator.template_fields,
        "source_path",
        "source_conn_id",
        "table",
        "column",
        "row_id",
        "key",
        "file_name",
        "content_type",
        "if_none",
        "on_file_error",
        "concurrency",
        *OPTIONS,
    )

    def __init__(
        self,
        *,
        source_path: str | ObjectStoragePath,
        table: str,
        column: str,
        source_conn_id: str | None = None,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        file_name: str | None = None,
        content_type: str | None = None,
        if_none: Literal["fail", "skip"] = "fail",
        on_file_error: Literal["fail", "collect"] = "fail",
        concurrency: int | str = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            table=table,
            column=column,
            row_id=row_id,
            key=key,
            on_file_error=on_file_error,
            concurrency=concurrency,
            **kwargs,
        )
        self.source_path = source_path
        self.source_conn_id = source_conn_id
        self.file_name = file_name
        self.content_type = content_type
        self.if_none = if_none

    def execute(self, context: Context) -> dict[str, Any]:
        """Send the files.

        :raises AirflowSkipException: there is no file, and ``if_none`` is ``skip``
        :raises AirflowFailException: there is none, two files are one row's, the path says no row, or Dynamics refuses
            a file and ``on_file_error`` is ``fail``
        """
        self._checked("if_none")
        self._checked("on_file_error")
        with airflow_errors():
            source = self._source()
            found = self._found(source)
        tally, options = Tally(), self.options()
        with self.client() as client:
            self.note_table(self.table)
            rows = self._rows(client, found, source.label)
            self._all(rows, lambda one: self._send(client, options, tally, *one))
            self.linked_row = self.row_id or None
            self.moved = self._moved(client.environment, source)
            return self._told(client, tally, source.label)

    def _source(self) -> Place:
        from airflow_provider_dynamics.formats.storage import place

        if not str(self.source_path or ""):
            raise AirflowFailException("source_path is not set: name the file to send.")
        return place(storage_path(self.source_path, self.source_conn_id))

    def _found(self, source: Place) -> list[tuple[Place, dict[str, str]]]:
        from airflow_provider_dynamics.transfers.path_templates import PathTemplate

        template = PathTemplate(source.path)
        if self._row() is None and not template.names:
            raise AirflowFailException(
                f"Nothing says which row {source.label} belongs to: give row_id or key, or write the columns that say it into "
                "the path, such as {accountnumber}.pdf."
            )
        if self._row() is not None and template.names:
            raise AirflowFailException(
                f"{source.label} names rows, and so does row_id or key: keep one of them."
            )
        files = list(template.files(source)) if template.many else [(source, {})]
        if not template.many and not source.exists():
            files = []
        if not files and self._checked("if_none") == "skip":
            raise AirflowSkipException(f"There is no file {source.label}.")
        if not files:
            raise AirflowFailException(
                f"There is no file {source.label}: correct source_path, or set if_none to skip."
            )
        return files

    def _rows(
        self, client: Client, found: Sequence[tuple[Place, dict[str, str]]], label: str
    ) -> list[tuple[Place, RowId]]:
        """Return each file with its row; refuse two of one row, of which the last to arrive would be kept."""
        primary_id, named = client.table(self.table).primary_id, self._row()
        rows: list[tuple[Place, RowId]] = []
        seen: dict[str, str] = {}
        for file, values in found:
            row = named or (values[primary_id] if set(values) == {primary_id} else dict(values))
            if other := seen.get(str(row).lower()):
                raise AirflowFailException(
                    f"{other} and {file.label} belong to the same row of {self.table}, and a column holds one file: make "
                    f"{label} narrower."
                )
            seen[str(row).lower()] = file.label
            rows.append((file, row))
        return rows

    def _send(self, client: Client, options: WriteOptions, tally: Tally, file: Place, row: RowId) -> None:
        def work() -> int:
            name = self.file_name or file.path.replace("\\", "/").rpartition("/")[2]
            with unchanged(file), file.open("rb") as stream:
                sent = client.files.upload(
                    *(self.table, row, self.column, stream),
                    name=name,
                    content_type=self.content_type or None,
                    options=options,
                )
            return sent.size

        self._one(tally, file.label, row, work)

    def _moved(self, environment: str, source: Place) -> Moved:
        from airflow_provider_dynamics.lineage import Moved, Side, file_place, table_place

        target = Side(table_place(environment, self.table), ((self.column, "file"),))
        return Moved((Side(file_place(source.label)),), target, {})


class DynamicsFileToObjectStorageOperator(FileMover):
    """Write the files of a file or image column to object storage, of one row or of many.

    One row is named by ``row_id`` or ``key``. Without them each row that ``filter`` finds and that has a file is
    written to a path of its own, made of columns in braces: ``s3://lake/contracts/{accountnumber}.pdf``;
    ``{file_name}`` is the file's name in Dynamics. Characters that would make folders become ``_``.

    A file appears under its name only when it is complete. Returns ``{"files", "bytes", "empty", "rejected",
    "rejects", "path", "requests", "throttled_seconds"}``, where ``empty`` counts rows without a file.

    :param table: the table's logical name, such as ``account``
    :param column: the file or image column's logical name
    :param destination_path: where to write; anything ``ObjectStoragePath`` takes, with columns in braces
    :param destination_conn_id: the connection of that storage, where it needs one
    :param row_id: the GUID of the one row
    :param key: the one row's alternate key, as a dict of its columns
    :param filter: OData ``$filter`` text, into which a date is rendered as an OData literal, or a condition made with
        ``column(…)``: the many rows
    :param thumbnail: of an image column, the small images that Dynamics makes
    :param if_exists: ``replace`` a file, or ``fail``
    :param on_missing: ``fail`` when the one row has no file, or ``skip`` the task
    :param on_file_error: ``fail``, or ``collect`` what is refused for the file's or its row's sake in the summary
    :param concurrency: how many files to fetch at a time
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *FileMover.template_fields,
        "table",
        "column",
        "destination_path",
        "destination_conn_id",
        "row_id",
        "key",
        "filter",
        "if_exists",
        "on_missing",
        "on_file_error",
        "concurrency",
    )

    def __init__(
        self,
        *,
        table: str,
        column: str,
        destination_path: str | ObjectStoragePath,
        destination_conn_id: str | None = None,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        filter: str | Condition | None = None,
        thumbnail: bool = False,
        if_exists: str = "replace",
        on_missing: Literal["fail", "skip"] = "fail",
        on_file_error: Literal["fail", "collect"] = "fail",
        concurrency: int | str = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            table=table,
            column=column,
            row_id=row_id,
            key=key,
            on_file_error=on_file_error,
            concurrency=concurrency,
            **kwargs,
        )
        self.destination_path = destination_path
        self.destination_conn_id = destination_conn_id
        self.filter = filter
        self.thumbnail = thumbnail
        self.if_exists = if_exists
        self.on_missing = on_missing

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the files.

        :raises AirflowSkipException: the one row has no file, and ``on_missing`` is ``skip``
        :raises AirflowFailException: it has none, two rows would get one path, the path names no column of many rows,
            or a file cannot be had and ``on_file_error`` is ``fail``
        """
        from airflow_provider_dynamics.transfers.path_templates import PathTemplate

        self._checked("on_missing")
        self._checked("on_file_error")
        template = PathTemplate(str(self.destination_path or ""))
        if not template.text:
            raise AirflowFailException("destination_path is not set: name the file to write.")
        tally = Tally()
        with self.client() as client:
            self.note_table(self.table)
            rows = self._rows(client, template)
            self._all(
                self._targets(client, tally, template, rows), lambda one: self._fetch(client, tally, *one)
            )
            self._check_missing(tally)
            self.moved = self._moved(client.environment, template)
            return self._told(client, tally, template.text)

    def _rows(self, client: Client, template: PathTemplate) -> Iterable[Mapping[str, Any]]:
        """Return the rows with the columns that the path needs."""
        from airflow_provider_dynamics.dataverse import Query, column
        from airflow_provider_dynamics.dataverse.queries.conditions import combined

        table, row = client.table(self.table), self._row()
        held = table.column(self.column)
        select = [table.primary_id, *(self._column(name) for name in template.names)]
        if row is not None:
            if self.filter is not None and self.filter != "":
                raise AirflowFailException(
                    "filter is for many rows, row_id and key for one: keep one of them."
                )
            found = client.get(self.table, row, select)
            self.linked_row = str(found[table.primary_id])
            return [found]
        if not template.names:
            raise AirflowFailException(
                f"Every row's file would be written to {template.text}: write columns into the path, such as "
                "{accountnumber}.pdf, or give row_id or key."
            )
        there = ~column(held.name).is_null() if held.type == "File" else None
        where = combined(there, None if self.filter == "" else self.filter)
        return client.rows(Query(self.table, select=select, filter=where))

    def _column(self, name: str) -> str:
        return f"{self.column}_name" if name == "file_name" else name

    def _targets(
        self, client: Client, tally: Tally, template: PathTemplate, rows: Iterable[Mapping[str, Any]]
    ) -> Iterator[tuple[str, str]]:
        """Yield each row's id and path; refuse two rows of one path, of which the last to arrive would be kept."""
        from airflow_provider_dynamics.formats.fields import FormatError

        table = client.table(self.table)
        wires = {name: table.column(self._column(name)).wire_name for name in template.names}
        seen: dict[str, str] = {}
        for row in rows:
            row_id = str(row[table.primary_id])
            try:
                path = template.fill({name: row.get(wire) for name, wire in wires.items()})
            except FormatError as error:
                if self.on_file_error == "fail":
                    raise
                tally.reject(template.text, row_id, error)
                continue
            if other := seen.get(path):
                raise AirflowFailException(
                    f"The files of {self.table} {other} and {row_id} would both be written to {path}: write more columns into "
                    f"the path, such as {{{table.primary_id}}}."
                )
            seen[path] = row_id
            yield row_id, path

    def _fetch(self, client: Client, tally: Tally, row_id: str, path: str) -> None:
        from airflow_provider_dynamics.formats.storage import place, replacing

        target = place(storage_path(path, self.destination_conn_id))

        def work() -> int:
            with replacing(target, self.if_exists) as file:
                return client.files.download(
                    self.table, row_id, self.column, file, thumbnail=self.thumbnail
                ).size

        self._one(tally, target.label, row_id, work)

    def _check_missing(self, tally: Tally) -> None:
        if self._row() is None or not tally.empty:
            return
        said = f"{self.table}.{self.column} of this row holds no file"
        if self.on_missing == "skip":
            raise AirflowSkipException(f"{said}.")
        raise AirflowFailException(f"{said}: upload one first, or set on_missing to skip.")

    def _moved(self, environment: str, template: PathTemplate) -> Moved:
        from airflow_provider_dynamics.lineage import Moved, Side, file_place, table_place

        source = Side(table_place(environment, self.table), ((self.column, "file"),))
        path = storage_path(template.text, self.destination_conn_id)
        return Moved((source,), Side(file_place(path)), {})
