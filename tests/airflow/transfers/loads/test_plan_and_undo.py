"""Plan, differences and undoing, through Airflow against the emulator."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import DAG

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import DynamicsUndoOperator, ObjectStorageToDynamicsOperator
from tests.airflow.transfers.files import FIRST, ONCE, lines, run_one, write_csv, write_ndjson

pytestmark = pytest.mark.usefixtures("dynamics_conn")

OF_A_WRITE = ("@odata.etag", "modifiedon", "versionnumber")
UPDATED = 3
CREATED = 2


def load(source, **arguments):
    return ObjectStorageToDynamicsOperator(
        task_id="load",
        source_path=str(source),
        **{"table": "account", "key": ["accountnumber"], **ONCE, **arguments},
    )


def undo(folder, **arguments):
    return DynamicsUndoOperator(task_id="undo", undo_path=str(folder), **{**ONCE, **arguments})


def writes(emulator):
    return [
        request
        for request in emulator.requests
        if request.method in {"PATCH", "PUT", "DELETE"} or "Multiple" in request.path
    ]


def table(emulator, name="account"):
    """Return the table's rows by id, without what every write changes."""
    rows = emulator.rows(name)
    return {
        row[f"{name}id"]: {key: value for key, value in row.items() if not key.startswith(OF_A_WRITE)}
        for row in rows
    }


@pytest.fixture
def known(emulator):
    return [row for row in emulator.rows("account") if row["accountnumber"]]


@pytest.fixture
def mixed(known, tmp_path):
    """A file with rows that are new, that differ, that are equal, and one that cannot be."""
    changed = [
        {
            "accountnumber": row["accountnumber"],
            "name": f"Renamed {n}",
            "revenue": "12.50",
            "primarycontactid": None,
        }
        for n, row in enumerate(known[:UPDATED])
    ]
    equal = [
        {name: row[name] for name in ("accountnumber", "name")}
        | {"revenue": row["revenue"], "primarycontactid": row["_primarycontactid_value"]}
        for row in known[UPDATED : UPDATED + 4]
    ]
    new = [
        {"accountnumber": f"NEW-{n}", "name": f"New {n}", "revenue": 1, "primarycontactid": None}
        for n in range(CREATED)
    ]
    wrong = [{"accountnumber": "BAD", "name": "x" * 500, "revenue": 1, "primarycontactid": None}]
    return write_ndjson(tmp_path / "in.ndjson", [*changed, *equal, *new, *wrong])


def test_a_plan_counts_and_names_what_a_load_would_do_and_writes_nothing(
    run_dag, emulator, known, mixed, tmp_path
):
    before, plan = table(emulator), tmp_path / "plan.ndjson"

    ran = run_one(run_dag, lambda: load(mixed, dry_run=True, plan_path=str(plan), max_rejects=1))

    summary = ran.xcoms["load"]
    assert {name: summary[name] for name in ("creates", "updates", "deletes", "unchanged", "rejected")} == {
        "creates": CREATED,
        "updates": UPDATED,
        "deletes": 0,
        "unchanged": 4,
        "rejected": 1,
    }
    assert (summary["mode"], summary["rows"], summary["written"]) == ("plan", 10, CREATED + UPDATED)
    assert table(emulator) == before
    assert writes(emulator) == []
    first, *_ = planned = lines(plan)
    assert [line["action"] for line in planned] == ["update"] * 3 + ["create"] * 2 + ["reject"]
    assert first["row_id"] == known[0]["accountid"]
    assert first["changes"]["name"] == {"from": known[0]["name"], "to": "Renamed 0"}


def test_a_plan_and_the_load_behind_it_agree(run_dag, mixed):
    planned = run_one(run_dag, lambda: load(mixed, dry_run=True, max_rejects=1)).xcoms["load"]
    loaded = run_one(run_dag, lambda: load(mixed, skip_unchanged=True, max_rejects=1)).xcoms["load"]

    for name in ("rows", "written", "unchanged", "rejected"):
        assert planned[name] == loaded[name], name


def test_only_rows_and_columns_that_differ_are_sent(run_dag, emulator, known, mixed):
    versions = {row["accountid"]: row["versionnumber"] for row in known}

    run_one(run_dag, lambda: load(mixed, skip_unchanged=True, max_rejects=1))

    touched = {
        row["accountid"]
        for row in emulator.rows("account")
        if versions.get(row["accountid"], row["versionnumber"]) != row["versionnumber"]
    }
    assert touched == {row["accountid"] for row in known[:UPDATED]}
    again = run_one(run_dag, lambda: load(mixed, skip_unchanged=True, max_rejects=1)).xcoms["load"]
    assert (again["written"], again["unchanged"]) == (0, UPDATED + 4 + CREATED)


