"""A table of Dynamics into a database, through Airflow against the emulator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from airflow.sdk import DAG

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.transfers import DynamicsToSqlOperator
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.files import ONCE, day, failed_once
from tests.airflow.transfers.sql.dynamics import ask

pytestmark = pytest.mark.usefixtures("dynamics_conn")


@pytest.fixture
def client(dynamics_conn):
    with DynamicsHook(dynamics_conn).get_conn() as opened:
        yield opened


@pytest.fixture
def follow(run_dag):
    """Run a DAG that writes a table into the warehouse; the same number is the same run, cleared."""

    def run(number=0, **arguments):
        arguments = {"table": "account", "select": ["name"], "sql_conn_id": "warehouse", **ONCE, **arguments}
        with DAG("into_a_database", schedule=None) as dag:
            DynamicsToSqlOperator(task_id="follow", **arguments)
        return run_dag(dag, day(number))

    return run


def summary(ran):
    assert ran.states == {"follow": "success"}, ran.errors
    return ran.xcoms["follow"]


def names(database):
    return {str(row[0]): row[1] for row in ask(database, "SELECT accountid, name FROM account")}


def expected(emulator):
    return {row["accountid"]: row["name"] for row in emulator.rows("account")}


def test_each_run_brings_the_table_up_to_date(follow, warehouse, client, emulator):
    rows = emulator.rows("account")
    first = summary(follow(0))
    client.update("account", rows[0]["accountid"], {"name": "Renamed"})
    client.delete("account", rows[1]["accountid"])
    client.create("account", {"name": "New"})
    second = summary(follow(1))
    third = summary(follow(2))

    told = [(one["mode"], one["rows"], one["upserts"], one["deleted"]) for one in (first, second, third)]
    assert told == [("full", len(rows), len(rows), 0), ("delta", 2, 2, 1), ("delta", 0, 0, 0)]
    assert names(warehouse) == expected(emulator)
    assert first["sql_table"] == "account"
    assert "deltatoken" not in json.dumps([first, second])


def test_a_cleared_run_brings_the_table_up_to_date_and_not_back(follow, warehouse, client, emulator):
    account = emulator.rows("account")[0]["accountid"]
    follow(0)
    client.update("account", account, {"name": "one"})
    follow(1)
    client.update("account", account, {"name": "two"})
    follow(2)
    again = summary(follow(1))
    client.update("account", account, {"name": "three"})
    last = summary(follow(3))

    assert (again["mode"], again["rows"]) == ("delta", 0)
    assert (last["mode"], last["rows"]) == ("delta", 1)
    assert names(warehouse) == expected(emulator)


def test_an_expired_place_is_made_good_and_said(follow, warehouse, client, emulator, capsys):
    follow(0)
    client.delete("account", emulator.rows("account")[0]["accountid"])
    emulator.fault("expired_delta")
    ran = summary(follow(1))

    assert (ran["mode"], ran["deleted"]) == ("reconcile", 1)
    assert "0x80044352" in ran["reason"]
    assert re.search(r"warning.*Every row of account was read", capsys.readouterr().out)
    assert names(warehouse) == expected(emulator)


def test_a_table_without_change_tracking_is_followed_by_version_numbers(follow, warehouse, client, emulator):
    untracked = next(
        name for name in ("transactioncurrency", "businessunit") if not client.table(name).change_tracking
    )
    first = summary(follow(0, table=untracked, select=[]))
    second = summary(follow(1, table=untracked, select=[]))

    assert (first["mode"], second["mode"]) == ("full", "window")
    assert ask(warehouse, f"SELECT count(*) FROM {untracked}") == [(len(emulator.rows(untracked)),)]  # noqa: S608


def test_a_full_read_makes_the_table_equal_to_a_selection(follow, warehouse, emulator):
    follow(0)
    ran = summary(follow(1, mode="full", filter="startswith(name,'A')", lanes=1))
    wanted = {key: name for key, name in expected(emulator).items() if name.upper().startswith("A")}

    assert (ran["mode"], ran["rows"]) == ("full", len(wanted))
    assert names(warehouse) == wanted
    assert summary(follow(2))["mode"] == "full", "what changed meanwhile is not known, so all is read once"
    assert names(warehouse) == expected(emulator)


def test_every_type_is_kept_exactly(follow, warehouse, client, emulator):
    account = emulator.rows("account")[0]["accountid"]
    client.update(
        "account",
        account,
        {
            "revenue": Decimal("922337203685.12"),
            "contoso_foundedon": "1753-01-01",
            "contoso_nextdelivery": "2026-03-29T02:30:00Z",
            "contoso_services": "100000000,100000003",
            "creditonhold": True,
            "numberofemployees": 1_000_000_000,
            "address1_latitude": 47.37689,
            "industrycode": 6,
        },
    )
    select = (
        "name revenue contoso_foundedon contoso_nextdelivery contoso_services creditonhold numberofemployees "
        "address1_latitude industrycode createdon versionnumber ownerid primarycontactid"
    )
    follow(0, select=select.split())

    wire = client.get("account", account, [*select.split()])
    with warehouse.connection() as connection:
        table = sa.Table("account", sa.MetaData(), autoload_with=connection)
        row = connection.execute(sa.select(table).where(table.c.accountid == account)).mappings().one()
    on_postgres = warehouse.engine.dialect.name == "postgresql"
    created = datetime.fromisoformat(wire["createdon"].replace("Z", "+00:00"))
    assert Decimal(row["revenue"]) == Decimal("922337203685.12")
    assert row["contoso_foundedon"] == date(1753, 1, 1)
    assert row["contoso_nextdelivery"] == datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001 - it has no zone
    assert row["createdon"] == (created if on_postgres else created.replace(tzinfo=None))
    assert row["contoso_services"].replace(" ", "") == "100000000,100000003"
    assert (bool(row["creditonhold"]), row["numberofemployees"], row["industrycode"]) == (
        True,
        1_000_000_000,
        6,
    )
    assert row["address1_latitude"] == 47.37689
    assert row["versionnumber"] == wire["versionnumber"]
    assert str(row["ownerid"]) == wire["_ownerid_value"]
    kinds = {name: str(column.type).split("(")[0] for name, column in table.c.items()}
    if on_postgres:
        assert (kinds["revenue"], kinds["ownerid"], kinds["versionnumber"]) == ("NUMERIC", "UUID", "BIGINT")
        zones = {name: getattr(column.type, "timezone", None) for name, column in table.c.items()}
        assert (zones["createdon"], zones["contoso_nextdelivery"]) == (True, False)


@pytest.mark.usefixtures("warehouse")
def test_every_column_of_a_table_can_be_written(follow, emulator):
    ran = summary(follow(0, table="contact", select=[]))
    again = summary(follow(1, table="contact", select=[]))

    assert ran["rows"] == len(emulator.rows("contact"))
    assert (again["mode"], again["upserts"]) == ("delta", 0)


def test_labels_stand_in_columns_of_their_own(follow, warehouse, client):
    follow(0, select=["statecode", "ownerid"], labels=True)
    client.create("account", {"name": "New"})
    follow(1, select=["statecode", "ownerid"], labels=True)

    found = ask(warehouse, "SELECT DISTINCT statecodename FROM account")
    assert ("Active",) in found
    assert (None,) not in found


def test_a_column_more_is_added_and_told(follow, warehouse, emulator):
    follow(0)
    ran = summary(follow(1, select=["name", "accountnumber"]))

    assert (ran["mode"], ran["columns_added"]) == ("full", ["accountnumber"])
    assert "columns" in ran["reason"]
    found = dict(map(tuple, ask(warehouse, "SELECT name, accountnumber FROM account")))
    assert found == {row["name"]: row["accountnumber"] for row in emulator.rows("account")}


def test_a_schema_and_a_name_of_ones_own(follow, postgres, emulator):
    warehouse = Database(postgres)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text('CREATE SCHEMA "Crm Data"'))
    ran = summary(follow(0, schema="Crm Data", sql_table="Accounts"))
    follow(1, schema="Crm Data", sql_table="Accounts")

    assert ran["sql_table"] == "Crm Data.Accounts"
    assert ask(warehouse, 'SELECT count(*) FROM "Crm Data"."Accounts"') == [(len(emulator.rows("account")),)]
    assert ask(warehouse, 'SELECT sql_table, dynamics_table FROM "Crm Data".dynamics_cursors') == [
        ("Accounts", "account")
    ]


def test_what_was_moved_is_known_to_lineage(warehouse, emulator):
    operator = DynamicsToSqlOperator(
        task_id="x",
        table="account",
        select=["name", "primarycontactid"],
        sql_conn_id="warehouse",
        retry_policy=None,
    )
    operator.execute({})

    kind = "postgres" if warehouse.engine.dialect.name == "postgresql" else "sqlite"
    assert operator.moved is not None
    assert operator.moved.output.place.namespace.startswith(kind)
    assert operator.moved.output.place.name.endswith("public.account" if kind == "postgres" else ".account")
    assert operator.moved.output.rows == len(emulator.rows("account"))
    assert set(operator.moved.columns) == {"accountid", "name", "primarycontactid"}


def test_lineage_knows_columns_by_the_names_they_have_in_the_database():
    from airflow_provider_dynamics.formats import Field
    from airflow_provider_dynamics.transfers.sql.operator import _as_named

    long = Field("contoso_" + "x" * 80, origin=("account", "contoso_x"))
    (named,) = _as_named([long], 63)

    assert len(named.name) == 63
    assert (named.wire_path, named.origin) == (long.wire_path, long.origin)


# --- what is wrong is said ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sql_conn_id": "nowhere"}, "There is no connection 'nowhere'"),
        ({"sql_conn_id": "web"}, "of type 'http'"),
        ({"sql_conn_id": "dynamics_default"}, "of type 'dynamics', which is no SQL database"),
        ({"mode": "delat"}, "mode is 'delat': use one of changes"),
        ({"sql_table": "public.account"}, "give schema='public' and sql_table='account'"),
        ({"sql_table": "dynamics_cursors"}, "give another sql_table"),
        ({"on_schema_change": "drop"}, "on_schema_change is 'drop'"),
        ({"select": ["nmae"]}, "name"),
        ({"table": "acount"}, "account"),
        ({"filter": "statecode eq 0"}, "window"),
    ],
)
@pytest.mark.usefixtures("sqlite")
def test_what_is_wrong_with_an_argument_is_said_at_once(follow, monkeypatch, arguments, said):
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://127.0.0.1:1")

    assert said in failed_once(follow(0, **arguments))


def test_a_wrong_password_is_told_without_the_right_one_or_itself(follow, postgres_process, monkeypatch):
    for name, uri in postgres_process.connection("warehouse", password="wrong-horse").items():
        monkeypatch.setenv(name, uri)
    text = failed_once(follow(0))

    assert "password authentication failed" in text
    assert "wrong-horse" not in text
    assert postgres_process.password not in text


@pytest.mark.usefixtures("postgres")
def test_a_schema_that_is_not_there_is_told(follow):
    assert "Create the schema" in failed_once(follow(0, schema="nowhere"))


def test_what_the_connection_says_of_tls_holds(postgres, monkeypatch):
    """The URL that Airflow's hook makes for SQLAlchemy leaves it out."""
    uri = os.environ["AIRFLOW_CONN_WAREHOUSE"]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{uri}?sslmode=require")
    operator = DynamicsToSqlOperator(task_id="x", table="account", sql_conn_id=postgres)
    with pytest.raises(DynamicsRetryableError, match="server does not support SSL"):
        operator.execute({})


