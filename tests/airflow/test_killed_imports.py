"""A worker that is killed in the middle of an import: the next try waits for the same one, and tells what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.airflow.contoso_solution import NAME, exported, make


def test_a_killed_worker_leaves_its_import_to_the_next_one(administrator, emulator, tmp_path):
    with administrator() as client:
        make(client)
        path = tmp_path / "sales.zip"
        path.write_bytes(exported(client, emulator, managed=False))
    emulator.jobs.held = True

    with attempt(tmp_path, 1) as first:
        wait_until(lambda: looks(emulator))
        first.send_signal(signal.SIGKILL)
    before = looks(emulator)
    with attempt(tmp_path, 2) as second:
        wait_until(lambda: looks(emulator) > before)
        emulator.jobs.held = False
        out, _ = second.communicate(timeout=120)

    told = json.loads(out.splitlines()[-1])
    assert (told["status"], told["solution"], told["version"]) == ("succeeded", NAME, "1.0.0.0")
    assert told["import_job_id"]
    imports = [one for one in emulator.requests if one.path.endswith("/ImportSolutionAsync")]
    assert len(imports) == 1


def attempt(folder, number):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.airflow.one_import", str(folder), str(number)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )


def looks(emulator):
    return len([one for one in emulator.requests if "importjobs(" in one.path])


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
