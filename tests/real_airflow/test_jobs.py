"""Jobs of the service on Airflow's own triggerer: waited for, and cancelled when somebody stops the task."""

from __future__ import annotations

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack, DagRun

pytestmark = pytest.mark.stack

CANCELED = 32


def state(stack: AirflowStack, run_id: str) -> str:
    return str(DagRun(stack, "delete_deferred", run_id, "").tasks()["delete"]["state"])


def test_a_deferred_bulk_delete_ends_with_its_job(stack: AirflowStack, emulator: Emulator) -> None:
    before = len(emulator.rows("contoso_shipment"))

    run = stack.run_dag("delete_deferred")

    told = run.xcom("delete")
    assert (run.state, told["status"], told["deleted"]) == ("success", "succeeded", before)
    assert emulator.rows("contoso_shipment") == []
    assert len(emulator.rows("asyncoperation")) == 1


@pytest.mark.skipif(not hasattr(BaseTrigger, "on_kill"), reason="Airflow 3.2 does not tell triggers")
def test_marking_a_deferred_bulk_delete_as_failed_cancels_its_job(
    stack: AirflowStack, emulator: Emulator
) -> None:
    emulator.jobs.running = 600.0
    run_id = stack.trigger("delete_deferred")
    stack.wait(lambda: state(stack, run_id) == "deferred", "the bulk delete to be deferred")
    (job,) = emulator.rows("asyncoperation")
    seen = len(looks(emulator))
    stack.wait(lambda: len(looks(emulator)) > seen, "the trigger to look")

    stack.call(
        "PATCH",
        f"/dags/delete_deferred/dagRuns/{run_id}/taskInstances/delete",
        {"new_state": "failed"},
    )

    stack.wait(
        lambda: emulator.rows("asyncoperation")[0]["statuscode"] == CANCELED, "the job to be cancelled"
    )
    assert emulator.rows("asyncoperation")[0]["asyncoperationid"] == job["asyncoperationid"]
    assert emulator.rows("contoso_shipment")


def looks(emulator: Emulator) -> list[str]:
    return [found.path for found in emulator.requests if "asyncoperations(" in found.path]