@pytest.mark.usefixtures("postgres")
def test_a_connection_with_cursors_of_another_kind_is_read_all_the_same(follow, monkeypatch, emulator):
    uri = os.environ["AIRFLOW_CONN_WAREHOUSE"]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{uri}?cursor=dictcursor")

    assert summary(follow(0))["upserts"] == len(emulator.rows("account"))
    assert summary(follow(1))["mode"] == "delta"


def test_a_user_who_may_not_make_tables_is_told_which_right_is_missing(
    follow, postgres, postgres_process, monkeypatch
):
    warehouse = Database(postgres)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
        connection.execute(sa.text("CREATE ROLE reader LOGIN PASSWORD 'reader-secret'"))
        database = connection.execute(sa.text("SELECT current_database()")).scalar()
    for name, uri in postgres_process.connection(
        "warehouse", database, user="reader", password="reader-secret"
    ).items():
        monkeypatch.setenv(name, uri)
    text = failed_once(follow(0))

    assert "42501" in text
    assert "Grant the connection's user" in text
    assert "reader-secret" not in text


@pytest.mark.usefixtures("sqlite")
def test_a_user_who_may_only_write_rows_can_where_the_tables_are_there(
    follow, postgres, postgres_process, monkeypatch, client
):
    warehouse = Database(postgres)
    follow(0)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("DROP ROLE IF EXISTS writer"))
        connection.execute(sa.text("CREATE ROLE writer LOGIN PASSWORD 'writer-secret'"))
        connection.execute(
            sa.text("GRANT SELECT, INSERT, UPDATE, DELETE ON account, dynamics_cursors TO writer")
        )
        database = connection.execute(sa.text("SELECT current_database()")).scalar()
    changed = {"user": "writer", "password": "writer-secret"}
    for name, uri in postgres_process.connection("warehouse", database, **changed).items():
        monkeypatch.setenv(name, uri)
    client.update("account", next(iter(names(warehouse))), {"name": "Renamed"})

    assert summary(follow(1, on_schema_change="fail"))["upserts"] == 1
    assert "Renamed" in names(warehouse).values()


