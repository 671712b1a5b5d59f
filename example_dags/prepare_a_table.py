"""How does a load find its table, its columns and its key, in every environment and from the first run on?

The tasks make what is missing and leave alone what is there. What is there and different fails the run with the
difference, before anything is loaded. The connection has Allow metadata changes switched on.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.operators import (
    DynamicsCreateChoiceOperator,
    DynamicsCreateKeyOperator,
    DynamicsCreateTableOperator,
)
from airflow_provider_dynamics.transfers import DynamicsUpsertRowsOperator

with DAG(
    dag_id="prepare_a_table",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={
        "solution": Param("", type="string", description="The solution that new components are added to")
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    priorities = DynamicsCreateChoiceOperator(
        task_id="priorities",
        choice="new_priorities",
        display_name="Priorities",
        options={"1": "Low", "2": "Normal", "3": "High"},
        solution="{{ params.solution }}",
    )
    orders = DynamicsCreateTableOperator(
        task_id="orders",
        table="new_Order",
        display_name="Order",
        plural_name="Orders",
        primary_column={"name": "new_Name", "display_name": "Name", "max_length": 100},
        columns=[
            {"name": "new_Number", "type": "String", "max_length": 20, "required": "required"},
            {"name": "new_Total", "type": "Decimal", "precision": 2, "minimum": 0},
            {"name": "new_Due", "type": "DateTime", "behavior": "DateOnly"},
            {"name": "new_Priority", "type": "Picklist", "choice": "new_priorities"},
            {"name": "new_Account", "type": "Lookup", "display_name": "Account", "targets": "account"},
        ],
        change_tracking=True,
        solution="{{ params.solution }}",
    )
    number = DynamicsCreateKeyOperator(
        task_id="number",
        table="new_order",
        key="new_Number",
        columns=["new_number"],
        solution="{{ params.solution }}",
        poll_interval=2,
        deferrable=True,
    )
    load = DynamicsUpsertRowsOperator(
        task_id="load",
        table="new_order",
        key=["new_number"],
        rows=[
            {"new_number": "A-1", "new_name": "First", "new_total": "12.50", "new_priority": 2},
            {"new_number": "A-2", "new_name": "Second", "new_due": "2026-01-31", "new_priority": 3},
        ],
    )
    priorities >> orders >> number >> load
