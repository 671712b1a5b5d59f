"""The whole way from a service that changes while it is read, through a real feed, into a database: it ends equal."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.following.feed import Feed
from airflow_provider_dynamics.formats import file_fields
from airflow_provider_dynamics.transfers.sql.database import Database
from airflow_provider_dynamics.transfers.sql.following import Job, Source, follow
from airflow_provider_dynamics.transfers.sql.target import Target
from tests.airflow.transfers.followed import OVERLAP, Service
from tests.airflow.transfers.sql.dynamics import HOST, ask
from tests.airflow.transfers.test_following import EXAMPLES, TABLES, Story, stories, table


class SqlTask:
    """A task that follows the table into a database; it can die before any statement, and after any page."""

    def __init__(self, service, mode):
        self.service, self.mode = service, mode

    def run(self, number, reached=lambda _: None):
        database = Database("story")

        def executing(_connection, _cursor, statement, *_ignored):
            reached(statement)

        sa.event.listen(database.engine, "before_cursor_execute", executing)
        source = Source(HOST, "thing", file_fields(self.service.table, ["thingid", "name"]), self._feed)
        job = Job(
            source,
            Target("thing", None, "thingid"),
            "evolve",
            f"run {number}",
            reached=lambda *done: reached(done),
        )
        with database.connection() as connection:
            assert follow(connection, job) is not None

    def _feed(self, since):
        return Feed(
            *(self.service, self.service.table, ["name"], since),
            mode=self.mode,
            overlap=OVERLAP,
            now=self.service.now,
        )


@pytest.mark.parametrize("kind", TABLES)
@settings(max_examples=EXAMPLES // 3)
@given(story=stories, seed=st.integers(0, 1000))
def test_after_the_last_run_the_database_equals_the_table(kind, story, seed):
    described, mode = TABLES[kind]
    service = Service(described, loose=bool(seed % 2))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_STORY", f"sqlite:///{Path(folder)}/story.db")
        Story(service, SqlTask(service, mode), seed).play(story)
        found = dict(map(tuple, ask(Database("story"), "SELECT thingid, name FROM thing")))
    assert found == table(service)
