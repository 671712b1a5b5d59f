"""One try of a task that waits for a job, as a process of its own: `python -m tests.airflow.one_job <folder> <try>`.

It says its result on its standard output; the test kills it before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_dynamics.operators import DynamicsBulkDeleteOperator
from tests.airflow.transfers.reading import FileStore

SHIPMENTS = (
    "<fetch><entity name='contoso_shipment'><filter>"
    "<condition attribute='statecode' operator='ge' value='0'/></filter></entity></fetch>"
)


def main(folder: str, try_number: int, keeps: str) -> None:
    task = DynamicsBulkDeleteOperator(
        task_id="clean", fetch_xml=SHIPMENTS, poll_interval=0.1, deferrable=False
    )
    context: Any = {
        "ti": SimpleNamespace(
            dag_id="killed", task_id="clean", run_id="once", map_index=-1, try_number=try_number, max_tries=2
        ),
    }
    if keeps == "store":
        context["task_state_store"] = FileStore(Path(folder, "task.json"))
    print(json.dumps(task.execute(context)), flush=True)  # noqa: T201  # that is its answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
