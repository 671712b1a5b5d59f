"""How do files of several tables, which point to each other, get into Dynamics in one go?

Customers name their parent company and their main contact, contacts their company, shipments their customer: each by the
other table's own number or address, not by ids. The order follows from that. Rows are written first, and what points
in a circle is set in a second pass. A row that points to something unknown is set aside with its reason.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsTablesOperator

with DAG(
    dag_id="load_several_tables",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:
    load = ObjectStorageToDynamicsTablesOperator(
        task_id="company",
        tables=[
            {
                "table": "contoso_shipment",
                "source_path": "{{ params.lake }}/inbox/shipments.csv",
                "key": ["contoso_number"],
                "columns": {
                    "number": "contoso_number",
                    "name": "contoso_name",
                    "customer": "contoso_accountid",
                },
                "lookups": {"contoso_accountid": "account.accountnumber"},
            },
            {
                "table": "account",
                "source_path": "{{ params.lake }}/inbox/customers.csv",
                "key": ["accountnumber"],
                "columns": {
                    "number": "accountnumber",
                    "parent": "parentaccountid",
                    "main_contact": "primarycontactid",
                },
                "lookups": {
                    "parentaccountid": "account.accountnumber",
                    "primarycontactid": "contact.emailaddress1",
                },
            },
            {
                "table": "contact",
                "source_path": "{{ params.lake }}/inbox/contacts.csv",
                "key": ["emailaddress1"],
                "columns": {"email": "emailaddress1", "company": "parentcustomerid"},
                "lookups": {"parentcustomerid": "account.accountnumber"},
            },
        ],
        max_rejects="1%",
        rejects_path="{{ params.lake }}/rejected/company.ndjson",
    )

    @task
    def report(summary: dict[str, Any]) -> str:
        return ", then ".join(f"{part['written']} of {name}" for name, part in summary["tables"].items())

    report(load.output)
