"""Extracts on Airflow's own scheduler and workers: what a killed worker leaves behind, and partitions side by side."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.compat import HAS_RETRY_POLICY as HAS_TASK_STATE  # both came with Airflow 3.3
from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack, DagRun

pytestmark = pytest.mark.stack


def ids(*files: Path) -> list[str]:
    return sorted(row for file in files for row in pq.read_table(file)["accountid"].to_pylist())


def kill_when(stack: AirflowStack, emulator: Emulator, pid_file: Path, pages: int) -> None:
    """Kill the process that runs the task once it has asked for so many pages of accounts."""
    process = int(stack.wait(lambda: pid_file.exists() and pid_file.read_text(), "the task to start"))

    def asked() -> bool:
        return sum("/accounts" in request.path for request in emulator.requests) >= pages

    stack.wait(asked, f"{pages} pages to be asked for")
    os.kill(process, signal.SIGKILL)


def killed_and_retried(
    stack: AirflowStack, emulator: Emulator, folder: Path, dag_id: str, task_id: str, *, pages: int
) -> DagRun:
    """Run a DAG whose only task is killed after so many pages, and return the run when its retry has ended."""
    emulator.latency = 0.3
    run_id = stack.trigger(dag_id, {"folder": str(folder)})
    kill_when(stack, emulator, folder / f"{task_id}.1.pid", pages)
    emulator.latency = 0
    run = stack.finished(dag_id, run_id)
    assert (run.state, run.tasks()[task_id]["try_number"]) == ("success", 2)
    return run


def test_an_export_whose_worker_is_killed_goes_on_where_it_stopped_or_starts_over_before_airflow_3_3(
    stack: AirflowStack, emulator: Emulator, tmp_path: Path
) -> None:
    run = killed_and_retried(stack, emulator, tmp_path, "killed_export", "export", pages=6)

    summary = run.xcom("export")
    assert ids(tmp_path / "accounts.parquet") == sorted(row["accountid"] for row in emulator.rows("account"))
    assert summary["rows"] == len(emulator.rows("account"))
    assert 0 < summary["resumed_rows"] < summary["rows"] or not HAS_TASK_STATE
    assert list(tmp_path.glob(".accounts.parquet*")) == []
    links = stack.call("GET", f"{run.path}/export/links")["extra_links"]
    assert links["Table in Dynamics"] == f"{emulator.url}/main.aspx?pagetype=entitylist&etn=account"


def test_a_snapshot_whose_worker_is_killed_equals_the_table_after_the_retry(
    stack: AirflowStack, emulator: Emulator, tmp_path: Path
) -> None:
    killed_and_retried(stack, emulator, tmp_path, "killed_changes", "changes", pages=4)

    assert ids(tmp_path / "snapshot.parquet") == sorted(row["accountid"] for row in emulator.rows("account"))


def test_mapped_partitions_hold_every_row_once(
    stack: AirflowStack, emulator: Emulator, tmp_path: Path
) -> None:
    run: DagRun = stack.run_dag("mapped_export", {"folder": str(tmp_path)})

    files = sorted((tmp_path / "accounts").glob("*.parquet"))
    assert run.state == "success"
    assert [file.name for file in files] == [f"part-{index:05}.parquet" for index in range(len(files))]
    assert ids(*files) == sorted(row["accountid"] for row in emulator.rows("account"))
