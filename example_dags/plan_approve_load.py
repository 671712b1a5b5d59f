"""Show a person what a load would change, and load only after their approval; keep what it takes to undo it.

The question: finance wants to see which prices change before anybody writes them.

`plan` compares the file with Dynamics and writes nothing. `approve` waits in Airflow under "Required Actions" until
somebody says yes; "Reject" skips the load. `load` sends only what differs, and first stores how every row was: the
DAG `undo_a_load` puts that back.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator

SHIPMENTS = {
    "table": "contoso_shipment",
    "source_path": "{{ params.lake }}/inbox/shipments.csv",
    "key": ["contoso_number"],
    "columns": {"number": "contoso_number", "title": "contoso_name"},
}

with DAG(
    "plan_approve_load",
    schedule=None,
    params={"lake": Param("file:///tmp/lake", type="string")},
    doc_md=__doc__,
    tags=["dynamics"],
) as dag:
    plan = ObjectStorageToDynamicsOperator(
        task_id="plan",
        dry_run=True,
        plan_path="{{ params.lake }}/plans/{{ run_id }}.ndjson",
        **SHIPMENTS,
    )

    approve = ApprovalOperator(
        task_id="approve",
        subject="Load the shipments?",
        body="""{% set plan = ti.xcom_pull(task_ids="plan") %}
It would create **{{ plan.creates }}**, change **{{ plan.updates }}** and leave {{ plan.unchanged }} as they are; \
{{ plan.rejected }} could not be written. Row by row: `{{ plan.plan_path }}`.""",
    )

    load = ObjectStorageToDynamicsOperator(
        task_id="load",
        skip_unchanged=True,
        undo_path="{{ params.lake }}/undo/{{ dag.dag_id }}/{{ run_id }}/",
        rejects_path="{{ params.lake }}/rejects/{{ run_id }}.ndjson",
        **SHIPMENTS,
    )

    plan >> approve >> load
