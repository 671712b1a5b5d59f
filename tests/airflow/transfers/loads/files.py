"""Files to load, tasks that load them, and what is in Dynamics afterwards."""

from __future__ import annotations

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator
from tests.airflow.transfers.drills import Patiently
from tests.airflow.transfers.files import ONCE, run_one, write_parquet

__all__ = ["Patient", "accounts", "loaded", "rows", "run_load", "writes"]


class Patient(Patiently, ObjectStorageToDynamicsOperator):
    """A load that sits no wait out."""


def rows(count, start=1):
    return [
        {"accountnumber": f"D-{number:06}", "name": f"Drill {number}", "numberofemployees": number}
        for number in range(start, start + count)
    ]


def accounts(path, count):
    """Write a file of accounts."""
    return write_parquet(path, rows(count))


def run_load(run_dag, source, operator=Patient, **arguments):
    """Run a load of accounts as a DAG."""
    made = {
        "task_id": "load",
        "table": "account",
        "source_path": str(source),
        "key": ["accountnumber"],
        **ONCE,
        **arguments,
    }
    return run_one(run_dag, lambda: operator(**made))


def loaded(emulator):
    """Return the accounts that come from such a file, each row of Dynamics once."""
    return sorted(
        (row["accountnumber"], row["name"], row["numberofemployees"])
        for row in emulator.rows("account")
        if str(row["accountnumber"]).startswith("D-")
    )


def writes(emulator):
    """Return the requests that could have changed a row."""
    return [
        request
        for request in emulator.requests
        if request.method in {"POST", "PATCH", "PUT", "DELETE"} and "/api/data/" in request.path
    ]
