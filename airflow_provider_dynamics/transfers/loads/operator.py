"""Into Dynamics: a file's rows into a table, the ones it refuses set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_dynamics.transfers.loads.task import LoadOperator
from airflow_provider_dynamics.transfers.transfer import storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_dynamics.dataverse.loading.bulk import Operation
    from airflow_provider_dynamics.transfers.loads.job import TableLoad
    from airflow_provider_dynamics.transfers.loads.preparing import Prepared
    from airflow_provider_dynamics.transfers.loads.settling import Tally

__all__ = ["ObjectStorageToDynamicsOperator"]


class ObjectStorageToDynamicsOperator(LoadOperator):
    """Write the rows of Parquet, NDJSON or CSV files into a table, each of them exactly once and accounted for.

    Columns are checked against the table before anything is written, and values before they are sent. Rows that
    are refused are set aside with their reason, and the rest is written. A retry, a cleared task or a lost
    answer writes no row twice and leaves none out: rows are known again by their key, by ids that are made
    from `row_id_from`, or, for a ``create`` that has neither, by ids that are made from the run and the row.

    Returns ``{"rows", "written", "unchanged", "rejected", "path", "rejects_path", "mode", "resumed_rows",
    "requests", "throttled_seconds"}``, where rows = written + unchanged + rejected; ``mode`` is ``load``, or
    ``plan`` for a dry run, which adds ``creates``, ``updates``, ``deletes`` and ``plan_path``. Rows to delete that are
    not there, and rows that an earlier try has created already, count as unchanged.

    :param source_path: a file, a folder of files or a pattern such as ``*.csv``: anything ``ObjectStoragePath`` takes
    :param table: the table's logical name, such as ``account``
    :param operation: ``upsert``, ``create``, ``update`` or ``delete``
    :param key: columns of an alternate key that find the row; default: the row id
    :param columns: the file's column to the table's, where they differ; None leaves a column of the file out
    :param lookups: by lookup column, the other table's columns that its values are of: ``{"primarycontactid":
        "contact.emailaddress1"}``, several joined with ``+``, a list of these where it may point to several tables
    :param on_missing_lookup: ``reject`` the row, ``create`` the row looked for, or leave the lookup ``null``
    :param choices_by_label: choices may be given by their label as well as by their number
    :param row_id_from: columns of the row that its id is made from, where the table has no alternate key
    :param blank: an empty value clears its column (``null``), or leaves it as it is (``skip``)
    :param allow_empty: files without a byte are a load of no rows, and not a mistake
    :param source_conn_id: the connection of that storage, where it needs one
    :param file_format: ``parquet``, ``ndjson``, ``csv``, or ``rejects`` for what a load has set aside; default: by suffix
    """

    template_fields: Sequence[str] = (
        *LoadOperator.load_fields,
        "source_path",
        "table",
        "operation",
        "key",
        "columns",
        "lookups",
        "on_missing_lookup",
        "choices_by_label",
        "row_id_from",
        "blank",
        "allow_empty",
        "source_conn_id",
        "file_format",
    )

    _prepared: Prepared

    def __init__(
        self,
        *,
        source_path: str | ObjectStoragePath,
        table: str,
        operation: str = "upsert",
        key: Sequence[str] | None = None,
        columns: Mapping[str, str | None] | None = None,
        lookups: Mapping[str, Any] | None = None,
        on_missing_lookup: str = "reject",
        choices_by_label: bool = True,
        row_id_from: Sequence[str] | None = None,
        blank: str = "null",
        allow_empty: bool = False,
        source_conn_id: str | None = None,
        file_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_path = source_path
        self.table = table
        self.operation = operation
        self.key = key
        self.columns = columns
        self.lookups = lookups
        self.on_missing_lookup = on_missing_lookup
        self.choices_by_label = choices_by_label
        self.row_id_from = row_id_from
        self.blank = blank
        self.allow_empty = allow_empty
        self.source_conn_id = source_conn_id
        self.file_format = file_format

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the files.

        :raises AirflowFailException: a file or an argument does not fit the table (nothing was written then), a row was
            refused and ``on_row_error`` is ``fail``, or more rows were refused than ``max_rejects``
        """
        from airflow_provider_dynamics.transfers.loads.preparing import prepared_load
        from airflow_provider_dynamics.transfers.loads.sources import open_source
        from airflow_provider_dynamics.transfers.loads.task import run_name

        checked, load = self.check(), self._load()
        path = storage_path(load.source_path, load.source_conn_id)
        with self.client() as client:
            client.ask_ahead(load.table, cast("Operation", load.operation))
            source = open_source(path, load.file_format, table=load.table, allow_empty=load.allow_empty)
            prepared = prepared_load(client, load, source, run_name(context))
            self._prepared = prepared
            passes = [(prepared, one) for one in prepared.passes]
            return self.load(context, client, passes, checked, str(path))

    def note_moves(self, tallies: Mapping[str, Tally]) -> None:
        from airflow_provider_dynamics.lineage import file_place, loaded

        prepared = self._prepared
        place = file_place(storage_path(prepared.load.source_path, prepared.load.source_conn_id))
        environment, table = prepared.client.environment, prepared.load.table
        rows = tallies[prepared.name].written
        self.moved = loaded(environment, table, place, prepared.sent_columns(), rows=rows)

    def _load(self) -> TableLoad:
        from airflow_provider_dynamics.transfers.loads.job import TableLoad

        members = (
            *("table", "source_path", "operation", "key", "columns", "lookups", "on_missing_lookup"),
            *("choices_by_label", "row_id_from", "blank", "file_format", "source_conn_id", "allow_empty"),
        )
        return TableLoad.of({name: getattr(self, name) for name in members})
