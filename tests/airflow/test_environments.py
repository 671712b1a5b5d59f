"""Tasks in another environment than their connection's: through the hook, an operator, a mapped task, and what they leave behind."""

from __future__ import annotations

import json
import os

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.dataverse import Job, column
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsBulkDeleteOperator, DynamicsQueryOperator
from airflow_provider_dynamics.sensors import (
    DynamicsCredentialExpirySensor,
    DynamicsJobSensor,
    DynamicsRowSensor,
)
from airflow_provider_dynamics.state.cursor import CursorKey

OTHER = "https://fabrikam.crm4.dynamics.com"


@pytest.fixture
def contoso(monkeypatch):
    fields = {
        "conn_type": "dynamics",
        "host": "https://contoso.crm4.dynamics.com",
        "login": "client",
        "password": "secret",
        "extra": {"tenant_id": "contoso.onmicrosoft.com"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_CONTOSO", json.dumps(fields))
    return "contoso"


def test_the_hook_reads_the_connection_for_another_environment(contoso):
    assert DynamicsHook(contoso).settings.environment == "https://contoso.crm4.dynamics.com"
    assert DynamicsHook(contoso, OTHER).settings.environment == OTHER
    with DynamicsHook(contoso, OTHER).get_conn() as client:
        assert client.environment == OTHER


def test_what_is_wrong_with_it_names_the_connection_and_the_environment(contoso):
    with pytest.raises(SettingsError) as caught:
        _ = DynamicsHook(contoso, "https://contoso.crm.dynamics.cn").settings

    assert "Connection 'contoso': The task's environment 'https://contoso.crm.dynamics.cn'" in str(
        caught.value
    )


def test_an_operator_works_and_links_where_it_is_told_to(contoso):
    made = DynamicsQueryOperator(
        task_id="ask", table="account", dynamics_conn_id=contoso, environment="{{ params.where }}"
    )

    made.render_template_fields({"params": {"where": OTHER}})

    assert made.hook.settings.environment == OTHER
    assert made.linked_environment == OTHER


def test_a_rendered_nothing_is_the_connections_own(contoso):
    made = DynamicsQueryOperator(
        task_id="ask", table="account", dynamics_conn_id=contoso, environment="{{ '' }}"
    )

    made.render_template_fields({})

    assert made.hook.settings.environment == "https://contoso.crm4.dynamics.com"


def test_a_cursor_belongs_to_one_environment_and_on_premises_to_one_organization():
    def key(environment):
        return str(CursorKey("dag", "task", 0, environment, "account", ("name",)))

    names = {key(one) for one in (OTHER, "https://crm.contoso.com/sales", "https://crm.contoso.com/service")}

    assert len(names) == 3
    assert key("https://CRM.contoso.com/Sales/") == key("https://crm.contoso.com/sales")
    assert key("fabrikam.crm4.dynamics.com") == key(OTHER)


@pytest.mark.parametrize(
    "sensor",
    [
        lambda **where: DynamicsRowSensor(task_id="wait", table="account", **where),
        lambda **where: DynamicsJobSensor(task_id="wait", job_id="x", **where),
        lambda **where: DynamicsCredentialExpirySensor(task_id="wait", **where),
    ],
    ids=["a row", "a job", "a credential's end"],
)
def test_a_trigger_looks_where_its_sensor_did(contoso, sensor):
    trigger = sensor(dynamics_conn_id=contoso, environment=OTHER).trigger()

    assert trigger.serialize()[1]["environment"] == OTHER
    assert sensor(dynamics_conn_id=contoso).trigger().serialize()[1]["environment"] is None


def test_a_deferred_job_is_waited_for_where_it_was_started(contoso):
    made = DynamicsBulkDeleteOperator(
        task_id="clean",
        table="account",
        filter=column("statecode") == 1,
        dynamics_conn_id=contoso,
        environment=OTHER,
    )

    with pytest.raises(TaskDeferred) as deferred:
        made._defer(Job("11111111-2222-3333-4444-555555555555"))

    assert deferred.value.trigger.serialize()[1]["environment"] == OTHER


def test_a_job_of_one_environment_is_not_waited_for_in_another(contoso):
    def made(environment):
        return DynamicsBulkDeleteOperator(
            task_id="clean", table="account", dynamics_conn_id=contoso, environment=environment
        )._fingerprint()

    assert made(None) != made(OTHER)


def test_nor_when_somebody_gives_the_connection_another_environment(contoso, monkeypatch):
    def made():
        return DynamicsBulkDeleteOperator(
            task_id="clean", table="account", dynamics_conn_id=contoso
        )._fingerprint()

    before = made()
    assert made() == before

    fields = json.loads(os.environ["AIRFLOW_CONN_CONTOSO"])
    monkeypatch.setenv("AIRFLOW_CONN_CONTOSO", json.dumps({**fields, "host": OTHER}))
    assert made() != before
