"""The table that rows end in: found, made, and changed when Dynamics' columns are no longer what they were.

Only what a run reads is ever written: a column that Dynamics no longer has stays as it is, and so does one that somebody
added to the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as member
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import DDL, CreateColumn
from sqlalchemy.types import NullType, TypeEngine

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.formats.drift import schema_differences, settle
from airflow_provider_dynamics.transfers.sql.columns import column_name, is_row_id, sql_column, sql_type
from airflow_provider_dynamics.transfers.sql.places import Place

__all__ = ["Found", "Layout", "Target", "carry_out", "look", "plan"]


SAYS_TYPES_AS_GIVEN = frozenset({"postgresql", "sqlite"})
"""Databases that name a column's type as it was given; MySQL's BOOL, say, comes back as TINYINT."""


@dataclass(frozen=True)
class Target:
    """Where rows end: a table's name, its schema where one is given, and the name of the row id."""

    name: str
    schema: str | None
    key: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    def table(self, fields: Sequence[Field], longest: int) -> sa.Table:
        columns = [sql_column(field, longest, key=field.name == self.key) for field in fields]
        return sa.Table(self.name, sa.MetaData(), *columns, schema=self.schema)


@dataclass(frozen=True)
class Found:
    """What stands under the target's name: its columns with their types, and all that in words, to compare it by."""

    columns: Mapping[str, TypeEngine[Any]] = member(compare=False)
    keyed: bool
    empty: bool
    spelled: str


@dataclass(frozen=True)
class Layout:
    """What the table's columns are to be.

    `fields` are those the table has of ours, `read` those of them that this run reads and writes. `added` are
    made first and `retyped` changed; `create` makes the table.
    """

    fields: tuple[Field, ...]
    read: tuple[Field, ...]
    added: tuple[Field, ...] = ()
    retyped: tuple[Field, ...] = ()
    removed: tuple[str, ...] = ()
    create: bool = False

    @property
    def alters(self) -> bool:
        return bool(self.create or self.added or self.retyped)


