"""Into Dynamics: a file's rows into a table, the ones it refuses set aside."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, names
from airflow_provider_dynamics.transfers.transfer import Progress, effort, seconds_throttled, storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, RowOutcome
    from airflow_provider_dynamics.dataverse.bulk import Operation
    from airflow_provider_dynamics.dataverse.tables import Table
    from airflow_provider_dynamics.formats import FileRow, Reader
    from airflow_provider_dynamics.transfers.loads.rejects import Limit, Reject, Rejects

__all__ = ["ObjectStorageToDynamicsOperator"]

OPERATIONS = ("upsert", "create", "update", "delete")


class ObjectStorageToDynamicsOperator(DynamicsOperator):
    """Write the rows of a Parquet, NDJSON or CSV file into a table.

    The file's columns are checked against the table before anything is written. Rows that are refused for
    what they hold are set aside with their reason, and the rest is written. Returns ``{"rows": read,
    "written": …, "rejected": …, "path": …, "rejects_path": …, "throttled_seconds": …}``, where rows = written
    + rejected. An empty field of a file clears its column. A retry sends the whole file again: an ``upsert``
    may be repeated, a ``create`` without row ids makes its rows twice.

    :param source_path: the file; anything ``ObjectStoragePath`` takes
    :param table: the table's logical name, such as ``account``
    :param operation: ``upsert``, ``create``, ``update`` or ``delete``
    :param key: columns of an alternate key that find the row; default: the row id, which the file must then have
    :param columns: the file's column to the table's, where they differ; None leaves a column of the file out
    :param source_conn_id: the connection of that storage, where it needs one
    :param file_format: ``parquet``, ``ndjson`` or ``csv``; default: by the path's suffix
    :param on_row_error: ``collect`` refused rows, or ``fail`` at the first
    :param rejects_path: NDJSON of refused rows: ``row`` (place in the file, from 1), ``code``, ``message``, ``data``
    :param rejects_conn_id: the connection of that storage; default: ``source_conn_id``
    :param max_rejects: refused rows that are accepted, a count or a share such as ``"1%"``; with more the task fails
    :param chunk_size: at most so many rows a request; default: automatic
    :param concurrency: at most so many requests at a time; default: automatic
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        "dynamics_conn_id",
        "source_path",
        "table",
        "operation",
        "key",
        "columns",
        "source_conn_id",
        "file_format",
        "on_row_error",
        "rejects_path",
        "rejects_conn_id",
        "max_rejects",
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        source_path: str | ObjectStoragePath,
        table: str,
        operation: str = "upsert",
        key: Sequence[str] | None = None,
        columns: Mapping[str, str | None] | None = None,
        source_conn_id: str | None = None,
        file_format: str | None = None,
        on_row_error: str = "collect",
        rejects_path: str | ObjectStoragePath | None = None,
        rejects_conn_id: str | None = None,
        max_rejects: int | str = 0,
        chunk_size: int | None = None,
        concurrency: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_path = source_path
        self.table = table
        self.operation = operation
        self.key = key
        self.columns = columns
        self.source_conn_id = source_conn_id
        self.file_format = file_format
        self.on_row_error = on_row_error
        self.rejects_path = rejects_path
        self.rejects_conn_id = rejects_conn_id
        self.max_rejects = max_rejects
        self.chunk_size = chunk_size
        self.concurrency = concurrency

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the file.

        :raises AirflowFailException: the file or an argument does not fit the table (nothing was written then), a row
            was refused and ``on_row_error`` is ``fail``, or more rows were refused than ``max_rejects``
        """
        from airflow_provider_dynamics.formats import reader
        from airflow_provider_dynamics.lineage import file_place, loaded
        from airflow_provider_dynamics.transfers.loads.columns import check_columns, file_to_table
        from airflow_provider_dynamics.transfers.loads.rejects import Limit, Rejects

        path = storage_path(self.source_path, self.source_conn_id)
        _one_of("operation", self.operation, OPERATIONS)
        _one_of("on_row_error", self.on_row_error, ("collect", "fail"))
        limit = Limit.read(self.max_rejects)
        with self.client() as client, Rejects(self._rejects_file(path)) as rejects:
            table = client.table(self.table)
            with reader(path, self.file_format, table, file_to_table(self.columns)) as source:
                columns = check_columns(table, source.columns, self.columns, self.operation, names(self.key))
                load = _Load(source, columns, rejects, fail_at_once=self.on_row_error == "fail")
                self._run(load, client, table)
                sent = self._sent(table, source.columns, columns)
            self.moved = loaded(client.environment, self.table, file_place(path), sent, rows=load.written)
        summary = load.summary(path, seconds_throttled(client))
        self.log.info("%s; %s.", load.sentence(self.table), effort(client))
        if not limit.allows(rejects.count, load.read):
            raise AirflowFailException(_too_many(summary, limit, rejects, self.table))
        return summary

    def _sent(
        self, table: Table, in_file: Sequence[str], columns: Sequence[str]
    ) -> dict[str, tuple[str, str]]:
        """Return of each column of the file that was sent the table's column and its type."""
        from airflow_provider_dynamics.transfers.loads.columns import bound_column, file_to_table

        targets = file_to_table(self.columns)
        found = {name: bound_column(table, targets.get(name, name)) for name in in_file}
        kept = [bound_column(table, name) for name in columns]
        return {
            name: (column.name, column.type) for name, column in found.items() if column and column in kept
        }

    def _run(self, load: _Load, client: Client, table: Table) -> None:
        progress = Progress(self.log, f"Sent %d rows to {table.logical_name} so far.")
        outcomes = client.bulk(
            table.logical_name,
            load.rows(),
            operation=cast("Operation", self.operation),  # checked in execute
            key=names(self.key) or None,
            chunk_size=self.chunk_size,
            concurrency=self.concurrency,
        )
        try:
            # closed at once when a row ends the task, so that nothing more is sent
            with closing(cast("Generator[RowOutcome, None, None]", outcomes)):
                for outcome in outcomes:
                    load.settle(outcome)
                    progress.reached(load.read)
            load.finish()
        except Exception:
            self.log.warning("Stopped: %s.", load.sentence(table.logical_name))
            raise

    def _rejects_file(self, source: ObjectStoragePath) -> ObjectStoragePath | None:
        if not self.rejects_path:
            return None
        path = storage_path(self.rejects_path, self.rejects_conn_id or self.source_conn_id)
        if str(path) == str(source):
            raise AirflowFailException(f"rejects_path is the source {source} itself: name another file.")
        return path


