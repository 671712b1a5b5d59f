"""Looking by version numbers for as long as it takes: what a quiet table costs, and what is never told again."""

from __future__ import annotations

import logging
import time

import pytest

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.dataverse import Client, errors
from airflow_provider_dynamics.dataverse.following.feed import OVERLAP
from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy
from airflow_provider_dynamics.triggers.awaited import look_on
from airflow_provider_dynamics.triggers.versions import Versions
from airflow_provider_dynamics.triggers.watching import Watch

log = logging.getLogger(__name__)


class Ahead(Clock):
    """The real time and some seconds."""

    seconds = 0.0

    def now(self):
        return time.time() + self.seconds


@pytest.fixture
def clock():
    return Ahead()


@pytest.fixture
def client(emulator, clock):
    token = StaticToken(emulator.access_token())
    with Client(
        emulator.url, token, ca_bundle=emulator.ca_bundle, clock=clock, retry=RetryPolicy.never()
    ) as client:
        yield client


class Watcher:
    """Looks at a table, step by step, until there is nothing more to read."""

    def __init__(self, client, table, **watch):
        self._client = client
        self._looks = Versions(Watch(table, **watch), log)
        self._place = None

    def look(self):
        """Return the ids that one look tells of."""
        told, more = [], True
        while more:
            step = look_on(self._looks, self._client, self._place)
            self._place, more = step.place, step.more
            told += [one["row_id"] for event in step.events for one in event["changes"]]
        return told


def windows(emulator):
    """Return how often the first page of a window was asked for."""
    return sum(
        "drill_untrackedid,versionnumber" in r.query and "skip" not in r.query for r in emulator.requests
    )


def test_a_table_that_is_quiet_for_as_long_as_a_transaction_may_last_is_not_read_any_more(
    emulator, client, clock
):
    watcher = Watcher(client, "drill_untracked")
    watcher.look()
    row_id = client.create("drill_untracked", {"drill_name": "a"})
    assert watcher.look() == [row_id]
    clock.seconds = OVERLAP / 2  # a transaction that has a smaller number may end yet
    watcher.look()
    assert windows(emulator) == 3  # the first of them by the mark itself
    clock.seconds = OVERLAP + 1.0
    watcher.look()
    read = windows(emulator)
    assert read == 4

    assert [watcher.look() for _ in range(3)] == [[], [], []]
    assert windows(emulator) == read
    again = client.create("drill_untracked", {"drill_name": "b"})
    assert [watcher.look(), watcher.look()] == [[again], []]


def test_when_the_newest_row_is_deleted_the_one_before_it_is_not_told(emulator, client):
    newest = max(emulator.rows("opportunity"), key=lambda row: row["modifiedon"])
    watcher = Watcher(client, "opportunity")
    watcher.look()

    client.delete("opportunity", newest["opportunityid"])

    assert [watcher.look() for _ in range(3)] == [[], [], []]
    assert len(emulator.rows("opportunity")) > 1


def test_a_window_of_which_a_page_is_gone_is_read_anew(emulator, client):
    watcher = Watcher(client, "drill_untracked")
    watcher.look()
    made = {client.create("drill_untracked", {"drill_name": name}) for name in "abcde"}
    emulator.fault("short_page", rows=2)
    emulator.fault(
        "error", status=400, code="0x80040203", message="Invalid cookie", path="skiptoken", count=1
    )

    with pytest.raises(errors.BadRequest):
        watcher.look()

    assert set(watcher.look()) == made
    assert windows(emulator) == 3


def test_a_back_fill_whose_next_page_is_refused_again_and_again_is_a_problem_and_no_loop(emulator, client):
    for name in "abc":
        client.create("drill_untracked", {"drill_name": name})
    refused = emulator.fault(
        "error", status=400, code="0x80040203", message="Invalid cookie", path="skiptoken", count=9
    )
    watcher = Watcher(client, "drill_untracked", start="2000-01-01T00:00:00Z", batch_size=1, max_events=2)

    with pytest.raises(errors.BadRequest):
        watcher.look()

    assert refused.hits == 2
