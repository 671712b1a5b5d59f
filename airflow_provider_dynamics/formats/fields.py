"""The columns of a file: which a table's metadata gives, under which names and of which kind.

Every format starts here, so a column has one type whether it ends in Parquet, CSV or a data frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # reading metadata needs requests, a file's layout does not
    from airflow_provider_dynamics.dataverse.tables import Column, Table

MONEY_SCALE = 4
"""Storage of money keeps four decimal places, whatever precision a column or currency shows."""
DECIMAL_SCALE = 10
"""The most decimal places a decimal column can be given; used when metadata says none."""

KINDS = {
    "BigInt": "int64",
    "Boolean": "bool",
    "Decimal": "decimal",
    "Double": "float64",
    "Integer": "int32",
    "Money": "decimal",
    "Picklist": "int32",
    "State": "int32",
    "Status": "int32",
}
DATE_KINDS = {"DateOnly": "date", "TimeZoneIndependent": "timestamp"}
NOT_IN_FILES = frozenset({"CalendarRules", "EntityName", "ManagedProperty", "PartyList", "Virtual"})
"""Column types that a plain read does not return as one value."""


class FormatError(Exception):
    """A file, or a value on its way into or out of one, is not what it must be; the text says what to change."""

    retryable = False


@dataclass(frozen=True)
class Field:
    """One column of a file.

    :param name: the column's logical name, which the file uses
    :param wire_name: its name in Web API rows (`_primarycontactid_value` for a lookup)
    :param kind: string, int32, int64, float64, bool, decimal, instant (UTC), timestamp (no zone) or date
    :param scale: decimal places, for kind decimal
    :param type_name: Dataverse's type name
    """

    name: str
    wire_name: str
    kind: str = "string"
    scale: int = 0
    type_name: str = "String"


def file_field(column: Column) -> Field:
    """Return how `column` stands in a file.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-properties
    """
    kind, scale = KINDS.get(column.type, "string"), 0
    if column.type == "DateTime":
        kind = DATE_KINDS.get(column.date_behavior or "", "instant")
    elif column.type == "Money":
        scale = max(MONEY_SCALE, column.precision or 0)
    elif column.type == "Decimal":
        scale = DECIMAL_SCALE if column.precision is None else column.precision
    return Field(column.name, column.wire_name, kind, scale, column.type)


def file_fields(table: Table, select: Sequence[str] = ()) -> tuple[Field, ...]:
    """Return the columns of a file with `select` of `table`; all that can be read when `select` is empty.

    The row id always takes part, first unless `select` places it. Both spellings of a lookup are understood.

    :raises FormatError: for a column the table does not have
    """
    if select:
        names = list(dict.fromkeys(_logical_name(table, name) for name in select))
    else:
        names = [c.name for c in table.columns.values() if c.valid_for_read and c.type not in NOT_IN_FILES]
    if table.primary_id not in names:
        names.insert(0, table.primary_id)
    return tuple(file_field(table.columns[name]) for name in names)


def _logical_name(table: Table, name: str) -> str:
    if (column := table.find(name)) is None:
        raise FormatError(f"table {table.logical_name} has no column {name!r}: correct select")
    return column.name
