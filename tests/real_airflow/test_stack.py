"""What only Airflow's own scheduler, triggerer and API server show."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack, DagRun

pytestmark = pytest.mark.stack


def deferred(stack: AirflowStack, dag_id: str, run_id: str) -> bool:
    (task,) = DagRun(stack, dag_id, run_id, "").tasks().values()
    return bool(task["state"] == "deferred")


def test_a_deferred_sensor_succeeds_when_the_row_appears(stack: AirflowStack, emulator: Emulator) -> None:
    run_id = stack.trigger("wait_deferred", {"number": "SHP-LATE"})
    stack.wait(lambda: deferred(stack, "wait_deferred", run_id), "the sensor to defer")

    with Client(emulator.url, StaticToken(emulator.access_token()), ca_bundle=emulator.ca_bundle) as client:
        client.create("contoso_shipment", {"contoso_number": "SHP-LATE", "contoso_name": "late"})

    run = stack.finished("wait_deferred", run_id)
    assert run.state == "success"
    assert run.tasks()["wait"]["try_number"] == 1


@pytest.mark.usefixtures("emulator")
def test_a_refused_secret_is_the_tasks_error_and_is_not_retried(stack: AirflowStack) -> None:
    run = stack.run_dag("refused_sign_in")

    task = run.tasks()["query"]
    assert (run.state, task["state"], task["try_number"]) == ("failed", "failed", 1)
    log = run.log("query")
    assert "AADSTS7000215" in log
    assert "What to do" in log
    assert "not-the-secret" not in log


@pytest.mark.usefixtures("emulator")
def test_sign_ins_are_counted_in_airflows_own_metrics(stack: AirflowStack, statsd) -> None:
    stack.run_dag("refused_sign_in")

    def counted() -> list[str]:
        return [packet for packet in statsd.packets if packet.startswith("airflow.dynamics.sign_in")]

    assert any(packet.endswith("|c") for packet in stack.wait(counted, "a sign-in to be counted"))


def test_a_secret_that_dies_while_deferred_is_a_trigger_error_with_its_remedy(
    stack: AirflowStack, emulator: Emulator
) -> None:
    run_id = stack.trigger("wait_deferred", {"number": "SHP-NEVER"})
    stack.wait(lambda: deferred(stack, "wait_deferred", run_id), "the sensor to defer")

    emulator.fault("secret_expired")
    emulator.fault("expired_token")

    run = stack.finished("wait_deferred", run_id)
    task = run.tasks()["wait"]
    assert (run.state, task["try_number"]) == ("failed", 1)
    log = run.log("wait")
    assert "AADSTS7000222" in log
    assert "What to do" in log


@pytest.mark.parametrize(
    ("password", "status", "words"),
    [
        pytest.param(
            None, True, "connected to https://127.0.0.1", id="the right secret names the environment"
        ),
        pytest.param("wrong", False, "AADSTS7000215", id="a wrong secret is explained"),
    ],
)
def test_the_ui_can_test_a_connection(
    stack: AirflowStack, emulator: Emulator, password: str | None, status: bool, words: str
) -> None:
    fields = json.loads(emulator.airflow_connection()["AIRFLOW_CONN_DYNAMICS_DEFAULT"])
    body = {
        "connection_id": "from_the_form",
        "conn_type": "dynamics",
        "host": fields["host"],
        "login": fields["login"],
        "password": password or fields["password"],
        "extra": json.dumps(fields["extra"]),
    }

    answer = stack.call("POST", "/connections/test", body)

    assert answer["status"] is status
    assert words.lower() in answer["message"].lower()
