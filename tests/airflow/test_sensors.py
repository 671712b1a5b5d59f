"""Sensors: what a look says, when it defers, and what the resumed task raises."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferred,
)

from airflow_provider_dynamics.dataverse import column, errors
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import DynamicsRetryableError, reason_of
from airflow_provider_dynamics.sensors import DynamicsRowSensor
from airflow_provider_dynamics.triggers import DynamicsRowTrigger
from tests.airflow.fakes import FakeClient, FakeHook

ROW_ID = "11111111-2222-3333-4444-555555555555"
FOUND = [{"accountid": ROW_ID}]
TOLD = {"table": "account", "row_id": ROW_ID, "row_ids": [ROW_ID], "count": 1}
FORBIDDEN = errors.Forbidden("missing prvReadAccount", status=403, code="0x80040220")
DOWN = errors.ServerError("Internal error", status=503)


def event_of(error):
    reason = reason_of(error)
    assert reason is not None
    return reason.as_event()


def sensor(*answers, **arguments):
    made = DynamicsRowSensor(task_id="wait", table="account", **arguments)
    made.__dict__["hook"] = FakeHook(FakeClient(*answers))
    return made


def test_it_returns_which_row_it_found():
    assert sensor(FOUND, filter="name eq 'x'").execute({}) == TOLD


def test_it_looks_again_until_the_row_is_there():
    assert sensor([], [], FOUND, poke_interval=0).execute({})["row_id"] == ROW_ID


def test_a_permanent_error_fails_it_at_once():
    with pytest.raises(AirflowFailException, match="0x80040220"):
        sensor(FORBIDDEN).execute({})


def test_the_timeout_is_airflows():
    with pytest.raises(AirflowSensorTimeout):
        sensor([], timeout=0, poke_interval=0).execute({})


def test_deferred_it_looks_once_itself_and_does_not_defer_what_is_there_already():
    assert sensor(FOUND, deferrable=True).execute({}) == TOLD


def test_deferred_it_hands_its_query_interval_and_timeout_to_the_trigger():
    waiting = sensor(
        [],
        deferrable=True,
        filter="name eq 'x'",
        poke_interval=7,
        timeout=3600,
        dynamics_conn_id="c",
        environment="https://b.crm.dynamics.com",
    )

    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})

    expected = DynamicsRowTrigger(
        table="account",
        filter="name eq 'x'",
        dynamics_conn_id="c",
        environment="https://b.crm.dynamics.com",
        poll_interval=7,
    )
    assert deferred.value.trigger.serialize() == expected.serialize()
    assert deferred.value.timeout == timedelta(hours=1)


def test_deferred_it_hands_a_condition_to_the_trigger_as_the_table_spells_it():
    waiting = sensor([], deferrable=True, filter=column("name") == "O'Neill")

    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})

    assert deferred.value.trigger.filter == "name eq 'O''Neill' as account spells it"


def test_a_condition_that_no_look_could_spell_is_not_handed_on():
    with pytest.raises(DynamicsRetryableError, match="columns of account could not be read"):
        sensor(filter=column("name") == "x").trigger()


def test_deferred_a_permanent_error_fails_it_before_anything_waits():
    with pytest.raises(AirflowFailException, match="0x80040220"):
        sensor(FORBIDDEN, deferrable=True).execute({})


@pytest.mark.parametrize(
    ("arguments", "longest"),
    [({}, None), ({"max_wait": 90.0}, 90), ({"timeout": 7200}, 7200)],
    ids=["off", "max_wait", "timeout"],
)
def test_deferred_the_interval_grows_as_it_does_on_a_worker(arguments, longest):
    waiting = sensor([], deferrable=True, exponential_backoff=longest is not None, **arguments)

    assert waiting.trigger().longest_interval == longest


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_deferred_a_permanent_error_skips_where_the_sensor_may_not_fail(flag):
    with pytest.raises(AirflowSkipException):
        sensor(FORBIDDEN, deferrable=True, **{flag: True}).execute({})


def test_deferred_a_passing_error_of_the_first_look_is_left_to_the_trigger_where_errors_are_silent():
    with pytest.raises(TaskDeferred):
        sensor(DOWN, deferrable=True, silent_fail=True).execute({})


def test_deferred_a_passing_error_of_the_first_look_leaves_the_task_its_retries():
    with pytest.raises(DynamicsRetryableError):
        sensor(DOWN, deferrable=True).execute({})


def test_the_default_is_airflows_own_setting(monkeypatch):
    assert sensor().deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert sensor().deferrable is True


def resume(event, **arguments):
    return sensor(deferrable=True, **arguments).resume_execution("execute_complete", {"event": event}, {})


def test_the_resumed_task_returns_what_the_trigger_found():
    assert resume({"status": "success", **TOLD}) == TOLD


def test_a_permanent_error_in_the_event_burns_no_retries():
    with pytest.raises(AirflowFailException) as raised:
        resume(event_of(FORBIDDEN))

    assert str(raised.value) == str(FORBIDDEN)


def test_a_passing_error_in_the_event_may_be_retried():
    with pytest.raises(DynamicsRetryableError) as raised:
        resume(event_of(DOWN))

    assert raised.value.error_type == "ServerError"


@pytest.mark.parametrize("event", [None, {}, {"status": "odd"}], ids=repr)
def test_an_event_that_says_nothing_is_no_success(event):
    with pytest.raises(DynamicsRetryableError, match="without saying"):
        resume(event)


def test_a_trigger_that_crashed_says_of_what():
    crash = {"error": "Trigger failure", "traceback": ["Traceback …\n", "ImportError: no module x\n", "\n"]}

    with pytest.raises(DynamicsRetryableError, match="Trigger failure: ImportError: no module x") as raised:
        sensor(deferrable=True).resume_execution("__fail__", crash, {})

    assert isinstance(raised.value.__cause__, TaskDeferralError)


def test_a_trigger_that_ran_out_of_time_is_a_sensor_timeout():
    with pytest.raises(AirflowSensorTimeout):
        sensor(deferrable=True).resume_execution("__fail__", {"error": "Trigger timeout"}, {})


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(("execute_complete", {"event": event_of(FORBIDDEN)}), id="a permanent error"),
        pytest.param(("__fail__", {"error": "Trigger timeout"}), id="a timeout"),
    ],
)
def test_soft_fail_skips_what_the_trigger_could_not_find(failure):
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, soft_fail=True).resume_execution(*failure, {})


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(("execute_complete", {"event": event_of(DOWN)}), id="a passing error"),
        pytest.param(("__fail__", {"error": "Trigger failure", "traceback": ["x"]}), id="a crash"),
    ],
)
def test_what_may_pass_is_left_to_the_retries_by_soft_fail_and_skipped_by_never_fail(failure):
    with pytest.raises(DynamicsRetryableError):
        sensor(deferrable=True, soft_fail=True).resume_execution(*failure, {})
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, never_fail=True).resume_execution(*failure, {})


def test_reschedule_mode_gives_the_worker_back_between_looks():
    class TaskInstance:
        def get_first_reschedule_date(self, _context):
            return datetime.now(timezone.utc)

    with pytest.raises(AirflowRescheduleException):
        sensor([], mode="reschedule").execute({"ti": TaskInstance()})


def test_stopping_the_task_ends_a_running_wait():
    class Stopping(FakeClient):
        def rows(self, query):
            waiting.on_kill()
            return super().rows(query)

    waiting = DynamicsRowSensor(task_id="wait", table="account")
    client = Stopping(FOUND)
    waiting.__dict__["hook"] = FakeHook(client)

    waiting.execute({})
    waiting.on_kill()

    assert client.cancelled


# --- through Airflow, against the emulator -----------------------------------------------------------------------

on_emulator = pytest.mark.usefixtures("dynamics_conn")


@on_emulator
@pytest.mark.parametrize("arguments", [{}, {"deferrable": True}], ids=["poke", "deferrable"])
def test_a_row_that_is_there_is_found(run_dag, emulator, arguments):
    account = emulator.rows("account")[0]
    with DAG("row_is_there", schedule=None) as dag:
        DynamicsRowSensor(task_id="wait", table="account", row_id=account["accountid"], **arguments)

    ran = run_dag(dag)

    assert ran.states == {"wait": "success"}
    row_id = account["accountid"]
    assert ran.xcoms["wait"] == {"table": "account", "row_id": row_id, "row_ids": [row_id], "count": 1}


@on_emulator
def test_a_deferred_sensor_sees_the_row_that_came_later(run_dag):
    def later():
        with DynamicsHook().get_conn() as client:
            client.create("account", {"name": "Late GmbH"})

    with DAG("row_comes_later", schedule=None) as dag:
        DynamicsRowSensor(
            task_id="wait", table="account", filter="name eq 'Late GmbH'", deferrable=True, poke_interval=1
        )
    timer = threading.Timer(2, later)
    timer.start()
    ran = run_dag(dag)
    timer.join()

    assert ran.states == {"wait": "success"}
    assert ran.xcoms["wait"]["table"] == "account"


@on_emulator
@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
def test_an_unknown_table_fails_in_one_try(run_dag, deferrable):
    with DAG("unknown_table", schedule=None) as dag:
        DynamicsRowSensor(
            task_id="wait", table="acount", deferrable=deferrable, retries=3, retry_delay=timedelta(0)
        )

    ran = run_dag(dag)

    assert (ran.states, ran.tries) == ({"wait": "failed"}, {"wait": 1})
    assert isinstance(ran.errors["wait"], AirflowFailException)
    assert "account" in str(ran.errors["wait"])
