"""Into Dynamics: rows that the DAG holds already, such as another task's result, by the same way as a file's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.transfers.loads.task import LoadOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.transfers.loads.job import TableLoad

__all__ = ["DynamicsUpsertRowsOperator"]


class DynamicsUpsertRowsOperator(LoadOperator):
    """Write rows out of memory into a table, each of them exactly once and accounted for.

    For few rows: what XCom can carry. More belong into a file, for ``ObjectStorageToDynamicsOperator``, which
    this operator equals in everything else, its summary included.

    :param table: the table's logical name, such as ``account``
    :param rows: dicts of columns and values, or a template that becomes a list of them
    :param operation: ``upsert``, ``create``, ``update`` or ``delete``
    :param key: columns of an alternate key that find the row; default: the row id
    :param columns: the rows' names to the table's columns, where they differ; None leaves one out
    :param lookups: by lookup column, the other table's columns that its values are of
    :param on_missing_lookup: ``reject`` the row, ``create`` the row looked for, or leave the lookup ``null``
    :param choices_by_label: choices may be given by their label as well as by their number
    :param row_id_from: columns of the row that its id is made from, where the table has no alternate key
    :param blank: an empty value clears its column (``null``), or leaves it as it is (``skip``)
    """

    template_fields: Sequence[str] = (
        *LoadOperator.load_fields,
        "table",
        "rows",
        "operation",
        "key",
        "columns",
        "lookups",
        "on_missing_lookup",
        "choices_by_label",
        "row_id_from",
        "blank",
    )

    def __init__(
        self,
        *,
        table: str,
        rows: Sequence[Mapping[str, Any]] | str,
        operation: str = "upsert",
        key: Sequence[str] | None = None,
        columns: Mapping[str, str | None] | None = None,
        lookups: Mapping[str, Any] | None = None,
        on_missing_lookup: str = "reject",
        choices_by_label: bool = True,
        row_id_from: Sequence[str] | None = None,
        blank: str = "null",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.rows = rows
        self.operation = operation
        self.key = key
        self.columns = columns
        self.lookups = lookups
        self.on_missing_lookup = on_missing_lookup
        self.choices_by_label = choices_by_label
        self.row_id_from = row_id_from
        self.blank = blank

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the rows.

        :raises AirflowFailException: the rows or an argument do not fit the table (nothing was written then), a row was
            refused and ``on_row_error`` is ``fail``, or more rows were refused than ``max_rejects``
        """
        from airflow_provider_dynamics.transfers.loads.preparing import prepared_load
        from airflow_provider_dynamics.transfers.loads.sources import MemorySource
        from airflow_provider_dynamics.transfers.loads.task import run_name

        checked, load = self.check(), self._load()
        with self.client() as client:
            source = MemorySource(self._rows(), load.table)
            prepared = prepared_load(client, load, source, run_name(context))
            passes = [(prepared, one) for one in prepared.passes]
            return self.load(context, client, passes, checked, source.label)

    def _rows(self) -> list[Mapping[str, Any]]:
        """Return the rows; text that a template made of a list is read again.

        :raises AirflowFailException: they are none
        """
        import msgspec

        rows: Any = self.rows
        if isinstance(rows, str):
            try:
                rows = msgspec.json.decode(rows)
            except msgspec.DecodeError as error:
                raise AirflowFailException(
                    f"rows became a text that is not JSON ({error}): give a list, an XComArg, or a template that ends in "
                    "| tojson."
                ) from error
        if isinstance(rows, Mapping) or not hasattr(rows, "__iter__"):
            raise AirflowFailException(f"rows is a {type(rows).__name__}: give a list of dicts, one a row.")
        return list(rows)

    def _load(self) -> TableLoad:
        from airflow_provider_dynamics.transfers.loads.job import TableLoad

        members = (
            *("table", "operation", "key", "columns", "lookups", "on_missing_lookup"),
            *("choices_by_label", "row_id_from", "blank"),
        )
        return TableLoad.of({name: getattr(self, name) for name in members})
