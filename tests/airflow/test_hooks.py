"""The hook between Airflow's connection and the client, against the emulator."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import pytest
from airflow.sdk import BaseHook

from airflow_provider_dynamics.auth import Network
from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.connection.settings import CONNECT_TIMEOUT
from airflow_provider_dynamics.dataverse import Query
from airflow_provider_dynamics.hooks import DynamicsHook


@pytest.fixture
def connect(emulator, monkeypatch):
    """Define the connection as an environment variable, with fields changed: `connect(password=…, tenant_id=…)`."""
    SHARED.clear()

    def define(conn_id="dynamics_default", **changes):
        name, text = next(iter(emulator.airflow_connection(conn_id).items()))
        connection = json.loads(text)
        for key, value in changes.items():
            (connection if key in {"host", "login", "password"} else connection["extra"])[key] = value
        monkeypatch.setenv(name, json.dumps(connection))
        return DynamicsHook(conn_id)

    return define


def token_requests(emulator):
    return [request for request in emulator.requests if request.path.endswith("/token")]


def test_the_hook_is_what_airflow_expects():
    assert issubclass(DynamicsHook, BaseHook)
    assert (DynamicsHook.conn_type, DynamicsHook.conn_name_attr) == ("dynamics", "dynamics_conn_id")
    assert DynamicsHook().dynamics_conn_id == DynamicsHook.default_conn_name == "dynamics_default"


def test_a_client_speaks_to_the_connections_environment(connect, emulator):
    with connect().get_conn() as client:
        assert client.environment == emulator.url
        assert client.who_am_i()["UserId"]


def test_rows_and_the_first_row_are_read(connect, emulator):
    hook = connect()
    query = Query("account", select=["name"], order_by="name")
    rows = hook.get_rows(query)
    assert [row["name"] for row in rows] == sorted(row["name"] for row in emulator.rows("account"))
    assert hook.get_first(query)["name"] == rows[0]["name"]
    assert hook.get_first(Query("account", filter="name eq 'no such company'")) is None


@pytest.mark.parametrize("df_type", ["pandas", "arrow"])
def test_rows_come_as_a_frame(connect, emulator, df_type):
    frame = connect().get_df(Query("account", select=["name", "revenue"]), df_type)
    assert len(frame) == len(emulator.rows("account"))
    columns = frame.columns if df_type == "pandas" else frame.column_names
    assert "revenue" in list(columns)


def test_a_changed_connection_is_seen_by_the_same_hook(connect):
    hook = connect()
    assert hook.test_connection()[0]
    connect(password="wrong-secret")
    passed, text = hook.test_connection()
    assert not passed
    assert "AADSTS7000215" in text
    connect()
    assert hook.test_connection()[0]


def test_hooks_share_one_token(connect, emulator):
    for _ in range(3):
        assert connect().test_connection()[0]
    assert len(token_requests(emulator)) == 1


def test_the_connection_test_says_where_and_as_whom(connect, emulator):
    passed, text = connect().test_connection()
    assert passed
    assert text.startswith(f"Connected to {emulator.url} as application user '")


def test_the_connection_test_says_on_whose_behalf_it_was(connect, emulator):
    somebody = next(user for user in emulator.rows("systemuser") if user["fullname"] == "Anne Weiler")
    passed, text = connect(caller_object_id=somebody["azureactivedirectoryobjectid"]).test_connection()
    assert passed
    assert text.endswith(f" as user 'Anne Weiler' ({somebody['systemuserid']}).")


def test_the_connection_test_says_the_user_id_where_the_name_may_not_be_read(connect, emulator):
    emulator.fault(
        "error", path="systemusers", status=403, code="0x80040220", message="prvReadUser is missing"
    )
    passed, text = connect().test_connection()
    assert passed
    assert re.search(r" as application user [0-9a-f-]{36}\.$", text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"tenant_id": None}, "Tenant ID is missing", id="a missing field"),
        pytest.param({"password": "wrong-secret"}, "Paste the secret's Value", id="a wrong secret"),
        pytest.param({"host": "https://127.0.0.1:1"}, "127.0.0.1:1", id="nothing there"),
        pytest.param({"ca_bundle": None}, "is not trusted here", id="an unknown authority"),
        pytest.param(
            {"auth_type": "managed_identity", "password": None}, "not available yet", id="a mode to come"
        ),
    ],
)
def test_the_connection_test_says_what_to_change(connect, emulator, changes, words):
    passed, text = connect(**changes).test_connection()
    assert not passed
    assert words in text
    assert len(text) < 2000
    assert emulator.client_secret not in text
    assert "dynamics_default" not in text  # Airflow tests under a random id


def test_the_connection_test_explains_a_missing_application_user(connect, emulator):
    emulator.fault("not_a_member")
    passed, text = connect().test_connection()
    assert not passed
    assert "0x80072560" in text
    assert "application user" in text


def test_a_wrong_connection_is_named_when_a_task_uses_it(connect):
    hook = connect("crm", tenant_id="")
    with pytest.raises(SettingsError, match=r"^Connection 'crm': Tenant ID is missing"):
        hook.get_conn()


def test_settings_are_read_inside_an_event_loop_too(connect, emulator):
    settings = asyncio.run(connect().aget_settings())
    assert settings.environment == emulator.url
    assert settings.client_secret == emulator.client_secret


def test_an_authority_is_allowed_by_the_deployment(connect, monkeypatch):
    hook = connect(
        host="https://contoso.crm.dynamics.com", authority="https://login.contoso.com", ca_bundle=None
    )
    with pytest.raises(SettingsError, match=r"\[dynamics\] allowed_authorities"):
        hook.settings  # noqa: B018  # reading it is the point
    monkeypatch.setenv("AIRFLOW__DYNAMICS__ALLOWED_AUTHORITIES", "adfs.contoso.com, login.contoso.com")
    assert hook.settings.authority_host == "login.contoso.com"


@pytest.fixture
def token(connect):
    """Return the access token every hook of this connection uses, as the process keeps it."""

    def find():
        settings = connect().settings
        return settings.credential().get_token(
            settings.environment,
            network=Network(settings.ca_bundle, settings.proxy, (CONNECT_TIMEOUT, settings.request_timeout)),
        )

    return find


def test_access_tokens_are_masked(connect, emulator, token):
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # it is what masks, and not exported

    with connect().get_conn() as client:
        client.who_am_i()
    secret = token().secret
    assert len(token_requests(emulator)) == 1
    assert redact(f"sent {secret}") == "sent ***"


def test_no_token_and_no_secret_is_logged(connect, emulator, token, caplog):
    caplog.set_level(logging.DEBUG)
    with connect().get_conn() as client:
        client.who_am_i()
    assert "WhoAmI" in caplog.text
    assert token().secret not in caplog.text
    assert emulator.client_secret not in caplog.text
