"""DAGs that Dynamics itself starts: one has it post its changes, one says what it was woken by, one is woken by looking."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import DAG, AssetWatcher, task

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.operators import DynamicsRegisterWebhookOperator
from airflow_provider_dynamics.triggers import DynamicsChangesTrigger

ENVIRONMENT = json.loads(os.environ["AIRFLOW_CONN_DYNAMICS_DEFAULT"])["host"]
POLL_INTERVAL = 10  # seconds

shipments = table_asset("contoso_shipment", ENVIRONMENT)
polled = table_asset(
    "task",
    ENVIRONMENT,
    [
        AssetWatcher(
            name="polled_tasks",
            trigger=DynamicsChangesTrigger(table="task", poll_interval=POLL_INTERVAL),
        )
    ],
)

with DAG("register_posting", schedule=None) as register_posting:
    DynamicsRegisterWebhookOperator(
        task_id="register",
        dynamics_conn_id="posting",
        tables=["contoso_shipment"],
        state="{{ dag_run.conf.get('state', 'present') }}",
    )

for name, asset in {"post": shipments, "poll": polled}.items():
    with DAG(f"woken_by_{name}", schedule=[asset], max_active_runs=1):

        @task
        def tell(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
            """Return the payloads of all events that have set off this run."""
            events = [event for found in triggering_asset_events.values() for event in found]
            return [event.extra["payload"] for event in sorted(events, key=lambda event: event.timestamp)]

        tell()
