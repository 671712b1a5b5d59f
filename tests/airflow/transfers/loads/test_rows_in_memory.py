"""Rows that a DAG holds itself, through Airflow against the emulator: the same way as a file's."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest
from airflow.sdk import DAG, task

from airflow_provider_dynamics.transfers import DynamicsUpsertRowsOperator
from tests.airflow.transfers.files import FIRST, ONCE, failed_once, lines, run_one
from tests.airflow.transfers.loads.files import loaded, rows, writes

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def upsert(given, **arguments):
    return DynamicsUpsertRowsOperator(
        task_id="load",
        rows=given,
        **{"table": "account", "key": ["accountnumber"], **ONCE, **arguments},
    )


def test_rows_are_upserted_by_their_key_and_counted(run_dag, emulator):
    ran = run_one(run_dag, lambda: upsert(rows(5)))
    again = run_one(run_dag, lambda: upsert([*rows(5), *rows(1, start=6)]))

    assert ran.xcoms["load"].pop("requests") > 0
    assert ran.xcoms["load"] == {
        "mode": "load",
        "rows": 5,
        "written": 5,
        "unchanged": 0,
        "rejected": 0,
        "path": "rows",
        "rejects_path": None,
        "resumed_rows": 0,
        "throttled_seconds": 0.0,
    }
    assert again.xcoms["load"]["written"] == 6
    assert loaded(emulator) == [tuple(row.values()) for row in rows(6)]


def test_the_rows_of_another_task_are_its_result(run_dag, emulator):
    with DAG("handed_on", schedule=None) as dag:

        @task
        def made():
            return rows(3)

        upsert(made())

    assert run_dag(dag).states == {"made": "success", "load": "success"}
    assert len(loaded(emulator)) == 3


def test_rows_may_come_out_of_a_template_as_json(run_dag, emulator):
    with DAG("templated", schedule=None, params={"rows": rows(2)}) as dag:
        upsert("{{ params.rows | tojson }}")

    assert run_dag(dag, FIRST).states == {"load": "success"}
    assert len(loaded(emulator)) == 2


def test_values_of_python_are_converted_by_the_table(run_dag, emulator):
    row = {
        "accountnumber": "D-1",
        "revenue": Decimal("1.25"),
        "lastonholdtime": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "industrycode": "Accounting",
    }

    ran = run_one(run_dag, lambda: upsert([row]))

    assert ran.states == {"load": "success"}, ran.errors
    (stored,) = [row for row in emulator.rows("account") if row["accountnumber"] == "D-1"]
    assert (Decimal(str(stored["revenue"])), stored["industrycode"]) == (Decimal("1.25"), 1)


def test_refused_rows_are_set_aside_by_their_place(run_dag, emulator, tmp_path):
    given, rejects = (
        [*rows(2), "none", {"accountnumber": "D-9", "numberofemployees": "many"}],
        tmp_path / "no.ndjson",
    )

    ran = run_one(run_dag, lambda: upsert(given, rejects_path=str(rejects), max_rejects=2))

    assert [(line["row"], line["file"], line["column"]) for line in lines(rejects)] == [
        (3, None, None),
        (4, None, "numberofemployees"),
    ]
    assert (ran.xcoms["load"]["written"], len(loaded(emulator))) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"rows": "not json"}, "not JSON", id="a text that is no list"),
        pytest.param({"rows": {"name": "A"}}, "list of dicts", id="one row alone"),
        pytest.param({"operation": "merge"}, "upsert, create, update, delete", id="an unknown operation"),
        pytest.param({"key": ["name"]}, "accountnumber", id="columns that are no key"),
        pytest.param({"rows": [{"accountnumber": "A", "nme": "B"}]}, "'name'", id="a column the table lacks"),
        pytest.param({"plan_path": "/nowhere"}, "dry_run=True", id="a plan that is none"),
        pytest.param({"bypass_flows": "perhaps"}, "True or False", id="a truth that is none"),
        pytest.param({"bypass_business_logic": "some"}, "sync, async, all", id="an option that is none"),
        pytest.param({"checkpoint_seconds": "soon"}, "number of seconds", id="seconds that are none"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_written(run_dag, emulator, arguments, said):
    text = failed_once(
        run_one(
            run_dag,
            lambda: upsert(
                **{"given": rows(1), **arguments} if "rows" not in arguments else {"given": arguments["rows"]}
            ),
        )
    )

    assert said in text
    assert writes(emulator) == []


def test_options_go_with_every_write(run_dag, emulator):
    caller = emulator.rows("systemuser")[0]["azureactivedirectoryobjectid"]

    ran = run_one(run_dag, lambda: upsert(rows(2), caller_object_id=caller, bypass_flows=True, tag="load"))

    assert ran.states == {"load": "success"}, ran.errors
    sent = [request for request in writes(emulator) if "accounts" in request.path]
    assert sent
    for request in sent:
        assert request.headers["callerobjectid"] == caller
        assert request.headers["mscrm.suppresscallbackregistrationexpanderjob"] == "true"
        assert "tag=load" in request.query
