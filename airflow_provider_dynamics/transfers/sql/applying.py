"""What was staged, put into the table with the place reached: all of it in one transaction, or nothing.

The place moves first. That fails if another run has written the table meanwhile, and otherwise keeps everybody else
from it until the transaction ends, so older rows never cover newer ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from airflow_provider_dynamics.transfers.sql.places import Moved, Place, Places
from airflow_provider_dynamics.transfers.sql.staging import GONE, Stage
from airflow_provider_dynamics.transfers.sql.target import Found, Layout, Target, carry_out, look

__all__ = ["Applied", "Staged", "Step", "apply"]


@dataclass(frozen=True)
class Staged:
    """What a run has read.

    `complete` says that `rows` are all there are. `present` are all row ids there were before `rows` were read.
    """

    rows: Stage
    present: Stage | None
    complete: bool


@dataclass(frozen=True)
class Step:
    """What the table is to become: its columns, what was read, and its place before and after; `found` is what stood there."""

    layout: Layout
    staged: Staged
    before: Place | None
    after: Place
    found: Found | None


@dataclass(frozen=True)
class Applied:
    """How many rows of the table are new or other than before, and how many are gone."""

    upserts: int
    deleted: int


def apply(connection: sa.Connection, places: Places, target: Target, step: Step) -> Applied:
    """Put the staged rows into the table and move its place, in one transaction.

    :raises Moved: the table or its place is not what it was when the run looked; nothing of the rows is written
    """
    staged = step.staged
    if step.layout.alters and connection.dialect.name not in WITH_TABLES:
        step = _altered_before(connection, places, target, step)
    with connection.begin():
        places.move(connection, target.name, step.before, step.after)
        if look(connection, target) != step.found:
            raise Moved
        table = carry_out(connection, target, step.layout)
        key = next(iter(table.primary_key.columns))
        deleted = 0
        if staged.present is not None:
            deleted += _delete_beyond(connection, key, staged.present)
        deleted += _delete_gone(connection, key, staged.rows)
        if staged.complete:
            deleted += _delete_beyond(connection, key, staged.rows)
        return Applied(_upsert(connection, table, key, staged.rows), deleted)


def _altered_before(connection: sa.Connection, places: Places, target: Target, step: Step) -> Step:
    """Change the table where that ends a transaction, and return what is left to do.

    The place has no link until the rows are written, so a run that dies in between leaves the next to read every row.
    """
    known = step.before.fields if step.before else ()
    between = replace(step.after, fields=known, link=None)
    with connection.begin():
        places.move(connection, target.name, step.before, between)
    with connection.begin():
        carry_out(connection, target, step.layout)
        found = look(connection, target)
    generation = step.before.generation + 1 if step.before else 1
    layout = replace(step.layout, create=False, added=(), retyped=())
    return replace(step, layout=layout, before=replace(between, generation=generation), found=found)


def _delete_beyond(connection: sa.Connection, key: sa.Column[Any], stage: Stage) -> int:
    known = sa.exists().where(stage.key == key).correlate(key.table)
    return _count(connection, sa.delete(key.table).where(~known))


def _delete_gone(connection: sa.Connection, key: sa.Column[Any], stage: Stage) -> int:
    newest = stage.newest(stage.key)
    gone = sa.select(newest.c[0]).where(newest.c[GONE] == 1)
    return _count(connection, sa.delete(key.table).where(key.in_(gone)))


def _upsert(connection: sa.Connection, table: sa.Table, key: sa.Column[Any], stage: Stage) -> int:
    newest = stage.newest(*stage.columns)
    columns = [column for column in newest.c if column.name != GONE]
    rows = sa.select(*columns).where(newest.c[GONE] == 0)
    names = [column.name for column in columns]
    if connection.dialect.name not in _INSERTS:
        ids = sa.select(newest.c[stage.key.name])
        connection.execute(sa.delete(table).where(key.in_(ids)))
        return _count(connection, sa.insert(table).from_select(names, rows))
    insert: Any = _INSERTS[connection.dialect.name](table).from_select(names, rows)
    others = [name for name in names if name != key.name]
    if not others:
        return _count(connection, insert.on_conflict_do_nothing(index_elements=[key.name]))
    held = sa.tuple_(*[_letter_by_letter(table.c[name], connection.dialect) for name in others])
    new = sa.tuple_(*[insert.excluded[name] for name in others])
    changing = insert.on_conflict_do_update(
        index_elements=[key.name],
        set_={name: insert.excluded[name] for name in others},
        where=held.is_distinct_from(new),
    )
    return _count(connection, changing)


def _letter_by_letter(column: sa.Column[Any], dialect: sa.Dialect) -> Any:
    """Return a column to compare with a new value, though its own collation may take a for A."""
    if not all(isinstance(kind, sa.String) for kind in (column.type, column.type.dialect_impl(dialect))):
        return column
    if dialect.name == "sqlite":
        return sa.collate(column, "BINARY")
    return sa.collate(sa.cast(column, sa.Text()), "C")


WITH_TABLES = frozenset({"postgresql", "sqlite", "mssql"})
"""Databases whose transactions hold changes of tables too; elsewhere such a change ends the transaction."""
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _count(connection: sa.Connection, statement: Any) -> int:
    """Execute a statement and return how many rows it touched."""
    done = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return max(0, int(done.rowcount))
