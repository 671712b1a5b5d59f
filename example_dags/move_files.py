"""How do documents get into a file column, each to the row it belongs to, and out again?

The path says whose file it is: `A-1001.pdf` goes to the account with the number A-1001. A file whose account is not
there is set aside in the summary. On the way back each file gets a folder named after its account.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.transfers import (
    DynamicsFileToObjectStorageOperator,
    ObjectStorageToDynamicsFileOperator,
)

with DAG(
    dag_id="move_files",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    send = ObjectStorageToDynamicsFileOperator(
        task_id="send_contracts",
        source_path="{{ params.lake }}/inbox/contracts/{accountnumber}.pdf",
        table="account",
        column="sample_filecolumn",
        if_none="skip",
        on_file_error="collect",
    )

    fetch = DynamicsFileToObjectStorageOperator(
        task_id="fetch_contracts",
        table="account",
        column="sample_filecolumn",
        filter="statecode eq 0",
        destination_path="{{ params.lake }}/contracts/{accountnumber}/{file_name}",
        on_file_error="collect",
        trigger_rule="none_failed",
    )

    @task
    def report(sent: dict[str, Any], fetched: dict[str, Any]) -> str:
        return f"sent {sent['files']}, set aside {sent['rejected']}, fetched {fetched['files']}"

    report(send.output, fetch.output)
    send >> fetch
