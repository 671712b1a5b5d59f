"""What networks and services do to a long read: each is survived with every row once, or fails in words."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.compat import HAS_RETRY_POLICY
from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator
from tests.airflow.transfers.drills import DRILLS, Impatiently, Patiently
from tests.airflow.transfers.files import ONCE, failed_once, run_one
from tests.airflow.transfers.reading import ids_in

pytestmark = pytest.mark.usefixtures("dynamics_conn")

REMEMBERS = HAS_RETRY_POLICY
"""Airflow 3.3 brought both; before it a retry starts over."""
READ = r"/accounts\?"
"""Pages of accounts, whichever lane asks for them."""


class Patient(Patiently, DynamicsToObjectStorageOperator):
    """An export that sits no wait out."""


class Impatient(Impatiently, DynamicsToObjectStorageOperator):
    """An export that leaves it to Airflow to try again."""


def export(run_dag, path, operator=Patient, **arguments):
    return run_one(
        run_dag,
        lambda: operator(
            task_id="export",
            table="account",
            select=["name", "createdon"],
            destination_path=str(path),
            page_size=3,
            **{**ONCE, **arguments},
        ),
    )


def every_row_once(path, emulator):
    assert sorted(ids_in(path)) == sorted(row["accountid"] for row in emulator.rows("account"))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("lanes", [None, 1], ids=["lanes", "one lane"])
@pytest.mark.parametrize("drill", DRILLS)
def test_it_is_survived_within_one_try(run_dag, emulator, tmp_path, drill, lanes):
    kind, members = drill
    switch = emulator.fault(kind, path=READ, **members)

    ran = export(run_dag, tmp_path / "accounts.parquet", lanes=lanes)

    assert (ran.states, ran.tries) == ({"export": "success"}, {"export": 1}), ran.errors
    assert switch.hits > 0, "the drill never happened"
    assert ran.xcoms["export"]["throttled_seconds"] < 120, "a service that says 0 s is not to be waited for"
    every_row_once(tmp_path / "accounts.parquet", emulator)


@pytest.mark.parametrize("lanes", [None, 1], ids=["lanes", "one lane"])
def test_short_pages_do_not_end_the_reading(run_dag, emulator, tmp_path, lanes):
    emulator.fault("short_page", rows=1)

    ran = export(run_dag, tmp_path / "accounts.ndjson", lanes=lanes)

    assert ran.xcoms["export"]["pages"] >= len(emulator.rows("account"))
    every_row_once(tmp_path / "accounts.ndjson", emulator)


@pytest.mark.parametrize("lanes", [None, 1], ids=["lanes", "one lane"])
@pytest.mark.parametrize(
    "drill",
    [
        pytest.param(("throttle", {"retry_after": 0}), id="throttled"),
        pytest.param(("status", {}), id="503 with a page of HTML"),
        pytest.param(("reset", {}), id="connection reset"),
        pytest.param(("truncate", {}), id="truncated body"),
    ],
)
def test_where_a_try_fails_the_retry_goes_on(run_dag, emulator, tmp_path, drill, lanes):
    kind, members = drill
    emulator.fault(kind, path=READ, skip=5, count=1, **members)

    ran = export(run_dag, tmp_path / "accounts.csv", Impatient, lanes=lanes)

    assert (ran.states, ran.tries) == ({"export": "success"}, {"export": 2}), ran.errors
    summary = ran.xcoms["export"]
    if lanes is None:  # which may still have been planning
        assert summary["resumed_rows"] < summary["rows"]
    else:
        assert (summary["resumed_rows"] > 0) == REMEMBERS
    every_row_once(tmp_path / "accounts.csv", emulator)


def test_a_page_that_names_itself_as_the_next_ends_the_task_in_words(run_dag, emulator, tmp_path):
    emulator.fault("repeated_page", path="skiptoken")

    text = failed_once(export(run_dag, tmp_path / "accounts.csv", lanes=1))

    assert "the same next link twice" in text
    assert list(tmp_path.iterdir()) == []


def test_a_proxys_page_in_place_of_an_answer_ends_the_task_in_words(run_dag, emulator, tmp_path):
    emulator.fault("html", path=READ, skip=1, count=1)

    text = failed_once(export(run_dag, tmp_path / "accounts.csv"))

    assert "check proxies and the environment URL" in text
    assert list(tmp_path.iterdir()) == []


def test_an_outage_longer_than_all_tries_leaves_what_was_there_and_says_why(run_dag, emulator, tmp_path):
    path = tmp_path / "accounts.csv"
    path.write_text("yesterday's")
    emulator.fault("status", path=READ)

    ran = export(run_dag, path, Impatient)

    assert (ran.states, ran.tries) == ({"export": "failed"}, {"export": 3})
    assert "HTTP 503" in str(ran.errors["export"])
    assert path.read_text() == "yesterday's"


def test_a_table_one_may_not_read_names_the_privilege(run_dag, emulator, tmp_path):
    emulator.sign_ins.take_privilege("prvReadAccount")

    text = failed_once(export(run_dag, tmp_path / "accounts.csv"))

    assert "prvReadAccount" in text
    assert "security role" in text
    assert list(tmp_path.iterdir()) == []
