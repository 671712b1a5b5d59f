"""The drills of a long read, in the middle of following a table: into change files, a snapshot and a database.

Each is survived within one try with every row and deletion once, or ends in words with the place where it was, so that the
next run has it all.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing

import pytest
from airflow.sdk import DAG

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import (
    DynamicsChangesToObjectStorageOperator,
    DynamicsToSqlOperator,
)
from tests.airflow.transfers.drills import DRILLS, Impatiently, Patiently
from tests.airflow.transfers.files import ONCE, day
from tests.airflow.transfers.followed import merge, read_file

pytestmark = pytest.mark.usefixtures("dynamics_conn")

KINDS = ["changes", "snapshot", "database"]
READ = r"/accounts\?"
"""Pages of accounts, all rows or those that changed."""


class PatientChanges(Patiently, DynamicsChangesToObjectStorageOperator):
    """Sits no wait out."""


class PatientSql(Patiently, DynamicsToSqlOperator):
    """Sits no wait out."""


class ImpatientChanges(Impatiently, DynamicsChangesToObjectStorageOperator):
    """Leaves it to Airflow to try again."""


class ImpatientSql(Impatiently, DynamicsToSqlOperator):
    """Leaves it to Airflow to try again."""


class Follower:
    """A task that follows accounts, and what stands at its destination."""

    def __init__(self, run_dag, folder, kind):
        self.run_dag, self.folder, self.kind = run_dag, folder, kind
        self.dag_id = f"drilled_{uuid.uuid4().hex}"  # a place of its own, not that of the test before

    def run(self, number, changes=PatientChanges, sql=PatientSql):
        usual = {"table": "account", "select": ["name"], "page_size": 3, **ONCE}
        name = "snapshot" if self.kind == "snapshot" else "{{ ds }}"
        with DAG(self.dag_id, schedule=None) as dag:
            if self.kind == "database":
                sql(task_id="follow", sql_conn_id="warehouse", **usual)
            else:
                path = f"{self.folder}/{name}.ndjson"
                changes(task_id="follow", destination_path=path, output=self.kind, **usual)
        return self.run_dag(dag, day(number))

    def holds(self):
        """Return {row id: name} of the table that the destination is, or that merging its files makes."""
        if self.kind == "database":
            with closing(sqlite3.connect(self.folder / "warehouse.db")) as database:
                return dict(database.execute("SELECT accountid, name FROM account").fetchall())
        files = sorted(self.folder.glob("*.ndjson"))
        if self.kind == "snapshot":
            return {row["accountid"]: row["name"] for row in read_file(files[0])}
        merged: dict[str, tuple[str, int]] = {}
        for file in files:
            rows = [{**row, "thingid": row["accountid"]} for row in read_file(file)]
            merge(merged, rows, by_version=False)
        return {row_id: name for row_id, (name, _) in merged.items()}


@pytest.fixture(params=KINDS)
def follower(request, run_dag, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/warehouse.db")
    return Follower(run_dag, tmp_path, request.param)


@pytest.fixture
def work(dynamics_conn, emulator):
    """Return somebody who works in Dynamics: more pages of new names, and four rows gone."""

    def do():
        ids = [row["accountid"] for row in emulator.rows("account")]
        with DynamicsHook(dynamics_conn).get_conn() as client:
            for number, row_id in enumerate(ids[:10]):
                client.update("account", row_id, {"name": f"Renamed {number}"})
            for row_id in ids[10:14]:
                client.delete("account", row_id)

    return do


def table(emulator):
    return {row["accountid"]: row["name"] for row in emulator.rows("account")}


@pytest.mark.parametrize("drill", DRILLS)
def test_changes_are_followed_through_it_within_one_try(follower, work, emulator, drill):
    kind, members = drill
    switch = emulator.fault(kind, path=READ, **members)
    first = follower.run(0)
    hits = switch.hits
    emulator.clear_faults()
    work()
    switch = emulator.fault(kind, path=READ, **members)
    second = follower.run(1)
    emulator.clear_faults()

    for ran in (first, second):
        assert (ran.states, ran.tries) == ({"follow": "success"}, {"follow": 1}), ran.errors
    assert min(hits, switch.hits) > 0, "the drill never happened"
    assert (second.xcoms["follow"]["mode"], second.xcoms["follow"]["deleted"]) == ("delta", 4)
    assert follower.holds() == table(emulator)


def test_short_pages_do_not_end_the_changes(follower, work, emulator):
    emulator.fault("short_page", rows=1)
    follower.run(0)
    work()
    second = follower.run(1)

    assert second.xcoms["follow"]["deleted"] == 4
    assert follower.holds() == table(emulator)


@pytest.mark.parametrize(
    "drill",
    [
        pytest.param(("html", {}), id="a proxy's page"),
        pytest.param(("repeated_page", {"path": "skiptoken"}), id="repeated page"),
        pytest.param(("status", {"status": 503}), id="an outage longer than all tries"),
        pytest.param(("truncate", {}), id="bodies cut off for ever"),
    ],
)
def test_what_is_not_survived_fails_in_words_and_the_next_run_has_it_all(follower, work, emulator, drill):
    kind, members = drill
    follower.run(0)
    before = follower.holds()
    work()
    emulator.fault(kind, **{"path": READ, "skip": 1, **members})
    broken = follower.run(1, ImpatientChanges, ImpatientSql)
    emulator.clear_faults()

    assert broken.states == {"follow": "failed"}
    assert "GET" in str(broken.errors["follow"])
    assert follower.holds() == before
    after = follower.run(2)
    assert after.states == {"follow": "success"}, after.errors
    assert follower.holds() == table(emulator)
