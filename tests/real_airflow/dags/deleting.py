"""A bulk delete that waits in the triggerer, where Airflow 3.3 tells triggers that somebody has stopped their task."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.operators import DynamicsBulkDeleteOperator

with DAG("delete_deferred", schedule=None) as delete_deferred:
    DynamicsBulkDeleteOperator(
        task_id="delete",
        table="contoso_shipment",
        filter=column("statecode") >= 0,
        poll_interval=1,
        deferrable=True,
    )
