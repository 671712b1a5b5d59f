"""Where rows live: one in-memory SQLite database, described and queried through SQLAlchemy Core.

Values are kept ready to compare and to send: exact numbers as scaled integers, dates as ISO text in UTC,
GUIDs in lower case, and the whole row once more as finished JSON, which is what makes a full page cheap.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from airflow_provider_dynamics.emulator.like import fold, tsql_like
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.schema import INTERSECTS, TABLES, Column, Intersect, Table
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS, GUID_KINDS, TEXT_KINDS

Condition: TypeAlias = Any  # SQLAlchemy expressions over columns known at run time only
JSON_COLUMN = "_json"
FIRST_VERSION = 1_000_000
PAGE = 4096  # bytes, SQLite's own
MOST_KEPT = 256 * 2**20  # bytes of rows that are kept twice for quick resets
_DIALECT = sqlite.dialect(paramstyle="qmark")
_TOO_MUCH = re.compile("too many|too large|stack overflow")  # https://sqlite.org/limits.html
_METADATA = sa.MetaData()


def _storage_type(kind: str) -> Any:
    if kind in TEXT_KINDS:
        return sa.Text(collation="NOCASE")
    if kind in GUID_KINDS or kind in {"DateTime", "Image"}:
        return sa.Text()
    if kind == "Double":
        return sa.Float()
    return sa.Integer() if kind in EXACT_KINDS else sa.BigInteger()


def _sql_table(table: Table) -> sa.Table:
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
    return sa.Table(table.name, _METADATA, *columns, sa.Column(JSON_COLUMN, sa.LargeBinary()))


def _pairs(intersect: Intersect) -> sa.Table:
    columns = (sa.Column(TABLES[name].primary_id, sa.Text(), primary_key=True) for name in intersect.tables)
    return sa.Table(intersect.name, _METADATA, *columns)


SQL: Mapping[str, sa.Table] = {name: _sql_table(table) for name, table in TABLES.items()}
PAIRS: Mapping[str, sa.Table] = {one.name: _pairs(one) for one in INTERSECTS}
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
_BESIDE = (DELETED, FILES)


@cache
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


def _indexes(table: Table) -> Iterator[str]:
    for key in filter(lambda key: key.active, table.keys):
        columns = ", ".join(f'"{name}"' for name in key.columns)
        yield f'CREATE UNIQUE INDEX "{table.name}.{key.name}" ON "{table.name}" ({columns})'
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


class Store:
    """The database. One connection, one lock: whoever reads or writes holds it; transactions nest."""

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._lock = threading.RLock()
        self._most_kept = most_kept
        self._depth = 0
        self._version = FIRST_VERSION
        self._kept_version: int | None = None
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._kept = sqlite3.connect(":memory:", check_same_thread=False)
        for one in (self._connection, self._kept):
            weakref.finalize(self, one.close)  # Python 3.13 minds one that is left open
        self._connection.create_function("fold", 1, fold, deterministic=True)
        self._connection.create_function("tsql_like", 2, tsql_like, deterministic=True)
        self._create()

    def _create(self) -> None:
        # Rowversion and JSON are rewritten on every change: no journal to disk, nothing to sync.
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        for table in (*SQL.values(), *PAIRS.values(), *_BESIDE):
            self._connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
        for known in TABLES.values():
            for statement in _indexes(known):
                self._connection.execute(statement)

    def clear(self) -> None:
        """Empty every table and start counting versions anew."""
        with self.transaction():
            for table in (*SQL.values(), *PAIRS.values(), *_BESIDE):
                self._connection.execute(f'DELETE FROM "{table.name}"')  # noqa: S608 - our own table names
            self._version = FIRST_VERSION

    def keep(self) -> None:
        """Remember every row as it is now, unless they are so many that filling anew is better than two copies."""
        with self._lock:
            size = self._connection.execute("PRAGMA page_count").fetchone()[0] * PAGE
            self._kept_version = None
            if size <= self._most_kept:
                self._connection.backup(self._kept)
                self._kept_version = self._version

    def restore(self) -> bool:
        """Bring back what was kept, in no time; False when nothing is."""
        with self._lock:
            if self._kept_version is None:
                return False
            self._kept.backup(self._connection)
            self._version = self._kept_version
            return True

    @property
    def lock(self) -> threading.RLock:
        """Held while a statement runs and throughout a transaction."""
        return self._lock

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is under way; ask while holding the lock, so that it is one's own."""
        return self._depth > 0

    @property
    def version(self) -> int:
        """The version number of the newest change."""
        return self._version

    def next_version(self) -> int:
        """A version number never given before; call it inside a transaction."""
        self._version += 1
        return self._version

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside commits together; an exception undoes it. May be nested."""
        with self._lock:
            name = f"level{self._depth}"
            self._connection.execute("BEGIN" if self._depth == 0 else f"SAVEPOINT {name}")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                undo = "ROLLBACK" if self._depth == 0 else f"ROLLBACK TO {name}"
                self._connection.execute(undo)
                raise
            self._depth -= 1
            self._connection.execute("COMMIT" if self._depth == 0 else f"RELEASE {name}")

    def fetch(self, statement: sa.ClauseElement) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows as plain tuples; ``NotEmulated`` when it is beyond SQLite's limits."""
        text, parameters = _compile(statement)
        try:
            with self._lock:
                return self._connection.execute(text, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if _TOO_MUCH.search(str(error)):
                raise NotEmulated(f"a query of this size ({error})") from error
            raise

    def one(self, statement: sa.ClauseElement) -> tuple[Any, ...] | None:
        """The first row, or None."""
        rows = self.fetch(statement)
        return rows[0] if rows else None

    def run(self, statement: sa.ClauseElement) -> int:
        """Run a change and return how many rows it touched."""
        text, parameters = _compile(statement)
        with self._lock:
            return self._connection.execute(text, parameters).rowcount

    def execute(self, text: str, values: Sequence[Any] = ()) -> None:
        """Run SQL that no statement of SQLAlchemy's says."""
        with self._lock:
            self._connection.execute(text, values)

    def row(self, table: Table, row_id: str) -> dict[str, Any] | None:
        """One stored row by its primary key, by storage column name."""
        text = f'SELECT * FROM "{table.name}" WHERE "{table.identity}" = ?'  # noqa: S608 - our own names
        with self._lock:
            found = self._connection.execute(text, (row_id,)).fetchone()
        return None if found is None else dict(zip(storage_names(table), found, strict=True))

    def matching(self, table: Table, values: Mapping[str, Any]) -> list[str]:
        """Ids of at most two rows with these stored values; text compares without case."""
        marks = " AND ".join(f'"{name}" IS ?' for name in values)
        text = f'SELECT "{table.identity}" FROM "{table.name}" WHERE {marks} LIMIT 2'  # noqa: S608 - our own names
        with self._lock:
            return [row[0] for row in self._connection.execute(text, tuple(values.values()))]

    def matching_all(self, table: Table, values: Mapping[str, Any]) -> list[str]:
        """Ids of every row with these stored values."""
        marks = " AND ".join(f'"{name}" IS ?' for name in values)
        text = f'SELECT "{table.identity}" FROM "{table.name}" WHERE {marks}'  # noqa: S608 - our own names
        with self._lock:
            return [row[0] for row in self._connection.execute(text, tuple(values.values()))]

    def pointing(self, table: Table, column: Column, target: str, row_id: str) -> list[str]:
        """Ids of every row whose lookup points to that row of the table ``target``."""
        text, values = f'SELECT "{table.identity}" FROM "{table.name}" WHERE "{column.name}" = ?', [row_id]  # noqa: S608 - our own names
        if column.is_polymorphic:
            text, values = f'{text} AND "{column.type_column}" = ?', [row_id, target]
        with self._lock:
            return [row[0] for row in self._connection.execute(text, values)]

    def exists(self, table: Table, row_id: str) -> bool:
        """Whether the table has that row."""
        text = f'SELECT 1 FROM "{table.name}" WHERE "{table.identity}" = ?'  # noqa: S608 - our own names
        with self._lock:
            return self._connection.execute(text, (row_id,)).fetchone() is not None

    def update(self, table: Table, row: Mapping[str, Any], names: Iterable[str]) -> None:
        """Write these columns of a row back; raises sqlite3.IntegrityError when a key is taken."""
        changed = tuple(names)
        text = _update_text(table.name, table.identity, changed)
        with self._lock:
            self._connection.execute(text, (*(row[name] for name in changed), row[table.identity]))

    def pair(self, intersect: Intersect, pairs: Iterable[tuple[str, str]]) -> None:
        """Relate rows, (id in the first table, id in the second); raises sqlite3.IntegrityError on a duplicate."""
        statement = f'INSERT INTO "{intersect.name}" VALUES (?, ?)'  # noqa: S608 - our own table names
        with self._lock:
            self._connection.executemany(statement, pairs)

    def insert(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows given in the order of ``storage_names``; raises sqlite3.IntegrityError on a duplicate."""
        names = storage_names(table)
        marks = ", ".join("?" * len(names))
        statement = f'INSERT INTO "{table.name}" VALUES ({marks})'  # noqa: S608 - our own table names
        with self._lock:
            self._connection.executemany(statement, rows)


@lru_cache(maxsize=1000)
def _update_text(table: str, identity: str, names: tuple[str, ...]) -> str:
    marks = ", ".join(f'"{name}" = ?' for name in names)
    return f'UPDATE "{table}" SET {marks} WHERE "{identity}" = ?'  # noqa: S608 - our own names


def _compile(statement: sa.ClauseElement) -> tuple[str, list[Any]]:
    compiled: Any = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    values = compiled.construct_params(escape_names=False)
    return str(compiled), [values[name] for name in compiled.positiontup or ()]
