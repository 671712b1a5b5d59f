"""How do I read a table that is larger than one worker?

One task divides it, and Airflow maps a task over the parts: each worker reads its own and writes its own file. The folder
is named after the run, so that a run with fewer parts leaves no file of an earlier one behind.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.transfers import DynamicsPartitionsOperator, DynamicsToObjectStorageOperator

with DAG(
    dag_id="extract_over_workers",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    partitions = DynamicsPartitionsOperator(task_id="partitions", table="contact", partitions=4)

    contacts = DynamicsToObjectStorageOperator.partial(
        task_id="contacts",
        table="contact",
        select=["fullname", "emailaddress1", "parentcustomerid", "createdon"],
        destination_path="{{ params.lake }}/contacts/{{ dag_run.run_after | ts_nodash }}/",
        lanes=2,  # four tasks share what Dynamics grants one user
    ).expand(partition=partitions.output)

    @task
    def rows_in_all(parts: list[dict[str, int]]) -> int:
        return sum(part["rows"] for part in parts)

    rows_in_all(contacts.output)
