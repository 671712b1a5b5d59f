"""How far each table of a database has followed Dynamics: a row of `dynamics_cursors` beside it, and nothing else.

The row says what the table holds, so it belongs to the table and to no DAG: whoever writes the table goes on from there. It
moves in the transaction that writes the rows, and only from the generation that its reader saw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.formats.fields import fields_from_json, fields_to_json
from airflow_provider_dynamics.transfers.sql.columns import sql_type

__all__ = ["CURSORS", "Moved", "Place", "Places"]

CURSORS = "dynamics_cursors"
VERSION = 1
_TEXT = Field("text")


class Moved(Exception):
    """The table or its place is not what it was when this run looked: another run, or somebody's hand."""


@dataclass(frozen=True)
class Place:
    """What a table of the database holds: the rows of `table` in `environment` up to `link`, in these columns.

    `read` are the names of the columns that were asked for. Without a `link` the next run reads every row.
    """

    environment: str
    table: str
    fields: tuple[Field, ...]
    read: tuple[str, ...]
    link: str | None
    mode: str = ""
    run_id: str = ""
    generation: int = 0


class Places:
    """The table `dynamics_cursors` of one schema."""

    def __init__(self, schema: str | None) -> None:
        self._table = sa.Table(
            CURSORS,
            sa.MetaData(),
            sa.Column("sql_table", sa.String(128), primary_key=True),
            sa.Column("environment", sa.String(255), nullable=False),
            sa.Column("dynamics_table", sa.String(128), nullable=False),
            sa.Column("layout", sql_type(_TEXT), nullable=False),
            sa.Column("link", sql_type(_TEXT)),
            sa.Column("mode", sa.String(16), nullable=False),
            sa.Column("run_id", sa.String(255), nullable=False),
            sa.Column("generation", sa.BigInteger(), nullable=False),
            sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
            schema=schema,
        )

    def create(self, connection: sa.Connection) -> None:
        """Make the table where there is none, in a transaction of its own; two tasks may do so at the same time."""
        if self._exists(connection):
            return
        try:
            with connection.begin():
                self._table.create(connection)
        except (sa.exc.ProgrammingError, sa.exc.IntegrityError, sa.exc.OperationalError):
            if not self._exists(connection):
                raise

    def _exists(self, connection: sa.Connection) -> bool:
        with connection.begin():
            return sa.inspect(connection).has_table(CURSORS, schema=self._table.schema)

    def of(self, connection: sa.Connection, sql_table: str) -> Place | None:
        """Return where a table is, None where nothing is known of it."""
        found = connection.execute(
            sa.select(self._table).where(self._table.c.sql_table == sql_table)
        ).one_or_none()
        return None if found is None else _place(found)

    def move(self, connection: sa.Connection, sql_table: str, before: Place | None, after: Place) -> None:
        """Put a table's place forward and keep every other run from doing so until the transaction ends.

        :raises Moved: it is not where it was before
        """
        values = _values(after, 1 if before is None else before.generation + 1)
        if before is None:
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(self._table).values(sql_table=sql_table, **values))
            except sa.exc.IntegrityError:
                raise Moved from None
            return
        seen = (self._table.c.sql_table == sql_table) & (self._table.c.generation == before.generation)
        if (
            before.link is not None
        ):  # somebody may have taken it away by hand meanwhile, to have every row read
            seen &= self._table.c.link.is_not(None)
        if connection.execute(sa.update(self._table).where(seen).values(**values)).rowcount != 1:
            raise Moved


def _values(place: Place, generation: int) -> dict[str, Any]:
    layout = {"version": VERSION, "fields": fields_to_json(place.fields), "read": list(place.read)}
    return {
        "environment": place.environment,
        "dynamics_table": place.table,
        "layout": json.dumps(layout),
        "link": place.link,
        "mode": place.mode,
        "run_id": place.run_id[:255],
        "generation": generation,
        "moved_at": datetime.now(timezone.utc),
    }


def _place(row: Any) -> Place:
    fields, read, link = _layout(row.layout)
    return Place(
        row.environment,
        row.dynamics_table,
        fields,
        read,
        row.link if link else None,
        row.mode,
        row.run_id,
        row.generation,
    )


def _layout(text: str) -> tuple[tuple[Field, ...], tuple[str, ...], bool]:
    """Return the columns, those that were read, and whether a later version of us may go on from there."""
    try:
        layout = json.loads(text)
        known: Sequence[Field] = fields_from_json(layout["fields"])
        return tuple(known), tuple(layout["read"]), layout["version"] == VERSION
    except (ValueError, KeyError, TypeError, FormatError):
        return (), (), False
