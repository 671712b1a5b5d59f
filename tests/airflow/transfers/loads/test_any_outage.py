"""Random faults of the service against whole tries: accounted rows add up, and the table equals the model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator
from tests.airflow.transfers.drills import Impatiently
from tests.airflow.transfers.files import lines
from tests.airflow.transfers.loads.files import accounts, loaded, rows
from tests.airflow.transfers.loads.frame import Store

WRITES = r"\.\w+Multiple|\$batch|/accounts\("
"""Where rows are written, in chunks and alone."""
FAULTS = st.sampled_from(
    [
        ("throttle", {"retry_after": 0}),
        ("throttle", {"limit": "time", "retry_after": 0}),
        ("throttle", {"limit": "concurrency", "retry_after": 0}),
        ("status", {}),
        ("status", {"status": 413}),
        ("error", {"status": 500, "code": "0x80044151", "message": "SQL timeout expired."}),
        ("reset", {"when": "before"}),
        ("reset", {"when": "after"}),
        ("truncate", {}),
        ("expired_token", {}),
    ]
)
STORY = st.lists(st.tuples(FAULTS, st.integers(0, 12), st.integers(1, 2)), max_size=6)
"""Faults, each after so many requests and so often."""
WAYS: Any = st.sampled_from(
    [
        {"operation": "upsert", "key": ["accountnumber"]},
        {"operation": "upsert", "row_id_from": ["accountnumber"]},
        {"operation": "create", "key": ["accountnumber"]},
        {"operation": "create"},
    ]
)
ROWS = 240
TRIES = 12


class Impatient(Impatiently, ObjectStorageToDynamicsOperator):
    """A load that leaves it to Airflow to try again."""


def tries(folder: Path, store: Store | None, **arguments: Any) -> dict[str, Any]:
    """Load the file, try after try as Airflow does, and return the last one's summary."""
    for number in range(1, TRIES + 1):
        load = Impatient(
            task_id="load",
            table="account",
            source_path=str(folder / "in.parquet"),
            rejects_path=str(folder / "rejects.ndjson"),
            max_rejects=ROWS,
            checkpoint_seconds=0,
            **arguments,
        )
        task = {"dag_id": "d", "task_id": "load", "run_id": folder.name, "map_index": -1}
        context: Any = {
            "ti": SimpleNamespace(**task, try_number=number, max_tries=TRIES),
            "task_state_store": store,
        }
        try:
            return load.execute(context)
        except Exception as error:
            if number == TRIES or not getattr(error, "error_type", ""):
                raise
    raise AssertionError("there is at least one try")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    story=STORY,
    way=WAYS,
    bad=st.sets(st.integers(1, ROWS), max_size=4),
    chunk_size=st.sampled_from([7, 50, None]),
    concurrency=st.sampled_from([1, 3]),
    journal=st.booleans(),
)
def test_rows_add_up_and_the_table_equals_the_file(  # noqa: PLR0917 - what hypothesis draws
    emulator, dynamics_conn, story, way, bad, chunk_size, concurrency, journal
):
    assert dynamics_conn
    emulator.reset()
    for number in bad:
        emulator.fault("poison", table="account", column="name", value=f"Drill {number}")
    # the smallest chunk is halved twice, by time-outs too; a row that is too large all by itself is really refused
    halvings = max(0, 2 - sum(count for (kind, _), _, count in story if kind == "error"))
    for (kind, members), skip, count in story:
        often = 1 if kind == "expired_token" else count  # twice is a token that is really refused
        if members.get("status") == 413:
            often = min(often, halvings)
            halvings -= often
        if often:
            emulator.fault(kind, path=WRITES, skip=skip, count=often, **members)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        accounts(place / "in.parquet", ROWS)

        summary = tries(
            place, Store() if journal else None, chunk_size=chunk_size, concurrency=concurrency, **way
        )

        refused = [line["row"] for line in lines(place / "rejects.ndjson")] if bad else []
        assert {entry.name for entry in place.iterdir()} <= {"in.parquet", "rejects.ndjson"}
    assert refused == sorted(bad)
    assert summary["rows"] == ROWS == summary["written"] + summary["unchanged"] + summary["rejected"]
    assert summary["rejected"] == len(bad)
    kept = [tuple(row.values()) for number, row in enumerate(rows(ROWS), 1) if number not in bad]
    assert loaded(emulator) == kept
