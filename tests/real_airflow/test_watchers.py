"""Watchers in Airflow's own triggerer: what a change sets off, and that nothing is lost when the triggerer is killed.

The number of kills is set by the environment variable DYNAMICS_KILLS; `make drills` sets more.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.compat import HAS_RETRY_POLICY as HAS_ASSET_STATE  # both came with Airflow 3.3
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.emulator import Emulator
from tests.stack import FINAL_STATES, AirflowStack, DagRun

pytestmark = pytest.mark.stack
log = logging.getLogger(__name__)

KILLS = int(os.environ.get("DYNAMICS_KILLS", "5"))
CHANGES = 500
WHILE = 12.0  # seconds that the changes between two kills take; the kill comes at any moment of them

by_chance = random.SystemRandom()


def client_of(emulator: Emulator) -> Client:
    return Client(emulator.url, StaticToken(emulator.access_token()), ca_bundle=emulator.ca_bundle)


@contextmanager
def unpaused(stack: AirflowStack, emulator: Emulator, dag_id: str, entity_set: str) -> Iterator[None]:
    """Let a DAG be woken while the block lasts, which begins when the watcher follows the table's changes."""
    stack.unpause(dag_id)
    try:
        stack.wait(lambda: looks(emulator, entity_set), f"the watcher of {entity_set} to follow its changes")
        yield
    finally:
        stack.call("PATCH", f"/dags/{dag_id}", {"is_paused": True})


def looks(emulator: Emulator, entity_set: str) -> int:
    """Return how often the watcher has asked what changed; a task's questions select other columns."""
    return sum(
        request.path.endswith(f"/{entity_set}")
        and "deltatoken" in request.query
        and "name" not in request.query
        for request in emulator.requests
    )


def everything(stack: AirflowStack, path: str, member: str) -> list[dict[str, Any]]:
    """Return a whole list of Airflow's REST API, which gives a hundred entries at a time."""
    found: list[dict[str, Any]] = []
    while page := stack.call("GET", path, limit="100", offset=str(len(found)))[member]:
        found += page
    return found


def runs(stack: AirflowStack, dag_id: str) -> list[dict[str, Any]]:
    return everything(stack, f"/dags/{dag_id}/dagRuns", "dag_runs")


def told(stack: AirflowStack, dag_id: str, seen: int) -> list[dict[str, Any]]:
    """Return the payloads that a DAG has been woken by, once there are more than `seen`."""

    def payloads() -> list[dict[str, Any]] | None:
        ended = [run for run in runs(stack, dag_id) if run["state"] in FINAL_STATES]
        found = [
            payload
            for run in ended
            for payload in DagRun(stack, dag_id, run["dag_run_id"], run["state"]).xcom("tell")
        ]
        return found if len(found) > seen else None

    answer: list[dict[str, Any]] = stack.wait(payloads, f"{dag_id} to be woken")
    return answer[seen:]


def test_a_row_that_is_created_updated_and_deleted_wakes_the_consumer_each_time(
    stack: AirflowStack, emulator: Emulator
) -> None:
    row_id, dag_id = str(UUID(int=0xC0FFEE)), "woken_by_contact"

    def event(operation: str) -> dict[str, Any]:
        return {
            "status": "success",
            "table": "contact",
            "environment": emulator.url,
            "source": "poll",
            "mode": "delta",
            "changes": [{"row_id": row_id, "operation": operation}],
            "count": 1,
            "complete": True,
        }

    with unpaused(stack, emulator, dag_id, "contacts"), client_of(emulator) as client:
        client.create("contact", {"contactid": row_id, "lastname": "Watched"})
        (made,) = told(stack, dag_id, 0)
        client.update("contact", row_id, {"lastname": "Changed"})
        (changed,) = told(stack, dag_id, 1)
        client.delete("contact", row_id)
        (gone,) = told(stack, dag_id, 2)

    marks = [(one.pop("from"), one.pop("to")) for one in (made, changed, gone)]
    assert [made, changed, gone] == [event("upsert"), event("upsert"), event("delete")]
    assert all(since != until for since, until in marks)
    assert "all its ids are read once" in stack.log_of("triggerer").read_text()  # what beginning has cost
    beside = [one["key"] for one in everything(stack, "/variables", "variables") if ".contact." in one["key"]]
    assert bool(beside) != HAS_ASSET_STATE, (
        "the place belongs to the asset, and to Variables before there was such a state"
    )


