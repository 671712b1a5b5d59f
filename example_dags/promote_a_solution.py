"""How does a solution get from the environment it is made in into the one it is used in?

It is exported as managed, checked by the service, imported beside the version that is installed, and then put in its
place. Until the last step nobody notices; a component that is missing ends the run by name, before anything is changed.
A second run of the same version imports nothing. The connection has Allow metadata changes switched on.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.operators import (
    DynamicsExportSolutionOperator,
    DynamicsImportSolutionOperator,
    DynamicsSetEnvironmentVariableOperator,
    DynamicsUpgradeSolutionOperator,
)

FILE = "{{ params.lake }}/releases/{{ params.solution }}.zip"

with DAG(
    dag_id="promote_a_solution",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={
        "lake": Param("s3://lake", type="string", description="Where releases are kept"),
        "solution": Param("contoso_sales", type="string", description="The solution's unique name"),
        "production": Param(
            "https://contoso.crm.dynamics.com", type="string", description="Where it is used"
        ),
        "variable": Param(
            "contoso_ApiUrl", type="string", description="An environment variable of the solution"
        ),
        "value": Param("https://api.contoso.com", type="string", description="Its value there"),
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    export = DynamicsExportSolutionOperator(
        task_id="export",
        solution_name="{{ params.solution }}",
        managed=True,
        destination_path=FILE,
        poll_interval=2,
        deferrable=True,
    )
    hold = DynamicsImportSolutionOperator(
        task_id="import_beside",
        environment="{{ params.production }}",
        source_path=FILE,
        holding=True,
        skip_installed=True,
        poll_interval=2,
        deferrable=True,
        retries=2,
    )

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_new(imported: dict[str, Any]) -> bool:
        return bool(imported["status"] != "unchanged")

    upgrade = DynamicsUpgradeSolutionOperator(
        task_id="upgrade",
        environment="{{ params.production }}",
        solution_name="{{ params.solution }}",
        version="{{ ti.xcom_pull(task_ids='export')['version'] }}",
        poll_interval=2,
        deferrable=True,
        retries=2,
    )
    variable = DynamicsSetEnvironmentVariableOperator(
        task_id="variable",
        environment="{{ params.production }}",
        variable="{{ params.variable }}",
        value="{{ params.value }}",
        trigger_rule="none_failed",
    )
    export >> hold
    is_new(hold.output) >> upgrade >> variable
