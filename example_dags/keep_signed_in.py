"""How do sign-ins stay alive, and who is told before a credential ends?

Every day each connection's refresh token is renewed (connections without one are left alone), and whatever ends within
30 days is told: a sign-in, a certificate, a client secret whose end date is in the connection.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.operators import DynamicsRefreshTokenOperator
from airflow_provider_dynamics.sensors import DynamicsCredentialExpirySensor

CONNECTIONS = ["dynamics_default"]

with DAG(
    dag_id="keep_signed_in",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"warn_days": Param(30, type="number", description="Tell of what ends within so many days")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    keep = DynamicsRefreshTokenOperator.partial(task_id="keep").expand(dynamics_conn_id=CONNECTIONS)
    # skipped where all is well, and looks even if a sign-in could not be renewed: that is to be told, too
    ending = DynamicsCredentialExpirySensor.partial(
        task_id="ending", warn_days="{{ params.warn_days }}", wait=False, trigger_rule="all_done"
    ).expand(dynamics_conn_id=CONNECTIONS)

    @task(trigger_rule="none_failed_min_one_success")
    def tell(found: list[dict[str, Any]]) -> list[str]:
        """Replace the log by your channel: a notifier, a ticket, a mail."""
        told = [f"{each['dynamics_conn_id']}: {each['sentence']}" for each in found]
        for line in told:
            logging.getLogger(__name__).warning(line)
        return told

    keep >> ending
    tell(ending.output)