def test_only_rows_that_match_the_filter_wake_the_consumer_with_the_columns_it_wants(
    stack: AirflowStack, emulator: Emulator
) -> None:
    rows = {str(UUID(int=0xFEED + n)): n * 100 for n in range(3)}

    with unpaused(stack, emulator, "woken_by_lead", "leads"), client_of(emulator) as client:
        for row_id, revenue in rows.items():
            client.create("lead", {"leadid": row_id, "subject": f"worth {revenue}", "revenue": revenue})
        (event,) = told(stack, "woken_by_lead", 0)

    (wanted,) = (row_id for row_id, revenue in rows.items() if revenue > 100)
    assert event["changes"] == [{"row_id": wanted, "operation": "upsert", "row": {"subject": "worth 200"}}]


# --- the drill ---------------------------------------------------------------------------------------------------


class Changes(threading.Thread):
    """Creates, updates and deletes accounts, one for each number, in about so many seconds; `touched` are the rows it was about."""

    def __init__(self, emulator: Emulator, numbers: range, seconds: float) -> None:
        super().__init__(daemon=True)
        self._emulator, self._numbers, self._seconds = emulator, numbers, seconds
        self.touched: set[str] = set()
        self.done = 0

    def run(self) -> None:
        with client_of(self._emulator) as client:
            mine: list[str] = []
            for number in self._numbers:
                self._change(client, mine, number)
                self.done += 1
                time.sleep(by_chance.uniform(0, 2 * self._seconds / len(self._numbers)))

    def _change(self, client: Client, mine: list[str], number: int) -> None:
        what = by_chance.choice(["create", "create", "update", "delete"]) if mine else "create"
        if what == "create":
            row_id = client.create("account", {"name": f"Made {number}", "accountnumber": f"W-{number}"})
            mine.append(row_id)
        elif what == "update":
            row_id = by_chance.choice(mine)
            client.update("account", row_id, {"name": f"Changed {number}"})
        else:
            row_id = mine.pop(by_chance.randrange(len(mine)))
            client.delete("account", row_id)
        self.touched.add(row_id)


def table(emulator: Emulator) -> list[tuple[str, str, str | None]]:
    return sorted((row["accountid"], row["name"], row["accountnumber"]) for row in emulator.rows("account"))


def copy(file: Path) -> list[tuple[str, str, str | None]]:
    rows = pq.read_table(file, columns=["accountid", "name", "accountnumber"]).to_pylist()
    return sorted((row["accountid"], row["name"], row["accountnumber"]) for row in rows)


def await_looks(stack: AirflowStack, emulator: Emulator, number: int) -> None:
    stack.wait(lambda: looks(emulator, "accounts") >= number, "the watcher to look again")


def at_rest(stack: AirflowStack, emulator: Emulator, dag_id: str) -> bool:
    """Say whether the watcher has looked and nothing is under way or waiting to begin."""
    before, ended = looks(emulator, "accounts"), runs(stack, dag_id)
    await_looks(stack, emulator, before + 6)
    return ended == runs(stack, dag_id) and all(run["state"] in FINAL_STATES for run in ended)


def named_in_events(stack: AirflowStack, table_name: str) -> set[str]:
    """Return every row of a table that an event has named, whichever run it was handed to."""
    events = everything(stack, "/assets/events", "asset_events")
    payloads = [event["extra"]["payload"] for event in events if "payload" in event["extra"]]
    told = [one for one in payloads if one["status"] == "success" and one["table"] == table_name]
    return {change["row_id"] for payload in told for change in payload["changes"]}


def test_a_triggerer_that_is_killed_at_any_moment_loses_nothing(
    stack: AirflowStack, emulator: Emulator
) -> None:
    dag_id, touched = "copies_accounts", set()
    file = Path(stack.home) / "callbacks" / "accounts.parquet"

    with unpaused(stack, emulator, dag_id, "accounts"):
        for number in range(KILLS):
            numbers = range(CHANGES)[number * CHANGES // KILLS : (number + 1) * CHANGES // KILLS]
            changes, moment = Changes(emulator, numbers, WHILE), by_chance.uniform(0, WHILE)
            changes.start()
            time.sleep(moment)  # the drill itself: a kill at a moment that nothing chooses
            stack.kill("triggerer")
            log.info("killed after %.2f s and %d of %d changes", moment, changes.done, len(numbers))
            before = looks(emulator, "accounts")
            stack.begin("triggerer")
            changes.join(120)
            assert changes.done == len(numbers)
            touched |= changes.touched
            await_looks(stack, emulator, before + 1)
        stack.wait(lambda: at_rest(stack, emulator, dag_id), "the last run to end", 180)

    assert copy(file) == table(emulator)
    assert {run["state"] for run in runs(stack, dag_id)} == {"success"}
    assert touched <= named_in_events(stack, "account")
