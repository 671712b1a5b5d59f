"""What people get wrong, by name: whichever task meets it says in its first try what is wrong and what to do about it.

Nothing is written then, neither a file nor a row.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from airflow.sdk import DAG
from airflow.sdk.io import attach

from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.transfers import (
    DynamicsChangesToObjectStorageOperator,
    DynamicsPartitionsOperator,
    DynamicsToObjectStorageOperator,
    DynamicsToSqlOperator,
)
from tests.airflow.transfers.files import ONCE, day, failed_once
from tests.airflow.transfers.reading import Buckets

pytestmark = pytest.mark.usefixtures("dynamics_conn")

FILE = {"destination_path": "rows.csv"}
TASKS = {
    "query": (DynamicsQueryOperator, {}),
    "export": (DynamicsToObjectStorageOperator, FILE),
    "changes": (DynamicsChangesToObjectStorageOperator, FILE),
    "snapshot": (DynamicsChangesToObjectStorageOperator, {**FILE, "output": "snapshot"}),
    "database": (DynamicsToSqlOperator, {"sql_conn_id": "warehouse"}),
    "partitions": (DynamicsPartitionsOperator, {}),
}
ALL = list(TASKS)
ROWS = [name for name in ALL if name != "partitions"]
"""Tasks that take a `select`."""
FOLLOWING = ["changes", "snapshot", "database"]
DOCUMENTS = ["query", "export"]


@pytest.fixture
def run(run_dag, tmp_path, monkeypatch):
    """Run one task of a kind with arguments; the same task again is its next run."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/warehouse.db")

    def do(kind, number=0, **arguments):
        operator, usual = TASKS[kind]
        arguments = {"table": "account", **usual, **ONCE, **arguments}
        if str(arguments.get("destination_path", "://")).find("://") < 0:
            arguments["destination_path"] = f"{tmp_path}/{arguments['destination_path']}"
        with DAG(f"bad_input_{kind}", schedule=None) as dag:
            operator(task_id=kind, **arguments)
        return run_dag(dag, day(number))

    return do


