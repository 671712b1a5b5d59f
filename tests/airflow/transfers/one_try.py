"""One try of an export as a process of its own: `python -m tests.airflow.transfers.one_try <folder> <try> <lanes>`.

A SIGTERM does to it what Airflow's does to a task. It says on its standard output how many segments it has kept whenever it keeps one, and at the end its summary.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator
from tests.airflow.transfers.reading import FileStore

ACCOUNTS = table_asset("account", environment="contoso.crm.dynamics.com")


class Telling(FileStore):
    """Says when something has been kept."""

    def set(self, key, value, *, retention=None):
        super().set(key, value, retention=retention)
        if isinstance(value, dict) and "files" in value:
            print(f"kept {len(value['files'])}", flush=True)  # noqa: T201  # the test waits for it


def main(folder, try_number, lanes):
    export = DynamicsToObjectStorageOperator(
        task_id="export",
        table="account",
        select=["name", "accountnumber"],
        destination_path=f"{folder}/accounts.parquet",
        lanes=lanes,
        page_size=2,
        checkpoint_seconds=0,
        inlets=[ACCOUNTS],
    )
    context: Any = {
        "ti": SimpleNamespace(
            dag_id="killed",
            task_id="export",
            run_id="once",
            map_index=-1,
            try_number=try_number,
            max_tries=2,
        ),
        "task_state_store": Telling(Path(folder, "task.json")),
        "asset_state_store": {ACCOUNTS: FileStore(Path(folder, "asset.json"))},
    }
    signal.signal(signal.SIGTERM, lambda *_: export.on_kill())
    summary = export.execute(context)
    print(json.dumps(summary), flush=True)  # noqa: T201  # that is its answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
