"""How do rows travel between Dynamics 365 and a data lake, both ways, on a schedule?

Each run exports the account table, follows what changed in it since the run before (deleted rows too) and loads the
file that the ERP left in the inbox, matching accounts by their number; at most one bad row is set aside.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.transfers import (
    DynamicsChangesToObjectStorageOperator,
    DynamicsToObjectStorageOperator,
    ObjectStorageToDynamicsOperator,
)

ACCOUNT = table_asset("account", environment="contoso.crm.dynamics.com")
COLUMNS = ["accountnumber", "name", "revenue", "industrycode", "donotemail", "primarycontactid", "createdon"]

with DAG(
    dag_id="etl_round_trip",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    run = "{{ dag_run.run_after | ts_nodash }}"

    export = DynamicsToObjectStorageOperator(
        task_id="export_accounts",
        table="account",
        select=COLUMNS,
        destination_path=f"{{{{ params.lake }}}}/accounts/{run}.parquet",
    )
    changes = DynamicsChangesToObjectStorageOperator(
        task_id="account_changes",
        table="account",
        select=COLUMNS,
        destination_path=f"{{{{ params.lake }}}}/account_changes/{run}.parquet",
        inlets=[ACCOUNT],
    )
    load = ObjectStorageToDynamicsOperator(
        task_id="load_accounts",
        source_path="{{ params.lake }}/inbox/accounts.csv",
        table="account",
        operation="upsert",
        key=["accountnumber"],
        columns={"number": "accountnumber", "title": "name", "turnover": "revenue"},
        max_rejects=1,
        rejects_path=f"{{{{ params.lake }}}}/rejected/{run}.ndjson",
    )

    @task
    def report(exported: dict[str, Any], changed: dict[str, Any], loaded: dict[str, Any]) -> str:
        return (
            f"exported {exported['rows']} accounts; {changed['upserts']} changed and {changed['deleted']} deleted "
            f"({changed['mode']}); wrote {loaded['written']}, set aside {loaded['rejected']}"
        )

    export >> changes >> load
    report(export.output, changes.output, load.output)
