"""How does a DAG run seconds after a row has changed?

`register_webhook` has Dynamics post its changes to this Airflow; run it once, and again after the connection's Webhook
secret has changed. `answer_webhook` is scheduled on the table, and needs no watcher: the post itself is the event. What
the event names are rows, not what they hold: `changed_rows` says which, and the task reads what it needs.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.assets import changed_rows, table_asset
from airflow_provider_dynamics.operators import DynamicsRegisterWebhookOperator

log = logging.getLogger(__name__)

CONTACTS = table_asset("contact", "contoso.crm.dynamics.com")

with DAG(
    dag_id="register_webhook",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={
        "url": Param(
            "https://airflow.contoso.com/dynamics/events/dynamics_default",
            type="string",
            description="How Dynamics reaches this Airflow's door for the connection",
        )
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    DynamicsRegisterWebhookOperator(
        task_id="post_changes_here",
        tables=["contact"],
        columns={"contact": ["emailaddress1", "telephone1"]},
        url="{{ params.url }}",
        retries=2,
    )

with DAG(
    dag_id="answer_webhook",
    schedule=[CONTACTS],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    tags=["dynamics"],
    doc_md=__doc__,
) as answer:

    @task
    def say_what_changed(triggering_asset_events: Any = None) -> list[str]:
        rows = changed_rows(triggering_asset_events)
        log.info("%d contacts changed, %d were deleted", len(rows.changed), len(rows.deleted))
        return [*rows.changed, *rows.deleted]

    say_what_changed()
