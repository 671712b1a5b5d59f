"""DAGs that only the real stack can judge: deferral, and token failures that must not burn retries."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.sensors import DynamicsChangeSensor, DynamicsRowSensor

RETRIES = {"retries": 3, "retry_delay": 1}

with DAG(
    "wait_deferred", schedule=None, default_args=RETRIES, params={"number": Param("", type="string")}
) as wait_deferred:
    DynamicsRowSensor(
        task_id="wait",
        table="contoso_shipment",
        filter="contoso_number eq '{{ params.number }}'",
        poke_interval=5,
        timeout=300,
        deferrable=True,
    )

with DAG("changes_deferred", schedule=None, default_args=RETRIES) as changes_deferred:
    DynamicsChangeSensor(
        task_id="changes",
        table="contoso_shipment",
        filter="startswith(contoso_number,'SHP-CHANGED')",
        inlets=[table_asset("contoso_shipment", environment="contoso.crm.dynamics.com")],
        poke_interval=5,
        timeout=300,
        deferrable=True,
    )
    DynamicsRowSensor(
        task_id="none_left",
        table="contoso_shipment",
        filter="contoso_number eq 'SHP-OLD'",
        max_rows=0,
        poke_interval=5,
        timeout=300,
        deferrable=True,
    )

with DAG("refused_sign_in", schedule=None, default_args=RETRIES) as refused_sign_in:
    DynamicsQueryOperator(
        task_id="query", dynamics_conn_id="dynamics_wrong_secret", table="account", select=["name"], top=1
    )
