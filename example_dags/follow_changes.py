"""What changed in Dynamics since the last run, deleted rows included?

The first run reads the whole table. Every later one gets the changed rows' latest state and the ids of the deleted
ones: column `operation` says `upsert` or `delete`, and `version` grows with every state of a row, ready for a MERGE. The
place reached is kept beside the inlet asset and moves on only after the file is complete; should Dynamics have
forgotten it, every row is read and what is gone is found by comparing ids, which `mode` and `reason` say.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.transfers import DynamicsChangesToObjectStorageOperator

with DAG(
    dag_id="follow_changes",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    changes = DynamicsChangesToObjectStorageOperator(
        task_id="contact_changes",
        table="contact",
        select=["fullname", "emailaddress1", "parentcustomerid"],
        destination_path="{{ params.lake }}/contact_changes/{{ dag_run.run_after | ts_nodash }}.parquet",
        inlets=[table_asset("contact", environment="contoso.crm.dynamics.com")],
    )

    @task.short_circuit
    def something_changed(summary: dict[str, Any]) -> bool:
        return bool(summary["rows"])

    @task
    def merge_into_the_warehouse(summary: dict[str, Any]) -> str:
        return (
            "MERGE INTO contact USING changes ON contact.contactid = changes.contactid "
            "WHEN MATCHED AND operation = 'delete' THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET fullname = changes.fullname, emailaddress1 = changes.emailaddress1 "
            "WHEN NOT MATCHED AND operation = 'upsert' THEN INSERT (contactid, fullname, emailaddress1) "
            "VALUES (changes.contactid, changes.fullname, changes.emailaddress1) "
            f"-- {summary['upserts']} upserts and {summary['deleted']} deletions from {summary['path']}"
        )

    something_changed(changes.output) >> merge_into_the_warehouse(changes.output)
