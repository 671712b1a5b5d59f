"""Runs a DAG with OpenLineage switched on, in a process of its own: `python -m tests.airflow.telling <folder>`.

Whether lineage is told is settled once, when a process first asks; the events go to a file that the test reads.
"""

from __future__ import annotations

import sys
import warnings
from datetime import datetime, timezone
from pathlib import Path

warnings.simplefilter("ignore")  # Airflow's own affairs

from airflow.sdk import DAG, task  # noqa: E402  # after the filter

from airflow_provider_dynamics.dataverse import Query  # noqa: E402
from airflow_provider_dynamics.hooks import DynamicsHook  # noqa: E402
from airflow_provider_dynamics.operators import DynamicsQueryOperator  # noqa: E402
from airflow_provider_dynamics.transfers import (  # noqa: E402
    DynamicsChangesToObjectStorageOperator,
    DynamicsToObjectStorageOperator,
    DynamicsToSqlOperator,
    ObjectStorageToDynamicsOperator,
)
from tests.airflow.conftest import _run, mend_dag_test  # noqa: E402


def lineage_dag(folder: Path) -> DAG:
    """Return one task of every kind that has lineage to tell."""
    with DAG("telling", schedule=None) as dag:
        export = DynamicsToObjectStorageOperator(
            task_id="export",
            table="account",
            select=["name", "revenue", "primarycontactid"],
            expand="primarycontactid($select=fullname)",
            labels=True,
            destination_path=str(folder / "accounts.parquet"),
        )
        changes = DynamicsChangesToObjectStorageOperator(
            task_id="changes",
            table="account",
            select=["name"],
            destination_path=str(folder / "changes.csv"),
        )
        sql = DynamicsToSqlOperator(
            task_id="sql", table="contact", select=["fullname"], sql_conn_id="warehouse", sql_table="people"
        )
        load = ObjectStorageToDynamicsOperator(
            task_id="load",
            table="account",
            source_path=str(folder / "in.csv"),
            key=["accountnumber"],
            columns={"number": "accountnumber", "remark": None},
        )
        ask = DynamicsQueryOperator(task_id="ask", table="systemuser", select=["fullname"], top=1)

        @task
        def plain() -> None:
            hook = DynamicsHook()
            hook.get_df(Query("account", select=["name"], top=1), "arrow")
            with hook.get_conn() as client:
                client.create("contact", {"lastname": "Told"})

        # one after the other: what hooks have noted is kept for a process, and dag.test() runs all tasks in one
        plain() >> ask >> export >> changes >> sql >> load
    return dag


if __name__ == "__main__":
    mend_dag_test()
    ran = _run(lineage_dag(Path(sys.argv[1])), datetime.now(timezone.utc), None)
    print(ran.states, ran.errors)  # noqa: T201  # for the test that failed
    sys.exit(set(ran.states.values()) != {"success"})
