"""How does a DAG start by itself when rows change in Dynamics?

A watcher in the triggerer asks once a minute what changed in the contact table, and answers start a run. An event is
a wake-up: it names rows by their ids, and the rows themselves are read by the task, from where it had stopped. Only
active contacts wake it, and deleted ones, of which nobody knows what they were. When the watcher cannot sign in any
more, the first task fails with the reason, so that a silent watcher is noticed.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, AssetWatcher, Param, task

from airflow_provider_dynamics.assets import changed_rows, table_asset
from airflow_provider_dynamics.transfers import DynamicsChangesToObjectStorageOperator
from airflow_provider_dynamics.triggers import DynamicsChangesTrigger

contacts = table_asset(
    "contact",
    environment="contoso.crm.dynamics.com",
    watchers=[
        AssetWatcher(
            name="contact_changes",
            trigger=DynamicsChangesTrigger(
                table="contact",
                filter="statecode eq 0",
                start="now",  # or a date: rows modified since then are named first
                poll_interval=60,
                on_error="event",
            ),
        )
    ],
)

with DAG(
    dag_id="react_to_changes",
    schedule=[contacts],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:

    @task
    def who_woke_us(triggering_asset_events: Any = None) -> dict[str, Any]:
        rows = changed_rows(triggering_asset_events)
        return {
            "changes": len(rows),
            "first": list(rows.changed[:3]),
            "deleted": len(rows.deleted),
            "complete": rows.complete,
        }

    read = DynamicsChangesToObjectStorageOperator(
        task_id="contact_changes",
        table="contact",
        select=["fullname", "emailaddress1"],
        destination_path="{{ params.lake }}/contacts/{{ dag_run.run_after | ts_nodash }}.parquet",
        inlets=[contacts],
    )

    who_woke_us() >> read
