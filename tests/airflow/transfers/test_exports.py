"""Tables to files, through Airflow against the emulator."""

from __future__ import annotations

import csv
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG, ObjectStoragePath
from airflow.sdk.io import attach

from airflow_provider_dynamics.dataverse.queries.conditions import column
from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator
from tests.airflow.transfers.files import ONCE, failed_once, run_one
from tests.airflow.transfers.reading import Buckets, ids_in

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def export(**arguments):
    return DynamicsToObjectStorageOperator(task_id="export", **{"table": "account", **ONCE, **arguments})


SELECT = ["accountnumber", "name", "revenue", "industrycode", "donotemail", "primarycontactid", "createdon"]


def test_a_table_becomes_parquet_with_its_own_types(run_dag, emulator, tmp_path):
    path = tmp_path / "deep" / "accounts.parquet"

    ran = run_one(run_dag, lambda: export(select=SELECT, destination_path=str(path)))

    rows = emulator.rows("account")
    summary = ran.xcoms["export"]
    assert summary == {
        "rows": len(rows),
        "path": str(path),
        "mode": "full",
        "lanes": summary["lanes"],
        "pages": 1,
        "requests": summary["requests"],
        "throttled_seconds": 0.0,
        "resumed_rows": 0,
        "columns_added": [],
        "columns_removed": [],
    }
    assert summary["lanes"] >= 1
    assert 0 < summary["requests"] < 20
    schema, table = pq.read_schema(path), pq.read_table(path)
    assert pa.types.is_decimal(schema.field("revenue").type)
    assert schema.field("createdon").type == pa.timestamp("us", "UTC")
    assert schema.field("industrycode").type == pa.int32()
    assert schema.field("donotemail").type == pa.bool_()
    found = {row["accountid"]: row for row in table.to_pylist()}
    assert {row["accountid"]: row["name"] for row in rows} == {key: row["name"] for key, row in found.items()}


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_an_empty_result_is_a_valid_empty_file(run_dag, tmp_path, suffix):
    path = tmp_path / f"none.{suffix}"

    ran = run_one(
        run_dag, lambda: export(select=["name"], filter="name eq 'nobody at all'", destination_path=str(path))
    )

    assert ran.xcoms["export"]["rows"] == 0
    if suffix == "parquet":
        assert pq.read_table(path).num_rows == 0
    elif suffix == "csv":
        assert path.read_text() == "accountid,name\n"
    else:
        assert path.read_bytes() == b""


def test_filter_order_and_top_are_the_services_work(run_dag, emulator, tmp_path):
    path = tmp_path / "some.csv"

    run_one(
        run_dag,
        lambda: export(
            select="name", filter="statecode eq 0", order_by="name desc", top=3, destination_path=str(path)
        ),
    )

    with path.open() as file:
        found = [row["name"] for row in csv.DictReader(file)]
    expected = sorted(
        (row["name"] for row in emulator.rows("account") if row["statecode"] == 0), reverse=True
    )
    assert found == expected[:3]


def test_a_file_in_the_way_is_refused_before_a_row_is_read(run_dag, emulator, tmp_path):
    path = tmp_path / "accounts.csv"
    path.write_text("mine")

    text = failed_once(run_one(run_dag, lambda: export(destination_path=str(path), if_exists="fail")))

    assert "accounts.csv" in text
    assert "if_exists" in text
    assert path.read_text() == "mine"
    assert not [request for request in emulator.requests if request.path.endswith("/accounts")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"select": ["nam"]}, "'name'", id="an unknown column"),
        pytest.param({"destination_path": "x.xls"}, "parquet, ndjson, csv", id="a format nobody writes"),
        pytest.param({"filter": "nam eq 1"}, "nam", id="an unknown column in a filter"),
        pytest.param({"top": "many"}, "top is 'many'", id="a number that is none"),
        pytest.param({"if_exists": "append"}, "if_exists is 'append'", id="an unknown word"),
        pytest.param({"on_schema_change": "hope"}, "on_schema_change is 'hope'", id="an unknown policy"),
        pytest.param({"table": "acount"}, "'account'", id="an unknown table"),
        pytest.param({"top": 3, "lanes": 4}, "top=3 and lanes=4 do not go together", id="top over lanes"),
        pytest.param({"window_column": "name"}, "name cannot be a window column", id="windows of a text"),
        pytest.param({"window_column": "nmae"}, "'name'", id="windows of an unknown column"),
        pytest.param({"fetch_xml": "<fetch/>"}, "leave table out", id="two things to read"),
        pytest.param({"table": None}, "name a table", id="nothing to read"),
        pytest.param({"table": None, "fetch_xml": "<fetch><entity"}, "line 1", id="FetchXML that is broken"),
        pytest.param(
            {
                "table": None,
                "fetch_xml": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><fetch>&b;</fetch>',
            },
            "DOCTYPE",
            id="FetchXML with an entity of its own",
        ),
        pytest.param({"saved_query": "No such view"}, "No such view", id="an unknown view"),
        pytest.param({"partition": {"start": 1}}, "expand\\(partition", id="a partition that is none"),
        pytest.param(
            {"partition": {"column": "createdon", "index": 0}, "top": 3},
            "top cannot be read in partitions",
            id="top of a part",
        ),
        pytest.param(
            {"checkpoint_seconds": "soon"}, "checkpoint_seconds is 'soon'", id="seconds that are none"
        ),
        pytest.param({"destination_path": "folder/"}, "add the file's name", id="a folder"),
        pytest.param(
            {"table": None, "fetch_xml": "reports/accounts"},
            "'reports/accounts', which is no FetchXML document.*template_searchpath",
            id="FetchXML that is a path",
        ),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_leaves_no_file(run_dag, tmp_path, arguments, said):
    arguments = {"destination_path": "x.csv", **arguments}
    arguments["destination_path"] = f"{tmp_path}/{arguments['destination_path']}"

    text = failed_once(run_one(run_dag, lambda: export(**arguments)))

    assert re.search(said, text)
    assert list(tmp_path.iterdir()) == []


