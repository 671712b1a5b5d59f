"""How do I do the same in many environments?

One connection signs in, and a task is mapped over the environments: each works in its own, with its own progress, retries and
log. The list may come from anywhere; where a person is signed in to the connection, `DynamicsHook().environments()` returns
everything that person may enter.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator

with DAG(
    dag_id="many_environments",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={
        "lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept"),
        "environments": Param(
            ["https://contoso.crm4.dynamics.com", "https://fabrikam.crm4.dynamics.com"],
            type="array",
            items={"type": "string", "minLength": 1},
            description="Environment URLs; new ones go to the end",
        ),
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:

    @task
    def environments() -> list[str]:
        return list(get_current_context()["params"]["environments"])

    @task
    def exports(environments: list[str]) -> list[dict[str, str]]:
        """Say for each environment what the mapped task gets: where it works, and where its file goes."""
        lake = get_current_context()["params"]["lake"]
        return [
            {
                "environment": environment,
                "destination_path": f"{lake}/{urlsplit(environment).netloc.replace(':', '-')}/accounts.parquet",
            }
            for environment in environments
        ]

    found = environments()

    accounts = DynamicsToObjectStorageOperator.partial(
        task_id="accounts",
        table="account",
        select=["name", "accountnumber", "revenue", "modifiedon"],
        map_index_template="{{ task.environment }}",
    ).expand_kwargs(exports(found))

    administrators = DynamicsQueryOperator.partial(
        task_id="administrators",
        table="systemuser",
        select=["fullname", "internalemailaddress"],
        filter="isdisabled eq false",
        map_index_template="{{ task.environment }}",
    ).expand(environment=found)

    @task
    def report(accounts: list[dict[str, Any]], administrators: list[list[dict[str, Any]]]) -> list[str]:
        return [
            f"{one['path']}: {one['rows']} accounts, {len(users)} users"
            for one, users in zip(accounts, administrators, strict=True)
        ]

    report(accounts.output, administrators.output)
