"""Triggers by hand: their loop runs with a client that answers from memory and a sleep that only writes down how long."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
from functools import partial
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.triggers import MAX_TRANSIENT_ERRORS, DynamicsRowTrigger, DynamicsTrigger
from tests.airflow.fakes import FakeClient

ROW_ID = "11111111-2222-3333-4444-555555555555"
FOUND = [{"accountid": ROW_ID}]
THROTTLED = errors.Throttled("Number of requests exceeded", status=429, code="0x80072322", retry_after=17.0)
DOWN = errors.ServerError("Internal error", status=503)


def run(trigger, client):
    """Run a trigger to its event; return the event's payload and the waits before each look."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    async def open_client():
        return client

    async def first():
        return (await anext(trigger.run())).payload

    trigger.sleep = sleep
    trigger.random = lambda: 0.5  # which makes the first wait one interval
    trigger._open_client = open_client
    return asyncio.run(first()), waits


def test_a_trigger_is_rebuilt_from_what_it_serialises():
    trigger = DynamicsRowTrigger(
        table="account",
        filter="statecode eq 0",
        row_id=ROW_ID,
        dynamics_conn_id="other",
        environment="https://b.crm.dynamics.com",
        poll_interval=5,
    )

    path, arguments = trigger.serialize()
    again = DynamicsRowTrigger(**json.loads(json.dumps(arguments)))

    assert path == "airflow_provider_dynamics.triggers.DynamicsRowTrigger"
    assert again.serialize() == (path, arguments)


def test_what_is_serialised_is_the_connections_id_and_the_query_and_nothing_else():
    _, arguments = DynamicsRowTrigger(table="account").serialize()

    assert set(arguments) == {
        *("table", "filter", "row_id", "min_rows", "max_rows"),
        *("dynamics_conn_id", "environment", "poll_interval", "longest_interval", "silent"),
    }


def test_a_trigger_that_could_not_be_rebuilt_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="must name each of its arguments"):

        class Loose(DynamicsTrigger):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)

            def look(self, client):
                return None


def test_the_first_look_comes_after_about_an_interval():
    payload, waits = run(DynamicsRowTrigger(table="account", poll_interval=30), FakeClient(FOUND))

    assert payload == {
        "status": "success",
        "table": "account",
        "row_id": ROW_ID,
        "row_ids": [ROW_ID],
        "count": 1,
    }
    assert waits == [30]


@pytest.mark.parametrize(
    ("interval", "least", "most"), [(60, 30, 90), (1, 1, 2), (8, 5, 13), (3600, 1800, 5396)], ids=str
)
def test_triggers_that_start_together_look_one_after_the_other(interval, least, most):
    waits = set()
    for drawn in (0.0, 0.25, 0.999):
        trigger = DynamicsRowTrigger(table="account", poll_interval=interval)
        trigger.random = partial(float, drawn)
        waits.add(trigger._first_wait())

    assert len(waits) == 3
    assert (min(waits), round(max(waits))) == (least, most)


def test_a_connection_that_was_changed_is_noticed_while_all_goes_well():
    trigger: Any = DynamicsRowTrigger(table="account", poll_interval=400)
    before, after = FakeClient([], [], FOUND), FakeClient(FOUND)
    clients, seconds = [before, after], [0.0]

    async def sleep(interval):
        seconds[0] += interval

    async def open_client():
        return clients.pop(0)

    async def first():
        return (await anext(trigger.run())).payload

    trigger.sleep, trigger._open_client, trigger.now = sleep, open_client, lambda: seconds[0]

    assert asyncio.run(first())["status"] == "success"
    assert (len(before.queries), len(after.queries)) == (2, 1)
    assert before.closed


def test_it_looks_until_the_row_is_there():
    payload, waits = run(DynamicsRowTrigger(table="account", poll_interval=30), FakeClient([], [], FOUND))

    assert payload["status"] == "success"
    assert waits == [30, 30, 30]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        pytest.param({"filter": "name eq 'x'"}, "name eq 'x'", id="a filter"),
        pytest.param({"row_id": ROW_ID}, f"accountid eq {ROW_ID}", id="an id"),
        pytest.param(
            {"filter": "a eq 1 or b eq 2", "row_id": ROW_ID},
            f"accountid eq {ROW_ID} and (a eq 1 or b eq 2)",
            id="both, the filter in brackets",
        ),
        pytest.param({}, "None", id="any row"),
    ],
)
def test_it_asks_for_the_id_of_one_row_that_matches(arguments, asked):
    client = FakeClient(FOUND)

    run(DynamicsRowTrigger(table="account", **arguments), client)

    query = client.queries[0]
    assert (query.table, query.select, str(query.filter), query.top) == ("account", ("accountid",), asked, 1)


def test_throttling_is_slept_off_as_long_as_the_service_asks_and_a_little_more_at_random():
    payload, waits = run(DynamicsRowTrigger(table="account", poll_interval=60), FakeClient(THROTTLED, FOUND))

    assert payload["status"] == "success"
    assert waits == [60, 17 + 15]


def test_passing_problems_are_waited_out_longer_each_time_and_forgotten_after_a_good_answer():
    client = FakeClient(DOWN, DOWN, DOWN, [], DOWN, FOUND)

    _, waits = run(DynamicsRowTrigger(table="account", poll_interval=60), client)

    assert waits == [60, 60, 120, 240, 60, 60]