def test_a_reading_that_breaks_off_leaves_the_old_file_as_it_was(run_dag, emulator, tmp_path):
    path = tmp_path / "accounts.csv"
    path.write_text("old")
    emulator.fault("error", path="skiptoken", code="0x80040220", status=403, message="no privilege")

    text = failed_once(run_one(run_dag, lambda: export(destination_path=str(path), page_size=2)))

    assert "0x80040220" in text
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["accounts.csv"]


@pytest.fixture
def buckets():
    """Return a store in memory, one bucket of which is missing."""
    attach("memory", fs=Buckets())


@pytest.mark.usefixtures("buckets")
def test_a_missing_bucket_is_told_before_a_row_is_read(run_dag, emulator):
    text = failed_once(
        run_one(run_dag, lambda: export(destination_path="memory://missing/lake/accounts.parquet"))
    )

    assert "bucket 'missing'" in text
    assert not [request for request in emulator.requests if request.path.endswith("/accounts")]


@pytest.mark.usefixtures("buckets")
def test_a_file_in_a_bucket_is_written_like_any_other(run_dag, emulator):
    path = "memory://exports/accounts.csv"

    ran = run_one(run_dag, lambda: export(select=["name"], destination_path=path, page_size=3))

    text = ObjectStoragePath(path).read_bytes()
    assert ran.xcoms["export"]["path"] == path
    assert text.count(b"\r\n") == len(emulator.rows("account")) + 1
    assert [entry.name for entry in ObjectStoragePath("memory://exports").iterdir()] == ["accounts.csv"]


FETCH = """
<fetch>
  <entity name="account">
    <attribute name="name" />
    <filter><condition attribute="statecode" operator="eq" value="{{ params.state }}" /></filter>
    <link-entity name="contact" from="contactid" to="primarycontactid" link-type="outer" alias="who">
      <attribute name="fullname" />
    </link-entity>
  </entity>
</fetch>
"""


def test_fetchxml_is_rendered_and_read_page_by_page(run_dag, emulator, tmp_path):
    with DAG("fetch", schedule=None, params={"state": 0}) as dag:
        export(table=None, fetch_xml=FETCH, page_size=5, destination_path=str(tmp_path / "a.csv"))

    ran = run_dag(dag)

    active = [row for row in emulator.rows("account") if row["statecode"] == 0]
    assert (ran.xcoms["export"]["rows"], ran.xcoms["export"]["lanes"]) == (len(active), 1)
    assert ran.xcoms["export"]["pages"] >= len(active) / 5
    with (tmp_path / "a.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert sorted(row["name"] for row in found) == sorted(row["name"] for row in active)
    assert {"name", "who.fullname"} <= set(found[0])


def test_fetchxml_may_be_a_file_of_its_own(run_dag, tmp_path):
    (tmp_path / "accounts.xml").write_text(FETCH)
    with DAG("fetch_file", schedule=None, params={"state": 0}, template_searchpath=[str(tmp_path)]) as dag:
        export(table=None, fetch_xml="accounts.xml", destination_path=str(tmp_path / "a.parquet"))

    assert run_dag(dag).xcoms["export"]["rows"] > 0


def test_a_view_is_read_by_its_name(run_dag, emulator, tmp_path):
    ran = run_one(
        run_dag,
        lambda: export(saved_query="Active Accounts", destination_path=str(tmp_path / "a.parquet")),
    )

    assert ran.xcoms["export"]["rows"] == sum(row["statecode"] == 0 for row in emulator.rows("account"))


def test_groups_are_counted_by_the_service(run_dag, emulator, tmp_path):
    run_one(
        run_dag,
        lambda: export(
            apply="groupby((statecode),aggregate($count as n))", destination_path=str(tmp_path / "a.parquet")
        ),
    )

    found = {row["statecode"]: row["n"] for row in pq.read_table(tmp_path / "a.parquet").to_pylist()}
    assert sum(found.values()) == len(emulator.rows("account"))


def test_labels_stand_beside_what_they_name(run_dag, tmp_path):
    run_one(
        run_dag,
        lambda: export(
            select=["statecode", "primarycontactid"],
            labels=True,
            destination_path=str(tmp_path / "a.parquet"),
        ),
    )

    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert {"statecodename", "primarycontactidname"} <= set(rows[0])
    assert {row["statecodename"] for row in rows if row["statecode"] == 0} == {"Active"}


def test_a_condition_made_of_columns_is_rendered_like_text(run_dag, emulator, tmp_path):
    name = emulator.rows("account")[0]["name"]
    with DAG("condition", schedule=None, params={"name": name}) as dag:
        export(
            select=["name"],
            filter=column("name") == "{{ params.name }}",
            destination_path=str(tmp_path / "a.csv"),
        )

    assert run_dag(dag).xcoms["export"]["rows"] == 1


def test_several_lanes_hold_every_row_once(run_dag, emulator, tmp_path):
    ran = run_one(
        run_dag,
        lambda: export(
            select=["createdon"], lanes=4, page_size=3, destination_path=str(tmp_path / "a.parquet")
        ),
    )

    assert 1 < ran.xcoms["export"]["lanes"] <= 4
    assert sorted(ids_in(tmp_path / "a.parquet")) == sorted(
        row["accountid"] for row in emulator.rows("account")
    )
