"""A table's columns come and go: which of them a transfer writes, given those it wrote before and `on_schema_change`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, Expand, Source
    from airflow_provider_dynamics.formats import Field
    from airflow_provider_dynamics.state.columns import ColumnMemory, Remembered

__all__ = ["Settled", "columns_key_source", "memory_of", "settled"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """What to ask for and which columns to write; call `remember` when the data is complete.

    `added` and `removed` are the names of columns that came and went since the data was written last.
    """

    source: Source
    fields: tuple[Field, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    memory: ColumnMemory

    def remember(self) -> None:
        """Let the next run compare with these columns; where they cannot be kept, it compares with those before."""
        try:
            self.memory.save(self.fields)
        except Exception as error:  # noqa: BLE001  # whatever lies between here and Airflow's database; the data is complete
            log.warning("The columns of %s could not be remembered (%s).", self.source.table, error)


def settled(client: Client, source: Source, policy: str, memory: ColumnMemory) -> Settled:
    """Compare a source's columns with those written last, before a row is read.

    A column that `select` names and that was written before, but that the table no longer has, counts as gone;
    one that never was there is an error.

    :param policy: "evolve", "fail" or "ignore"
    :raises FormatError: the columns differ and `policy` is "fail", values no longer fit, or `policy` is another word
    :raises DataverseError: the table or a column does not exist, or this user may not read the table
    """
    from airflow_provider_dynamics.formats import result_fields, schema_differences, settle

    settle((), (), policy)
    before = memory.load()
    if before is not None:
        source = _without_gone(client, source, before)
    now = result_fields(client.columns(source))
    if before is None:
        return Settled(source, now, (), (), memory)
    differences = schema_differences(before.fields, now)
    if differences:
        log.warning("The columns of %s are not what they were: %s.", source.table, differences)
    fields = settle(before.fields, now, policy)
    return Settled(source, fields, differences.added, differences.removed, memory)


def memory_of(
    context: Mapping[str, Any], environment: str, source: Source, inlets: Iterable[Any]
) -> ColumnMemory:
    """Return where the running task remembers the columns of a source."""
    from airflow_provider_dynamics.state.columns import ColumnsKey, column_memory

    task = context["ti"]
    key = ColumnsKey(task.dag_id, task.task_id, environment, source.table, columns_key_source(source))
    return column_memory(context, key, inlets)


_VALUES = re.compile(r"'(?:[^']|'')*'|\b\d[\w.:+-]*")


def columns_key_source(source: Source) -> str:
    """Return what of a source says which columns it has, as text; rendered values must not make it another one."""
    from airflow_provider_dynamics.dataverse.queries.query import FetchXml, Query

    if isinstance(source, Query):
        apply = source.apply and _VALUES.sub("", source.apply)
        return repr((source.select, _expanded(source.expand), apply, source.labels))
    if isinstance(source, FetchXml):
        return repr(("fetch_xml", source.labels))
    return repr((source.view, source.personal, source.labels))


def _expanded(expand: str | Sequence[Expand] | None) -> Any:
    """Return what is expanded, but not which of the related rows."""
    if expand is None or isinstance(expand, str):
        return expand and _VALUES.sub("", expand)
    return [(one.navigation, tuple(one.select), _expanded(one.expand)) for one in expand]


def _without_gone(client: Client, source: Source, before: Remembered) -> Source:
    from airflow_provider_dynamics.dataverse.queries.query import Query

    if not isinstance(source, Query) or not source.select:
        return source
    table = client.table(source.table)
    kept = [name for name in source.select if table.find(name) is not None or name not in before.names]
    return replace(source, select=kept or [table.primary_id])
