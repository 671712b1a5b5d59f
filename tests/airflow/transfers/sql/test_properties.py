"""Whatever happens to rows, places and workers: after the last run the table of the database equals that of Dynamics."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.sql.dynamics import FIELDS, KEY, Dynamics, ask, held, run

NUMBERS = st.integers(0, 3)
PUT = st.tuples(st.just("put"), NUMBERS, st.sampled_from(["a", "b", "", None, "tab\t\\"]))
DELETE = st.tuples(st.just("delete"), NUMBERS)
CHANGES = st.lists(PUT | DELETE, max_size=4)
RUN = st.tuples(st.just("run"), CHANGES)
"""A run, and what happens while it reads."""
DIES = st.tuples(st.just("run"), CHANGES, st.integers(1, 4))
"""The same, and before which of its writing statements it dies."""
LATE = st.tuples(st.just("late"), CHANGES)
"""A run that has read its rows when another one, started later, reads and writes."""
BEFORE = st.sampled_from(["nothing", "nothing", "nothing", "expire", "columns"])
STORY = st.lists(st.tuples(CHANGES, BEFORE, RUN | DIES | LATE), min_size=2, max_size=5)
"""Round after round: changes, a place that is lost or a column more or less, and a run."""


class Died(BaseException):
    """The worker is no more."""


@contextmanager
def dying(engine: sa.Engine, number: int) -> Iterator[None]:
    """Have the statement of this number fail as nothing in the code foresees."""
    left = number

    def executing(_connection: Any, _cursor: Any, statement: str, *_ignored: Any) -> None:
        nonlocal left
        if (
            statement.startswith(("INSERT", "UPDATE", "DELETE", "ALTER"))
            and "INTO dynamics_stage" not in statement
        ):
            left -= 1
            if left == 0:
                raise Died

    sa.event.listen(engine, "before_cursor_execute", executing)
    try:
        yield
    except Died:
        pass
    finally:
        sa.event.remove(engine, "before_cursor_execute", executing)


class Story:
    """A table of Dynamics, a database, and what happens to both."""

    def __init__(self, mode: str, database: Database) -> None:
        self.dynamics = Dynamics(mode=mode)
        self.database = database
        self.fields: tuple[Field, ...] = FIELDS

    def happen(self, what: tuple[Any, ...]) -> None:
        getattr(self, what[0])(*what[1:])

    def put(self, number: int, name: str | None) -> None:
        version = self.dynamics.version
        self.dynamics.put(number, name=name, revenue=f"{version}.0000", city=f"City {version}")

    def delete(self, number: int) -> None:
        self.dynamics.delete(number)

    def expire(self) -> None:
        self.dynamics.expire()

    def columns(self) -> None:
        self.fields = FIELDS if len(self.fields) > len(FIELDS) else (*FIELDS, Field("city"))

    def nothing(self) -> None:
        """As most of the time."""

    def run(self, meanwhile: list[tuple[Any, ...]] = (), dies_at: int = 0) -> None:  # type: ignore[assignment]  # hypothesis gives lists
        waiting = list(meanwhile)
        self.dynamics.meanwhile = lambda: self.happen(waiting.pop()) if waiting else None
        with dying(self.database.engine, dies_at):
            run(self.database, self.dynamics, fields=self.fields)
        self.dynamics.meanwhile = lambda: None

    def late(self, changes: list[tuple[Any, ...]]) -> None:
        def another() -> None:
            self.dynamics.meanwhile = lambda: None
            for change in changes:
                self.happen(change)
            run(Database(self.database.conn_id), self.dynamics, fields=self.fields)

        self.dynamics.meanwhile = another
        run(self.database, self.dynamics, fields=self.fields)
        self.dynamics.meanwhile = lambda: None


def tell(database: Database, mode: str, story: list[tuple[Any, ...]]) -> None:
    told = Story(mode, database)
    for changes, before, ran in story:
        for what in (*changes, (before,), ran):
            told.happen(what)
    told.run()
    assert held(database) == told.dynamics.table
    if len(told.fields) > len(FIELDS):
        cities = {str(row[0]): row[1] for row in ask(database, "SELECT accountid, city FROM account")}
        assert cities == {row[KEY]: row["city"] for row in told.dynamics.rows.values()}


@settings(max_examples=50)
@given(mode=st.sampled_from(["delta", "window"]), story=STORY)
def test_on_sqlite_the_table_ends_equal(mode, story):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_STORY", f"sqlite:///{folder}/story.db")
        tell(Database("story"), mode, story)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(["delta", "window"]), story=STORY)
def test_on_postgresql_the_table_ends_equal(postgres, mode, story):
    database = Database(postgres)
    with database.connection() as connection, connection.begin():
        connection.execute(sa.text("DROP TABLE IF EXISTS account, dynamics_cursors"))
    tell(database, mode, story)
