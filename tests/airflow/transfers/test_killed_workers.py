"""A worker's process is killed at any moment; the retry, or a run that is cleared, makes the destination right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client
from tests.airflow.transfers.followed import merge, read_file

ROUNDS = 8
NEW = {
    "account": lambda number: {"name": f"New {number}"},
    "transactioncurrency": lambda number: {
        "currencyname": f"New {number}",
        "isocurrencycode": f"{chr(65 + number % 26)}{chr(65 + number // 26 % 26)}Q",
        "currencysymbol": "n",
    },
}


@pytest.fixture
def worker(emulator):
    facts = {
        "url": emulator.url,
        "tenant": emulator.tenant_id,
        "client": emulator.client_id,
        "secret": emulator.client_secret,
        "ca": str(emulator.ca_bundle),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.airflow.transfers.killable"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said, answers = process.stdin, process.stdout

        def tell(what):
            said.write(json.dumps(what) + "\n")
            said.flush()

        tell(facts)

        def attempt(**asked):
            tell(asked)
            while not (line := answers.readline()).strip().lstrip("-").isdigit():
                assert line, "the worker has ended"  # what else it says is Airflow's log
            return int(line)

        yield attempt
        said.close()
        assert process.wait(30) == 0


def connected(emulator):
    secret = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    return Client(emulator.url, secret, ca_bundle=emulator.ca_bundle)


def change(client, table, number, chance):
    """Somebody creates, updates and deletes a row."""
    described = client.table(table)
    ids = [row[described.primary_id] for row in _rows(client, table)]
    client.create(table, NEW[table](number))
    client.update(table, chance.choice(ids), {described.primary_name: f"Changed {number}"})
    gone = [row_id for row_id in _made(client, table) if chance.random() < 0.5]
    for row_id in gone[:2]:
        client.delete(table, row_id)


def _rows(client, table):
    from airflow_provider_dynamics.dataverse import Query

    return list(client.rows(Query(table, select=[client.table(table).primary_name])))


def _made(client, table):
    described = client.table(table)
    return [
        row[described.primary_id]
        for row in _rows(client, table)
        if str(row[described.primary_name]).startswith("New")
    ]


def destination(folder, output, primary_id, name):
    if output == "snapshot":
        [file] = folder.glob("snapshot.*")
        return {row[primary_id]: row[name] for row in read_file(file)}
    merged: dict[str, Any] = {}
    for file in sorted(folder.glob("0*")):
        rows = [{**row, "thingid": row[primary_id], "name": row[name]} for row in read_file(file)]
        merge(merged, rows, by_version=False)
    return {row_id: found for row_id, (found, _) in merged.items()}


@pytest.mark.parametrize("table", NEW)
@pytest.mark.parametrize("output", ["changes", "snapshot"])
def test_killed_at_any_moment_and_tried_again(worker, emulator, tmp_path, table, output):
    with connected(emulator) as client:
        play(worker, client, emulator, tmp_path, table, output)


def play(worker, client, emulator, tmp_path, table, output):  # noqa: PLR0917 - what the test was given
    file_format = "parquet" if output == "changes" else "csv"
    chance = random.Random(f"{table} {output}")
    folder, store = tmp_path / "lake", tmp_path / "store"
    folder.mkdir()
    store.mkdir()
    asked = {
        "folder": str(folder),
        "store": str(store),
        "table": table,
        "output": output,
        "file_format": file_format,
    }
    assert worker(**asked, number=0, kill=None) == 0
    killed, takes = 0, 9.0
    for number in range(1, ROUNDS + 1):
        change(client, table, number, chance)
        if number % 3 == 0:
            emulator.expire_delta_tokens()
        for _ in range(2 * (number > 1)):
            killed += worker(**asked, number=number, kill=chance.uniform(0, takes)) == -signal.SIGKILL
            change(client, table, 100 * number + killed, chance)
        if number % 4:  # else the run has failed for good
            began = time.monotonic()
            assert worker(**asked, number=number, kill=None) == 0
            takes = min(takes, time.monotonic() - began)
    assert worker(**asked, number=2, kill=None) == 0  # an older run is cleared
    change(client, table, 99, chance)
    assert worker(**asked, number=ROUNDS + 1, kill=None) == 0

    described = client.table(table)
    expected = {row[described.primary_id]: row[described.primary_name] for row in _rows(client, table)}
    assert destination(folder, output, described.primary_id, described.primary_name) == expected
    assert killed >= ROUNDS / 4, "too few workers were killed to say anything"
    for path in folder.glob(".*.part"):
        assert path.name[1:5] in {"0004", "0008"}, "only what was never tried again leaves something behind"
