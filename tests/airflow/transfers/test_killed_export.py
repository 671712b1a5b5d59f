"""A worker that is killed in the middle of an export, as a real process, and the try that comes after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.airflow.transfers.reading import ids_in

ROOT = Path(__file__).parents[3]
SECONDS = 60
PAGES_BEFORE_THE_END = 6


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

    @contextmanager
    def start(number, lanes=1):
        module = "tests.airflow.transfers.one_try"
        command = [sys.executable, "-m", module, str(lake), str(number), str(lanes)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return lake, start


def test_the_try_after_a_killed_one_goes_on_and_the_file_holds_every_row_once(one_try, emulator):
    lake, start = one_try
    emulator.latency = 0.1  # long enough to be killed in the middle
    with start(1) as process:
        for line in process.stdout:
            if line == f"kept {PAGES_BEFORE_THE_END}\n":
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait(SECONDS) == -signal.SIGKILL, process.stderr.read()
    assert not (lake / "accounts.parquet").exists()
    emulator.latency = 0.0
    asked_before = pages_asked_for(emulator)

    with start(2) as process:
        said, wrong = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, wrong
    summary, rows = json.loads(said.splitlines()[-1]), emulator.rows("account")
    assert summary["rows"] == len(rows)
    assert summary["resumed_rows"] >= 2 * PAGES_BEFORE_THE_END
    left = (len(rows) - summary["resumed_rows"]) / 2
    assert pages_asked_for(emulator) - asked_before in {left, left + 1}, (
        "one was on its way when it was killed"
    )
    assert sorted(ids_in(lake / "accounts.parquet")) == sorted(row["accountid"] for row in rows)
    assert sorted(entry.name for entry in lake.iterdir()) == ["accounts.parquet", "asset.json", "task.json"]


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_worker_that_is_stopped_while_answers_are_on_their_way_keeps_its_place(
    one_try, emulator, lanes, how
):
    lake, start = one_try
    emulator.latency = 0.1
    with start(1, lanes) as process:
        for line in process.stdout:
            if line == f"kept {PAGES_BEFORE_THE_END}\n":
                break
        emulator.latency = 2 * SECONDS  # nobody waits for these
        process.send_signal(how)
        said, wrong = process.communicate(timeout=SECONDS / 2)
    assert "The work was cancelled" in wrong or how == signal.SIGKILL, wrong
    assert process.returncode
    assert not (lake / "accounts.parquet").exists()
    emulator.latency = 0.0

    with start(2, lanes) as process:
        said, wrong = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, wrong
    summary, rows = json.loads(said.splitlines()[-1]), emulator.rows("account")
    assert summary["resumed_rows"] >= PAGES_BEFORE_THE_END
    assert sorted(ids_in(lake / "accounts.parquet")) == sorted(row["accountid"] for row in rows)
    assert sorted(entry.name for entry in lake.iterdir()) == ["accounts.parquet", "asset.json", "task.json"]


def pages_asked_for(emulator):
    return sum(request.path.endswith("/accounts") for request in emulator.requests)
