"""Rows on their way: a temporary table that ends with its connection, so that a killed worker leaves nothing behind.

Each page is sent as it comes and its transaction ended, so memory stays flat and no lock or old snapshot is held
while Dynamics is read, however long that takes.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.formats.values import row_converter
from airflow_provider_dynamics.transfers.sql.columns import copy_text, driver_value, is_row_id, sql_column

__all__ = ["GONE", "SEQ", "Stage"]

SEQ, GONE = "__seq", "__gone"
"""The order in which rows came, and whether the row is a deletion; no column of Dynamics begins like that."""
PIECE = 10_000
"""Rows a statement, where more come at once."""


class Stage:
    """A temporary table of rows, or of row ids alone, in the order they came.

    :param fields: the columns, the row id among them
    :param key: the name of the row id
    """

    def __init__(self, connection: sa.Connection, fields: Sequence[Field], key: str) -> None:
        self.rows = 0
        self._connection = connection
        self._dialect = connection.dialect
        self._fields = tuple(fields)
        self._seq = 0
        longest = self._dialect.max_identifier_length
        columns = [sql_column(field, longest) for field in fields]
        self.table = _temporary(self._dialect.name, columns)
        self.key: sa.Column[Any] = self.table.c[[field.name for field in fields].index(key) + 2]
        self._columns = list(self.table.c)
        self._key_field = next(field for field in fields if field.name == key)
        self._copies = self._dialect.name == "postgresql" and _can_copy(connection)
        convert = copy_text if self._copies else _for(self._dialect.name)
        self._convert = {field.name: convert(field) for field in fields}
        self._values = row_converter(self._fields, convert)
        with connection.begin():
            self.table.create(connection)

    @property
    def columns(self) -> list[sa.Column[Any]]:
        """The columns of the fields, in their order."""
        return self._columns[2:]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Stage rows as Dynamics sent them.

        :raises FormatError: a value is not what its column's type holds; the value is not told
        """
        self._send(((0, *values) for values in self._valued(rows)), len(rows))
        self.rows += len(rows)

    def remove(self, row_ids: Sequence[str]) -> None:
        """Stage the ids of rows that are gone."""
        self._send(((1, *values) for values in self._ids(row_ids)), len(row_ids))

    def add_ids(self, row_ids: Iterable[str]) -> None:
        """Stage ids alone, for a stage of nothing else."""
        piece: list[str] = []
        for row_id in row_ids:
            piece.append(row_id)
            if len(piece) == PIECE:
                self._send(((0, *values) for values in self._ids(piece)), len(piece))
                piece.clear()
        self._send(((0, *values) for values in self._ids(piece)), len(piece))

    def finish(self) -> None:
        """Make what was staged quick to look up by row id."""
        with self._connection.begin():
            sa.Index(f"{self.table.name.lstrip('#')}_key", self.key, self.table.c[SEQ]).create(
                self._connection
            )

    def newest(self, *columns: sa.Column[Any]) -> sa.Subquery:
        """Return what holds of each row: the columns asked for, and `__gone`; a deletion, else what came last."""
        latest = (self.table.c[GONE].desc(), self.table.c[SEQ].desc())
        place = sa.func.row_number().over(partition_by=self.key, order_by=latest)
        every = sa.select(*columns, self.table.c[GONE], place.label("__place")).subquery()
        return (
            sa.select(*[column for column in every.c if column.name != "__place"])
            .where(every.c["__place"] == 1)
            .subquery()
        )

    def beyond(self, table: sa.Table, read: Stage) -> Iterator[list[str]]:
        """Yield the ids that are here and neither in a table nor in what was read, some at a time."""
        here = self.key
        unknown = [
            ~sa.exists().where(key == here).correlate(self.table) for key in (table.c[here.name], read.key)
        ]
        ids: Sequence[str] = ()
        while True:
            later = [here > ids[-1]] if ids else []
            with self._connection.begin():
                wanted = sa.select(here).where(*unknown, *later).order_by(here).limit(PIECE)
                ids = self._connection.execute(wanted).scalars().all()
            if not ids:
                return
            yield list(ids)

    def drop(self) -> None:
        with self._connection.begin():
            self.table.drop(self._connection)

    def _valued(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Iterable[Any]]:
        for row in rows:
            try:
                values = self._values(row).values()
            except (ValueError, TypeError, AttributeError):
                wrong = self._wrong(row)
            else:
                yield values
                continue
            raise FormatError(wrong)

    def _wrong(self, row: Mapping[str, Any]) -> str:
        """Say which column of a row does not fit, not what it holds."""
        place = f"row {self._seq + 1} of those read"
        if self._fits(self._key_field, row):
            place = f"{place} ({row.get(self._key_field.wire_name)})"
        for field in self._fields:
            if not self._fits(field, row):
                return (
                    f"column {field.name}, {place}: the value is not what its type ({_told(field)}) holds; correct it in "
                    "Dynamics, or leave the column out of select"
                )
        return f"{place} is not a row"

    def _fits(self, field: Field, row: Mapping[str, Any]) -> bool:
        try:
            row_converter([field], lambda one: self._convert[one.name])(row)
        except (ValueError, TypeError, AttributeError):
            return False
        return True

    def _ids(self, row_ids: Iterable[str]) -> Iterator[list[Any]]:
        convert: Callable[[Any], Any] = self._convert[self._key_field.name] or str
        for row_id in row_ids:
            yield [convert(row_id) if field is self._key_field else None for field in self._fields]

    def _send(self, rows: Iterable[tuple[Any, ...]], count: int) -> None:
        if not count:
            return
        send = self._copy if self._copies else self._insert
        try:
            with self._connection.begin():
                send(self._numbered(rows))
        except UnicodeEncodeError as error:
            encoding = error.encoding
        else:
            return
        raise FormatError(  # outside of the handler: the driver's error holds the text
            f"a row's text has a character that this database's encoding ({encoding}) does not have: use a database in UTF-8, "
            "or leave the column out of select"
        )

    def _numbered(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for row in rows:
            yield (self._seq, *row)
            self._seq += 1

    def _insert(self, rows: Iterable[tuple[Any, ...]]) -> None:
        names = [column.name for column in self._columns]
        values = [dict(zip(names, row, strict=True)) for row in rows]
        for start in range(0, len(values), PIECE):
            self._connection.execute(sa.insert(self.table), values[start : start + PIECE])

    def _copy(self, rows: Iterable[tuple[Any, ...]]) -> None:
        text = "".join(
            "\t".join("\\N" if value is None else str(value) for value in row) + "\n" for row in rows
        )
        prepare = self._dialect.identifier_preparer
        names = ", ".join(prepare.format_column(column) for column in self._columns)
        statement = f"COPY {prepare.format_table(self.table)} ({names}) FROM STDIN"
        statement = statement.replace("%%", "%")  # SQLAlchemy doubles it for statements with parameters
        with _cursor(self._connection) as cursor:
            if hasattr(cursor, "copy_expert"):  # psycopg2
                from psycopg2.extensions import encodings

                # encoded here: the driver would quote what it cannot encode
                cursor.copy_expert(statement, io.BytesIO(text.encode(encodings[cursor.connection.encoding])))
            else:
                with cursor.copy(statement) as copy:
                    copy.write(text)


def _told(field: Field) -> str:
    if field.kind == "decimal":
        return f"decimal with {field.scale} places"
    if is_row_id(field):
        return "row id"
    return "text without NUL characters" if field.kind == "string" else field.kind


def _temporary(dialect: str, columns: Sequence[sa.Column[Any]]) -> sa.Table:
    name = f"dynamics_stage_{uuid.uuid4().hex[:12]}"
    own = [
        sa.Column(SEQ, sa.BigInteger(), nullable=False),
        sa.Column(GONE, sa.SmallInteger(), nullable=False),
    ]
    if dialect == "mssql":  # its name makes it temporary
        return sa.Table(f"#{name}", sa.MetaData(), *own, *columns)
    return sa.Table(name, sa.MetaData(), *own, *columns, prefixes=["TEMPORARY"])


def _for(dialect: str) -> Callable[[Field], Callable[[Any], Any] | None]:
    return lambda field: driver_value(field, dialect)


def _can_copy(connection: sa.Connection) -> bool:
    with _cursor(connection) as cursor:
        able = hasattr(cursor, "copy_expert") or hasattr(cursor, "copy")
    connection.rollback()
    return able


def _cursor(connection: sa.Connection) -> Any:
    return connection.connection.cursor()
