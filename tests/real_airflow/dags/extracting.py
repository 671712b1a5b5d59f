"""DAGs that read while workers die: exports that are resumed, changes that are read again, partitions on several workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.transfers import (
    DynamicsChangesToObjectStorageOperator,
    DynamicsPartitionsOperator,
    DynamicsToObjectStorageOperator,
)

FOLDER = {"folder": Param("/tmp", type="string")}  # noqa: S108  # each run names its own
RETRIES = {"retries": 2, "retry_delay": 1}


def say_who_works(context: Any) -> None:
    """Leave the process id of this try where the test finds it."""
    task = context["ti"]
    Path(context["params"]["folder"], f"{task.task_id}.{task.try_number}.pid").write_text(str(os.getpid()))


with DAG("killed_export", schedule=None, params=FOLDER, default_args=RETRIES) as killed_export:
    DynamicsToObjectStorageOperator(
        task_id="export",
        table="account",
        select=["name", "accountnumber"],
        destination_path="{{ params.folder }}/accounts.parquet",
        lanes=1,
        checkpoint_seconds=0,
        on_execute_callback=say_who_works,
        page_size=2,
    )

with DAG("killed_changes", schedule=None, params=FOLDER, default_args=RETRIES) as killed_changes:
    DynamicsChangesToObjectStorageOperator(
        task_id="changes",
        table="account",
        select=["name", "accountnumber"],
        destination_path="{{ params.folder }}/snapshot.parquet",
        output="snapshot",
        on_execute_callback=say_who_works,
        page_size=2,
    )

with DAG("mapped_export", schedule=None, params=FOLDER) as mapped_export:
    partitions = DynamicsPartitionsOperator(task_id="partitions", table="account", partitions=3)
    DynamicsToObjectStorageOperator.partial(
        task_id="export",
        table="account",
        select=["name", "accountnumber"],
        destination_path="{{ params.folder }}/accounts/",
        file_format="parquet",
    ).expand(partition=partitions.output)
