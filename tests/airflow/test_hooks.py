"""The hook between Airflow's connection and the client, against the emulator."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import pytest
from airflow.sdk import BaseHook
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth import Network
from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.connection.settings import CONNECT_TIMEOUT
from airflow_provider_dynamics.dataverse import FetchXml, Query
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.state import credential_store


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


def test_a_frame_has_labels_and_expanded_rows_as_columns(connect, emulator):
    query = Query(
        "account",
        select=["name", "statecode", "primarycontactid"],
        expand="primarycontactid($select=fullname),contact_customer_accounts($select=fullname,statecode)",
        order_by="name",
        labels=True,
    )
    frame = connect().get_df(query, "arrow")
    assert {field.name: str(field.type) for field in frame.schema} == {
        "accountid": "string",
        "name": "string",
        "statecode": "int32",
        "statecodename": "string",
        "primarycontactid": "string",
        "primarycontactidname": "string",
        "primarycontactid.fullname": "string",
        "contact_customer_accounts": "list<item: struct<fullname: string, statecode: int32, statecodename: string>>",
    }
    rows = frame.to_pylist()
    assert len(rows) == len(emulator.rows("account"))
    assert {row["statecodename"] for row in rows} <= {"Active", "Inactive"}
    assert any(row["contact_customer_accounts"] for row in rows)
    for row in rows:
        assert row["primarycontactid.fullname"] == row["primarycontactidname"]


def test_a_frame_of_fetchxml_has_its_aliases_and_aggregates_as_columns(connect, emulator):
    linked = FetchXml(
        """<fetch><entity name="account"><attribute name="name" alias="company"/><attribute name="revenue"/>
        <link-entity name="contact" from="contactid" to="primarycontactid" link-type="outer" alias="person">
        <attribute name="fullname"/></link-entity></entity></fetch>"""
    )
    frame = connect().get_df(linked, "arrow")
    assert {field.name: str(field.type) for field in frame.schema} == {
        "accountid": "string",
        "company": "string",
        "revenue": "decimal128(38, 4)",
        "person.fullname": "string",
    }
    assert sorted(frame.column("company").to_pylist()) == sorted(r["name"] for r in emulator.rows("account"))
    counted = FetchXml(
        """<fetch aggregate="true"><entity name="account"><attribute name="accountid" alias="n" aggregate="count"/>
        <attribute name="revenue" alias="total" aggregate="sum"/>
        <attribute name="statecode" alias="state" groupby="true"/></entity></fetch>"""
    )
    frame = connect().get_df(counted, "arrow")
    assert {field.name: str(field.type) for field in frame.schema} == {
        "n": "int64",
        "total": "decimal128(38, 4)",
        "state": "int32",
    }
    assert sum(frame.column("n").to_pylist()) == len(emulator.rows("account"))


@pytest.mark.parametrize("df_type", ["pandas", "polars", "arrow"])
def test_a_frame_of_no_rows_has_its_types_all_the_same(connect, df_type):
    pytest.importorskip(df_type.replace("arrow", "pyarrow"), reason=f"{df_type} is not installed")
    query = Query("account", select=["revenue"], filter="name eq 'no such company'", labels=True)
    frame = connect().get_df(query, df_type)
    assert len(frame) == 0
    assert (
        "decimal"
        in str(frame.schema.field("revenue").type if df_type == "arrow" else frame["revenue"].dtype).lower()
    )


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
        with connect().get_conn() as client:
            client.who_am_i()
    assert len(token_requests(emulator)) == 1


def test_the_connection_test_signs_in_although_the_process_has_a_token(connect, emulator):
    """The API server lives for weeks: it must say what a new process would."""
    with connect().get_conn() as client:
        client.who_am_i()
    emulator.fault("secret_expired")
    passed, text = connect().test_connection()
    assert not passed
    assert "AADSTS7000222" in text


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
        pytest.param({"login": None}, "Client ID is missing", id="a missing field"),
        pytest.param({"password": "wrong-secret"}, "Paste the secret's Value", id="a wrong secret"),
        pytest.param({"host": "https://127.0.0.1:1"}, "127.0.0.1:1", id="nothing there"),
        pytest.param({"ca_bundle": None}, "is not trusted here", id="an unknown authority"),
        pytest.param(
            {"auth_type": "refresh_token"}, "Refresh token is missing", id="nobody has signed in yet"
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
    hook = connect("crm", login="")
    with pytest.raises(SettingsError, match=r"^Connection 'crm': Client ID is missing"):
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
    assert hook.settings.authority.host == "login.contoso.com"


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


# --- a person's sign-in, as one task after the other uses it -----------------------------------------------------


@pytest.fixture
def signed_in(emulator, monkeypatch, tmp_path):
    """Return a hook for a person's connection to a service that lets each refresh token be used once, kept in files."""
    emulator.sign_ins.rotation = "one_use"
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"file://{tmp_path}")
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE_KEY", Fernet.generate_key().decode())
    for name, value in emulator.airflow_connection("dynamics_default", auth_type="refresh_token").items():
        monkeypatch.setenv(name, value)
    SHARED.clear()
    return DynamicsHook()


def kept(hook):
    """Return what is stored of a hook's sign-in."""
    record = credential_store().load(hook.settings.store_key)
    assert record is not None
    return record


def another_task():
    """Forget what a process knows."""
    SHARED.clear()


def test_each_task_goes_on_with_the_refresh_token_of_the_one_before(signed_in, emulator):
    for _ in range(3):
        another_task()
        passed, text = signed_in.test_connection()
        assert passed, text
    assert len(token_requests(emulator)) == 3
    assert kept(signed_in).refresh_token not in {None, signed_in.settings.refresh_token}
    assert kept(signed_in).user == emulator.user_name


def test_refresh_tokens_are_masked_and_not_logged(signed_in, caplog):
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # it is what masks, and not exported

    caplog.set_level(logging.DEBUG)
    tokens = []
    for _ in range(2):
        another_task()
        assert signed_in.test_connection()[0]
        tokens.append(kept(signed_in).refresh_token)
    assert [redact(f"sent {token}") for token in tokens] == ["sent ***"] * 2
    assert not any(token in caplog.text for token in [*tokens, signed_in.settings.refresh_token])


def test_a_revoked_sign_in_is_asked_for_once_and_then_said_at_once(signed_in, emulator):
    assert signed_in.test_connection()[0]
    emulator.sign_ins.revoke()
    texts = set()
    for _ in range(3):
        another_task()
        passed, text = signed_in.test_connection()
        assert not passed
        texts.add(text)
    assert len(texts) == 1
    assert len(token_requests(emulator)) == 2


def test_signing_in_again_ends_the_failures_of_a_revoked_sign_in(signed_in, emulator, monkeypatch):
    emulator.sign_ins.revoke()
    assert not signed_in.test_connection()[0]
    for name, value in emulator.airflow_connection("dynamics_default", auth_type="refresh_token").items():
        monkeypatch.setenv(name, value)  # what Sign in writes
    for _ in range(2):
        another_task()
        passed, text = DynamicsHook().test_connection()
        assert passed, text
    assert kept(DynamicsHook()).failure is None


def test_a_wrong_credential_store_is_named_by_the_connection_test(connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "vault")
    passed, text = connect().test_connection()
    assert not passed
    assert "credential_store is 'vault'." in text
