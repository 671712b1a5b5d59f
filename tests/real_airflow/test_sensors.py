"""Sensors that wait in Airflow's own triggerer, beside each other, and remember from run to run."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack, DagRun

pytestmark = pytest.mark.stack


def all_deferred(stack: AirflowStack, run_id: str) -> bool:
    tasks = DagRun(stack, "changes_deferred", run_id, "").tasks().values()
    return len(tasks) == 2 and all(task["state"] == "deferred" for task in tasks)


def shipment(client: Client, number: str) -> str:
    return client.create("contoso_shipment", {"contoso_number": number, "contoso_name": number})


def test_deferred_sensors_wait_for_changes_and_until_no_row_is_left(
    stack: AirflowStack, emulator: Emulator
) -> None:
    with Client(emulator.url, StaticToken(emulator.access_token()), ca_bundle=emulator.ca_bundle) as client:
        old = shipment(client, "SHP-OLD")
        run_id = stack.trigger("changes_deferred")
        stack.wait(lambda: all_deferred(stack, run_id), "both sensors to defer")
        first = shipment(client, "SHP-CHANGED-1")
        shipment(client, "SHP-OTHER")
        client.delete("contoso_shipment", old)
        run = stack.finished("changes_deferred", run_id)
        second = shipment(client, "SHP-CHANGED-2")
        next_run = stack.run_dag("changes_deferred")

    found, after = run.xcom("changes"), next_run.xcom("changes")
    upserts = [
        [one["row_id"] for one in seen["changes"] if one["operation"] == "upsert"] for seen in (found, after)
    ]
    assert (run.state, next_run.state) == ("success", "success")
    assert (run.xcom("none_left")["count"], run.tasks()["none_left"]["try_number"]) == (0, 1)
    assert first in upserts[0]
    assert second in upserts[1]
    assert first not in upserts[1]
