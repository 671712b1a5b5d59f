"""Put back what a load has changed: rows it changed get their former values, rows it created go, deleted ones return.

The question: yesterday's file was wrong, and the load went through.

Trigger it with the `undo_path` that the load's summary names. A row that somebody has changed since the load is left
alone and reported; `if_changed="overwrite"` would restore it too.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.transfers import DynamicsUndoOperator

with DAG(
    "undo_a_load",
    schedule=None,
    params={
        "undo_path": Param("file:///tmp/lake/undo/", type="string", description="the load's undo_path"),
        "lake": Param("file:///tmp/lake", type="string"),
    },
    doc_md=__doc__,
    tags=["dynamics"],
) as dag:
    DynamicsUndoOperator(
        task_id="undo",
        undo_path="{{ params.undo_path }}",
        rejects_path="{{ params.lake }}/rejects/undo-{{ run_id }}.ndjson",
        max_rejects="100%",
    )
