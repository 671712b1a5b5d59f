"""Every way a sign-in can fail, through Airflow's own scheduler and triggerer: one try, the cure, the callback.

An operator, a sensor that has already deferred, and a watcher meet each of them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.compat import HAS_RETRY_POLICY
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.emulator import Emulator
from tests.stack import FINAL_STATES, AirflowStack, DagRun

pytestmark = pytest.mark.stack

OUTAGE = 60.0  # seconds
AWAITED = "00000000-0000-4000-8000-00000000a3a1"  # the row that the sensors wait for


def no_good_tokens(emulator: Emulator) -> None:
    """Make every access token that was handed out so far, and any other, count as expired."""
    emulator.fault("expired_token")


def expired_secret(emulator: Emulator) -> None:
    no_good_tokens(emulator)
    emulator.fault("secret_expired")


def wrong_secret(emulator: Emulator) -> None:
    no_good_tokens(emulator)
    emulator.fault("token_error", error="invalid_client", code=7000215)


def missing_consent(emulator: Emulator) -> None:
    no_good_tokens(emulator)
    emulator.fault("consent_required")


def revoked_token(emulator: Emulator) -> None:
    no_good_tokens(emulator)
    emulator.sign_ins.revoke(emulator.other_user_name)


def no_application_user(emulator: Emulator) -> None:
    emulator.fault("not_a_member")


PERMANENT = [
    pytest.param(expired_secret, "AADSTS7000222", "Create a new secret", id="an expired client secret"),
    pytest.param(wrong_secret, "AADSTS7000215", "the secret's Value", id="a wrong client secret"),
    pytest.param(missing_consent, "AADSTS65001", "adminconsent", id="missing consent"),
    pytest.param(revoked_token, "AADSTS50173", "Sign in", id="a revoked refresh token"),
    pytest.param(no_application_user, "0x80072560", "application user", id="a missing application user"),
]


def deferred(stack: AirflowStack, dag_id: str, run_id: str) -> bool:
    (task,) = DagRun(stack, dag_id, run_id, "").tasks().values()
    return bool(task["state"] == "deferred")


def begin(stack: AirflowStack, case: str) -> str:
    """Start the sensor of a case and wait until it is the triggerer's."""
    run_id = stack.trigger(f"sensor_{case}")
    stack.wait(lambda: deferred(stack, f"sensor_{case}", run_id), "the sensor to defer")
    return run_id


def woken(stack: AirflowStack, dag_id: str, seconds: float = 120) -> DagRun:
    """Return the first run that a watcher's event has set off, at its end."""

    def ended() -> DagRun | None:
        for run in stack.call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]:
            if run["state"] in FINAL_STATES:
                return DagRun(stack, dag_id, run["dag_run_id"], run["state"])
        return None

    found: DagRun = stack.wait(ended, f"the watcher to set off {dag_id}", seconds)
    return found


def check(run: DagRun, code: str, cure: str) -> None:
    """Exactly one try of four, the last error in the log names the cure, the callback was given it."""
    (task,) = run.tasks().values()
    told = (Path(run.stack.home) / "callbacks" / f"{run.dag_id}.txt").read_text()
    assert (run.state, task["try_number"], task["max_tries"]) == ("failed", 1, 3)
    for text in (run.last_error("work"), told):
        assert code in text
        assert "What to do" in text
        assert cure in text


@pytest.mark.parametrize(("breaks", "code", "cure"), PERMANENT)
def test_what_cannot_pass_fails_once_with_its_cure(
    stack: AirflowStack, emulator: Emulator, breaks: Callable[[Emulator], None], code: str, cure: str
) -> None:
    case = breaks.__name__
    waiting = begin(stack, case)

    breaks(emulator)
    working = stack.trigger(f"operator_{case}")
    stack.unpause(f"watcher_{case}")

    try:
        check(stack.finished(f"operator_{case}", working), code, cure)
        check(stack.finished(f"sensor_{case}", waiting), code, cure)
        check(woken(stack, f"watcher_{case}"), code, cure)
    finally:
        stack.call("PATCH", f"/dags/watcher_{case}", {"is_paused": True})


def test_a_minute_without_the_sign_in_service_is_ridden_out_within_one_try(
    stack: AirflowStack, emulator: Emulator
) -> None:
    waiting = begin(stack, "outage")
    stack.unpause("watcher_outage")
    stack.wait(lambda: marked(emulator), "the watcher to mark its place")
    emulator.fault("token_status", status=503)
    emulator.fault("expired_token", count=1, method="GET", path="contoso_shipments")
    over = threading.Timer(OUTAGE, mend, [emulator])
    over.start()
    try:
        working = stack.trigger("operator_outage")
        add_shipment(emulator, AWAITED)

        for run in (
            stack.finished("operator_outage", working),
            stack.finished("sensor_outage", waiting, 240),
            woken(stack, "watcher_outage", 240),
        ):
            (task,) = run.tasks().values()
            assert (run.state, task["try_number"], task["max_tries"]) == ("success", 1, 0)
    finally:
        over.cancel()
        stack.call("PATCH", "/dags/watcher_outage", {"is_paused": True})


@pytest.mark.skipif(not HAS_RETRY_POLICY, reason="retry policies came with Airflow 3.3")
def test_a_task_that_is_throttled_for_long_is_tried_again_when_the_service_says_so(
    stack: AirflowStack, emulator: Emulator
) -> None:
    emulator.fault("throttle", retry_after=3600, path="accounts")  # triggers would keep quiet as long
    run = DagRun(stack, "throttled_for_long", stack.trigger("throttled_for_long"), "")

    stack.wait(lambda: run.tasks()["work"]["state"] == "up_for_retry", "the task to fail once")

    with closing(sqlite3.connect(stack.home / "airflow.db")) as database:
        asked = "SELECT retry_delay_override, retry_reason FROM task_instance WHERE dag_id = ?"
        delay, reason = database.execute(asked, [run.dag_id]).fetchone()
    assert delay == 3600
    assert "0x80072322" in reason
    assert run.tasks()["work"]["try_number"] == 1


def mend(emulator: Emulator) -> None:
    """Clear the faults and keep the rows."""
    requests.delete(f"{emulator.url}/_emulator/faults", verify=emulator.ca_bundle, timeout=10)


def marked(emulator: Emulator) -> bool:
    return any("contoso_shipment" in r.path and "deltatoken" in r.query for r in emulator.requests)


def add_shipment(emulator: Emulator, row_id: str) -> None:
    row = {"contoso_shipmentid": row_id, "contoso_number": "SHP-LATE", "contoso_name": "late"}
    with Client(emulator.url, StaticToken(emulator.access_token()), ca_bundle=emulator.ca_bundle) as client:
        client.create("contoso_shipment", row)
