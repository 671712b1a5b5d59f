"""How does a DAG decide on a few rows of Dynamics? With a query task, or in Python with the hook."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsQueryOperator

with DAG(
    dag_id="look_up_rows",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    open_cases = DynamicsQueryOperator(
        task_id="open_cases",
        table="incident",
        select=["ticketnumber", "title", "prioritycode"],
        filter="statecode eq 0",
        order_by="createdon desc",
        top=10,
    )

    @task
    def urgent(cases: list[dict[str, Any]]) -> list[str]:
        return [case["ticketnumber"] for case in cases if case["prioritycode"] == 1]

    @task
    def largest_account() -> str:
        from airflow_provider_dynamics.dataverse import Query

        account = DynamicsHook().get_first(Query("account", select=["name"], order_by="revenue desc", top=1))
        return account["name"] if account else "there is no account"

    urgent(open_cases.output)
    largest_account()
