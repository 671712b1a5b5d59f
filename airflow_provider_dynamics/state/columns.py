"""Which columns a task wrote last, so that its next run can tell that a table has changed.

Remembered once the data is complete, in the same place as a change cursor: with the table's asset where it is
an inlet and Airflow can (3.3), else in a Variable.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.compat import StateStoreAccessor
from airflow_provider_dynamics.state.cursor import VariableStore, table_store

if TYPE_CHECKING:
    from airflow_provider_dynamics.formats import Field

__all__ = ["ColumnMemory", "ColumnsKey", "Remembered", "column_memory"]

log = logging.getLogger(__name__)

VERSION = 1


@dataclass(frozen=True)
class ColumnsKey:
    """Whose columns and of what: the consumer, the environment, the table, and what else asks for other columns.

    A mapped task has one memory for all its instances: partitions of a table share their columns. ``source`` is
    any text that differs where other columns are asked for, such as a query's ``select``.
    """

    dag_id: str
    task_id: str
    environment: str
    table: str
    source: str = ""

    def __str__(self) -> str:
        """Return the name the record is stored under: readable, and at most a Variable's 250 characters."""
        readable = f"dynamics_columns.{self.table}.{self.dag_id}.{self.task_id}"[:200]
        return f"{readable}.{self.fingerprint[:16]}"

    @property
    def fingerprint(self) -> str:
        """Return a hash over every part."""
        parts = [self.dag_id, self.task_id, self.environment.lower(), self.table, self.source]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Remembered:
    """The columns written last, in their order, and the names of those that were written once and are gone since."""

    fields: tuple[Field, ...]
    gone: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """The names of all columns that were ever written."""
        return self.gone | {field.name for field in self.fields}


@dataclass(frozen=True)
class ColumnMemory:
    """The columns of one task's last complete file or load."""

    store: StateStoreAccessor
    key: ColumnsKey

    def load(self) -> Remembered | None:
        """Return what was written last; None where nothing is remembered."""
        from airflow_provider_dynamics.formats import FormatError, fields_from_json

        value = self.store.get(str(self.key), None)
        if value is None:
            return None
        try:
            if value["version"] != VERSION or value["for"] != self.key.fingerprint:
                raise ValueError("another version or another table")  # noqa: TRY301 - one warning for every misfit
            return Remembered(tuple(fields_from_json(value["columns"])), frozenset(value["gone"]))
        except (FormatError, ValueError, KeyError, TypeError, AttributeError):
            log.warning("%s does not hold this task's columns; taking them as they are now.", self.key)
            return None

    def save(self, fields: Sequence[Field]) -> None:
        """Remember the columns of data that is complete; nothing is written where they are the same."""
        from airflow_provider_dynamics.formats import fields_to_json

        before = self.load()
        names = {field.name for field in fields}
        after = Remembered(tuple(fields), frozenset() if before is None else before.names - names)
        if after == before:
            return
        value = {"columns": fields_to_json(after.fields), "gone": sorted(after.gone)}
        self.store.set(str(self.key), {"version": VERSION, "for": self.key.fingerprint, **value})


class _ColumnVariables(VariableStore):
    description = (
        "The columns that a DAG last read of a Dynamics table; delete it to take them as they are now"
    )


def column_memory(context: Mapping[str, Any], key: ColumnsKey, inlets: Iterable[Any]) -> ColumnMemory:
    """Keep the columns in the state store of the inlet that is this table, else in a Variable."""
    store = table_store(context, key.environment, key.table, inlets)
    return ColumnMemory(_ColumnVariables() if store is None else store, key)
