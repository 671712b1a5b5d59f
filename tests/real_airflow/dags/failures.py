"""One operator, one deferrable sensor and one watcher for each way a sign-in can fail, and what the callback saw of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_dynamics.assets import changed_rows
from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.sensors import DynamicsRowSensor
from airflow_provider_dynamics.triggers import DynamicsChangesTrigger

AWAITED = "00000000-0000-4000-8000-00000000a3a1"

# case -> the connection it happens to, and a table of its own, so that each has a watcher of its own
CASES = {
    "expired_secret": ("dynamics_default", "account"),
    "wrong_secret": ("dynamics_default", "contact"),
    "missing_consent": ("dynamics_signed_in", "lead"),
    "revoked_token": ("dynamics_leaver", "opportunity"),
    "no_application_user": ("dynamics_default", "task"),
    "outage": ("dynamics_default", "contoso_shipment"),
}


def tell(context: Any) -> None:
    """Leave what on_failure_callback is given as the exception where the test can read it."""
    folder = Path(os.environ["DYNAMICS_TEST_CALLBACKS"])
    task_instance, error = context["ti"], context.get("exception")
    (folder / f"{task_instance.dag_id}.txt").write_text(f"{type(error).__name__}: {error}")


for case, (connection, table) in CASES.items():
    # the outage passes within one try: nothing else may have to help
    arguments = {"retries": 0 if case == "outage" else 3, "retry_delay": 1, "on_failure_callback": tell}
    with DAG(f"operator_{case}", schedule=None, default_args=arguments):
        DynamicsQueryOperator(
            task_id="work", dynamics_conn_id=connection, table="account", select=["name"], top=1
        )
    with DAG(f"sensor_{case}", schedule=None, default_args=arguments):
        DynamicsRowSensor(
            task_id="work",
            dynamics_conn_id=connection,
            table=table,
            row_id=AWAITED,
            poke_interval=5,
            timeout=300,
            deferrable=True,
        )
    trigger = DynamicsChangesTrigger(
        table=table, dynamics_conn_id=connection, poll_interval=5, on_error="event"
    )
    asset = Asset(f"watched_{case}", watchers=[AssetWatcher(name=case, trigger=trigger)])
    with DAG(f"watcher_{case}", schedule=[asset], default_args=arguments):

        @task(task_id="work")
        def consume(triggering_asset_events: Any = None) -> int:
            return len(changed_rows(triggering_asset_events))

        consume()

with DAG("throttled_for_long", schedule=None, default_args={"retries": 3, "retry_delay": 1}):
    DynamicsQueryOperator(task_id="work", table="account", select=["name"], top=1)
