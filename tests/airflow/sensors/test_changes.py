"""The change sensor: what it fires for, and from where each run of its DAG looks."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.sensors import DynamicsChangeSensor
from airflow_provider_dynamics.sensors.changes import _Run
from airflow_provider_dynamics.state import CursorKey, CursorStore
from airflow_provider_dynamics.triggers import DynamicsChangedRowsTrigger

pytestmark = pytest.mark.usefixtures("dynamics_conn")

DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Store(dict[str, Any]):
    """A store of JSON values in memory."""

    def get(self, key, default=None):
        return json.loads(super().get(key, "null")) or default

    def set(self, key, value):
        self[key] = json.dumps(value)


class Waiting:
    """A sensor in one run of its DAG after another, which share what is remembered."""

    def __init__(self, **arguments):
        self.store = Store()
        self.arguments = {"table": "account", **arguments}

    def sensor(self, **arguments):
        made = DynamicsChangeSensor(task_id="wait", **{**self.arguments, **arguments})
        made.__dict__["_run"] = self._run
        return made

    def _run(self, context, environment):
        key = CursorKey("dag", "wait", -1, environment, "account", ())
        return _Run(CursorStore(self.store, key), context["run_id"], context["order"])

    @property
    def link(self):
        """Where the next new run looks from."""
        [kept] = self.store.values()
        return json.loads(kept)["link"]

    def poke(self, day, **arguments):
        """Look once, as a new process; return what was found, None for nothing."""
        return self.sensor(**arguments).poke(context(day)).xcom_value


def context(day) -> Any:
    return {"run_id": f"run-{day}", "order": f"{day:03}", "ti": SimpleNamespace(map_index=-1)}


@pytest.fixture
def accounts(emulator):
    return [row["accountid"] for row in emulator.rows("account")]


@pytest.fixture
def crm():
    with DynamicsHook().get_conn() as client:
        yield client


def named(found):
    return [(one["operation"], one["row_id"]) for one in found["changes"]]


def test_it_waits_for_what_changes_after_its_first_look(crm, accounts):
    waiting = Waiting()
    before = waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed"})
    crm.delete("account", accounts[1])

    found = waiting.poke(1)

    assert before is None
    assert sorted(named(found)) == sorted([("upsert", accounts[0]), ("delete", accounts[1])])
    assert (found["table"], found["source"], found["mode"]) == ("account", "poll", "delta")
    assert (found["count"], found["complete"]) == (2, True)
    assert "row" not in found["changes"][0]


def test_the_next_run_waits_for_what_has_changed_since(crm, accounts):
    waiting = Waiting()
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed"})
    waiting.poke(1)

    assert waiting.poke(2) is None
    crm.update("account", accounts[1], {"name": "Renamed too"})
    assert named(waiting.poke(2)) == [("upsert", accounts[1])]


def test_what_changes_between_two_runs_is_found_at_once(crm, accounts):
    waiting = Waiting()
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed"})
    waiting.poke(1)
    crm.update("account", accounts[1], {"name": "Renamed too"})

    assert named(waiting.poke(2)) == [("upsert", accounts[1])]


def test_a_run_that_found_nothing_leaves_its_place_to_the_next(crm, accounts):
    waiting = Waiting()
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed"})

    assert named(waiting.poke(2)) == [("upsert", accounts[0])]


def test_a_run_that_found_nothing_moves_the_place_on_which_would_be_too_old_some_day(crm, accounts):
    waiting = Waiting(filter="name eq 'Wanted'")
    waiting.poke(1)
    places = [waiting.link]
    for day in (2, 3):
        crm.update("account", accounts[0], {"name": f"Unwanted {day}"})
        assert waiting.poke(day) is None
        places.append(waiting.link)
    crm.update("account", accounts[1], {"name": "Wanted"})

    assert len(set(places)) == 3
    assert named(waiting.poke(4)) == named(waiting.poke(4)) == [("upsert", accounts[1])]


def test_a_run_that_is_cleared_finds_the_same_again_and_moves_nothing_back(crm, accounts):
    waiting = Waiting()
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed"})
    waiting.poke(1)
    crm.update("account", accounts[1], {"name": "Renamed too"})
    waiting.poke(2)

    again = waiting.poke(1)

    assert ("upsert", accounts[0]) in named(again)
    assert waiting.poke(3) is None


def test_a_filter_leaves_out_changed_rows_but_no_deleted_ones(crm, accounts):
    waiting = Waiting(filter=column("name") == "It's me")
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Somebody else"})
    assert waiting.poke(1) is None

    crm.update("account", accounts[1], {"name": "It's me"})
    crm.delete("account", accounts[2])

    assert sorted(named(waiting.poke(1))) == sorted([("upsert", accounts[1]), ("delete", accounts[2])])


def test_selected_columns_come_along_and_no_others(crm, accounts):
    waiting = Waiting(select="name, revenue")
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed", "telephone1": "1"})

    [change] = waiting.poke(1)["changes"]

    assert set(change["row"]) == {"name", "revenue"}
    assert change["row"]["name"] == "Renamed"


def test_more_changes_than_a_result_names_are_counted(crm):
    waiting = Waiting()
    waiting.poke(1)
    made = [{"name": f"New {number}"} for number in range(1_100)]
    assert all(outcome.error is None for outcome in crm.bulk("account", made, "create"))

    found = waiting.poke(1)

    assert (len(found["changes"]), found["count"], found["complete"]) == (1000, 1100, False)


def test_a_place_that_was_lost_fires_and_says_that_the_whole_table_has_to_be_read(emulator, crm, accounts):
    waiting = Waiting()
    waiting.poke(1)
    crm.update("account", accounts[0], {"name": "Renamed"})
    emulator.fault("expired_delta")

    found = waiting.poke(1)
    emulator.clear_faults()

    assert (found["mode"], found["complete"]) == ("full", False)
    assert waiting.poke(2) is None


def test_a_run_that_nobody_remembers_any_more_fires_for_the_whole_table(crm, accounts):
    waiting = Waiting()
    waiting.poke(1)
    for day in range(2, 50):
        crm.update("account", accounts[0], {"name": f"Renamed {day}"})
        assert waiting.poke(day)

    assert waiting.poke(1)["mode"] == "full"
    assert waiting.poke(50) is None


def test_a_table_that_does_not_track_changes_says_how_to_have_it_do_so_and_what_else_there_is():
    with pytest.raises(AirflowFailException) as raised:
        Waiting(table="transactioncurrency").poke(1)

    assert "track" in str(raised.value).lower()
    assert 'means="versions"' in str(raised.value)


def test_by_versions_it_sees_what_was_written_but_not_what_is_gone(crm, accounts):
    waiting = Waiting(means="versions")
    assert waiting.poke(1) is None
    crm.delete("account", accounts[1])
    assert waiting.poke(1) is None
    crm.update("account", accounts[0], {"name": "Renamed"})

    assert named(waiting.poke(1)) == [("upsert", accounts[0])]


def test_a_wrong_filter_is_refused_by_the_first_look():
    with pytest.raises(AirflowFailException, match="nmae"):
        Waiting(filter="nmae eq 'x'").poke(1)


def test_a_wrong_word_is_refused_before_anything_is_asked(emulator):
    with pytest.raises(AirflowFailException, match="tracking, versions"):
        Waiting(means="magic").poke(1)

    assert not emulator.requests


def test_deferred_it_does_not_wait_from_now_on_when_its_place_could_not_be_read():
    def unreadable(_context, _environment):
        raise ConnectionError("Airflow's API does not answer")

    sensor = Waiting().sensor(deferrable=True, silent_fail=True)
    sensor.__dict__["_run"] = unreadable

    with pytest.raises(DynamicsRetryableError, match="could not be read"):
        sensor.execute(context(1))


def test_deferred_the_trigger_looks_on_from_where_the_first_look_has_ended(crm, accounts):
    waiting = Waiting()
    sensor = waiting.sensor(deferrable=True, poke_interval=0.01, filter=column("statecode") == 0)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context(1))
    crm.update("account", accounts[0], {"name": "Renamed"})
    path, arguments = deferred.value.trigger.serialize()
    trigger = DynamicsChangedRowsTrigger(**json.loads(json.dumps(arguments)))

    event = {"status": "success", **run(trigger)}
    resumed = waiting.sensor(deferrable=True, filter=column("statecode") == 0)
    found = resumed.execute_complete(context(1), json.loads(json.dumps(event)))

    assert path == "airflow_provider_dynamics.triggers.DynamicsChangedRowsTrigger"
    assert named(found) == [("upsert", accounts[0])]
    assert waiting.poke(2) is None


def run(trigger):
    async def first():
        return (await anext(trigger.run())).payload

    found = asyncio.run(first())
    assert found.pop("status") == "success"
    return found


def test_through_airflow_from_run_to_run(run_dag, crm, accounts):
    with DAG("waits_for_changes", schedule=None) as dag:
        DynamicsChangeSensor(
            task_id="wait", table="account", poke_interval=0.1, timeout=0.3, soft_fail=True, mode="poke"
        )

    nothing = run_dag(dag, at=DAY)
    crm.update("account", accounts[0], {"name": "Renamed"})
    found = run_dag(dag, at=DAY + timedelta(days=1))
    nothing_new = run_dag(dag, at=DAY + timedelta(days=2))

    assert (nothing.states, nothing_new.states) == ({"wait": "skipped"}, {"wait": "skipped"})
    assert named(found.xcoms["wait"]) == [("upsert", accounts[0])]


def test_another_filter_goes_on_from_the_same_place_and_other_columns_do_not(run_dag, crm, accounts):
    def seen(day, **arguments):
        with DAG("filter_changes", schedule=None) as dag:
            DynamicsChangeSensor(task_id="wait", table="account", timeout=0, soft_fail=True, **arguments)
        return run_dag(dag, at=DAY + timedelta(days=day)).xcoms.get("wait")

    first = seen(0, filter="name eq 'Monday'")
    crm.update("account", accounts[0], {"name": "Tuesday"})
    second = seen(1, filter="name eq 'Tuesday'")
    third = seen(2, filter="name eq 'Tuesday'", select=["name"])

    assert (first, third) == (None, None)
    assert named(second) == [("upsert", accounts[0])]
