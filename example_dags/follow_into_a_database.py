"""How does a table of Dynamics stay equal to a table of my database?

The first run makes the table and fills it, every later one writes what changed and deletes what is gone. The place
reached is a row of `dynamics_cursors` in the same database and moves in the same transaction, so a run that dies, is
repeated or was missed leaves nothing wrong. Any connection that Airflow's common.sql serves will do: SQLite here, or give
`postgres_default`.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.transfers import DynamicsToSqlOperator

with DAG(
    dag_id="follow_into_a_database",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={
        "database": Param("sqlite_default", type="string", description="The connection of the database"),
        "table": Param("crm_account", type="string", description="The table's name there"),
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    accounts = DynamicsToSqlOperator(
        task_id="accounts",
        table="account",
        select=["name", "accountnumber", "revenue", "industrycode", "primarycontactid", "createdon"],
        labels=True,
        sql_conn_id="{{ params.database }}",
        sql_table="{{ params.table }}",
        inlets=[table_asset("account", environment="contoso.crm.dynamics.com")],
    )
