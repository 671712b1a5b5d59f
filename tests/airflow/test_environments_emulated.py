"""Several environments behind one connection, against the emulator: apps, persons, whom one does not let in, and servers on premises."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from airflow.sdk import DAG

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.dataverse import Query, errors
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.state import credential_store
from airflow_provider_dynamics.transfers import DynamicsToSqlOperator


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Keep refresh tokens in a folder."""
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"file://{tmp_path}/tokens")
    SHARED.clear()
    return tmp_path / "tokens"


@pytest.fixture
def fabrikam(emulator):
    return emulator.add_environment("fabrikam", friendly_name="Fabrikam", seed=None)


@pytest.fixture
def connect(emulator, monkeypatch):
    """Define a connection to the emulator, and return its id: ``connect("refresh_token", host=None)``."""

    def define(auth_type="client_secret", authority_type="entra", **changed):
        [(name, text)] = emulator.airflow_connection("home", auth_type, authority_type).items()
        fields = json.loads(text)
        extra = {**fields["extra"], **changed.pop("extra", {})}
        monkeypatch.setenv(name, json.dumps({**fields, **changed, "extra": extra}))
        return "home"

    return define


def accounts(conn_id, environment=None):
    with DynamicsHook(conn_id, environment).get_conn() as client:
        return len(list(client.rows(Query("account", select=["name"]))))


@pytest.mark.parametrize("auth_type", ["client_secret", "certificate", "refresh_token", "username_password"])
def test_one_connection_works_in_two_environments(emulator, fabrikam, connect, auth_type):
    conn_id = connect(auth_type)
    with DynamicsHook(conn_id, fabrikam.url).get_conn() as client:
        client.create("account", {"name": "Only here"})

    assert accounts(conn_id, fabrikam.url) == 1
    assert accounts(conn_id) == len(emulator.rows("account")) > 1


def test_a_connection_without_an_environment_serves_tasks_that_name_theirs(fabrikam, connect):
    conn_id = connect(host=None)

    assert accounts(conn_id, fabrikam.url) == 0


def test_one_use_refresh_tokens_survive_going_from_one_environment_to_the_other(emulator, fabrikam, connect):
    emulator.sign_ins.rotation = "one_use"
    conn_id = connect("refresh_token")

    for environment in (None, fabrikam.url, None, fabrikam.url):
        SHARED.clear()  # as a new process begins
        assert accounts(conn_id, environment) >= 0

    settings = DynamicsHook(conn_id, fabrikam.url).settings
    record = credential_store().load(settings.store_key)
    assert record is not None
    assert record.generation == 4


def test_an_environment_that_does_not_let_the_app_in_says_so_and_the_others_go_on(emulator, connect):
    closed = emulator.add_environment("closed", application_user=False, seed=None)
    conn_id = connect()

    with pytest.raises(errors.Forbidden) as caught:
        accounts(conn_id, closed.url)

    said = str(caught.value)
    assert "0x80072560" in said
    assert closed.url.removeprefix("https://") in said
    assert f"Add app {emulator.client_id} as an application user of this environment" in said
    assert accounts(conn_id) > 0


def test_so_does_one_that_does_not_know_the_person(emulator, connect):
    closed = emulator.add_environment("closed", members=[], seed=None)
    conn_id = connect("refresh_token")

    with pytest.raises(errors.Forbidden, match="A person is added under Users"):
        accounts(conn_id, closed.url)

    assert accounts(conn_id) > 0


# --- on premises ---


@pytest.fixture
def server(request, emulator):
    """Return an organization on a server of one's own, in the path unless a test says otherwise."""
    in_path = getattr(request, "param", True)
    return emulator.add_environment("crm", on_premises=True, in_path=in_path, versions=["8.2", "9.0", "9.1"])


in_path_and_host = pytest.mark.parametrize(
    "server", [True, False], ids=["in the path", "in the host"], indirect=True
)


def on_premises(connect, server, **extra):
    return connect(authority_type="adfs", host=server.url, extra={"resource": None, **extra})


@in_path_and_host
def test_a_server_on_premises_is_read_and_written(server, connect):
    conn_id = on_premises(connect, server)
    before = accounts(conn_id)

    with DynamicsHook(conn_id).get_conn() as client:
        new = [{"name": f"New {number}"} for number in range(12)]
        outcomes = list(client.bulk("account", new, "create"))
        ids = [str(one.row_id) for one in outcomes]
        changed = list(client.bulk("account", [{"accountid": one, "name": "x"} for one in ids], "update"))
        page = list(client.changes("account", ["name"]))[-1]
        client.delete("account", ids[0])
        [later] = client.changes("account", since=page.delta_link)

    assert [one.error for one in outcomes + changed] == [None] * 24
    assert accounts(conn_id) == before + 11
    assert str(page.delta_link).startswith(f"{server.url}/api/data/v9.1/")
    assert [one.row_id for one in later.deleted] == ids[:1]


def test_rows_go_in_batches_there_and_nothing_is_asked_about_messages(server, connect):
    conn_id = on_premises(connect, server)
    with DynamicsHook(conn_id).get_conn() as client:
        list(client.bulk("account", [{"name": "a"}, {"name": "b"}], "create"))

    paths = [one.path for one in server.requests]
    assert any(path.endswith("/$batch") for path in paths)
    assert not [path for path in paths if "Multiple" in path or "sdkmessagefilters" in path]


def test_what_is_missing_there_is_refused_before_it_is_sent(server, connect):
    conn_id = on_premises(connect, server)
    with DynamicsHook(conn_id).get_conn() as client:
        client.who_am_i()
        before = len(server.requests)
        with pytest.raises(errors.NotOnThisServer, match="background operations"):
            client.jobs.start("contoso_Anything", background=True, checked=False)

    assert len(server.requests) == before


@in_path_and_host
def test_a_version_the_server_lacks_is_named_with_those_it_has(server, connect):
    conn_id = on_premises(connect, server, api_version="v9.2")

    with pytest.raises(
        errors.UnknownVersion, match=r"no Web API v9\.2; it has v9\.1, v9\.0 and v8\.2"
    ) as caught:
        accounts(conn_id)

    assert "Set Web API version to v9.1" in str(caught.value)


def test_an_old_version_is_spoken(server, connect):
    assert accounts(on_premises(connect, server, api_version="8.2")) > 0


def test_the_connection_test_works_there_too(server, connect):
    worked, said = DynamicsHook(on_premises(connect, server)).test_connection()

    assert worked, said
    assert server.url in said


def test_a_table_in_a_database_knows_the_organization_whose_rows_it_holds(
    server, connect, run_dag, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/warehouse.db")
    with DAG("on_premises", schedule=None) as dag:
        DynamicsToSqlOperator(
            task_id="accounts",
            table="account",
            select=["name"],
            sql_conn_id="warehouse",
            dynamics_conn_id=on_premises(connect, server),
        )

    ran = run_dag(dag)

    assert ran.states == {"accounts": "success"}, ran.errors
    with contextlib.closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse:
        [(known,)] = warehouse.execute("SELECT environment FROM dynamics_cursors").fetchall()
    assert known == server.url.removeprefix("https://")
    assert known.endswith("/crm")