class _Load:
    """One file on its way: which rows are out, which came back refused, in the order of the file."""

    def __init__(
        self, source: Reader, columns: Sequence[str], rejects: Rejects, *, fail_at_once: bool
    ) -> None:
        self._source = source
        self._columns = frozenset(columns)
        self._rejects = rejects
        self._fail_at_once = fail_at_once
        self._waiting: deque[FileRow] = deque()
        self.read = self.written = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows to send; a row the file itself spoils waits for its turn among the refused ones."""
        for row in self._source:
            self._waiting.append(row)
            if row.error is None:
                yield {name: value for name, value in row.row.items() if name in self._columns}
            elif self._fail_at_once:
                return

    def settle(self, outcome: RowOutcome) -> None:
        """Take what became of the next row that was sent."""
        from airflow_provider_dynamics.transfers.loads.rejects import Reject

        self._set_aside_unsent()
        row = self._waiting.popleft()
        self.read += 1
        if outcome.error is None:
            self.written += 1
        else:
            self._refuse(Reject.by_service(row, outcome.error))

    def finish(self) -> None:
        self._set_aside_unsent()

    def _set_aside_unsent(self) -> None:
        from airflow_provider_dynamics.transfers.loads.rejects import Reject

        while self._waiting and self._waiting[0].error is not None:
            self.read += 1
            self._refuse(Reject.by_file(self._waiting.popleft()))

    def _refuse(self, reject: Reject) -> None:
        if self._fail_at_once:
            raise AirflowFailException(
                f"Row {reject.row} was refused: {reject.reason}. {self.written} rows before it were written, rows after "
                'it may have been. Correct it and load again, or set on_row_error="collect" and a rejects_path.'
            )
        self._rejects.add(reject)

    def summary(self, path: ObjectStoragePath, throttled: float) -> dict[str, Any]:
        return {
            "rows": self.read,
            "written": self.written,
            "rejected": self._rejects.count,
            "path": str(path),
            "rejects_path": self._rejects.written_to,
            "throttled_seconds": throttled,
        }

    def sentence(self, table: str) -> str:
        return f"Wrote {self.written} of {self.read} rows into {table}, {self._rejects.count} were refused"


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise AirflowFailException(f"{name} is {value!r}: use one of {', '.join(allowed)}.")


def _too_many(summary: Mapping[str, Any], limit: Limit, rejects: Rejects, table: str) -> str:
    where = (
        f"All refused rows and their reasons are in {rejects.written_to}: correct them and load that data."
        if rejects.written_to
        else "Set rejects_path to get all refused rows and their reasons as a file."
    )
    return (
        f"{summary['rejected']:,} of {summary['rows']:,} rows of {summary['path']} were refused by {table}, more than "
        f"max_rejects ({limit}) accepts; the other {summary['written']:,} are written. First reasons: {rejects.first()}. {where}"
    )
