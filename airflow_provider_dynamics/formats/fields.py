"""The columns of a file: which ones metadata gives, under which names and of which kind.

Every format starts here, so a column has one type whether it ends in Parquet, CSV, a data frame or a database.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # reading metadata needs requests, a file's layout does not
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.dataverse.reading.results import ResultColumn

MONEY_SCALE = 4
"""Storage of money keeps four decimal places, whatever precision a column or currency shows."""
DECIMAL_SCALE = 10
"""The most decimal places a decimal column can be given; used when metadata says none."""

KINDS = {
    "BigInt": "int64",
    "Boolean": "bool",
    "Collection": "list",
    "DateTime": "instant",
    "Decimal": "decimal",
    "Double": "float64",
    "Integer": "int32",
    "Money": "decimal",
    "Picklist": "int32",
    "State": "int32",
    "Status": "int32",
}
"""Dataverse's column types that are not text in a file."""
DATE_KINDS = {"DateOnly": "date", "TimeZoneIndependent": "timestamp"}


class FormatError(Exception):
    """A file, or a value on its way into or out of one, is not what it must be; the text says what to change."""

    retryable = False


@dataclass(frozen=True)
class Field:
    """One column of a file.

    :param name: the column's name in the file: its logical name, an alias, `lookup.column` of an expanded row
    :param kind: string, int32, int64, float64, bool, decimal, instant (UTC), timestamp (no zone), date or list
    :param scale: decimal places, for kind decimal
    :param type_name: Dataverse's type name
    :param wire_path: the members to follow in a Web API row (`_primarycontactid_value` for a lookup); default: `name`
    :param inner: the columns of a collection's rows, for kind list
    :param origin: the table and the column that the values come from, where they come from one
    """

    name: str
    kind: str = "string"
    scale: int = 0
    type_name: str = "String"
    wire_path: tuple[str, ...] = ()
    inner: tuple[Field, ...] = ()
    origin: tuple[str, str] | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wire_path", tuple(self.wire_path) or (self.name,))
        object.__setattr__(self, "inner", tuple(self.inner))

    @property
    def wire_name(self) -> str:
        """The member of a row that holds the value, or what the value is in."""
        return self.wire_path[0]


def file_field(column: Column) -> Field:
    """Return how `column` stands in a file.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-properties
    """
    kind, scale = _kind(column.type, column)
    return Field(column.name, kind, scale, column.type, (column.wire_name,), origin=_origin(column))


def file_fields(table: Table, select: Sequence[str] = ()) -> tuple[Field, ...]:
    """Return the columns of a file with `select` of `table`; all that can be read when `select` is empty.

    The row id always takes part, first unless `select` places it. Both spellings of a lookup are understood.

    :raises FormatError: for a column the table does not have
    """
    from airflow_provider_dynamics.dataverse.reading.results import NOT_READ

    if select:
        names = list(dict.fromkeys(_logical_name(table, name) for name in select))
    else:
        names = [c.name for c in table.columns.values() if c.valid_for_read and c.type not in NOT_READ]
    if table.primary_id not in names:
        names.insert(0, table.primary_id)
    return tuple(file_field(table.columns[name]) for name in names)


def result_fields(columns: Iterable[ResultColumn]) -> tuple[Field, ...]:
    """Return the columns of a file with a source's rows, from what `Client.columns` says they consist of.

    Labels, target tables and columns of an expanded row stand flat beside the others; the rows of an expanded
    collection are a list in one column.

    :raises FormatError: for two columns of one name
    """
    fields = tuple(_result_field(column) for column in columns)
    check_names(fields)
    origins = {field.wire_path: field.origin for field in fields}
    return tuple(
        replace(field, origin=field.origin or origins.get(_without_annotation(field.wire_path)))
        for field in fields
    )


def check_names(fields: Iterable[Field]) -> None:
    """Refuse two columns of one name.

    :raises FormatError: then
    """
    seen: set[str] = set()
    for field in fields:
        if field.name in seen:
            raise FormatError(f"the file has a column {field.name!r} already: rename the other one")
        seen.add(field.name)


def fields_to_json(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """Return `fields` as JSON can hold them, to be compared with a later run's."""
    return [
        {
            "name": field.name,
            "kind": field.kind,
            "scale": field.scale,
            "type": field.type_name,
            "wire_path": list(field.wire_path),
            "inner": fields_to_json(field.inner),
        }
        for field in fields
    ]


def fields_from_json(written: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """Return what `fields_to_json` wrote.

    :raises ValueError: for anything else
    """
    try:
        return tuple(
            Field(
                one["name"],
                one["kind"],
                one["scale"],
                one["type"],
                tuple(one["wire_path"]),
                fields_from_json(one["inner"]),
            )
            for one in written
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the columns of an earlier run cannot be read: {error!r}") from error


def _result_field(column: ResultColumn) -> Field:
    kind, scale = _kind(column.type, column.column)
    inner = result_fields(column.inner)
    return Field(column.name, kind, scale, column.type, column.wire_path, inner, _origin(column.column))


def _origin(column: Column | None) -> tuple[str, str] | None:
    return None if column is None or not column.table else (column.table, column.name)


def _without_annotation(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of the value that a label is the label of."""
    return (*path[:-1], path[-1].split("@", 1)[0])


def _kind(type_name: str, column: Column | None) -> tuple[str, int]:
    """Return kind and scale of a Dataverse type, with the facts of `column` where it stands for one."""
    precision = None if column is None else column.precision
    if type_name == "DateTime":
        return DATE_KINDS.get((column and column.date_behavior) or "", "instant"), 0
    if type_name == "Money":
        return "decimal", max(MONEY_SCALE, precision or 0)
    if type_name == "Decimal":
        return "decimal", DECIMAL_SCALE if precision is None else precision
    return KINDS.get(type_name, "string"), 0


def _logical_name(table: Table, name: str) -> str:
    if (column := table.find(name)) is None:
        raise FormatError(f"table {table.logical_name} has no column {name!r}: correct select")
    return column.name
