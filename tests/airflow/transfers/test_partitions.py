"""A table divided among mapped tasks, through Airflow's own mapping: together they hold every row once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from airflow.sdk import DAG, task

from airflow_provider_dynamics.dataverse.queries.conditions import column
from airflow_provider_dynamics.dataverse.queries.query import Expand
from airflow_provider_dynamics.transfers import DynamicsPartitionsOperator, DynamicsToObjectStorageOperator
from tests.airflow.transfers.files import ONCE, failed_once, run_one
from tests.airflow.transfers.reading import ids_in

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def mapped(folder, *, of=None, suffix="/", **arguments):
    """Return a DAG that divides a table and reads the parts side by side."""
    with DAG("mapped", schedule=None) as dag:
        partitions = DynamicsPartitionsOperator(task_id="partitions", table="account", **(of or {}))
        DynamicsToObjectStorageOperator.partial(
            task_id="export",
            destination_path=f"{folder}{suffix}",
            **{"table": "account", "select": ["name"], "file_format": "parquet", **ONCE, **arguments},
        ).expand(partition=partitions.output)
    return dag


def summaries(ran):
    return [value for name, value in sorted(ran.xcoms.items()) if name.startswith("export[")]


def test_mapped_tasks_hold_every_row_once(run_dag, emulator, tmp_path):
    ran = run_dag(mapped(tmp_path, of={"partitions": 3}))

    files = sorted(tmp_path.iterdir())
    assert set(ran.states.values()) == {"success"}, ran.errors
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert sorted(row for file in files for row in ids_in(file)) == sorted(
        row["accountid"] for row in emulator.rows("account")
    )
    assert [one["path"] for one in summaries(ran)] == [str(file) for file in files]


def test_partitions_follow_each_other_and_know_their_place(run_dag, emulator, tmp_path):
    parts = run_dag(mapped(tmp_path, of={"partitions": 4})).xcoms["partitions"]

    assert [(one["index"], one["of"], one["table"], one["filter"]) for one in parts] == [
        (index, len(parts), "account", None) for index in range(len(parts))
    ]
    assert {one["column"] for one in parts} == {"createdon"}
    assert all(left["end"] == right["start"] for left, right in pairwise(parts))
    assert all(one["start"] < one["end"] for one in parts)
    assert sum(one["rows"] for one in parts) == len(emulator.rows("account"))


def test_rows_without_a_value_belong_to_one_partition(run_dag, emulator, tmp_path):
    ran = run_dag(mapped(tmp_path, of={"partitions": 3, "window_column": "revenue"}))

    rows = emulator.rows("account")
    assert any(row["revenue"] is None for row in rows)
    assert set(ran.states.values()) == {"success"}, ran.errors
    assert sorted(row for file in tmp_path.iterdir() for row in ids_in(file)) == sorted(
        row["accountid"] for row in rows
    )


def test_a_filter_is_for_both_tasks(run_dag, emulator, tmp_path):
    active = column("statecode") == 0
    related = [Expand("primarycontactid", ["fullname"])]
    ran = run_dag(mapped(tmp_path, of={"partitions": 2, "filter": active}, filter=active, expand=related))

    expected = sum(row["statecode"] == 0 for row in emulator.rows("account"))
    assert sum(one["rows"] for one in ran.xcoms["partitions"]) == expected
    assert sum(one["rows"] for one in summaries(ran)) == expected


def test_a_mapped_task_that_fails_goes_on_without_the_others(run_dag, emulator, tmp_path):
    emulator.fault(
        "error", path=r"/accounts\?.*skiptoken", status=400, code="0x80040265", message="no", count=1
    )

    ran = run_dag(mapped(tmp_path, of={"partitions": 2}, page_size=3, lanes=1))

    assert sorted(ran.states.values()) == ["failed", "success", "success"]
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("part-0000")


def test_the_format_names_the_files_in_a_folder(run_dag, tmp_path):
    run_dag(mapped(tmp_path, of={"partitions": 1}, file_format="csv"))

    assert [file.name for file in tmp_path.iterdir()] == ["part-00000.csv"]


def test_each_partition_may_name_its_own_file(run_dag, tmp_path):
    with DAG("named", schedule=None) as dag:
        partitions = DynamicsPartitionsOperator(task_id="partitions", table="account", partitions=2)

        @task
        def named(parts):
            return [{"partition": one, "destination_path": f"{tmp_path}/{one['index']}.csv"} for one in parts]

        DynamicsToObjectStorageOperator.partial(
            task_id="export", table="account", select=["name"]
        ).expand_kwargs(named(partitions.output))

    ran = run_dag(dag)

    assert set(ran.states.values()) == {"success"}, ran.errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.csv", "1.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"partitions": "many"}, "partitions is 'many'", id="a number that is none"),
        pytest.param({"partitions": ""}, "partitions is not set", id="no number"),
        pytest.param({"window_column": "name"}, "name cannot be a window column", id="a text"),
        pytest.param({"window_column": "createdn"}, "'createdon'", id="an unknown column"),
        pytest.param({"table": "acount"}, "'account'", id="an unknown table"),
        pytest.param({"filter": "nam eq 'x'"}, "'name'", id="an unknown column in a filter"),
        pytest.param({"filter": column("nam") == "x"}, "'name'", id="an unknown column in a condition"),
    ],
)
def test_a_wrong_argument_is_one_sentence(run_dag, arguments, said):
    text = failed_once(
        run_one(
            run_dag,
            lambda: DynamicsPartitionsOperator(task_id="parts", **{"table": "account", **ONCE, **arguments}),
        )
    )

    assert said in text


def test_a_table_one_may_not_read_is_told_before_tasks_are_mapped(run_dag, emulator, tmp_path):
    emulator.sign_ins.take_privilege("prvReadAccount")

    ran = run_dag(mapped(tmp_path, of=ONCE))

    assert "prvReadAccount" in str(ran.errors["partitions"])
    assert ran.states == {"partitions": "failed", "export": "upstream_failed"}


def refusals(ran):
    """Return what the mapped tasks said that all failed."""
    states = {name: state for name, state in ran.states.items() if name.startswith("export[")}
    assert set(states.values()) == {"failed"}
    return str(ran.errors["export"])


def test_one_file_for_all_partitions_is_refused_as_each_would_replace_the_others(run_dag, tmp_path):
    text = refusals(run_dag(mapped(tmp_path, of={"partitions": 2}, suffix="/all.parquet")))

    assert "in place of what the others wrote" in text
    assert "{{ ti.map_index }}" in text
    assert list(tmp_path.iterdir()) == []


def test_a_file_named_after_the_mapped_task_is_its_own(run_dag, tmp_path):
    ran = run_dag(mapped(tmp_path, of={"partitions": 2}, suffix="/{{ ti.map_index }}.parquet"))

    assert set(ran.states.values()) == {"success"}, ran.errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.parquet", "1.parquet"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"filter": "statecode eq 0"}, "filter='statecode eq 0'", id="another filter"),
        pytest.param({"table": "contact", "select": ["fullname"]}, "table='contact'", id="another table"),
    ],
)
def test_a_partition_of_something_else_is_refused_as_rows_may_lie_outside(run_dag, tmp_path, arguments, said):
    text = refusals(run_dag(mapped(tmp_path, of={"partitions": 2}, **arguments)))

    assert said in text
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_division_into_more_is_not_counted_twice(run_dag, tmp_path):
    run_dag(mapped(tmp_path, of={"partitions": 3}))

    text = refusals(run_dag(mapped(tmp_path, of={"partitions": 2})))

    assert "part-00002.parquet" in text
    assert "counted twice" in text


@pytest.mark.parametrize("index", [None, "many", -1, True], ids=str)
def test_a_partition_without_a_number_names_no_file(run_dag, tmp_path, index):
    partition = {"index": index, "column": "createdon"}

    text = failed_once(
        run_one(
            run_dag,
            lambda: DynamicsToObjectStorageOperator(
                task_id="export",
                table="account",
                destination_path=f"{tmp_path}/",
                partition=partition,
                **ONCE,
            ),
        )
    )

    assert f"index is {index!r}" in text
    assert list(tmp_path.iterdir()) == []