def test_the_interval_doubles_after_each_look_in_vain_where_that_is_asked_for():
    trigger = DynamicsRowTrigger(table="account", poll_interval=30, longest_interval=100)

    _, waits = run(trigger, FakeClient([], [], [], [], FOUND))

    assert waits == [30, 30, 60, 100, 100]


def test_a_silent_trigger_never_gives_up_because_of_what_may_pass():
    answers = [*[DOWN] * (MAX_TRANSIENT_ERRORS * 2), ZeroDivisionError("a bug"), FOUND]

    payload, _ = run(DynamicsRowTrigger(table="account", silent=True), FakeClient(*answers))

    assert payload["status"] == "success"


def test_the_wait_after_problems_has_a_ceiling():
    _, waits = run(DynamicsRowTrigger(table="account", poll_interval=60), FakeClient(*[DOWN] * 8, FOUND))

    assert max(waits) == 300


def test_problems_that_do_not_pass_end_as_an_error_that_may_be_retried():
    client = FakeClient(*[DOWN] * (MAX_TRANSIENT_ERRORS + 1))

    payload, _ = run(DynamicsRowTrigger(table="account"), client)

    assert (payload["status"], payload["error_type"], payload["kind"]) == (
        "error",
        "ServerError",
        "transient",
    )


def test_a_permanent_error_ends_at_once_with_code_and_remedy():
    refused = errors.Forbidden("missing prvReadAccount", status=403, code="0x80040220")

    payload, waits = run(DynamicsRowTrigger(table="account"), FakeClient(refused))

    assert len(waits) == 1
    assert (payload["status"], payload["kind"], payload["code"]) == ("error", "needs-admin", "0x80040220")
    assert "security role" in payload["message"]
    json.dumps(payload)


def test_a_bug_is_not_dressed_up_as_an_error_of_the_service():
    with pytest.raises(ZeroDivisionError):
        run(DynamicsRowTrigger(table="account"), FakeClient(ZeroDivisionError()))


@pytest.mark.parametrize("answer", [FOUND, errors.Forbidden("no"), ZeroDivisionError()], ids=repr)
def test_the_client_is_closed_however_it_ends(answer):
    client = FakeClient(answer)

    with contextlib.suppress(ZeroDivisionError):
        run(DynamicsRowTrigger(table="account"), client)

    assert client.closed


def test_a_request_never_runs_in_the_event_loops_own_thread():
    class Spy(FakeClient):
        def rows(self, query):
            self.thread = threading.current_thread()
            return super().rows(query)

    client = Spy(FOUND)
    run(DynamicsRowTrigger(table="account"), client)

    assert client.thread.name.startswith("dynamics-trigger")


def test_what_is_loaded_already_is_spared_the_garbage_collection_that_would_hold_up_the_event_loop():
    run(DynamicsRowTrigger(table="account"), FakeClient(FOUND))

    assert gc.get_freeze_count() > 100_000


def test_a_cancelled_trigger_closes_its_client():
    client = FakeClient([])

    async def cancelled():
        trigger = DynamicsRowTrigger(table="account")
        waiting = asyncio.Event()
        looks = 0

        async def open_client():
            return client

        async def sleep(_):
            nonlocal looks
            looks += 1
            if looks == 2:
                waiting.set()
                await asyncio.Event().wait()

        trigger.__dict__.update(_open_client=open_client, sleep=sleep)
        task = asyncio.ensure_future(anext(trigger.run()))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())

    assert client.closed


# --- with a real client, against the emulator --------------------------------------------------------------------


def look(**arguments):
    async def first():
        return (
            await anext(DynamicsRowTrigger(table="account", poll_interval=0.01, **arguments).run())
        ).payload

    return asyncio.run(first())


@pytest.mark.usefixtures("dynamics_conn")
def test_it_finds_a_row_with_the_connection_it_reads_itself(emulator):
    row_id = emulator.rows("account")[0]["accountid"]

    found = look(row_id=row_id)

    assert (found["status"], found["row_id"]) == ("success", row_id)


@pytest.mark.usefixtures("dynamics_conn")
def test_throttling_in_the_triggerer_is_no_error(emulator):
    emulator.fault("throttle", retry_after=1, count=1, path="/accounts")

    assert look()["status"] == "success"


@pytest.mark.usefixtures("dynamics_conn")
def test_a_sign_in_that_is_refused_is_an_event_with_code_and_remedy(emulator):
    SHARED.clear()  # a token another test got is still good
    emulator.fault("secret_expired")

    payload = look()

    assert (payload["status"], payload["kind"], payload["code"]) == ("error", "permanent", "AADSTS7000222")
    assert "new secret" in payload["message"]
    assert emulator.client_secret not in json.dumps(payload)


def test_a_connection_that_is_not_filled_in_is_an_event_too(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_HALF", json.dumps({"conn_type": "dynamics", "host": "https://x.crm.dynamics.com"})
    )

    payload = look(dynamics_conn_id="half")

    assert (payload["error_type"], payload["kind"]) == ("SettingsError", "permanent")
    assert "'half'" in payload["message"]


def test_every_trigger_is_one_of_airflows():
    assert issubclass(DynamicsRowTrigger, BaseTrigger)
