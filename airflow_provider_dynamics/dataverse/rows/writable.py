"""Whether a row's columns exist and can be written: said with the right name before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS

__all__ = ["check_names", "check_writable"]

_SET_BEHIND = {"State", "Status"}  # a new row gets them right after


def check_writable(
    tables: Tables, table: Table, row: Mapping[str, Any] | Iterable[str], *, creates: bool
) -> None:
    """Raise UnknownColumn, or BadRequest for a column that cannot be written; annotations such as `x@odata.bind` pass.

    A name may also be a navigation property's, whose value is a row or a list of rows: these are looked at, too.
    """
    _check(tables, table, row, creates=creates)


def check_names(tables: Tables, table: Table, row: Mapping[str, Any]) -> None:
    """Raise UnknownColumn for a name in a row, or in a row inside it, that is no column and no navigation property."""
    _check(tables, table, row, creates=None)


def _check(
    tables: Tables, table: Table, row: Mapping[str, Any] | Iterable[str], *, creates: bool | None
) -> None:
    """`creates` None asks for the names alone."""
    for name in row:
        if "@" in name:
            continue
        column = table.find(name)
        if column is None or column.type in LOOKUPS:
            _inside(
                tables, table, column, name, row[name] if isinstance(row, Mapping) else None, creates=creates
            )
        if column is not None and creates is not None and not _writable(table, column, creates=creates):
            raise errors.BadRequest(
                f"The column {column.name!r} of {table.logical_name} cannot be {'set at creation' if creates else 'changed'}",
                remedy="Leave it out.",
            )


def _inside(
    tables: Tables, table: Table, column: Column | None, name: str, value: Any, *, creates: bool | None
) -> None:
    """Look at the rows that a navigation property or a lookup holds, which are to be created."""
    rows = [value] if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else []
    rows = [one for one in rows if isinstance(one, Mapping)]
    if column is None:
        target: str | None = _follow(tables, table, name)
    else:
        target = next(iter(column.navigation)) if len(column.navigation) == 1 else None
    if target is None or not rows:
        return
    for one in rows:
        _check(tables, tables.outline(target), one, creates=None if creates is None else True)


def _follow(tables: Tables, table: Table, name: str) -> str:
    try:
        return tables.follow(table, name)[0]
    except errors.UnknownColumn as error:
        raise errors.UnknownColumn(
            f"The table {table.logical_name} has no column {name!r}",
            remedy=table.nearest(name) or error.remedy,
        ) from error


def _writable(table: Table, column: Column, *, creates: bool) -> bool:
    if column.name == table.primary_id:
        return not creates or column.valid_for_create
    if creates:
        return column.valid_for_create or column.type in _SET_BEHIND
    return column.valid_for_update
