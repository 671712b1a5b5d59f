"""DAGs that write while workers die: one for each way in which a load knows its rows again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator

FOLDER = {"folder": Param("/tmp", type="string")}  # noqa: S108  # each run names its own
WAYS: dict[str, dict[str, Any]] = {
    "upsert_by_key": {"operation": "upsert", "key": ["accountnumber"]},
    "create_by_key": {"operation": "create", "row_id_from": ["accountnumber"]},
    "create": {"operation": "create"},
}


def say_who_works(context: Any) -> None:
    """Leave the process ids of this try, the task's and its supervisor's, where the test finds them."""
    task = context["ti"]
    beside = Path(context["params"]["folder"], f".{task.try_number}.pids")
    beside.write_text(f"{os.getpid()} {os.getppid()}")
    beside.rename(beside.with_name(f"{task.try_number}.pids"))


for name, way in WAYS.items():
    with DAG(f"killed_{name}", schedule=None, params=FOLDER) as dag:
        ObjectStorageToDynamicsOperator(
            task_id="load",
            table="account",
            source_path="{{ params.folder }}/accounts.parquet",
            rejects_path="{{ params.folder }}/rejects.ndjson",
            on_execute_callback=say_who_works,
            retries=3,
            checkpoint_seconds=0.5,
            retry_delay=1,
            **way,
        )
    globals()[dag.dag_id] = dag
