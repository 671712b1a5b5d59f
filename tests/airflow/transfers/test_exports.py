"""Tables to files, through Airflow against the emulator."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator
from tests.airflow.transfers.files import ONCE, failed_once, run_one

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def export(**arguments):
    return DynamicsToObjectStorageOperator(task_id="export", table="account", **{**ONCE, **arguments})


SELECT = ["accountnumber", "name", "revenue", "industrycode", "donotemail", "primarycontactid", "createdon"]


def test_a_table_becomes_parquet_with_its_own_types(run_dag, emulator, tmp_path):
    path = tmp_path / "deep" / "accounts.parquet"

    ran = run_one(run_dag, lambda: export(select=SELECT, destination_path=str(path)))

    rows = emulator.rows("account")
    assert ran.xcoms["export"] == {
        "rows": len(rows),
        "path": str(path),
        "mode": "full",
        "throttled_seconds": 0.0,
    }
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
    ],
)
def test_a_wrong_argument_is_one_sentence_and_leaves_no_file(run_dag, tmp_path, arguments, said):
    arguments = {"destination_path": "x.csv", **arguments}
    arguments["destination_path"] = str(tmp_path / arguments["destination_path"])

    text = failed_once(run_one(run_dag, lambda: export(**arguments)))

    assert said in text
    assert list(tmp_path.iterdir()) == []


def test_a_reading_that_breaks_off_leaves_the_old_file_as_it_was(run_dag, emulator, tmp_path):
    path = tmp_path / "accounts.csv"
    path.write_text("old")
    emulator.fault("error", path="skiptoken", code="0x80040220", status=403, message="no privilege")

    text = failed_once(run_one(run_dag, lambda: export(destination_path=str(path), page_size=2)))

    assert "0x80040220" in text
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["accounts.csv"]