def look(connection: sa.Connection, target: Target) -> Found | None:
    """Return what stands under the target's name, None for nothing."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(target.name, schema=target.schema):
        return None
    columns = {
        found["name"]: found["type"] for found in inspector.get_columns(target.name, schema=target.schema)
    }
    keys = [inspector.get_pk_constraint(target.name, schema=target.schema)["constrained_columns"]]
    keys += [
        one["column_names"] for one in inspector.get_unique_constraints(target.name, schema=target.schema)
    ]
    longest = connection.dialect.max_identifier_length
    bare = sa.table(target.name, schema=target.schema)
    rows = connection.execute(sa.select(sa.literal(1)).select_from(bare).limit(1)).first()
    return Found(columns, [column_name(target.key, longest)] in keys, rows is None, repr(columns))


def plan(
    target: Target,
    now: Sequence[Field],
    found: Found | None,
    place: Place | None,
    *,
    policy: str,
    dialect: sa.Dialect,
) -> Layout:
    """Return what the table is to be, given Dynamics' columns now, what stands there and what is known of it.

    :raises FormatError: the columns differ and the policy does not allow it; or the table is somebody else's
    """
    longest = dialect.max_identifier_length
    _check_names(target, now, longest)
    if found is None:
        return Layout(tuple(now), tuple(now), create=True)
    _check_ours(target, found, place)
    known = (
        [field for field in place.fields if column_name(field.name, longest) in found.columns]
        if place
        else []
    )
    if not known:
        return _adopted(target, now, found, policy, dialect)
    differences = schema_differences(known, now)
    fields = settle(known, now, policy)
    current = {field.name: field for field in now}
    added = tuple(field for field in fields if field.name in differences.added)
    standing = tuple(field for field in added if column_name(field.name, longest) in found.columns)
    _check_types(target, [*standing, *(field for field in known if field.name in current)], found, dialect)
    retyped = _retyped(known, fields, policy, dialect)
    read = tuple(_as_settled(field, current[field.name]) for field in fields if field.name in current)
    return Layout(
        fields,
        read,
        added=tuple(field for field in added if field not in standing),
        retyped=retyped,
        removed=differences.removed,
    )


def carry_out(connection: sa.Connection, target: Target, layout: Layout) -> sa.Table:
    """Make the table what it is to be and return it with the columns that are written."""
    longest = connection.dialect.max_identifier_length
    whole = target.table(layout.fields, longest)
    if layout.create:
        whole.create(connection)
    name = connection.dialect.identifier_preparer.format_table(whole)
    for field in layout.added:
        column = CreateColumn(whole.c[column_name(field.name, longest)]).compile(dialect=connection.dialect)
        _alter(connection, f"ALTER TABLE {name} ADD {column}")
    for field in layout.retyped:
        for change in _retyping(connection.dialect, whole.c[column_name(field.name, longest)]):
            _alter(connection, f"ALTER TABLE {name} {change}")
    return target.table(layout.read, longest)


def _alter(connection: sa.Connection, statement: str) -> None:
    plain = statement.replace("%%", "%")  # doubled for statements with parameters, and this has none
    made: Callable[[str], DDL] = DDL  # SQLAlchemy gives it no types
    connection.execute(made(plain.replace("%", "%%")))  # it formats


def _retyping(dialect: sa.Dialect, column: sa.Column[Any]) -> Sequence[str]:
    """Return what gives a column another type; every row is written anew in the same transaction."""
    name, kind = dialect.identifier_preparer.format_column(column), column.type.compile(dialect=dialect)
    if dialect.name == "sqlite":
        return f"DROP COLUMN {name}", f"ADD {name} {kind}"
    if dialect.name in {"mysql", "mariadb"}:
        return (f"MODIFY COLUMN {name} {kind}",)
    between = "" if dialect.name == "mssql" else "TYPE "
    return (f"ALTER COLUMN {name} {between}{kind}",)


def _check_names(target: Target, fields: Sequence[Field], longest: int) -> None:
    if len(target.name.encode()) > longest:
        raise FormatError(
            f"sql_table {target.name!r} is longer than the {longest} bytes of this database's names: shorten it"
        )
    seen: dict[str, str] = {}
    for field in fields:
        name = column_name(field.name, longest).lower()
        if name in seen:
            raise FormatError(
                f"columns {seen[name]} and {field.name} are one name in this database: select one of them"
            )
        seen[name] = field.name


def _check_ours(target: Target, found: Found, place: Place | None) -> None:
    if not found.keyed:
        raise FormatError(
            f"the table {target} has no primary key or unique constraint on {target.key} alone: add one, or let the "
            "operator make the table under another name (sql_table)"
        )
    if place is None and not found.empty:
        raise FormatError(
            f"the table {target} holds rows, and dynamics_cursors does not say which: empty or drop it if it may be "
            "replaced, or give another sql_table"
        )


def _adopted(target: Target, now: Sequence[Field], found: Found, policy: str, dialect: sa.Dialect) -> Layout:
    """Take a table that somebody has made, with those columns of it that are ours."""
    longest = dialect.max_identifier_length
    standing = [field for field in now if column_name(field.name, longest) in found.columns]
    _check_types(target, standing, found, dialect)
    fields = settle(standing, now, policy)
    added = tuple(field for field in fields if field not in standing)
    return Layout(fields, fields, added=added)


def _retyped(
    known: Sequence[Field], fields: Sequence[Field], policy: str, dialect: sa.Dialect
) -> tuple[Field, ...]:
    """Return the columns whose type is another in the database; text and row ids are of one kind elsewhere."""
    before = {field.name: field for field in known}
    changed = [
        field
        for field in fields
        if field.name in before and _spelled(field, dialect) != _spelled(before[field.name], dialect)
    ]
    for field in changed:
        was = before[field.name]
        if field.kind == was.kind and field.scale == was.scale and (policy != "evolve" or is_row_id(field)):
            raise FormatError(
                f"column {field.name} was {was.type_name} and is {field.type_name}, whose values its type does not hold: "
                "write to another table, or leave the column out of select"
            )
    return tuple(changed)


def _check_types(target: Target, standing: Sequence[Field], found: Found, dialect: sa.Dialect) -> None:
    for field in standing:
        name = column_name(field.name, dialect.max_identifier_length)
        has = found.columns[name]
        if not _holds(has, field, dialect):
            is_now = "of a type unknown here" if isinstance(has, NullType) else has.compile(dialect=dialect)
            raise FormatError(
                f"column {name} of the table {target} is {is_now}, and to keep every value exactly it "
                f"must be {_spelled(field, dialect)}: alter it, or drop it and let the operator add it"
            )


def _holds(has: TypeEngine[Any], field: Field, dialect: sa.Dialect) -> bool:
    """Say whether a column keeps every value exactly, as far as the database says what it is."""
    wants = sql_type(field).dialect_impl(dialect)
    if isinstance(has, sa.String) and isinstance(wants, sa.String):
        return True
    if dialect.name in SAYS_TYPES_AS_GIVEN:
        return not isinstance(has, NullType) and has.compile(dialect=dialect) == _spelled(field, dialect)
    if isinstance(has, sa.Numeric) and isinstance(wants, sa.Numeric):
        return (has.scale or 0) >= (wants.scale or 0)
    return True


def _as_settled(settled: Field, now: Field) -> Field:
    """Return the column as it is read now, in the type it is kept in."""
    return replace(now, kind=settled.kind, scale=settled.scale)


def _spelled(field: Field, dialect: sa.Dialect) -> str:
    return str(sql_type(field).compile(dialect=dialect))
