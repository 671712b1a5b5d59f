"""A worker that is killed in the middle of a load, as a real process, and the tries that come after it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import DynamicsUndoOperator
from tests.airflow.transfers.files import ONCE, lines, run_one
from tests.airflow.transfers.loads.files import accounts, loaded, rows
from tests.airflow.transfers.loads.one_try import KEPT, WAYS

ROOT = Path(__file__).parents[4]
ROWS = 2_000
SECONDS = 60
KILLS = 2


@pytest.fixture
def one_try(emulator, tmp_path):
    """Start a try; it is gone when the block ends."""
    environment = {
        **os.environ,
        **emulator.airflow_connection("dynamics_default"),
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
    }
    lake = tmp_path / "lake"
    lake.mkdir()
    accounts(lake / "accounts.parquet", ROWS)

    @contextmanager
    def start(number, way):
        module = "tests.airflow.transfers.loads.one_try"
        command = [sys.executable, "-m", module, str(lake), str(number), way]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return lake, start


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_moment_and_tried_again_the_table_equals_the_file(one_try, emulator, way):
    lake, start = one_try
    emulator.fault("poison", table="account", column="name", value="Drill 777")
    killed(emulator, start, way)
    summary = finished(start, way)

    assert (summary["rows"], summary["rejected"]) == (ROWS, 1)
    assert summary["written"] + summary["unchanged"] == ROWS - 1
    assert (summary["resumed_rows"] > 0) == (way != "no_journal")
    assert loaded(emulator) == [tuple(row.values()) for row in rows(ROWS) if row["name"] != "Drill 777"]
    assert [line["row"] for line in lines(lake / "rejects.ndjson")] == [777]
    assert sorted(entry.name for entry in lake.iterdir() if entry.name != "task.json") == [
        "accounts.parquet",
        "rejects.ndjson",
    ]


@pytest.fixture
def old():
    """Every third row of the file is there already, with other values."""
    made = [{**row, "name": "Old", "numberofemployees": None} for row in rows(ROWS)[::3]]
    with DynamicsHook().get_conn() as client:
        assert not any(outcome.error for outcome in client.bulk("account", made, "create"))
    return made


@pytest.mark.usefixtures("dynamics_conn")
@pytest.mark.parametrize("way", KEPT)
def test_killed_at_any_moment_tried_again_and_undone_the_table_is_as_before(
    one_try, emulator, run_dag, old, way
):
    lake, start = one_try
    before = accounts_by_id(emulator)
    killed(emulator, start, way)
    finished(start, way)
    assert loaded(emulator) == [tuple(row.values()) for row in rows(ROWS)]

    done = undone(run_dag, lake)

    assert accounts_by_id(emulator) == before
    counted = {name: done[name] for name in ("rows", "restored", "deleted", "rejected")}
    assert counted == {"rows": ROWS, "restored": len(old), "deleted": ROWS - len(old), "rejected": 0}


@pytest.mark.usefixtures("dynamics_conn", "old")
def test_killed_and_never_tried_again_it_is_undone_as_far_as_it_came(one_try, emulator, run_dag):
    lake, start = one_try
    before = accounts_by_id(emulator)
    killed(emulator, start, "kept_for_undo")
    assert accounts_by_id(emulator) != before

    done = undone(run_dag, lake)

    assert accounts_by_id(emulator) == before
    assert done["rejected"] == 0
    assert done["restored"] > 0
    assert done["deleted"] > 0


def undone(run_dag, lake):
    """Undo the load, and return the summary."""
    return run_one(
        run_dag, lambda: DynamicsUndoOperator(task_id="undo", undo_path=str(lake / "undo"), **ONCE)
    ).xcoms["undo"]


def accounts_by_id(emulator):
    """Return the table without what every write changes."""
    of_a_write = ("@odata.etag", "modifiedon", "versionnumber")
    return {
        row["accountid"]: {name: value for name, value in row.items() if name not in of_a_write}
        for row in emulator.rows("account")
    }


def killed(emulator, start, way):
    """Start tries and kill each while it writes."""
    chance = random.Random(way)
    emulator.latency = 0.05
    for number in range(1, KILLS + 1):
        with start(number, way) as process:
            until_writing(emulator, process)
            time.sleep(chance.uniform(0, 0.5))  # any moment: nothing in the load chooses it
            process.send_signal(signal.SIGKILL)
            process.wait(SECONDS)
    emulator.latency = 0


def finished(start, way):
    """Let the last try end by itself, and return its summary."""
    with start(KILLS + 1, way) as process:
        said, wrong = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, wrong
    return json.loads(said.splitlines()[-1])


def until_writing(emulator, process):
    """Wait until this try has sent rows."""
    before = writes(emulator)
    deadline = time.monotonic() + SECONDS
    while writes(emulator) == before:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the try writes nothing"
        time.sleep(0.01)


def writes(emulator):
    return sum("Multiple" in request.path or "batch" in request.path for request in emulator.requests)


def test_a_task_that_is_stopped_keeps_its_place_and_the_next_try_goes_on(one_try, emulator):
    _, start = one_try
    emulator.latency = 0.1
    with start(1, "upsert_by_key") as process:
        for line in process.stdout:
            if line.startswith("kept") and int(line.split()[1]) >= 500:
                break
        process.send_signal(signal.SIGTERM)  # what is on its way is waited for, nothing more is sent
        _, wrong = process.communicate(timeout=SECONDS / 2)
    assert "The work was cancelled" in wrong
    assert process.returncode
    emulator.latency = 0.0

    with start(2, "upsert_by_key") as process:
        said, wrong = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, wrong
    assert json.loads(said.splitlines()[-1])["resumed_rows"] >= 500
    assert loaded(emulator) == [tuple(row.values()) for row in rows(ROWS)]
