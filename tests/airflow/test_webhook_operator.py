"""The task that has Dynamics post its changes here: what it registers, and what it says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators import DynamicsRegisterWebhookOperator

KEY = "webhook-key-of-the-operator"
URL = "http://127.0.0.1:9/dynamics/events/crm"


@pytest.fixture
def crm(emulator, monkeypatch):
    """Make the connection, with the Webhook secret that is given."""

    def connection(secret: str | None = KEY) -> None:
        (text,) = emulator.airflow_connection("crm", webhook_secret=secret).values()
        monkeypatch.setenv("AIRFLOW_CONN_CRM", text)

    connection()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080/")
    return connection


def registered(**arguments: Any) -> Any:
    return DynamicsRegisterWebhookOperator(task_id="register", dynamics_conn_id="crm", **arguments).execute(
        {}
    )


@pytest.mark.usefixtures("crm")
def test_by_default_dynamics_posts_to_the_connections_own_door(emulator):
    done = registered(tables=["account"])

    assert (done["url"], done["endpoint"]) == ("http://localhost:8080/dynamics/events/crm", "created")
    assert sorted(done["created"]) == ["Create of account", "Delete of account", "Update of account"]
    (endpoint,) = emulator.rows("serviceendpoint")
    assert (endpoint["authtype"], endpoint["isauthvalueset"]) == (5, True)


@pytest.mark.usefixtures("crm")
def test_another_environment_posts_to_a_door_of_its_own(emulator):
    done = registered(tables="account", environment=emulator.url)

    host = emulator.url.removeprefix("https://")
    assert done["url"] == f"http://localhost:8080/dynamics/events/crm/{host}"


@pytest.mark.usefixtures("crm")
def test_registering_again_changes_nothing_and_absent_takes_all_away(emulator):
    registered(tables="account, contact", url=URL)

    again = registered(tables=["account", "contact"], url=URL)
    assert (again["created"], again["updated"], len(again["unchanged"])) == ([], [], 6)
    assert registered(tables=["contact"], url=URL, state="absent")["endpoint"] == "kept"
    assert registered(url=URL, state="absent")["endpoint"] == "removed"
    assert emulator.rows("sdkmessageprocessingstep") == emulator.rows("serviceendpoint") == []


def test_a_changed_key_reaches_dynamics_when_it_is_registered_again(crm, emulator):
    """Dynamics shows no key, so what is seen is that it is sent again, and that the first of two is."""
    registered(tables=["account"], url=URL)
    crm(f"{'x' * 200} {KEY}")

    registered(tables=["account"], url=URL)

    first, second = (
        one for one in emulator.requests if one.method in {"POST", "PATCH"} and "serviceendpoints" in one.path
    )
    assert second.body_size > 200 > first.body_size - 100


@pytest.mark.usefixtures("crm")
def test_columns_narrow_updates_and_nothing_else(emulator):
    registered(tables=["account"], columns={"account": "name, telephone1"}, url=URL)

    narrowed = {row["filteringattributes"] for row in emulator.rows("sdkmessageprocessingstep")}
    assert narrowed == {"name,telephone1", None}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "at least one table"),
        ({"tables": ["account"], "messages": []}, "at least one table"),
        ({"tables": ["account"], "columns": {"lead": ["subject"]}}, "lead"),
        ({"tables": ["account"], "state": "gone"}, "present, absent"),
        ({"tables": ["account"], "mode": "later"}, "asynchronous"),
        ({"tables": ["acount"]}, "account"),
        ({"tables": ["account"], "messages": ["Creat"]}, "Create"),
        ({"tables": ["account"], "url": "https://airflow.contoso.com:8080/x"}, "443"),
    ],
)
@pytest.mark.usefixtures("crm")
def test_a_wrong_argument_is_a_failure_that_no_retry_repeats(arguments, says):
    with pytest.raises(AirflowFailException, match=says):
        registered(**arguments)


@pytest.mark.parametrize(("secret", "says"), [(None, "no Webhook secret"), ("short", "5 characters")])
def test_a_connection_without_a_usable_secret_says_what_to_do(crm, secret, says):
    crm(secret)

    with pytest.raises(AirflowFailException, match=says):
        registered(tables=["account"], url=URL)


def test_a_connection_whose_door_no_path_can_name_says_so(emulator, monkeypatch):
    (text,) = emulator.airflow_connection("crm", webhook_secret=KEY).values()
    monkeypatch.setenv("AIRFLOW_CONN_TEAM/CRM", text)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080/")

    with pytest.raises(AirflowFailException, match="slashes"):
        DynamicsRegisterWebhookOperator(
            task_id="register", dynamics_conn_id="team/crm", tables=["account"]
        ).execute({})


@pytest.mark.usefixtures("crm")
def test_an_airflow_without_an_address_says_how_to_give_it_one(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")

    with pytest.raises(AirflowFailException, match="base_url"):
        registered(tables=["account"])
