"""How are many old rows deleted without reading one of them here?

Dynamics deletes them in a job of its own; the task waits for it in the triggerer, and holds no worker meanwhile. A retry
waits for the same job, and stopping the task cancels it. The condition is made with `column(…)`, since a bulk delete
takes no OData text.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.operators import DynamicsBulkDeleteOperator

with DAG(
    dag_id="clean_up",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"before": Param("2020-01-01", type="string", description="What is older than this day goes")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    clean = DynamicsBulkDeleteOperator(
        task_id="delete_old_shipments",
        table="contoso_shipment",
        filter=(column("createdon") < "{{ params.before }}") & (column("statecode") == 0),
        job_name="Old shipments",
        poll_interval=5,
        deferrable=True,
        retries=2,
    )

    @task
    def report(summary: dict[str, Any]) -> str:
        return f"deleted {summary['deleted']}, left {summary['failed']}"

    report(clean.output)
