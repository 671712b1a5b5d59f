"""A worker killed while it writes, by SIGKILL in a process of its own: the table is as it was, and the next run makes it right."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_dynamics.hooks import DynamicsHook
from tests.airflow.transfers.sql.dynamics import ask

ROOT = Path(__file__).parents[4]


pytestmark = pytest.mark.usefixtures("dynamics_conn")


@pytest.fixture
def client(dynamics_conn):
    with DynamicsHook(dynamics_conn).get_conn() as opened:
        yield opened


def work(number=0):
    """Run a worker that dies before its statement of this number; 0 lets it live."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.airflow.transfers.sql.killed", str(number)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


def names(database):
    return {str(row[0]): row[1] for row in ask(database, "SELECT accountid, name FROM account")}


def place(database):
    return ask(database, "SELECT link, generation FROM dynamics_cursors")


def expected(emulator):
    return {row["accountid"]: row["name"] for row in emulator.rows("account")}


@pytest.mark.parametrize("number", [2, 4], ids=["after the place has moved", "before the commit"])
def test_a_worker_killed_while_it_writes_leaves_the_table_as_it_was(warehouse, client, emulator, number):
    rows = emulator.rows("account")
    assert work().returncode == 0
    client.update("account", rows[0]["accountid"], {"name": "Renamed"})
    client.delete("account", rows[1]["accountid"])
    before = names(warehouse), place(warehouse)

    killed = work(number)
    after = names(warehouse), place(warehouse)
    last = work()

    assert killed.returncode == -signal.SIGKILL, killed.stderr[-500:]
    assert after == before
    assert last.stdout.endswith("delta"), last.stderr[-500:]
    assert names(warehouse) == expected(emulator)
    assert not [name for (name,) in tables(warehouse) if name.startswith("dynamics_stage")]


def test_a_worker_killed_in_the_first_run_leaves_no_half_table(warehouse, emulator):
    killed = work(2)
    last = work()

    assert killed.returncode == -signal.SIGKILL, killed.stderr[-500:]
    assert last.stdout.endswith("full"), last.stderr[-500:]
    assert names(warehouse) == expected(emulator)


def tables(database):
    if database.engine.dialect.name == "sqlite":
        return ask(database, "SELECT name FROM sqlite_master")
    return ask(
        database, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