@pytest.fixture
def refused(run, tmp_path):
    """Return what a task says that fails for good and leaves nothing behind."""

    def told(kind, **arguments):
        text = failed_once(run(kind, **arguments))
        assert {entry.name for entry in tmp_path.iterdir()} <= {"warehouse.db"}
        with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
            tables = {
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            assert tables <= {"dynamics_cursors"}
            assert not tables or not database.execute("SELECT * FROM dynamics_cursors").fetchall()
        return text

    return told


@pytest.mark.parametrize("kind", ROWS)
def test_an_unknown_column_is_told_with_the_nearest_name(refused, kind):
    text = refused(kind, select=["name", "revenu"])

    assert "'revenu'" in text
    assert "revenue" in text.replace("'revenu'", "")


@pytest.mark.parametrize("kind", ["query", "export", "partitions"])
@pytest.mark.parametrize("where", ["revenu gt 1", column("revenu") > 1], ids=["text", "condition"])
def test_an_unknown_column_in_a_filter_is_told_with_the_nearest_name(refused, kind, where):
    text = refused(kind, filter=where)

    assert "'revenu'" in text
    assert "revenue" in text.replace("'revenu'", "")


@pytest.mark.parametrize("kind", ALL)
def test_an_unknown_table_is_told_with_the_nearest_name(refused, kind):
    text = refused(kind, table="acount")

    assert "acount" in text
    assert "'account'" in text


@pytest.mark.parametrize("kind", FOLLOWING)
@pytest.mark.parametrize("where", ["statecode eq 0", column("statecode") == 0], ids=["text", "condition"])
def test_a_filter_where_changes_are_tracked_is_told_with_the_way_out(refused, kind, where):
    text = refused(kind, filter=where)

    assert "with change tracking Dataverse takes no $filter" in text
    assert 'mode="window"' in text


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_fetchxml_that_is_not_well_formed_is_told_with_line_and_column(refused, emulator, kind):
    text = refused(kind, table=None, fetch_xml="<fetch>\n  <entity name='account'>\n</fetch>")

    assert re.search(r"line 3, column \d+", text)
    assert not [request for request in emulator.requests if "/api/data" in request.path]


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize(
    "declared",
    ['<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY x "y">', '<!ENTITY % x SYSTEM "http://x">'],
)
def test_fetchxml_with_entities_is_refused_and_they_are_not_read(refused, emulator, kind, declared):
    document = f"<!DOCTYPE fetch [{declared}]><fetch><entity name='account'><!-- x --></entity></fetch>"
    text = refused(kind, table=None, fetch_xml=document)

    assert "DOCTYPE" in text
    assert "root:" not in text
    assert not [request for request in emulator.requests if "/api/data" in request.path]


def test_top_with_lanes_is_told_which_to_leave_out(refused):
    text = refused("export", top=10, lanes=4)

    assert "top=10 and lanes=4 do not go together" in text
    assert "Leave lanes out" in text


def test_top_of_a_partition_is_refused(refused):
    assert "Leave out partition, or top" in refused("export", top=10, partition={"column": None, "index": 0})


@pytest.mark.parametrize("kind", ["export", "changes", "snapshot"])
@pytest.mark.parametrize(("bucket", "said"), [("missing", "bucket 'missing'"), ("locked", "locked")])
def test_a_destination_in_a_bucket_that_is_missing_or_closed_is_told_before_a_row_is_read(
    refused, emulator, kind, bucket, said
):
    attach("memory", fs=Buckets())

    assert said in refused(kind, destination_path=f"memory://{bucket}/lake/rows.csv")
    assert not [request for request in emulator.requests if request.path.endswith("/accounts")]


@pytest.mark.parametrize("kind", ALL)
def test_a_table_one_may_not_read_is_told_with_the_privilege_that_is_missing(refused, emulator, kind):
    emulator.sign_ins.take_privilege("prvReadAccount")
    text = refused(kind)

    assert "Give the user a security role with the privilege prvReadAccount" in text
    assert "admin.powerplatform.microsoft.com" in text


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"apply": "aggregate($count as n)"}, id="apply"),
        pytest.param(
            {
                "table": None,
                "fetch_xml": '<fetch aggregate="true"><entity name="account">'
                '<attribute name="name" alias="n" aggregate="count"/></entity></fetch>',
            },
            id="FetchXML",
        ),
    ],
)
def test_an_aggregate_over_the_limit_is_told_with_what_to_do_instead(refused, emulator, kind, asked):
    emulator.query_limits.aggregate = 5
    text = refused(kind, **asked)

    assert "divide them by a filter" in text
    assert "export the rows and aggregate there" in text


ELSEWHERE = "contoso.crm4.dynamics.com"


def reached_elsewhere(emulator):
    """Make all places that files keep those of another environment, as if its database had been copied."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    host = urlsplit(emulator.url).netloc
    with create_session() as session:
        for one in session.scalars(select(Variable).where(Variable.key.like("dynamics_changes.%"))):
            one.set_val(one.get_val().replace(host, ELSEWHERE))


@pytest.mark.parametrize("kind", ["changes", "snapshot"])
def test_a_cursor_from_another_environment_is_not_gone_on_from_and_that_is_said(run, emulator, kind):
    run(kind, select=["name"], destination_path="first.csv")
    reached_elsewhere(emulator)
    emulator.requests.clear()
    ran = run(kind, 1, select=["name"], destination_path="first.csv")

    assert ran.states == {kind: "success"}, ran.errors
    assert ran.xcoms[kind]["mode"] == "reconcile"
    assert f"another environment, {ELSEWHERE}" in ran.xcoms[kind]["reason"]
    assert not [request for request in emulator.requests if ELSEWHERE in str(request)]


def test_a_database_with_rows_of_another_environment_is_refused(run, tmp_path):
    run("database")
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
        database.execute("UPDATE dynamics_cursors SET environment = ?", [ELSEWHERE])
        database.commit()
        before = database.execute("SELECT * FROM account").fetchall()
        text = failed_once(run("database", 1))

        assert f"holds rows of account in {ELSEWHERE}" in text
        assert "give another sql_table" in text
        assert database.execute("SELECT * FROM account").fetchall() == before
