"""How does a file get into a Dynamics table, and what happens to its bad rows?

Rows are matched by an alternate key: known ones are updated, unknown ones created. A row that Dynamics refuses is
written to the rejects file with its position, code and message; up to one percent may be refused before the task fails.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator

with DAG(
    dag_id="load_files",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    load = ObjectStorageToDynamicsOperator(
        task_id="shipments",
        source_path="{{ params.lake }}/inbox/shipments.ndjson",
        table="contoso_shipment",
        operation="upsert",
        key=["contoso_number"],
        max_rejects="1%",
        rejects_path="{{ params.lake }}/rejected/shipments.ndjson",
    )

    @task
    def report(summary: dict[str, Any]) -> str:
        return f"read {summary['rows']}, wrote {summary['written']}, set aside {summary['rejected']}"

    report(load.output)
