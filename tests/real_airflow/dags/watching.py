"""DAGs that start when a table changes: one says what woke it, one keeps a copy of the table."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import DAG, AssetWatcher, task

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.transfers import DynamicsChangesToObjectStorageOperator
from airflow_provider_dynamics.triggers import DynamicsChangesTrigger

ENVIRONMENT = json.loads(os.environ["AIRFLOW_CONN_DYNAMICS_DEFAULT"])["host"]
FOLDER = os.environ["DYNAMICS_TEST_CALLBACKS"]

contacts = table_asset(
    "contact",
    ENVIRONMENT,
    [AssetWatcher(name="contact_changes", trigger=DynamicsChangesTrigger(table="contact", poll_interval=1))],
)
leads = table_asset(
    "lead",
    ENVIRONMENT,
    [
        AssetWatcher(
            name="urgent_leads",
            trigger=DynamicsChangesTrigger(
                table="lead", select=["subject"], filter="revenue gt 100", poll_interval=1
            ),
        )
    ],
)
accounts = table_asset(
    "account",
    ENVIRONMENT,
    [AssetWatcher(name="account_changes", trigger=DynamicsChangesTrigger(table="account", poll_interval=1))],
)

for name, asset in {"contact": contacts, "lead": leads}.items():
    with DAG(f"woken_by_{name}", schedule=[asset], max_active_runs=1):

        @task
        def tell(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
            """Return the payloads of all events that have set off this run."""
            events = [event for found in triggering_asset_events.values() for event in found]
            return [event.extra["payload"] for event in sorted(events, key=lambda event: event.timestamp)]

        tell()

with DAG("copies_accounts", schedule=[accounts], max_active_runs=1) as copies_accounts:
    DynamicsChangesToObjectStorageOperator(
        task_id="copy",
        table="account",
        select=["name", "accountnumber"],
        destination_path=f"{FOLDER}/accounts.parquet",
        output="snapshot",
        inlets=[accounts],
    )
