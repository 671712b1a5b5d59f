"""How does a table become a file? Parquet for the lake, CSV for a colleague, NDJSON for a search index.

The columns' types come from the table's metadata: a column that is empty in every row keeps its type.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator

with DAG(
    dag_id="export_a_table",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    DynamicsToObjectStorageOperator(
        task_id="opportunities_to_parquet",
        table="opportunity",
        select=["name", "estimatedvalue", "estimatedclosedate", "statecode", "customerid"],
        filter="statecode eq 0",
        destination_path="{{ params.lake }}/opportunities.parquet",
    )
    DynamicsToObjectStorageOperator(
        task_id="contacts_to_csv",
        table="contact",
        select=["fullname", "emailaddress1", "birthdate"],
        order_by="lastname",
        destination_path="{{ params.lake }}/contacts.csv",
    )
    DynamicsToObjectStorageOperator(
        task_id="new_incidents_to_ndjson",
        table="incident",
        select=["ticketnumber", "title", "createdon"],
        filter="createdon ge {{ dag_run.run_after - macros.timedelta(days=3650) }}",
        destination_path="{{ params.lake }}/incidents.ndjson",
    )
