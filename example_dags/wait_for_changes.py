"""How does a nightly DAG do nothing on days on which nothing has changed in Dynamics?

The sensor is there when an open opportunity has changed since it last was; the first run only marks from where changes
count. It looks once, and skips the rest of the run when nothing has changed. With ``deferrable=True`` and a longer
``timeout`` it waits in the triggerer instead.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.sensors import DynamicsChangeSensor

with DAG(
    dag_id="wait_for_changes",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    wait = DynamicsChangeSensor(
        task_id="opportunities_changed",
        table="opportunity",
        filter="statecode eq 0",
        inlets=[
            table_asset("opportunity", environment="contoso.crm.dynamics.com")
        ],  # keeps how far it has seen
        timeout=0,
        soft_fail=True,
        deferrable=False,
    )

    @task
    def report(found: Any) -> str:
        written = [one["row_id"] for one in found["changes"] if one["operation"] == "upsert"]
        return f"{found['count']} changes, {len(written)} rows to look at again"

    report(wait.output)
