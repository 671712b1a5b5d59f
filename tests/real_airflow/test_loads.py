"""Loads on Airflow's own scheduler: a worker killed at any moment, and a plan that waits for somebody's approval.

The number of kills is set by the environment variable DYNAMICS_KILLS; `make drills` sets 30.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack

pytestmark = pytest.mark.stack
log = logging.getLogger(__name__)

HERE = Path(__file__).parent
ROWS = 20_000
KILLS = int(os.environ.get("DYNAMICS_KILLS", "5"))
WAYS = ("upsert_by_key", "create_by_key", "create")
LATEST = 1.5  # seconds after the first rows have gone out; the load takes twice as long
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


@pytest.fixture(scope="module")
def impatient_stack(
    emulator_server: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowStack]:
    """Airflow that takes a worker for dead after ten seconds without a heartbeat."""
    environment = {**emulator_server.airflow_connection("dynamics_default"), **IMPATIENT}
    home, dags = tmp_path_factory.mktemp("impatient"), tmp_path_factory.mktemp("dags")
    for file in (HERE / "dags" / "loading.py", HERE.parents[1] / "example_dags" / "plan_approve_load.py"):
        shutil.copy(file, dags)
    with AirflowStack(home, dags, environment) as running:
        yield running


@pytest.fixture(scope="module")
def accounts() -> pa.Table:
    return pa.table(
        {
            "accountnumber": [f"K-{number:06}" for number in range(ROWS)],
            "name": [f"Killed {number}" for number in range(ROWS)],
            "numberofemployees": pa.array(range(ROWS), pa.int32()),
        }
    )


@pytest.fixture
def folder(accounts: pa.Table, tmp_path: Path) -> Path:
    pq.write_table(accounts, tmp_path / "accounts.parquet")
    return tmp_path


def writes(emulator: Emulator) -> int:
    return sum(
        request.method in {"POST", "PATCH"} and ("Multiple" in request.path or "$batch" in request.path)
        for request in emulator.requests
    )


def killed(stack: AirflowStack, emulator: Emulator, folder: Path, moment: float) -> None:
    """Kill the task and its supervisor so many seconds after the first write."""
    pids = folder / "1.pids"
    numbers = stack.wait(lambda: pids.exists() and pids.read_text(), "the task to start").split()
    stack.wait(lambda: writes(emulator), "the first rows to be sent", every=0.02)
    time.sleep(moment)  # the drill itself: a kill at a moment that nothing in the load chooses
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


def stored(emulator: Emulator) -> list[tuple[str, str, int]]:
    return sorted(
        (row["accountnumber"], row["name"], row["numberofemployees"])
        for row in emulator.rows("account")
        if str(row["accountnumber"]).startswith("K-")
    )


@pytest.mark.parametrize("way", list(islice(cycle(WAYS), KILLS)))
def test_a_load_whose_worker_is_killed_leaves_the_table_equal_to_the_file(
    impatient_stack: AirflowStack, emulator: Emulator, accounts: pa.Table, folder: Path, way: str
) -> None:
    stack, moment = impatient_stack, random.SystemRandom().uniform(0, LATEST)
    emulator.latency = 0.5
    run_id = stack.trigger(f"killed_{way}", {"folder": str(folder)})
    killed(stack, emulator, folder, moment)
    emulator.latency = 0
    run = stack.finished(f"killed_{way}", run_id)

    assert run.state == "success"
    assert stored(emulator) == sorted(zip(*accounts.to_pydict().values(), strict=True))
    summary, task = run.xcom("load"), run.tasks()["load"]
    log.info("killed after %.2f s, try %d ended with %s", moment, task["try_number"], summary)
    assert task["try_number"] > 1, "the load was over before the kill"
    assert summary["rows"] == ROWS == summary["written"] + summary["unchanged"]
    assert summary["rejected"] == 0
    assert not (folder / "rejects.ndjson").exists()


def asked_about(stack: AirflowStack, run_id: str) -> dict[str, Any] | None:
    """Return what Airflow shows under its required actions for the run, once it waits for the answer.

    An answer that comes before the scheduler has heard that the task waits fails the task; no person is that quick.
    """
    key = f"TaskInstanceKey(dag_id='plan_approve_load', task_id='approve', run_id='{run_id}'"
    lines = stack.log_of("scheduler").read_text().splitlines()
    if not any("Received executor event" in line and key in line for line in lines):
        return None
    asked = stack.call("GET", f"/dags/plan_approve_load/dagRuns/{run_id}/hitlDetails")["hitl_details"]
    return asked[0] if asked else None


@pytest.mark.parametrize(("answer", "state"), [("Approve", "success"), ("Reject", "skipped")])
def test_a_plan_is_loaded_only_if_somebody_approves_it(
    impatient_stack: AirflowStack, emulator: Emulator, tmp_path: Path, answer: str, state: str
) -> None:
    stack, before = impatient_stack, len(emulator.rows("contoso_shipment"))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "shipments.csv").write_text("number,title\nNEW-1,New\nNEW-2,Newer\n")

    run_id = stack.trigger("plan_approve_load", {"lake": tmp_path.as_uri()})
    shown = stack.wait(lambda: asked_about(stack, run_id), "the approval to be asked for")
    assert "create **2**, change **0**" in shown["body"]
    assert len(emulator.rows("contoso_shipment")) == before
    stack.call(
        "PATCH",
        f"/dags/plan_approve_load/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails",
        {"chosen_options": [answer]},
    )
    run = stack.finished("plan_approve_load", run_id)

    assert (run.state, run.tasks()["load"]["state"]) == ("success", state)
    assert len(emulator.rows("contoso_shipment")) == before + (2 if answer == "Approve" else 0)