def test_undoing_a_load_leaves_the_table_as_it_was(run_dag, emulator, mixed, tmp_path):
    before, folder = table(emulator), tmp_path / "undo"

    run_one(run_dag, lambda: load(mixed, undo_path=str(folder), max_rejects=1))
    assert table(emulator) != before
    undone = run_one(run_dag, lambda: undo(folder)).xcoms["undo"]

    assert table(emulator) == before
    assert (undone["restored"], undone["deleted"], undone["rejected"]) == (UPDATED, CREATED, 0)
    again = run_one(run_dag, lambda: undo(folder)).xcoms["undo"]
    assert (again["unchanged"], again["rows"]) == (UPDATED + CREATED, UPDATED + CREATED)


def test_deleted_rows_come_back_under_their_ids_with_their_state(run_dag, emulator, tmp_path):
    shipments = emulator.rows("contoso_shipment")[:5]
    with DynamicsHook().get_conn() as client:
        client.update(
            "contoso_shipment", shipments[0]["contoso_shipmentid"], {"statecode": 1, "statuscode": 2}
        )
    before, folder = table(emulator, "contoso_shipment"), tmp_path / "undo"
    source = write_csv(
        tmp_path / "gone.csv", [{"contoso_shipmentid": row["contoso_shipmentid"]} for row in shipments]
    )

    deleted = run_one(
        run_dag,
        lambda: load(source, table="contoso_shipment", operation="delete", key=None, undo_path=str(folder)),
    ).xcoms["load"]
    assert (deleted["written"], len(table(emulator, "contoso_shipment"))) == (5, len(before) - 5)
    undone = run_one(run_dag, lambda: undo(folder)).xcoms["undo"]

    assert undone["recreated"] == 5
    made = ("createdon", "createdby", "_createdby", "_modifiedby")
    now = table(emulator, "contoso_shipment")
    assert {
        row_id: {name: value for name, value in row.items() if not name.startswith(made)}
        for row_id, row in now.items()
    } == {
        row_id: {name: value for name, value in row.items() if not name.startswith(made)}
        for row_id, row in before.items()
    }


def test_a_row_that_somebody_has_changed_since_is_left_alone_unless_told_otherwise(
    run_dag, emulator, known, mixed, tmp_path
):
    before, folder, rejects = table(emulator), tmp_path / "undo", tmp_path / "rejects.ndjson"
    run_one(run_dag, lambda: load(mixed, undo_path=str(folder), max_rejects=1))
    theirs = known[0]["accountid"]
    with DynamicsHook().get_conn() as client:
        client.update("account", theirs, {"name": "By somebody else"})

    undone = run_one(run_dag, lambda: undo(folder, rejects_path=str(rejects), max_rejects=1)).xcoms["undo"]
    assert (undone["restored"], undone["rejected"]) == (UPDATED - 1, 1)
    assert table(emulator)[theirs]["name"] == "By somebody else"
    assert "changed since the load (name)" in json.loads(rejects.read_text())["message"]

    run_one(run_dag, lambda: undo(folder, if_changed="overwrite"))
    assert table(emulator) == before


def test_a_load_that_died_half_way_and_was_retried_is_undone_as_a_whole(run_dag, emulator, known, tmp_path):
    before, folder = table(emulator), tmp_path / "undo"
    rows = [{"accountnumber": f"N-{n:05}", "name": f"New {n}"} for n in range(1200)]
    rows += [{"accountnumber": row["accountnumber"], "name": "Renamed"} for row in known]
    source = write_csv(tmp_path / "in.csv", rows)
    emulator.fault("not_a_member", path="UpsertMultiple|batch", skip=2)

    def of_one_run():
        with DAG("transfer", schedule=None) as dag:
            load(source, undo_path=str(folder), chunk_size=200, concurrency=1)
        return run_dag(dag, at=FIRST).states["load"]

    assert of_one_run() == "failed"
    assert before != table(emulator)
    emulator.clear_faults()
    assert of_one_run() == "success"
    undone = run_one(run_dag, lambda: undo(folder)).xcoms["undo"]

    assert table(emulator) == before
    assert (undone["deleted"], undone["rejected"]) == (1200, 0)
