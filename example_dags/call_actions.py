"""How are Dynamics' own messages called, and the environment's custom APIs? By their names, checked before they go out."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG

from airflow_provider_dynamics.operators import (
    DynamicsActionOperator,
    DynamicsCreateRowOperator,
    DynamicsFunctionOperator,
)

with DAG(
    dag_id="call_actions",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    who = DynamicsFunctionOperator(task_id="who", function="WhoAmI")

    # its customer is created with it
    opportunity = DynamicsCreateRowOperator(
        task_id="opportunity",
        table="opportunity",
        row={"name": "Forty conveyor belts", "customerid_account": {"name": "Litware, Inc."}},
    )

    # the row that records the close names the opportunity by its lookup column
    won = DynamicsActionOperator(
        task_id="won",
        action="WinOpportunity",
        parameters={
            "Status": 3,
            "OpportunityClose": {
                "subject": "Won on {{ dag_run.run_after | ds }}",
                "opportunityid": opportunity.output,
            },
        },
    )

    # called on a row, with a row as parameter: (table, row id)
    access = DynamicsFunctionOperator(
        task_id="access",
        function="RetrievePrincipalAccess",
        table="systemuser",
        row_id="{{ ti.xcom_pull(task_ids='who')['UserId'] }}",
        parameters={"Target": ["opportunity", opportunity.output]},
    )

    who >> opportunity >> won >> access
