"""How does one file stay equal to a Dynamics table, without being read in full every time?

The first run writes every row. Every later one takes the file that is there, leaves out what changed or was deleted, and
adds what came. A run that is missed, repeated or killed makes no difference: the next one brings the file up to date.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.transfers import DynamicsChangesToObjectStorageOperator

with DAG(
    dag_id="keep_a_snapshot",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    accounts = DynamicsChangesToObjectStorageOperator(
        task_id="accounts",
        table="account",
        select=["name", "accountnumber", "revenue", "statecode"],
        destination_path="{{ params.lake }}/accounts.parquet",
        output="snapshot",
        inlets=[table_asset("account", environment="contoso.crm.dynamics.com")],
    )

    # no change tracking: what changed is found by version numbers, what is gone by comparing ids
    currencies = DynamicsChangesToObjectStorageOperator(
        task_id="currencies",
        table="transactioncurrency",
        select=["currencyname", "isocurrencycode"],
        destination_path="{{ params.lake }}/currencies.csv",
        output="snapshot",
    )

    @task
    def report(first: dict[str, Any], second: dict[str, Any]) -> str:
        return " and ".join(f"{one['rows']} rows ({one['mode']})" for one in (first, second))

    report(accounts.output, currencies.output)
