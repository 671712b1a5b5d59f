"""Where rows live: one in-memory SQLite database, described and queried through SQLAlchemy Core.

Values are kept ready to compare and to send: exact numbers as scaled integers, dates as ISO text in UTC,
GUIDs in lower case, and the whole row once more as finished JSON, which is what makes a full page cheap.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from airflow_provider_dynamics.emulator.like import fold, tsql_like
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.render import RowRenderer
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Intersect, Table
from airflow_provider_dynamics.emulator.schema.current import (
    Schema,
    Schemas,
    standard,
)
from airflow_provider_dynamics.emulator.storage import (
    BESIDE,
    JSON_COLUMN,
    PAIRS,
    SQL,
    indexes,
    key_index,
    looks,
    storage_names,
    stored,
)

FIRST_VERSION = 1_000_000
PAGE = 4096  # bytes, SQLite's own
MOST_KEPT = 256 * 2**20  # bytes of rows that are kept twice for quick resets
_DIALECT = sqlite.dialect(paramstyle="qmark")
_TOO_MUCH = re.compile("too many|too large|stack overflow")  # https://sqlite.org/limits.html


class Store:
    """The database. One connection, one lock: whoever reads or writes holds it; transactions nest."""

    def __init__(self, most_kept: int = MOST_KEPT, base: Schema | None = None) -> None:
        self._lock = threading.RLock()
        self._most_kept = most_kept
        self._depth = 0
        self._after_commit: list[Callable[[], None]] = []
        self._version = FIRST_VERSION
        self._kept_version: int | None = None
        self._base = base or standard()
        self.schemas = Schemas(self._base)
        self._kept_schema = self.schemas.published
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._kept = sqlite3.connect(":memory:", check_same_thread=False)
        for one in (self._connection, self._kept):
            weakref.finalize(self, one.close)  # Python 3.13 minds one that is left open
        self._connection.create_function("fold", 1, fold, deterministic=True)
        self._connection.create_function("tsql_like", 2, tsql_like, deterministic=True)
        with self.schemas.entered():
            self._create()

    def _create(self) -> None:
        # Rowversion and JSON are rewritten on every change: no journal to disk, nothing to sync.
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        for table in (*SQL.values(), *PAIRS.values(), *BESIDE):
            self._create_table(table)
        for known in TABLES.values():
            self._create_indexes(known)

    def _create_table(self, table: sa.Table) -> None:
        self._connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))

    def _create_indexes(self, table: Table) -> None:
        for statement in indexes(table):
            self._connection.execute(statement)

    def clear(self) -> None:
        """Empty every table and start counting versions anew; tables are those of a new environment again."""
        with self.transaction():
            self.move_to(self._base)
            for table in (*SQL.values(), *PAIRS.values(), *BESIDE):
                self._connection.execute(f'DELETE FROM "{table.name}"')  # noqa: S608 - our own table names
            self._version = FIRST_VERSION

    def move_to(self, schema: Schema, working: Schema | None = None) -> None:
        """Let the database have the tables, columns and keys of a schema; ``working`` is what is to be published.

        Rows stay, with nothing in new columns. Call it inside a transaction, which undoes it. Raises
        sqlite3.IntegrityError when rows do not fit a key.
        """
        old = self.schemas.published
        self.schemas.set(schema, working)
        if schema is old:
            return
        with self.schemas.entered():
            self._move(old, schema)

    def _move(self, old: Schema, schema: Schema) -> None:
        for name in old.tables.keys() - schema.tables.keys():
            self._connection.execute(f'DROP TABLE "{name}"')
        for name in old.pairs.keys() - schema.pairs.keys():
            self._connection.execute(f'DROP TABLE "{name}"')
        for name in schema.pairs.keys() - old.pairs.keys():
            self._create_table(PAIRS[name])
        for table in schema.tables.values():
            before = old.tables.get(table.name)
            if before is None:
                self._create_table(SQL[table.name])
                self._create_indexes(table)
            elif before is not table:
                self._alter(before, table)

    def _alter(self, before: Table, table: Table) -> None:
        """Rebuild a table whose columns are others now; keys alone are indexes."""
        if looks(before) == looks(table):
            if before.keys != table.keys:
                self._move_keys(before, table)
            return
        kept = [name for name in stored(table) if name in set(stored(before))]
        names = ", ".join(f'"{name}"' for name in kept)
        self._connection.execute(f'CREATE TEMP TABLE aside AS SELECT {names} FROM "{table.name}"')  # noqa: S608 - our own names
        self._connection.execute(f'DROP TABLE "{table.name}"')  # with its indexes
        self._create_table(SQL[table.name])
        self._connection.execute(f'INSERT INTO "{table.name}" ({names}) SELECT {names} FROM temp.aside')  # noqa: S608 - our own names
        self._connection.execute("DROP TABLE temp.aside")
        self._create_indexes(table)
        self._render_anew(table)

    def _move_keys(self, before: Table, table: Table) -> None:
        for key in filter(lambda key: key.active and key not in table.keys, before.keys):
            self._connection.execute(f'DROP INDEX "{table.name}.{key.name}"')
        for key in filter(lambda key: key.active and key not in before.keys, table.keys):
            self._connection.execute(key_index(table, key))

    def _render_anew(self, table: Table) -> None:
        """Every row's finished JSON with the columns there are now."""
        renderer, names = RowRenderer(table), stored(table)
        text = f'UPDATE "{table.name}" SET "{JSON_COLUMN}" = ? WHERE "{table.identity}" = ?'  # noqa: S608 - our own names
        found = self._connection.execute(f'SELECT * FROM "{table.name}"').fetchall()  # noqa: S608 - our own names
        rows = (dict(zip(names, values, strict=True)) for values in found)
        self._connection.executemany(text, ((renderer.json(row), row[table.identity]) for row in rows))

    def keep(self) -> None:
        """Remember every row as it is now, unless they are so many that filling anew is better than two copies."""
        with self._lock:
            size = self._connection.execute("PRAGMA page_count").fetchone()[0] * PAGE
            self._kept_version = None
            if size <= self._most_kept:
                self._connection.backup(self._kept)
                self._kept_version, self._kept_schema = self._version, self.schemas.published

    def restore(self) -> bool:
        """Bring back what was kept, in no time; False when nothing is."""
        with self._lock:
            if self._kept_version is None:
                return False
            self._kept.backup(self._connection)
            self._version = self._kept_version
            if (
                self.schemas.published is not self._kept_schema
                or self.schemas.working is not self._kept_schema
            ):
                self.schemas.set(self._kept_schema)
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
            promised = len(self._after_commit)
            published, working = self.schemas.published, self.schemas.working
            try:
                yield
            except BaseException:
                self._depth -= 1
                del self._after_commit[promised:]
                if (published, working) != (self.schemas.published, self.schemas.working):
                    self.schemas.set(published, working)
                undo = "ROLLBACK" if self._depth == 0 else f"ROLLBACK TO {name}"
                self._connection.execute(undo)
                raise
            self._depth -= 1
            self._connection.execute("COMMIT" if self._depth == 0 else f"RELEASE {name}")
            if self._depth == 0:
                due, self._after_commit = self._after_commit, []
                for act in due:
                    act()

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call this once the transaction that is under way is committed; never, when it is undone."""
        self._after_commit.append(act)

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

    def read(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of SQL that is asked so often that putting it together would cost more than it does."""
        with self._lock:
            return self._connection.execute(text, values).fetchall()

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
