"""Files to tables, through Airflow against the emulator."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from airflow.sdk import DAG

from airflow_provider_dynamics.transfers import (
    DynamicsToObjectStorageOperator,
    ObjectStorageToDynamicsOperator,
)
from tests.airflow.transfers.files import (
    FIRST,
    ONCE,
    failed_once,
    lines,
    run_one,
    write_csv,
    write_ndjson,
    write_parquet,
)

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def load(source, **arguments):
    return ObjectStorageToDynamicsOperator(
        task_id="load",
        table="account",
        source_path=str(source),
        **{"key": ["accountnumber"], **ONCE, **arguments},
    )


def writes(emulator):
    """Return the requests that could have changed a row."""
    return [
        request
        for request in emulator.requests
        if request.method in {"POST", "PATCH", "PUT", "DELETE"} and "/api/data/" in request.path
    ]


def by_number(emulator):
    return {row["accountnumber"]: row for row in emulator.rows("account") if row["accountnumber"]}


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_ndjson], ids=["csv", "parquet", "ndjson"])
def test_a_file_is_loaded_by_its_key_whatever_its_format(run_dag, emulator, tmp_path, write):
    known = next(iter(by_number(emulator)))
    suffix = write.__name__.removeprefix("write_")
    rows = [
        {"number": known, "title": "Known", "revenue": Decimal("12.50")},
        {"number": "NEW-1", "title": "New", "revenue": None},
    ]
    source = write(tmp_path / f"in.{suffix}", rows)

    ran = run_one(run_dag, lambda: load(source, columns={"number": "accountnumber", "title": "name"}))

    assert ran.xcoms["load"].pop("requests") > 0
    assert ran.xcoms["load"] == {
        "mode": "load",
        "rows": 2,
        "written": 2,
        "unchanged": 0,
        "rejected": 0,
        "path": str(source),
        "rejects_path": None,
        "resumed_rows": 0,
        "throttled_seconds": 0.0,
    }
    now = by_number(emulator)
    assert (now[known]["name"], Decimal(str(now[known]["revenue"]))) == ("Known", Decimal("12.5"))
    assert now["NEW-1"]["name"] == "New"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("in.parquet", b"not parquet at all", "not a Parquet file", id="not Parquet"),
        pytest.param("in.parquet", b"PAR1 cut off PAR1", "not a Parquet file", id="a damaged Parquet file"),
        pytest.param("in.csv", b"", "header", id="a CSV without a header"),
        pytest.param("in.csv", b"accountnumber,nme\nA,B\n", "'nme'.*'name'", id="a column the table lacks"),
        pytest.param(
            "in.csv",
            b"accountnumber,createdon\nA,2026-01-01\n",
            "cannot be written",
            id="a column nobody may write",
        ),
        pytest.param("in.csv", b"name\nA\n", "accountnumber", id="a key the file lacks"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_written(  # noqa: PLR0917 - fixtures and cases
    run_dag, emulator, tmp_path, name, content, said
):
    source = tmp_path / name
    source.write_bytes(content)

    text = failed_once(run_one(run_dag, lambda: load(source)))

    assert re.search(said, text)
    assert writes(emulator) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"table": "acount"}, "'account'", id="an unknown table"),
        pytest.param({"key": ["name"]}, "accountnumber", id="columns that are no key"),
        pytest.param({"operation": "merge"}, "upsert, create, update, delete", id="an unknown operation"),
        pytest.param({"on_row_error": "ignore"}, "collect, fail", id="an unknown word"),
        pytest.param({"max_rejects": "few"}, "max_rejects", id="a limit that is none"),
        pytest.param(
            {"source_path": "file:///nowhere/in.csv"}, "does not exist", id="a file that is not there"
        ),
        pytest.param({"rejects_path": "SOURCE"}, "rejects_path is the source", id="rejects over the source"),
    ],
)
def test_a_wrong_argument_of_a_load_is_refused_before_anything_is_written(
    run_dag, emulator, tmp_path, arguments, said
):
    source = write_csv(tmp_path / "in.csv", [{"accountnumber": "A", "name": "B"}])
    arguments = {name: str(source) if value == "SOURCE" else value for name, value in arguments.items()}

    def make():
        return ObjectStorageToDynamicsOperator(
            **{
                "task_id": "load",
                "table": "account",
                "source_path": str(source),
                "key": ["accountnumber"],
                **ONCE,
                **arguments,
            }
        )

    text = failed_once(run_one(run_dag, make))

    assert said in text
    assert writes(emulator) == []


def poisoned(tmp_path, emulator, rows=2500, bad=(1234,)):
    emulator.fault(
        "poison", table="account", column="name", value="poison", code="0x80040265", message="Bad name"
    )
    return write_parquet(
        tmp_path / "in.parquet",
        [
            {"accountnumber": f"L{n:05}", "name": "poison" if n in bad else f"Loaded {n}"}
            for n in range(1, rows + 1)
        ],
    )


def test_one_poisoned_row_among_2500_is_set_aside_and_the_rest_is_written(run_dag, emulator, tmp_path):
    source, rejects = poisoned(tmp_path, emulator), tmp_path / "rejects.ndjson"

    ran = run_one(run_dag, lambda: load(source, rejects_path=str(rejects), max_rejects="1%"))

    summary = ran.xcoms["load"]
    assert (summary["rows"], summary["written"], summary["rejected"]) == (2500, 2499, 1)
    assert summary["rejects_path"] == str(rejects)
    (line,) = lines(rejects)
    assert line.pop("request_id")
    assert line == {
        "row": 1234,
        "file": str(source),
        "table": "account",
        "message": "Bad name",
        "code": "0x80040265",
        "retryable": False,
        "column": None,
        "row_id": None,
        "data": {"accountnumber": "L01234", "name": "poison"},
    }
    loaded = by_number(emulator)
    assert sum(number.startswith("L0") for number in loaded) == 2499
    assert "L01234" not in loaded


def test_more_refused_rows_than_allowed_fail_the_task_and_are_written_all_the_same(
    run_dag, emulator, tmp_path
):
    source, rejects = poisoned(tmp_path, emulator, rows=30, bad=(3, 17)), tmp_path / "rejects.ndjson"

    text = failed_once(run_one(run_dag, lambda: load(source, rejects_path=str(rejects))))

    assert "2 of 30 rows" in text
    assert "row 3: 0x80040265: Bad name" in text
    assert str(rejects) in text
    assert [line["row"] for line in lines(rejects)] == [3, 17]
    assert sum(number.startswith("L0") for number in by_number(emulator)) == 28


def test_without_a_place_for_them_refused_rows_are_named_in_the_error(run_dag, emulator, tmp_path):
    source = poisoned(tmp_path, emulator, rows=10, bad=(3,))

    text = failed_once(run_one(run_dag, lambda: load(source)))

    assert "1 of 10 rows" in text
    assert "Set rejects_path" in text


def test_the_first_refused_row_can_end_the_load(run_dag, emulator, tmp_path):
    source = poisoned(tmp_path, emulator, rows=10, bad=(3, 5))

    text = failed_once(run_one(run_dag, lambda: load(source, on_row_error="fail")))

    assert "Row 3 was refused: 0x80040265: Bad name" in text


def test_a_value_its_column_cannot_hold_spoils_its_row_and_not_the_file(run_dag, tmp_path):
    rejects = tmp_path / "rejects.ndjson"
    source = write_csv(
        tmp_path / "in.csv",
        [{"accountnumber": f"V{n}", "numberofemployees": "many" if n == 2 else n} for n in range(1, 5)],
    )

    ran = run_one(run_dag, lambda: load(source, rejects_path=str(rejects), max_rejects=1))

    assert (ran.xcoms["load"]["written"], ran.xcoms["load"]["rejected"]) == (3, 1)
    (line,) = lines(rejects)
    assert (line["row"], line["code"]) == (2, None)
    assert "numberofemployees" in line["message"]


def test_rejects_can_be_corrected_and_loaded_as_they_are(run_dag, emulator, tmp_path):
    source, rejects = poisoned(tmp_path, emulator, rows=5, bad=(3,)), tmp_path / "rejects.ndjson"
    run_one(run_dag, lambda: load(source, rejects_path=str(rejects), max_rejects=1))
    corrected = write_ndjson(
        tmp_path / "again.ndjson", [{**line["data"], "name": "Corrected"} for line in lines(rejects)]
    )

    ran = run_one(run_dag, lambda: load(corrected, rejects_path=str(rejects)))

    assert ran.xcoms["load"]["rejected"] == 0
    assert by_number(emulator)["L00003"]["name"] == "Corrected"
    assert not rejects.exists()


def test_rows_are_created_updated_and_deleted_by_their_id(run_dag, emulator, tmp_path):
    before = len(emulator.rows("account"))
    created = write_csv(tmp_path / "new.csv", [{"name": "A"}, {"name": "B"}])
    run_one(run_dag, lambda: load(created, operation="create", key=None))
    ids = [row["accountid"] for row in emulator.rows("account") if row["name"] in {"A", "B"}]
    assert len(emulator.rows("account")) == before + 2

    updated = write_csv(tmp_path / "ids.csv", [{"accountid": row_id, "name": "C"} for row_id in ids])
    run_one(run_dag, lambda: load(updated, operation="update", key=None))
    assert [row["name"] for row in emulator.rows("account") if row["accountid"] in ids] == ["C", "C"]

    ran = run_one(run_dag, lambda: load(updated, operation="delete", key=None))
    assert ran.xcoms["load"]["written"] == 2
    assert len(emulator.rows("account")) == before


def test_an_update_of_a_row_that_is_not_there_is_refused_and_not_created(run_dag, emulator, tmp_path):
    before = len(emulator.rows("account"))
    source = write_csv(tmp_path / "in.csv", [{"accountnumber": "NOBODY", "name": "X"}])

    text = failed_once(run_one(run_dag, lambda: load(source, operation="update")))

    assert "1 of 1 rows" in text
    assert len(emulator.rows("account")) == before


def test_what_was_exported_can_be_loaded_again(run_dag, emulator, tmp_path):
    path = tmp_path / "all.parquet"
    columns = ["accountnumber", "name", "revenue", "industrycode", "donotemail", "primarycontactid"]
    before = {
        row["accountid"]: {name: row.get(name) for name in ("name", "revenue")}
        for row in emulator.rows("account")
    }
    run_one(
        run_dag,
        lambda: DynamicsToObjectStorageOperator(
            task_id="export", table="account", select=columns, destination_path=str(path)
        ),
    )

    ran = run_one(run_dag, lambda: load(path, key=None))

    assert ran.states == {"load": "success"}, ran.errors
    after = {
        row["accountid"]: {name: row.get(name) for name in ("name", "revenue")}
        for row in emulator.rows("account")
    }
    assert after == before


def test_an_empty_file_is_a_load_of_no_rows(run_dag, emulator, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("accountnumber,name\n")

    ran = run_one(run_dag, lambda: load(source))

    assert (ran.xcoms["load"]["rows"], ran.xcoms["load"]["written"]) == (0, 0)
    assert writes(emulator) == []


def test_arguments_of_a_load_may_come_from_templates(run_dag, emulator, tmp_path):
    write_csv(tmp_path / "2026-01-01.csv", [{"no": "T1", "name": "Templated"}])
    with DAG(
        "templated_load", schedule=None, params={"key": "accountnumber", "column": "accountnumber"}
    ) as dag:
        ObjectStorageToDynamicsOperator(
            task_id="load",
            source_path=f"{tmp_path}/{{{{ ds }}}}.csv",
            table="{{ 'account' }}",
            key="{{ params.key }}",
            columns={"no": "{{ params.column }}"},
            max_rejects="{{ 1 }}%",
        )

    assert run_dag(dag, FIRST).states == {"load": "success"}
    assert by_number(emulator)["T1"]["name"] == "Templated"
