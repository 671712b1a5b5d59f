"""The tables in SQLite behind those of Dataverse: their columns, their indexes and the order of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.schema import TABLES, Key, Table
from airflow_provider_dynamics.emulator.schema.current import View, current, per_schema
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS, GUID_KINDS, TEXT_KINDS

Condition: TypeAlias = Any  # SQLAlchemy expressions over columns known at run time only
JSON_COLUMN = "_json"
_METADATA = sa.MetaData()


def _storage_type(kind: str) -> Any:
    if kind in TEXT_KINDS:
        return sa.Text(collation="NOCASE")
    if kind in GUID_KINDS or kind in {"DateTime", "Image"}:
        return sa.Text()
    if kind == "Double":
        return sa.Float()
    return sa.Integer() if kind in EXACT_KINDS else sa.BigInteger()


@per_schema
def _sql_table(name: str) -> sa.Table:
    table = TABLES[name]
    columns: list[sa.Column[Any]] = []
    for column in table.columns:
        primary = column.name == table.identity
        columns.append(sa.Column(column.name, _storage_type(column.kind), primary_key=primary))
        if column.is_polymorphic:
            columns.append(sa.Column(column.type_column, sa.Text()))
    if table.elastic:
        columns.append(sa.Column(table.identity, sa.Text(), primary_key=True))
    if not table.has("versionnumber"):  # etags are made of it also where the API does not show it
        columns.append(sa.Column("versionnumber", sa.BigInteger()))
    return sa.Table(table.name, sa.MetaData(), *columns, sa.Column(JSON_COLUMN, sa.LargeBinary()))


@per_schema
def _pairs(name: str) -> sa.Table:
    intersect = current().pairs[name]
    columns = (sa.Column(TABLES[name].primary_id, sa.Text(), primary_key=True) for name in intersect.tables)
    return sa.Table(name, sa.MetaData(), *columns)


SQL: Mapping[str, sa.Table] = View(lambda: current().tables, _sql_table)
PAIRS: Mapping[str, sa.Table] = View(lambda: current().pairs, _pairs)
DELETED = sa.Table(
    "_deleted",
    _METADATA,
    sa.Column("version", sa.Integer(), primary_key=True),
    sa.Column("table_name", sa.Text()),
    sa.Column("row_id", sa.Text()),
)
# What file and image columns hold; ``file_id`` is the column's value, or its ``…id`` companion's.
FILES = sa.Table(
    "_files",
    _METADATA,
    sa.Column("file_id", sa.Text(), primary_key=True),
    sa.Column("table_name", sa.Text()),
    sa.Column("row_id", sa.Text()),
    sa.Column("column_name", sa.Text()),
    sa.Column("content", sa.LargeBinary()),
)
BESIDE = (DELETED, FILES)


@per_schema
def _names(name: str) -> tuple[str, ...]:
    return tuple(column.name for column in SQL[name].columns)


def storage_names(table: Table) -> tuple[str, ...]:
    """Every storage column of a table in the order rows are inserted, the JSON last."""
    return _names(table.name)


def key_order(name: str, primary_id: str) -> str:
    """The primary key as SQL Server sorts it: the last group first, the first groups byte by byte from their end."""
    column = f'"{name}"."{primary_id}"'
    spans = ((25, 12), (20, 4), (17, 2), (15, 2), (12, 2), (10, 2), (7, 2), (5, 2), (3, 2), (1, 2))
    return " || ".join(f"substr({column}, {start}, {length})" for start, length in spans)


def sort_key(row_id: str) -> str:
    """What ``key_order`` makes of one GUID."""
    spans = ((24, 36), (19, 23), (16, 18), (14, 16), (11, 13), (9, 11), (6, 8), (4, 6), (2, 4), (0, 2))
    return "".join(row_id[start:end] for start, end in spans)


def stored(table: Table) -> tuple[str, ...]:
    """The storage columns of a table as given, which need not be the one of its name that is published."""
    names: list[str] = []
    for column in table.columns:
        names += [column.name, column.type_column] if column.is_polymorphic else [column.name]
    names += [table.identity] if table.elastic else []
    names += [] if table.has("versionnumber") else ["versionnumber"]
    return (*names, JSON_COLUMN)


def looks(table: Table) -> list[tuple[object, ...]]:
    """What of a table its storage and its rows' finished JSON depend on."""
    return [(column.name, column.kind, column.scale, column.is_polymorphic) for column in table.columns]


def key_index(table: Table, key: Key) -> str:
    """The statement that makes an alternate key's index."""
    columns = ", ".join(f'"{name}"' for name in key.columns)
    return f'CREATE UNIQUE INDEX "{table.name}.{key.name}" ON "{table.name}" ({columns})'


def indexes(table: Table) -> Iterator[str]:
    """The statements that make a table's indexes."""
    for key in filter(lambda key: key.active, table.keys):
        yield key_index(table, key)
    for column in table.lookups:
        if column.update and column.name not in {"ownerid", "transactioncurrencyid"}:
            yield f'CREATE INDEX "{table.name}.{column.name}" ON "{table.name}" ("{column.name}") WHERE "{column.name}" IS NOT NULL'
    order = key_order(table.name, table.primary_id).replace(f'"{table.name}".', "")
    yield f'CREATE INDEX "{table.name}.order" ON "{table.name}" ({order})'
    yield f'CREATE INDEX "{table.name}.version" ON "{table.name}" (versionnumber)'
    for name in (
        "createdon",
        "modifiedon",
    ):  # with the order, so that a window of a big table is read from here
        if table.has(name):
            yield f'CREATE INDEX "{table.name}.{name}" ON "{table.name}" ("{name}", {order})'