def test_a_server_that_is_not_there_is_worth_another_try(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://u:very-secret@127.0.0.1:1/db")
    operator = DynamicsToSqlOperator(task_id="x", table="account", sql_conn_id="warehouse")
    with pytest.raises(DynamicsRetryableError, match="It may pass") as caught:
        operator.execute({})

    assert "very-secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_locked_sqlite_file_is_worth_another_try(tmp_path, sqlite, monkeypatch):
    DynamicsToSqlOperator(task_id="x", table="account", sql_conn_id=sqlite).execute({})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/warehouse.db?timeout=0.1")
    with Database(sqlite).connection() as other:
        other.execute(sa.text("UPDATE dynamics_cursors SET generation = 5"))
        with pytest.raises(DynamicsRetryableError, match="database is locked"):
            DynamicsToSqlOperator(task_id="x", table="account", sql_conn_id=sqlite).execute({})
        other.rollback()


@pytest.mark.usefixtures("sqlite")
def test_without_the_extra_it_says_what_to_install():
    program = """
import sys
sys.modules["airflow.providers.common.sql.hooks.sql"] = None
from airflow_provider_dynamics.transfers import DynamicsToSqlOperator
from airflow.sdk.exceptions import AirflowFailException
try:
    DynamicsToSqlOperator(task_id="x", table="account", sql_conn_id="warehouse").execute({})
except AirflowFailException as error:
    print("told:", error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )

    assert "told: Writing to a database needs airflow.providers.common.sql" in done.stdout
    assert "pip install 'airflow-provider-dynamics[sql]'" in done.stdout
