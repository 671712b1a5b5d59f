"""What becomes of the rows that Dynamics has refused?

A load sets refused rows aside with their position, code and reason. Once the cause is gone, be it a plug-in that was
mended, a row that a lookup needed, or a value corrected in the file itself, this DAG loads them again as they are;
what is still refused is set aside once more.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator

REFUSED = "{{ params.lake }}/rejected/shipments.ndjson"

with DAG(
    dag_id="replay_rejects",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={"lake": Param("file:///tmp/dynamics-lake", type="string", description="Where files are kept")},
    tags=["dynamics"],
    doc_md=__doc__,
) as dag:

    @task
    def reasons(path: str) -> dict[str, int]:
        """Count the refused rows by reason, for whoever looks into them; without any there is nothing to do."""
        file = ObjectStoragePath(path)
        if not file.exists():
            raise AirflowSkipException("No rows were refused.")
        with file.open("rb") as lines:  # type: ignore[no-untyped-call]  # fsspec has no types
            refused = map(json.loads, lines)
            return dict(Counter(line["code"] or f"column {line['column']}" for line in refused))

    replay = ObjectStorageToDynamicsOperator(
        task_id="replay",
        source_path=REFUSED,
        file_format="rejects",
        table="contoso_shipment",
        operation="upsert",
        key=["contoso_number"],
        rejects_path="{{ params.lake }}/rejected/again.ndjson",
    )

    @task
    def report(summary: dict[str, Any], why: dict[str, int]) -> str:
        return f"{summary['written']} of {summary['rows']} rows are in now; they were refused for {', '.join(why)}"

    refused_for = reasons(REFUSED)
    refused_for >> replay
    report(replay.output, refused_for)
