"""How do I read a large table as fast as Dynamics allows, and lose nothing when something breaks?

One task reads over several lanes at a time, each a window of `createdon`; how many is what Dynamics recommends and the
connection allows. A retry goes on behind the last page that was read (Airflow 3.3), and the log says every five seconds
how far it is. Beside it a FetchXML report and a view, which are read one page after the other.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator

ACCOUNTS = table_asset("account", environment="contoso.crm.dynamics.com")

PIPELINE = """
<fetch>
  <entity name="opportunity">
    <attribute name="name" />
    <attribute name="estimatedvalue" />
    <filter>
      <condition attribute="createdon" operator="on-or-after" value="{{ params.since }}" />
    </filter>
    <link-entity name="account" from="accountid" to="customerid" link-type="outer" alias="customer">
      <attribute name="name" />
    </link-entity>
  </entity>
</fetch>
"""

with DAG(
    dag_id="extract_in_parallel",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={
        "lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept"),
        "since": Param("2015-01-01", type="string", description="Opportunities created since"),
    },
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    DynamicsToObjectStorageOperator(
        task_id="accounts",
        table="account",
        filter=column("statecode") == 0,
        labels=True,
        on_schema_change="evolve",
        destination_path="{{ params.lake }}/accounts.parquet",
        inlets=[ACCOUNTS],
    )
    DynamicsToObjectStorageOperator(
        task_id="pipeline",
        fetch_xml=PIPELINE,
        destination_path="{{ params.lake }}/pipeline.parquet",
    )
    DynamicsToObjectStorageOperator(
        task_id="active_contacts",
        table="contact",
        saved_query="Active Contacts",
        destination_path="{{ params.lake }}/active_contacts.csv",
    )
