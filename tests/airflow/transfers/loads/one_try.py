"""One try of a load as a process of its own: `python -m tests.airflow.transfers.loads.one_try <folder> <try> <way>`.

It says on its standard output how many rows it has noted as settled whenever it notes it, and at the end its summary.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator
from tests.airflow.transfers.reading import FileStore

WAYS: dict[str, dict[str, Any]] = {
    "upsert_by_key": {"operation": "upsert", "key": ["accountnumber"]},
    "create_by_key": {"operation": "create", "key": ["accountnumber"]},
    "upsert_by_made_id": {"operation": "upsert", "row_id_from": ["accountnumber"]},
    "create": {"operation": "create"},
    "no_journal": {"operation": "create", "checkpoint_seconds": None},
}


KEPT: dict[str, dict[str, Any]] = {
    "kept_for_undo": {"operation": "upsert", "key": ["accountnumber"]},
    "kept_for_undo_without_a_journal": {
        "operation": "upsert",
        "key": ["accountnumber"],
        "checkpoint_seconds": None,
    },
}
"""With the rows as they were in the folder ``undo``."""


class Telling(FileStore):
    """Says when something has been kept."""

    def set(self, key, value, *, retention=None):
        super().set(key, value, retention=retention)
        print(f"kept {value['position']['row']}", flush=True)  # noqa: T201  # the test waits for it


def main(folder, try_number, way):
    load = ObjectStorageToDynamicsOperator(
        **{
            "task_id": "load",
            "table": "account",
            "source_path": f"{folder}/accounts.parquet",
            "rejects_path": f"{folder}/rejects.ndjson",
            "max_rejects": 1,
            "chunk_size": 50,
            "concurrency": 4,
            "checkpoint_seconds": 0,
            **({**KEPT[way], "undo_path": f"{folder}/undo"} if way in KEPT else WAYS[way]),
        }
    )
    context: Any = {
        "ti": SimpleNamespace(
            dag_id="killed",
            task_id="load",
            run_id="once",
            map_index=-1,
            try_number=try_number,
            max_tries=9,
        ),
        "task_state_store": Telling(Path(folder, "task.json")),
    }
    signal.signal(signal.SIGTERM, lambda *_: load.on_kill())
    print(json.dumps(load.execute(context)), flush=True)  # noqa: T201  # that is its answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
