"""One try of a task that imports a solution, as a process of its own: `python -m tests.airflow.one_import <folder> <try>`.

It says its result on its standard output; the test kills the first one before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow_provider_dynamics.operators import DynamicsImportSolutionOperator
from tests.airflow.administrators import context
from tests.airflow.transfers.reading import FileStore


def main(folder: str, try_number: int) -> None:
    task = DynamicsImportSolutionOperator(
        task_id="import", source_path=str(Path(folder, "sales.zip")), poll_interval=0.1, deferrable=False
    )
    told: Any = context(FileStore(Path(folder, "task.json")), try_number)
    print(json.dumps(task.execute(told)), flush=True)  # noqa: T201  # that is its answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
