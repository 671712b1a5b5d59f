"""Every sensor waits on a worker, between looks of a worker, or in the triggerer, and ends in the same way each time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_dynamics import triggers
from airflow_provider_dynamics.dataverse import Query
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.sensors import (
    DynamicsChangeSensor,
    DynamicsCredentialExpirySensor,
    DynamicsJobSensor,
    DynamicsRowSensor,
)
from airflow_provider_dynamics.sensors.changes import _Run
from airflow_provider_dynamics.state import CursorKey, CursorStore
from tests.airflow.one_job import SHIPMENTS
from tests.airflow.transfers.reading import FakeStore

MISSING = "00000000-0000-0000-0000-00000000dead"
SOON = datetime.now(timezone.utc).date() + timedelta(days=3)
FAR = SOON + timedelta(days=300)


class World:
    """The emulator, a connection to it, and what the runs of a DAG remember."""

    def __init__(self, emulator, monkeypatch):
        self.emulator = emulator
        self.setenv = monkeypatch.setenv
        self.store = FakeStore()
        self.job_id = ""
        self.connect(credential_end_date=str(FAR))

    def connect(self, **extra):
        for name, value in self.emulator.airflow_connection("dynamics_default", **extra).items():
            self.setenv(name, value)

    def disconnect(self):
        self.setenv("AIRFLOW_CONN_DYNAMICS_DEFAULT", json.dumps({"conn_type": "dynamics"}))

    def refuse(self):
        self.emulator.fault("not_a_member")

    def create(self, name):
        with DynamicsHook().get_conn() as client:
            client.create("account", {"name": name})

    def delete(self, name):
        with DynamicsHook().get_conn() as client:
            for row in client.rows(called(name)):
                client.delete("account", row["accountid"])

    def start_a_job(self):
        self.emulator.jobs.waiting = 3600.0
        with DynamicsHook().get_conn() as client:
            self.job_id = client.jobs.start_bulk_delete(SHIPMENTS, name="Somebody's")


def called(name):
    return Query("account", select=["accountid"], filter=f"name eq '{name}'")


class Kind:
    """A sensor: how it is made, what it waits for, and what can go wrong meanwhile."""

    def __init__(
        self,
        make: Callable[[World], Any],
        happen: Callable[[World], object],
        fail: Callable[[World], object],
        result: Callable[[Any, World], bool],
        before: Callable[[World], object] = lambda _: None,
    ):
        self.make, self.happen, self.fail, self.result, self.before = make, happen, fail, result, before


def cancel_the_job(world):
    with DynamicsHook().get_conn() as client:
        client.jobs.cancel(world.job_id)


KINDS = {
    "a row": Kind(
        lambda _: (DynamicsRowSensor, {"table": "account", "filter": "name eq 'Late'"}),
        lambda world: world.create("Late"),
        World.refuse,
        lambda found, _: (found["table"], found["count"]) == ("account", 1),
    ),
    "three rows": Kind(
        lambda _: (DynamicsRowSensor, {"table": "account", "filter": "name eq 'Late'", "min_rows": 3}),
        lambda world: [world.create("Late") for _ in range(3)],
        World.refuse,
        lambda found, _: found["count"] == len(set(found["row_ids"])) == 3,
    ),
    "no row left": Kind(
        lambda _: (DynamicsRowSensor, {"table": "account", "filter": "name eq 'Late'", "max_rows": 0}),
        lambda world: world.delete("Late"),
        World.refuse,
        lambda found, _: found == {"table": "account", "row_id": None, "row_ids": [], "count": 0},
        before=lambda world: world.create("Late"),
    ),
    "changes": Kind(
        lambda _: (DynamicsChangeSensor, {"table": "account"}),
        lambda world: world.create("Late"),
        World.refuse,
        lambda found, _: [one["operation"] for one in found["changes"]] == ["upsert"],
    ),
    "a job": Kind(
        lambda world: (DynamicsJobSensor, {"job_id": world.job_id}),
        lambda world: world.emulator.jobs.advance(7200),
        cancel_the_job,
        lambda found, world: found == {"job_id": world.job_id, "name": "Somebody's", "status": "succeeded"},
        before=World.start_a_job,
    ),
    "a credential": Kind(
        lambda _: (DynamicsCredentialExpirySensor, {"warn_days": 7}),
        lambda world: world.connect(credential_end_date=str(SOON)),
        World.disconnect,
        lambda found, _: found["days_left"] < 7 and "secret" in found["what"],
    ),
}
MODES = ("poke", "reschedule", "deferrable")
in_all_modes = pytest.mark.parametrize("mode", MODES)
of_all_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def world(airflow_db, emulator, monkeypatch):  # noqa: ARG001 - the credential store is in Airflow's database
    return World(emulator, monkeypatch)


def wait(world, kind, mode, then=None, **arguments):
    """Run a sensor to its end as Airflow does; `then` happens after its first look. Return its result."""
    cls, own = KINDS[kind].make(world)
    looks: list[int] = []

    def made():
        sensor = cls(
            task_id="wait",
            **{"poke_interval": 0.01, "timeout": 60, **own, **arguments},
            **({"deferrable": True} if mode == "deferrable" else {"mode": mode, "deferrable": False}),
        )
        if isinstance(sensor, DynamicsChangeSensor):
            sensor.__dict__["_run"] = lambda _, environment: remembered(world, environment)
        look = sensor.poke

        def poke(context):
            if looks and then is not None:
                then(world)
            looks.append(1)
            return look(context)

        sensor.__dict__["poke"] = poke
        return sensor

    return {"poke": at_once, "reschedule": again_and_again, "deferrable": deferred}[mode](made, world, then)


def remembered(world, environment):
    key = CursorKey("dag", "wait", -1, environment, "account", ())
    return _Run(CursorStore(world.store, key), "once", "2026-03-01")


def context(timed_out=False) -> Any:
    began = datetime.now(timezone.utc) - timedelta(hours=2 if timed_out else 0)
    return {
        "run_id": "once",
        "ti": SimpleNamespace(map_index=-1, get_first_reschedule_date=lambda _: began),
        "dag_run": SimpleNamespace(run_after=began, logical_date=None),
    }


def at_once(made, _world, _then):
    return made().execute(context())


def again_and_again(made, _world, _then):
    for _ in range(100):
        sensor = made()
        try:
            return sensor.execute(context(timed_out=sensor.timeout < 1))
        except AirflowRescheduleException:
            continue
    raise AssertionError("it never ended")


def deferred(made, world, then):
    try:
        return made().execute(context())
    except TaskDeferred as told:
        path, arguments = told.trigger.serialize()
        timeout = told.timeout.total_seconds()
    if then is not None:
        then(world)
    resumed = made()
    if timeout < 1:
        return resumed.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    trigger = getattr(triggers, path.rpartition(".")[2])(**json.loads(json.dumps(arguments)))

    async def first():
        return (await anext(trigger.run())).payload

    event = json.loads(json.dumps(asyncio.run(first())))
    return resumed.resume_execution("execute_complete", {"event": event}, context())


@of_all_kinds
@in_all_modes
def test_what_comes_later_is_found(world, kind, mode):
    KINDS[kind].before(world)

    assert KINDS[kind].result(wait(world, kind, mode, then=once(KINDS[kind].happen)), world)


def once(happening):
    done: list[int] = []

    def then(world):
        if not done:
            done.append(1)
            happening(world)

    return then


@of_all_kinds
@in_all_modes
def test_what_is_there_already_is_found_by_the_first_look(world, kind, mode):
    KINDS[kind].before(world)
    if kind == "changes":  # of an earlier run's place
        with pytest.raises(AirflowSensorTimeout):
            wait(world, kind, mode, timeout=0)
    KINDS[kind].happen(world)

    assert KINDS[kind].result(wait(world, kind, mode), world)


@of_all_kinds
@in_all_modes
def test_what_never_comes_is_a_timeout(world, kind, mode):
    KINDS[kind].before(world)

    with pytest.raises(AirflowSensorTimeout, match=r"^Sensor has timed out; .* specified timeout of 0"):
        wait(world, kind, mode, timeout=0)


@of_all_kinds
@in_all_modes
@pytest.mark.parametrize("when", ["at once", "later"])
def test_what_fails_for_good_fails_the_task_without_a_retry(world, kind, mode, when):
    KINDS[kind].before(world)
    if when == "at once":
        KINDS[kind].fail(world)

    with pytest.raises(AirflowFailException):
        wait(world, kind, mode, then=KINDS[kind].fail)


@of_all_kinds
@in_all_modes
@pytest.mark.parametrize("why", ["timeout", "failure"])
def test_soft_fail_skips_instead(world, kind, mode, why):
    KINDS[kind].before(world)
    arguments = {"timeout": 0} if why == "timeout" else {"then": KINDS[kind].fail}

    with pytest.raises(AirflowSkipException):
        wait(world, kind, mode, soft_fail=True, **arguments)


class Slow(DynamicsRowSensor):
    def poke(self, context):
        raise AirflowTaskTimeout("Timeout")


@in_all_modes
def test_soft_fail_skips_a_look_that_took_longer_than_the_task_may(mode):
    how: Any = {"deferrable": True} if mode == "deferrable" else {"mode": mode, "deferrable": False}
    slow = Slow(task_id="wait", table="account", soft_fail=True, **how)

    with pytest.raises(AirflowSkipException):
        slow.execute(context())


@of_all_kinds
@in_all_modes
def test_never_fail_skips_what_fails(world, kind, mode):
    KINDS[kind].before(world)

    with pytest.raises(AirflowSkipException):
        wait(world, kind, mode, never_fail=True, then=KINDS[kind].fail)


@of_all_kinds
@in_all_modes
def test_the_text_of_a_failure_is_the_same_wherever_it_is_met(world, kind, mode):
    KINDS[kind].before(world)
    KINDS[kind].fail(world)
    with pytest.raises(AirflowFailException) as on_a_worker:
        wait(world, kind, "poke")
    world.emulator.clear_faults()
    world.emulator.reset()
    world.connect(credential_end_date=str(FAR))
    KINDS[kind].before(world)
    with pytest.raises(AirflowFailException) as later:
        wait(world, kind, mode, then=KINDS[kind].fail)

    assert words(later) == words(on_a_worker)


def words(raised):
    """Return a text without what differs from one request or job to the next."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\S+\?\S+", "…", str(raised.value))
