"""Files and runs as the tests of transfers need them."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)
ONCE: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(0)}
"""Retries that a permanent error must not use."""


def day(number):
    return FIRST + timedelta(days=number)


def run_one(run_dag, make):
    """Run a DAG of one task."""
    with DAG("transfer", schedule=None) as dag:
        make()
    return run_dag(dag)


def failed_once(ran):
    """Return what a task said that failed for good in its first try."""
    (error,) = ran.errors.values()
    assert set(ran.states.values()) == {"failed"}
    assert set(ran.tries.values()) == {1}, "a permanent error must not be retried"
    assert isinstance(error, AirflowFailException)
    return str(error)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_ndjson(path, rows):
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    return path
