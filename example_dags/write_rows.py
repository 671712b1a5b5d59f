"""How are single rows created, changed, tied together and removed, so that a retry never does it twice?"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG

from airflow_provider_dynamics.operators import (
    DynamicsAssociateOperator,
    DynamicsCreateRowOperator,
    DynamicsDeleteRowOperator,
    DynamicsGetRowOperator,
    DynamicsMergeRowsOperator,
    DynamicsUpdateRowOperator,
)

with DAG(
    dag_id="write_rows",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={"customer": "Moreau & Reyes"},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    # its id is made from this run: a retried or cleared task finds the row it has made; the contact is made with it
    customer = DynamicsCreateRowOperator(
        task_id="customer",
        table="account",
        row={
            "name": "{{ params.customer }}",
            "primarycontactid": {"firstname": "Ada", "lastname": "Moreau"},
        },
        bypass_flows=True,
    )

    double = DynamicsCreateRowOperator(
        task_id="double",
        table="account",
        row={"name": "{{ params.customer }} (copy)", "telephone1": "555-0100"},
    )

    assistant = DynamicsCreateRowOperator(
        task_id="assistant", table="contact", row={"firstname": "Jon", "lastname": "Reyes"}
    )

    tied = DynamicsAssociateOperator(
        task_id="tied",
        table="account",
        row_id=customer.output,
        navigation="contact_customer_accounts",
        other_row_id=assistant.output,
    )

    # the copy is deactivated, what hangs on it moves to the customer, which takes over its telephone
    merged = DynamicsMergeRowsOperator(
        task_id="merged",
        table="account",
        row_id=customer.output,
        other_row_id=double.output,
        content={"telephone1": "555-0100"},
    )

    closed = DynamicsUpdateRowOperator(
        task_id="closed",
        table="account",
        row_id=customer.output,
        row={"description": "Closed on {{ dag_run.run_after | ds }}", "statecode": 1, "statuscode": 2},
    )

    seen = DynamicsGetRowOperator(
        task_id="seen",
        table="account",
        row_id=customer.output,
        select=["name", "telephone1", "description", "statecode"],
        expand="contact_customer_accounts($select=fullname)",
    )

    removed = DynamicsDeleteRowOperator(task_id="removed", table="account", row_id=double.output)

    tied >> merged >> closed >> seen >> removed
