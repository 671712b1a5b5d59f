"""What docs/scaling.md tells to write down is right: its policy, its values for Helm, its pod and its connection."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from airflow.providers.standard.operators.empty import EmptyOperator

from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.provider_info import get_provider_info
from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")


def block(language, opening):
    [found] = re.findall(rf"```{language}\n({re.escape(opening)}.*?)```", PAGE, re.DOTALL)
    return found


VALUES = yaml.safe_load(block("yaml", "# values.yaml"))


@pytest.fixture(params=[block("python", "# airflow_local_settings.py"), VALUES["airflowLocalSettings"]])
def policy(request):
    names: dict[str, Any] = {}
    exec(compile(request.param, "scaling.md", "exec"), names)  # noqa: S102 - it is our own page
    return names["task_policy"]


def test_the_policy_puts_whatever_talks_to_dynamics_into_the_pool_and_nothing_else(policy):
    tasks: dict[str, Any] = {
        "single": DynamicsQueryOperator(task_id="a", table="account"),
        "mapped": DynamicsToObjectStorageOperator.partial(
            task_id="b", table="account", destination_path="file:///tmp/x/"
        ).expand(partition=[]),
        "its own": DynamicsQueryOperator(task_id="c", table="account", pool="mine"),
        "another": EmptyOperator(task_id="d"),
    }
    for task in tasks.values():
        policy(task)
    assert {name: task.pool for name, task in tasks.items()} == {
        "single": "dynamics",
        "mapped": "dynamics",
        "its own": "mine",
        "another": "default_pool",
    }


def test_the_values_for_helm_name_secrets_and_mounts_that_fit_together():
    assert {one["envName"] for one in VALUES["secret"]} == {
        "AIRFLOW_CONN_DYNAMICS_DEFAULT",
        "AIRFLOW__DYNAMICS__CREDENTIAL_STORE",
        "AIRFLOW__DYNAMICS__CREDENTIAL_STORE_KEY",
    }
    assert {one["name"] for one in VALUES["volumes"]} == {one["name"] for one in VALUES["volumeMounts"]}
    for secret in {one["secretName"] for one in VALUES["secret"]}:
        assert f"kubectl create secret generic {secret} " in PAGE
    options = get_provider_info()["config"]["dynamics"]["options"]
    for name in (one["envName"] for one in VALUES["secret"]):
        assert name.startswith("AIRFLOW_CONN_") or name.removeprefix("AIRFLOW__DYNAMICS__").lower() in options


def test_the_pod_is_one_that_airflow_takes():
    pod = yaml.safe_load(block("yaml", "# pod_template_file.yaml"))
    assert pod["kind"] == "Pod"
    assert [one["name"] for one in pod["spec"]["containers"]] == ["base"]  # which the executor fills in


def test_the_connection_has_fields_that_the_form_has():
    connection = json.loads(block("json", "{"))
    [described] = get_provider_info()["connection-types"]
    assert set(connection["extra"]) <= set(described["conn-fields"])
    assert connection["conn_type"] == described["connection-type"]
