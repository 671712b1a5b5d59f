"""How does a DAG wait until something is true in Dynamics, without holding a worker?

The sensors look once on the worker; when it is not so yet, the triggerer goes on looking. The first waits for a row,
the second until none is left that matches.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.sensors import DynamicsRowSensor

with DAG(
    dag_id="wait_for_a_row",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={
        "number": Param("SHP-0001", type="string", description="The shipment to wait for"),
        "open": Param("OLD-", type="string", description="Shipments that have to be closed first begin so"),
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    wait = DynamicsRowSensor(
        task_id="shipment_arrived",
        table="contoso_shipment",
        filter="contoso_number eq '{{ params.number }}' and statecode eq 0",
        poke_interval=10,
        timeout=6 * 60 * 60,
        deferrable=True,
    )
    closed = DynamicsRowSensor(
        task_id="none_left_open",
        table="contoso_shipment",
        filter="startswith(contoso_number,'{{ params.open }}') and statecode eq 0",
        max_rows=0,
        poke_interval=60,
        timeout=6 * 60 * 60,
        deferrable=True,
    )
    read = DynamicsQueryOperator(
        task_id="read_it",
        table="contoso_shipment",
        filter="contoso_number eq '{{ params.number }}'",
        max_rows=1,
    )
    [wait, closed] >> read
