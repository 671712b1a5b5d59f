"""Into Dynamics: files of several tables in one load, ordered by how the tables point to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.transfers.loads.job import TableLoad
from airflow_provider_dynamics.transfers.loads.task import LoadOperator
from airflow_provider_dynamics.transfers.transfer import storage_path

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.lineage import Moved
    from airflow_provider_dynamics.transfers.loads.adding import Added
    from airflow_provider_dynamics.transfers.loads.passes import Pass
    from airflow_provider_dynamics.transfers.loads.preparing import Prepared
    from airflow_provider_dynamics.transfers.loads.rejects import Rejects
    from airflow_provider_dynamics.transfers.loads.run import LoadRun
    from airflow_provider_dynamics.transfers.loads.settling import Tally

__all__ = ["ObjectStorageToDynamicsTablesOperator", "in_order"]


class ObjectStorageToDynamicsTablesOperator(LoadOperator):
    """Write files into several tables, each row exactly once and accounted for, in the order that their lookups need.

    A table is loaded after those its rows point to, whatever the order of `tables`. Where tables point to each other,
    or a table to itself, rows are written first and such lookups in a second pass; states come when all rows
    are there. All files and columns are checked before anything is written. There is one file of refused
    rows, which says of each row its table, and one place to go on from when the task is tried again.

    Returns what ``ObjectStorageToDynamicsOperator`` does, summed up, and ``tables``: by name of the load, in the order in
    which they were loaded, its ``table``, ``path``, ``rows``, ``written``, ``unchanged``, ``rejected`` and ``passes``.

    :param tables: what is loaded: for each table a dict, or a ``TableLoad``, of ``table``, ``source_path`` and whichever
        of ``operation``, ``key``, ``columns``, ``lookups``, ``on_missing_lookup``, ``choices_by_label``, ``row_id_from``,
        ``blank``, ``file_format``, ``source_conn_id``, ``allow_empty`` ``ObjectStorageToDynamicsOperator`` would be given
    :param source_conn_id: the connection of the files' storage, where a table names none of its own
    """

    template_fields: Sequence[str] = (*LoadOperator.load_fields, "tables", "source_conn_id")

    def __init__(
        self,
        *,
        tables: Sequence[TableLoad | Mapping[str, Any]] | str,
        source_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tables = _as_dicts(tables)
        self.source_conn_id = source_conn_id
        self._placed: list[Prepared] = []
        self.moves: list[Moved] = []
        """What the task has moved, table by table, for lineage."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the files of all tables.

        :raises AirflowFailException: a file or an argument does not fit its table (nothing was written then), a row was
            refused and ``on_row_error`` is ``fail``, or more rows were refused than ``max_rejects``
        """
        from airflow_provider_dynamics.transfers.loads.task import run_name

        checked = self.check()
        loads = self._loads()
        with self.client() as client:
            prepared = [self._prepared(client, load, name, run_name(context)) for name, load in loads.items()]
            self._placed, passes = in_order(prepared)
            self.note_table(self._placed[0].load.table)
            self._say(passes)
            path = ", ".join(each.source.label for each in self._placed)
            return self.load(context, client, passes, checked, path)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage what was moved, table by table."""
        from airflow_provider_dynamics.lineage import told

        facets = told(None)
        for each in map(told, self.moves):
            facets.inputs.extend(each.inputs)
            facets.outputs.extend(each.outputs)
        return facets

    def _loads(self) -> dict[str, TableLoad]:
        """Return the loads by name: the table's, with a number where it comes again."""
        loads: dict[str, TableLoad] = {}
        for given in _listed(self.tables):
            if not isinstance(given, (Mapping, TableLoad)):
                raise AirflowFailException(f"A load is a dict, not {type(given).__name__}.")
            load = TableLoad.of(given)
            if not load.source_path:
                raise AirflowFailException(f"The load of {load.table} has no source_path.")
            again = sum(other.table == load.table for other in loads.values())
            loads[f"{load.table} {again + 1}" if again else load.table] = load
        return loads

    def _prepared(self, client: Client, load: TableLoad, name: str, run: str) -> Prepared:
        from airflow_provider_dynamics.transfers.loads.preparing import prepared_load
        from airflow_provider_dynamics.transfers.loads.sources import open_source

        path = storage_path(load.source_path, load.source_conn_id or self.source_conn_id)
        self._place_of_rejects(str(path))
        source = open_source(path, load.file_format, table=load.table, allow_empty=load.allow_empty)
        return prepared_load(client, load, source, run, name=name)

    def _say(self, passes: Sequence[tuple[Prepared, Pass]]) -> None:
        self.log.info("Loading in this order: %s.", ", ".join(each.name for each in self._placed))
        for prepared, one in passes:
            if one.columns is not None:
                waits = ", ".join(sorted(one.columns))
                self.log.info("In a later pass: %s of %s.", waits, prepared.name)

    def _summary(
        self, client: Client, run: LoadRun, rejects: Rejects, path: str, added: Added
    ) -> dict[str, Any]:
        summary = super()._summary(client, run, rejects, path, added)
        return {
            **summary,
            "tables": {each.name: _part(each, run.tallies[each.name]) for each in self._placed},
        }

    def note_moves(self, tallies: Mapping[str, Tally]) -> None:
        self.moves = [_moved(each, tallies[each.name].written) for each in self._placed]


