"""How does a DAG ask for more than OData can say? With FetchXML from a file, a view, and conditions without quotes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_dynamics.dataverse import Expand, any_of, column
from airflow_provider_dynamics.operators import DynamicsQueryOperator

with DAG(
    dag_id="ask_with_fetchxml",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"least": 1000, "city": "Coeur d'Alene"},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    pipeline = DynamicsQueryOperator(task_id="pipeline", fetch_xml="queries/pipeline.xml")

    active = DynamicsQueryOperator(
        task_id="active", table="account", saved_query="Active Accounts", labels=True
    )

    reachable = DynamicsQueryOperator(
        task_id="reachable",
        table="account",
        select=["name", "statecode", "primarycontactid"],
        filter=(column("address1_city") != "{{ params.city }}")
        & any_of("contact_customer_accounts", ~column("emailaddress1").is_null()),
        expand=[Expand("contact_customer_accounts", ["fullname", "emailaddress1"])],
        labels=True,
    )

    @task
    def summary(
        months: list[dict[str, Any]], views: list[dict[str, Any]], people: list[dict[str, Any]]
    ) -> str:
        contacts = sum(len(row["contact_customer_accounts"]) for row in people)
        return (
            f"{len(months)} months of open opportunities, {len(views)} active accounts, {contacts} contacts"
        )

    summary(pipeline.output, active.output, reachable.output)
