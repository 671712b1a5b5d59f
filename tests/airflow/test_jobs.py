"""Tasks that wait for a job: they start it once, whatever ends a try, and stopping them cancels it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralTimeout, TaskDeferred

from airflow_provider_dynamics.dataverse import column, errors
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsBulkDeleteOperator, DynamicsJobOperator
from airflow_provider_dynamics.retry import DynamicsRetryableError, reason_of
from airflow_provider_dynamics.sensors import DynamicsJobSensor
from airflow_provider_dynamics.state.jobs import KEY, JobMemory, Remembered, run_name
from airflow_provider_dynamics.triggers import DynamicsJobTrigger
from tests.airflow.one_job import SHIPMENTS
from tests.airflow.transfers.reading import FakeStore

pytestmark = pytest.mark.usefixtures("dynamics_conn")
MISSING = "00000000-0000-0000-0000-00000000dead"


def clean(**arguments):
    options = {"fetch_xml": SHIPMENTS, "poll_interval": 0.1, "deferrable": False, **arguments}
    return DynamicsBulkDeleteOperator(task_id="clean", **options)


def recalculate(**arguments):
    options = {"background": True, "poll_interval": 0.1, "deferrable": False, **arguments}
    return DynamicsJobOperator(task_id="recalculate", action="contoso_Recalculate", **options)


def context(store=None, try_number=1, run_id="once", max_tries=0):
    made = {
        "ti": SimpleNamespace(
            dag_id="dag",
            task_id="task",
            run_id=run_id,
            map_index=-1,
            try_number=try_number,
            max_tries=max_tries,
        )
    }
    return made if store is None else {**made, "task_state_store": store}


def shipments(emulator):
    return len(emulator.rows("contoso_shipment"))


def started(emulator, action="BulkDelete"):
    return [
        found for found in emulator.requests if found.method == "POST" and found.path.endswith(f"/{action}")
    ]


def jobs(emulator):
    return {row["asyncoperationid"]: row["statuscode"] for row in emulator.rows("asyncoperation")}


@pytest.fixture
def store():
    return FakeStore()


class Killed(BaseException):
    """Stands for SIGKILL: whoever sees it does nothing more."""


def killed_while_waiting(task, told):
    """Run a try that dies in the middle of its wait."""

    def die(job):
        raise Killed(job.id)

    task._said = die
    with pytest.raises(Killed) as raised:
        task.execute(told)
    return str(raised.value)


# --- through Airflow ---


@pytest.mark.parametrize("deferrable", [False, True], ids=["on a worker", "deferred"])
def test_rows_are_deleted_by_a_job(run_dag, emulator, deferrable):
    before = shipments(emulator)
    with DAG("cleaning", schedule=None) as dag:
        clean(deferrable=deferrable)

    ran = run_dag(dag)

    told = ran.xcoms["clean"]
    assert (told["status"], told["deleted"], told["failed"]) == ("succeeded", before, 0)
    assert told["name"].startswith("Bulk delete by Airflow (cleaning.clean ")
    assert shipments(emulator) == 0
    assert len(started(emulator)) == 1
    assert told["job_id"] in ran.links["clean"]["DynamicsRowLink"]


def test_a_job_that_fails_fails_the_task_with_its_own_words(run_dag, emulator):
    emulator.jobs.fail("The plug-in said no.", "0x80040265")
    with DAG("cleaning", schedule=None) as dag:
        clean(deferrable=True)

    ran = run_dag(dag)

    assert ran.states["clean"] == "failed"
    assert isinstance(ran.errors["clean"], AirflowFailException)
    assert "The plug-in said no" in str(ran.errors["clean"])


# --- the next try ---


@pytest.mark.parametrize("deferrable", [False, True], ids=["on a worker", "deferred"])
def test_a_retry_goes_on_waiting_for_the_same_job(emulator, store, deferrable):
    emulator.jobs.held = True
    job_id = killed_while_waiting(clean(), context(store))
    emulator.jobs.held = False
    if not deferrable:
        emulator.jobs.advance(60)
    again = clean(deferrable=deferrable)

    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            again.execute(context(store, 2))
        assert deferred.value.trigger.job_id == job_id
    else:
        assert again.execute(context(store, 2))["job_id"] == job_id

    assert len(started(emulator)) == 1


def test_a_job_that_succeeded_while_nobody_looked_is_taken_as_it_is(emulator, store):
    before = shipments(emulator)
    job_id = killed_while_waiting(clean(), context(store))
    emulator.jobs.advance(60)

    told = clean().execute(context(store, 2))

    assert (told["job_id"], told["deleted"]) == (job_id, before)
    assert len(started(emulator)) == 1


def test_a_task_that_is_cleared_after_its_success_starts_anew(emulator, store):
    clean().execute(context(store))
    assert store.values == {}

    assert clean().execute(context(store, 2, max_tries=1))["deleted"] == 0
    assert len(started(emulator)) == 2


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_in_place_of_a_job_that_did_not_succeed_a_retry_starts_another(emulator, store, how):
    if how == "fails":
        emulator.jobs.fail("Sql timeout", "0x80044151")
        with pytest.raises(DynamicsRetryableError, match="Sql timeout"):
            clean().execute(context(store))
    else:
        job_id = killed_while_waiting(clean(), context(store))
        with DynamicsHook().get_conn() as client:
            client.jobs.cancel(job_id)

    assert clean().execute(context(store, 2))["status"] == "succeeded"
    assert len(started(emulator)) == 2


def test_where_airflow_keeps_no_state_the_job_is_found_by_its_name(emulator):
    emulator.jobs.held = True
    job_id = killed_while_waiting(clean(), context())
    emulator.jobs.held = False

    told = clean().execute(context(None, 2))

    assert told["job_id"] == job_id
    assert len(started(emulator)) == 1


def test_where_airflow_keeps_no_state_a_job_that_succeeded_unheard_is_not_done_again(emulator):
    before = shipments(emulator)
    job_id = killed_while_waiting(clean(), context())
    emulator.jobs.advance(60)

    told = clean().execute(context(None, 2))

    assert (told["job_id"], told["deleted"]) == (job_id, before)
    assert len(started(emulator)) == 1


def test_where_airflow_keeps_no_state_a_cleared_task_starts_anew(emulator):
    first = clean().execute(context())["job_id"]

    told = clean().execute(context(None, 2, max_tries=1))

    assert told["job_id"] != first
    assert len(started(emulator)) == 2


def test_a_task_cleared_in_the_middle_goes_on_with_the_job_that_runs(emulator):
    emulator.jobs.held = True
    job_id = killed_while_waiting(clean(), context())
    emulator.jobs.held = False

    assert clean().execute(context(None, 2, max_tries=1))["job_id"] == job_id
    assert len(started(emulator)) == 1


def test_no_second_job_starts_while_the_first_is_still_being_cancelled(emulator, store):
    emulator.jobs.canceling, emulator.jobs.running = 1.0, 60.0
    job_id = killed_while_waiting(clean(), context(store))
    emulator.jobs.advance(0.3)
    with DynamicsHook().get_conn() as client:
        assert client.jobs.cancel(job_id).status == "canceling"
    emulator.jobs.running = 0.1
    again, then = clean(), []
    begin = again.start

    def start(client, told):
        then.append(client.jobs.get(job_id).status)
        return begin(client, told)

    again.start = start

    assert again.execute(context(store, 2))["status"] == "succeeded"
    assert then == ["canceled"]


def test_what_a_job_deleted_before_it_failed_is_accounted_for(emulator, store):
    before = shipments(emulator)
    emulator.jobs.fail("The plug-in said no.", "0x80040265", after=0.5)

    with pytest.raises(AirflowFailException) as raised:
        clean().execute(context(store))

    gone = before - shipments(emulator)
    assert 0 < gone < before
    assert f"Before, it deleted {gone:,} rows and could not delete 0" in str(raised.value)


def test_a_task_that_failed_for_its_rows_is_not_told_the_same_when_it_is_cleared(emulator, store):
    task = clean()

    def finished(_client, _job):
        raise AirflowFailException("could not delete 3")

    task.finished = finished
    with pytest.raises(AirflowFailException, match="could not delete 3"):
        task.execute(context(store))

    clean().execute(context(store, 2, max_tries=1))
    assert len(started(emulator)) == 2


@pytest.mark.parametrize("moment", ["before the request", "after it"])
def test_a_worker_killed_while_it_starts_a_job_that_nobody_can_find_starts_no_second(emulator, store, moment):
    emulator.custom_api("contoso_Recalculate", {"Total": 7}, result={"Total": "Edm.Int32"})
    task = recalculate()
    begin = task.start

    def start(client, told):
        if moment == "after it":
            begin(client, told)
        raise Killed

    task.start = start
    with pytest.raises(Killed):
        task.execute(context(store))
    sent = len(started(emulator, "contoso_Recalculate"))

    with pytest.raises(AirflowFailException, match="died while it started its job"):
        recalculate().execute(context(store, 2))

    assert len(started(emulator, "contoso_Recalculate")) == sent
    assert recalculate().execute(context(store, 3))["Total"] == 7


def test_a_start_that_was_refused_may_be_tried_again(emulator, store):
    emulator.custom_api("contoso_Recalculate", {"Total": 7}, result={"Total": "Edm.Int32"})
    emulator.fault("status", path="contoso_Recalculate", status=400, count=1)
    with pytest.raises(AirflowFailException):
        recalculate().execute(context(store))

    assert recalculate().execute(context(store, 2))["Total"] == 7


def test_the_job_of_another_run_is_not_taken_for_ones_own(emulator):
    emulator.jobs.held = True
    job_id = killed_while_waiting(clean(), context(None, 1, "other"))
    emulator.jobs.held = False

    assert clean().execute(context(None, 2))["job_id"] != job_id


def test_a_job_whose_start_was_not_heard_of_is_found_by_its_name(emulator, store):
    emulator.jobs.held = True
    emulator.fault("reset", path="BulkDelete$", when="after", count=1)
    with pytest.raises(DynamicsRetryableError, match="connection broke"):
        clean().execute(context(store))
    emulator.jobs.held = False

    clean().execute(context(store, 2))

    assert len(started(emulator)) == 1
    assert shipments(emulator) == 0


def test_a_try_with_other_arguments_starts_its_own_job(emulator, store):
    killed_while_waiting(clean(), context(store))

    clean(fetch_xml=SHIPMENTS.replace("'ge'", "'ne'")).execute(context(store, 1))

    assert len(started(emulator)) == 2


def test_a_bulk_delete_whose_record_is_gone_is_done_again(emulator, store):
    emulator.jobs.keep_completed = False
    killed_while_waiting(clean(), context(store))
    emulator.jobs.advance(60)
    emulator.jobs.keep_completed = True

    assert clean().execute(context(store, 2))["deleted"] == 0


def test_another_job_whose_record_is_gone_is_not_started_again_by_itself(emulator, store):
    emulator.custom_api("contoso_Recalculate", {"Total": 7}, result={"Total": "Edm.Int32"})
    store.set(KEY, Remembered(MISSING, "background", recalculate()._fingerprint(), {}).to_json())

    with pytest.raises(AirflowFailException, match="nobody can say whether it succeeded"):
        recalculate().execute(context(store, 2))

    assert started(emulator, "contoso_Recalculate") == []
    assert store.values == {}


@pytest.mark.parametrize("keeps", ["store", "nothing"])
def test_a_worker_that_is_killed_costs_no_job(emulator, tmp_path, keeps):
    before, emulator.jobs.held = shipments(emulator), True

    def attempt(number):
        return subprocess.Popen(
            [sys.executable, "-m", "tests.airflow.one_job", str(tmp_path), str(number), keeps],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        )

    with attempt(1) as first:
        wait_until(lambda: looked_at(emulator))
        first.send_signal(signal.SIGKILL)
    looks = len(looked_at(emulator))
    with attempt(2) as second:
        wait_until(lambda: len(looked_at(emulator)) > looks)
        emulator.jobs.held = False
        out, _ = second.communicate(timeout=120)

    told = json.loads(out.splitlines()[-1])
    assert (told["status"], told["deleted"], shipments(emulator)) == ("succeeded", before, 0)
    assert len(jobs(emulator)) == 1


def looked_at(emulator):
    return [found for found in emulator.requests if "asyncoperations(" in found.path]


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("seconds", [0, -1])
def test_nobody_is_asked_without_a_pause(seconds):
    with pytest.raises(ValueError, match="more than none"):
        clean(poll_interval=seconds)


# --- stopping ---


def test_stopping_the_task_cancels_its_job(emulator, store):
    task = clean()

    def stop():
        wait_until(lambda: looked_at(emulator))
        task.on_kill()

    stopping = threading.Thread(target=stop)
    emulator.jobs.running = 60.0
    stopping.start()
    with pytest.raises(DynamicsRetryableError, match="cancelled"):
        task.execute(context(store))
    stopping.join()

    assert set(jobs(emulator).values()) == {32}


def test_a_job_may_be_left_alone(emulator):
    task = clean(cancel_on_kill=False)
    killed_while_waiting(task, context())

    task.on_kill()

    assert set(jobs(emulator).values()) & {0, 20}


def test_a_job_that_cannot_be_cancelled_goes_on_and_the_log_says_so(emulator, store, capsys):
    emulator.jobs.cancelable = False
    task = clean()
    killed_while_waiting(task, context(store))

    task.on_kill()

    assert set(jobs(emulator).values()) & {0, 20}
    assert "could not be cancelled and goes on" in capsys.readouterr().out


def test_a_task_that_runs_out_of_time_while_it_is_deferred_cancels_its_job(emulator, store):
    emulator.jobs.running = 60.0
    task = clean(deferrable=True)
    with pytest.raises(TaskDeferred):
        task.execute(context(store))

    with pytest.raises(TaskDeferralTimeout):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context(store))

    assert set(jobs(emulator).values()) == {32}


def test_stopping_a_deferred_task_cancels_its_job_through_the_trigger(emulator, store, dynamics_conn):
    emulator.jobs.running = 60.0
    with pytest.raises(TaskDeferred) as deferred:
        clean(deferrable=True).execute(context(store))
    _, arguments = deferred.value.trigger.serialize()

    asyncio.run(DynamicsJobTrigger(**json.loads(json.dumps(arguments))).on_kill())

    assert arguments["dynamics_conn_id"] == dynamics_conn
    assert set(jobs(emulator).values()) == {32}


def test_a_trigger_of_a_mere_watcher_cancels_nothing(emulator):
    killed_while_waiting(clean(cancel_on_kill=False), context())
    (job_id,) = jobs(emulator)

    asyncio.run(DynamicsJobTrigger(job_id=job_id).on_kill())

    assert set(jobs(emulator).values()) & {0, 20}


def test_a_job_that_started_while_the_task_was_being_stopped_is_cancelled(emulator, store):
    emulator.jobs.running = 60.0
    task = clean()
    begin = task.start

    def start(client, told):
        made = begin(client, told)
        task.on_kill()
        return made

    task.start = start
    with pytest.raises(DynamicsRetryableError, match="cancelled"):
        task.execute(context(store))

    assert set(jobs(emulator).values()) == {32}


def test_where_airflow_keeps_no_state_a_task_that_ran_out_of_time_finds_its_job_to_cancel(emulator):
    emulator.jobs.running = 60.0
    task = clean(deferrable=True)
    with pytest.raises(TaskDeferred):
        task.execute(context())

    with pytest.raises(TaskDeferralTimeout):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context())

    assert set(jobs(emulator).values()) == {32}


# --- any job ---


@pytest.mark.parametrize("kept", [True, False], ids=["with a store", "without one"])
def test_what_else_the_action_answered_is_part_of_the_result(emulator, kept):
    def begin(_parameters):
        return {"AsyncOperationId": job_id, "ExportJobId": "7"}

    def export(**arguments):
        return DynamicsJobOperator(task_id="export", action="contoso_Export", poll_interval=0.1, **arguments)

    job_id = start_a_job()
    emulator.custom_api(
        *("contoso_Export", begin), result={"AsyncOperationId": "Edm.Guid", "ExportJobId": "Edm.String"}
    )
    told = context(FakeStore() if kept else None)
    with pytest.raises(TaskDeferred) as deferred:
        export(deferrable=True).execute(told)
    emulator.jobs.advance(60)
    with DynamicsHook().get_conn() as client:
        event = {"status": "success", "job": client.jobs.get(job_id).to_json()}

    resumed = export(deferrable=True).resume_execution(
        "execute_complete", {**(deferred.value.kwargs or {}), "event": event}, told
    )

    assert resumed == {"job_id": job_id, "name": "Somebody's", "status": "succeeded", "ExportJobId": "7"}
    assert export(deferrable=False).execute(told) == resumed


@pytest.mark.parametrize("deferrable", [False, True], ids=["on a worker", "deferred"])
def test_a_custom_api_runs_in_the_background(run_dag, emulator, deferrable):
    emulator.custom_api(
        *("contoso_Recalculate", {"Total": 7}),
        parameters={"Year": "Edm.Int32"},
        result={"Total": "Edm.Int32"},
    )
    with DAG("background", schedule=None) as dag:
        recalculate(parameters={"Year": 2026}, deferrable=deferrable)

    told = run_dag(dag).xcoms["recalculate"]

    assert (told["status"], told["Total"]) == ("succeeded", 7)


def test_an_action_is_not_sent_again_when_nobody_knows_whether_it_was_carried_out(emulator, store):
    emulator.custom_api("contoso_Recalculate", {"Total": 7}, result={"Total": "Edm.Int32"})
    emulator.fault("reset", path="contoso_Recalculate", when="after", count=1)

    with pytest.raises(
        AirflowFailException, match="Whether contoso_Recalculate has started its job is not known"
    ):
        recalculate().execute(context(store))

    assert len(started(emulator, "contoso_Recalculate")) == 1


def test_what_a_dead_worker_would_cost_is_said_before_it_starts(emulator, capsys):
    emulator.custom_api("contoso_Recalculate", {"Total": 7}, result={"Total": "Edm.Int32"})

    recalculate().execute(context())

    assert "the next one starts a second job" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda: clean(fetch_xml=None, table="account"), "delete every row of account", id="all"),
        pytest.param(
            lambda: clean(fetch_xml=None, table="account", filter="statecode eq 0"), "OData's text", id="text"
        ),
        pytest.param(lambda: clean(table="account"), "leave table out", id="two queries"),
        pytest.param(
            lambda: clean(fetch_xml=None, table="account", filter=column("nam") == "x"),
            "Did you mean 'name'",
            id="a typo",
        ),
        pytest.param(
            lambda: DynamicsJobOperator(task_id="x", action="BulkDelet", deferrable=False),
            "Did you mean 'BulkDelete'",
            id="no such action",
        ),
    ],
)
def test_what_makes_no_sense_fails_before_anything_is_started(emulator, make, words):
    with pytest.raises(AirflowFailException, match=words):
        make().execute(context())

    assert started(emulator) == []


def test_rows_that_cannot_be_deleted_fail_the_task_unless_they_may_stay():
    job = SimpleNamespace(id=MISSING, name="n", status="succeeded")
    failures = ({"row_id": "r1", "message": "It is in use."},)
    client = SimpleNamespace(
        jobs=SimpleNamespace(deletions=lambda _: SimpleNamespace(deleted=5, failed=2, failures=failures))
    )

    with pytest.raises(AirflowFailException, match=r"could not delete 2: r1: It is in use\."):
        clean().finished(client, job)

    assert clean(max_failures=2).finished(client, job)["failed"] == 2
    assert clean(max_failures=None).finished(client, job)["failures"] == list(failures)


# --- the sensor ---


def start_a_job():
    with DynamicsHook().get_conn() as client:
        return client.jobs.start_bulk_delete(SHIPMENTS, name="Somebody's")


@pytest.mark.parametrize("deferrable", [False, True], ids=["on a worker", "deferred"])
def test_a_sensor_waits_for_somebody_elses_job(run_dag, deferrable):
    job_id = start_a_job()
    with DAG("watching", schedule=None) as dag:
        DynamicsJobSensor(task_id="wait", job_id=job_id, poke_interval=0.1, deferrable=deferrable)

    assert run_dag(dag).xcoms["wait"] == {"job_id": job_id, "name": "Somebody's", "status": "succeeded"}


def test_a_sensor_fails_with_its_job(emulator):
    emulator.jobs.fail("The plug-in said no.", "0x80040265")
    job_id = start_a_job()
    emulator.jobs.advance(60)

    with pytest.raises(AirflowFailException, match="The plug-in said no"):
        DynamicsJobSensor(task_id="wait", job_id=job_id).execute({})
    with pytest.raises(AirflowFailException, match="not there"):
        DynamicsJobSensor(task_id="wait", job_id=MISSING, deferrable=True).execute({})


def test_a_sensor_that_was_deferred_fails_with_its_job():
    failed = {"id": MISSING, "kind": "system", "name": "n", "state": "completed", "status": "failed"}
    waiting = DynamicsJobSensor(task_id="wait", job_id=MISSING, deferrable=True)

    with pytest.raises(AirflowFailException, match="failed"):
        waiting.execute_complete({}, {"status": "success", "job": failed})


# --- what is kept ---


def test_what_cannot_be_kept_or_read_costs_only_the_knowledge(caplog):
    class Broken(FakeStore):
        def get(self, key, default=None):
            raise OSError("away")

        def set(self, key, value, *, retention=None):
            raise OSError("away")

        def delete(self, key):
            raise OSError("away")

    memory = JobMemory(Broken())
    memory.save(Remembered(MISSING, "system", "f", {}))
    memory.clear()

    assert memory.load("f") is None
    assert len(caplog.records) == 3


def test_a_record_that_is_none_is_none(store):
    store.set(KEY, {"odd": 1})

    assert JobMemory(store).load("f") is None


def test_a_job_gone_while_the_task_was_deferred_is_forgotten(store):
    store.set(KEY, Remembered(MISSING, "background", recalculate()._fingerprint(), {}).to_json())
    reason = reason_of(errors.JobGone("gone"))
    assert reason is not None

    with pytest.raises(AirflowFailException, match="gone"):
        recalculate(deferrable=True).execute_complete(context(store), reason.as_event())

    assert store.values == {}


def test_a_long_name_stays_one_runs_own():
    names = {run_name(context(None, 1, f"{'x' * 300}{number}"), "Bulk delete") for number in range(3)}

    assert len(names) == 3
    assert max(map(len, names)) <= 200