def in_order(prepared: Sequence[Prepared]) -> tuple[list[Prepared], list[tuple[Prepared, Pass]]]:
    """Return the loads in their order, each with the passes that it needs there, and all passes in theirs."""
    from airflow_provider_dynamics.transfers.loads.order import Node, in_turn, ordered
    from airflow_provider_dynamics.transfers.loads.passes import passes_of

    nodes = [Node(each.load.table, each.load.operation, _points_to(each)) for each in prepared]
    placed = [
        dataclasses.replace(
            prepared[place.index],
            passes=passes_of(
                prepared[place.index].table,
                prepared[place.index].load,
                prepared[place.index].columns,
                place.later,
            ),
        )
        for place in ordered(nodes)
    ]
    turns = in_turn([each.passes for each in placed], [each.load.operation == "delete" for each in placed])
    return placed, [(placed[place], one) for place, one in turns]


def _points_to(prepared: Prepared) -> frozenset[str]:
    """Return the tables that what is sent may point to; of rows to delete, that anything in them may."""
    from airflow_provider_dynamics.transfers.loads.lookup_keys import tables_of

    table, deletes = prepared.table, prepared.load.operation == "delete"
    names = table.columns if deletes else prepared.columns
    lookups = () if deletes else prepared.lookups
    return frozenset().union(*(tables_of(table, name, lookups) for name in names))


def _part(prepared: Prepared, tally: Tally) -> dict[str, Any]:
    return {
        "table": prepared.load.table,
        "path": prepared.source.label,
        "rows": tally.rows,
        "written": tally.written,
        "unchanged": tally.unchanged,
        "rejected": tally.rejected,
        "passes": len(prepared.passes),
    }


def _moved(prepared: Prepared, rows: int) -> Moved:
    from airflow_provider_dynamics.lineage import file_place, loaded

    place = file_place(prepared.source.label)
    return loaded(prepared.client.environment, prepared.load.table, place, prepared.sent_columns(), rows=rows)


def _listed(tables: Any) -> Sequence[Any]:
    """Return the loads, also where a template has left them as JSON.

    :raises AirflowFailException: there are none
    """
    import msgspec

    try:
        found = msgspec.json.decode(tables) if isinstance(tables, str) else tables
    except msgspec.DecodeError as error:
        raise AirflowFailException(f"tables is text, but not JSON: {error}.") from error
    if not isinstance(found, (list, tuple)) or not found:
        raise AirflowFailException("tables is not set: give a list with a dict for each table.")
    return found


def _as_dicts(tables: Any) -> Any:
    """Return loads as what Airflow renders templates in; what is no list yet, such as another task's output, stays."""
    if not isinstance(tables, (list, tuple)):
        return tables
    return [
        {member.name: getattr(load, member.name) for member in dataclasses.fields(load)}
        if isinstance(load, TableLoad)
        else load
        for load in tables
    ]
