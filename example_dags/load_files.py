"""How does a file get into a Dynamics table, and what happens to its bad rows?

Rows are matched by an alternate key: known ones are updated, unknown ones created, and a retry writes no row twice. A row
that is refused is set aside in the rejects file with its position, code and message; up to one percent may be refused
before the task fails. A few rows that a task holds itself go the same way, without a file.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.transfers import DynamicsUpsertRowsOperator, ObjectStorageToDynamicsOperator

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

    @task
    def late_shipments() -> list[dict[str, Any]]:
        """Return rows as any task may: what XCom carries is enough for a few."""
        return [{"contoso_number": "LATE-1", "contoso_name": "Came after the file was closed"}]

    late = DynamicsUpsertRowsOperator(
        task_id="late",
        table="contoso_shipment",
        rows=late_shipments(),
        key=["contoso_number"],
    )

    report(load.output) >> late
