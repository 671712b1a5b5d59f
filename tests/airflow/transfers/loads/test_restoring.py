"""Undoing what is hard to undo, through Airflow against the emulator: rows that point to each other, states, tries."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.io import attach

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import (
    DynamicsUndoOperator,
    ObjectStorageToDynamicsOperator,
    ObjectStorageToDynamicsTablesOperator,
)
from tests.airflow.transfers.files import FIRST, ONCE, lines, run_one, write_csv, write_ndjson
from tests.airflow.transfers.reading import Buckets

pytestmark = pytest.mark.usefixtures("dynamics_conn")

OF_A_WRITE = ("@odata.etag", "modifiedon", "versionnumber", "createdon", "_createdby", "_modifiedby")
MANY = 1_200


def load(source, **arguments):
    return ObjectStorageToDynamicsOperator(
        task_id="load",
        source_path=str(source),
        **{"table": "account", "key": ["accountnumber"], **ONCE, **arguments},
    )


def undo(folder, **arguments):
    return DynamicsUndoOperator(task_id="undo", undo_path=str(folder), **{**ONCE, **arguments})


def loaded(run_dag, source, **arguments):
    return run_one(run_dag, lambda: load(source, **arguments)).xcoms["load"]


def undone(run_dag, folder, **arguments):
    return run_one(run_dag, lambda: undo(folder, **arguments)).xcoms["undo"]


def table(emulator, name="account"):
    """Return the table's rows by id, without what every write and every creation changes."""
    return {
        row[f"{name}id"]: {key: value for key, value in row.items() if not key.startswith(OF_A_WRITE)}
        for row in emulator.rows(name)
    }


def accounts(start, end, **more):
    return [{"accountnumber": f"R-{n:06}", "name": f"Row {n}", **more} for n in range(start, end)]


def sent(emulator):
    return [request for request in emulator.requests if "/api/data/" in request.path]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "undo"


def test_rows_that_a_later_pass_completed_are_undone_and_undone_again(run_dag, emulator, folder, tmp_path):
    before = table(emulator)
    rows = [
        {
            "accountnumber": f"P-{n}",
            "name": f"P {n}",
            "parent": f"P-{n + 1}" if n < 9 else None,
            "statecode": n % 2,
        }
        for n in range(10)
    ]
    source = write_ndjson(tmp_path / "in.ndjson", rows)
    loaded(
        run_dag,
        source,
        columns={"parent": "parentaccountid"},
        lookups={"parentaccountid": "account.accountnumber"},
        undo_path=str(folder),
    )

    first = undone(run_dag, folder)
    again = undone(run_dag, folder)

    assert table(emulator) == before
    assert (first["rows"], first["deleted"], first["rejected"]) == (10, 10, 0)
    assert (again["rows"], again["unchanged"], again["rejected"]) == (10, 10, 0)


@pytest.fixture
def family(run_dag, tmp_path):
    """Many accounts, whose parents stand first; every third is inactive."""
    rows = [
        {**row, "parent": f"R-{n // 10:06}" if n else None, "statecode": int(n % 3 == 1)}
        for n, row in enumerate(accounts(0, MANY))
    ]
    source = write_ndjson(tmp_path / "family.ndjson", rows)
    loaded(
        run_dag,
        source,
        columns={"parent": "parentaccountid"},
        lookups={"parentaccountid": "account.accountnumber"},
    )
    return rows


@pytest.fixture
def ids(family, emulator, tmp_path):
    """The file of their ids, parents first."""
    known = {row["accountnumber"]: row["accountid"] for row in emulator.rows("account")}
    return write_csv(tmp_path / "gone.csv", [{"accountid": known[row["accountnumber"]]} for row in family])


def test_deleted_rows_that_point_to_each_other_come_back_whole(run_dag, emulator, ids, folder):
    before = table(emulator)

    deleted = loaded(run_dag, ids, operation="delete", key=None, undo_path=str(folder))
    assert deleted["written"] == MANY
    back = undone(run_dag, folder)

    assert (back["rows"], back["recreated"], back["rejected"]) == (MANY, MANY, 0)
    assert table(emulator) == before
    assert undone(run_dag, folder)["unchanged"] == MANY


def test_undoing_that_was_killed_between_two_steps_goes_on_where_it_was(run_dag, emulator, ids, folder):
    before = table(emulator)
    loaded(run_dag, ids, operation="delete", key=None, undo_path=str(folder))
    emulator.fault("not_a_member", path="UpdateMultiple|batch")

    with DAG("transfer", schedule=None) as dag:
        undo(folder)
    assert run_dag(dag).states == {"undo": "failed"}
    assert table(emulator) != before
    emulator.clear_faults()

    assert undone(run_dag, folder)["rejected"] == 0
    assert table(emulator) == before


def test_a_deleted_row_that_somebody_made_again_is_left_alone_unless_told_otherwise(
    run_dag, emulator, ids, folder
):
    before = table(emulator)
    loaded(run_dag, ids, operation="delete", key=None, undo_path=str(folder))
    theirs = lines(next(folder.iterdir()))[1]["row_id"]
    with DynamicsHook().get_conn() as client:
        client.create("account", {"accountid": theirs, "name": "Theirs"})

    left = undone(run_dag, folder, max_rejects=1)
    assert (left["recreated"], left["rejected"]) == (MANY - 1, 1)
    assert table(emulator)[theirs]["name"] == "Theirs"
    undone(run_dag, folder, if_changed="overwrite")
    assert table(emulator) == before


def test_new_and_changed_rows_among_each_other_are_undone_in_few_requests(
    run_dag, emulator, folder, tmp_path
):
    loaded(run_dag, write_csv(tmp_path / "old.csv", accounts(0, 2 * MANY)[::2]))
    before = table(emulator)
    rows = [{**row, "name": "Renamed"} for row in accounts(0, 2 * MANY)]
    loaded(run_dag, write_csv(tmp_path / "in.csv", rows), undo_path=str(folder))
    already = len(sent(emulator))

    back = undone(run_dag, folder)

    assert (back["restored"], back["deleted"]) == (MANY, MANY)
    assert table(emulator) == before
    assert len(sent(emulator)) - already < 80


def test_what_an_empty_value_does_not_change_is_not_planned_not_sent_and_not_undone(
    run_dag, emulator, folder, tmp_path
):
    loaded(run_dag, write_csv(tmp_path / "old.csv", accounts(0, 3, telephone1="1")))
    before = table(emulator)
    rows = [
        {**accounts(0, 1)[0], "telephone1": ""},
        {**accounts(1, 2)[0], "telephone1": "", "name": "Renamed"},
    ]
    source = write_csv(tmp_path / "in.csv", rows)

    planned = loaded(run_dag, source, blank="skip", dry_run=True)
    done = loaded(run_dag, source, blank="skip", skip_unchanged=True, undo_path=str(folder))

    assert (planned["updates"], planned["unchanged"]) == (1, 1)
    assert (done["written"], done["unchanged"]) == (1, 1)
    assert undone(run_dag, folder)["restored"] == 1
    assert table(emulator) == before


def test_lookups_of_several_tables_owners_and_empty_lookups_come_back(run_dag, emulator, folder, tmp_path):
    [first, second] = emulator.rows("account")[:2]
    person = emulator.rows("contact")[0]
    team = emulator.rows("team")[0]
    with DynamicsHook().get_conn() as client:
        ids = [
            client.create("contact", {"lastname": f"L {n}", "emailaddress1": f"l{n}@x.test", **more})
            for n, more in enumerate(
                (
                    {"parentcustomerid_account@odata.bind": f"/accounts({first['accountid']})"},
                    {"parentcustomerid_contact@odata.bind": f"/contacts({person['contactid']})"},
                    {},
                )
            )
        ]
    assert len(ids) == 3
    before = table(emulator, "contact")
    rows = [
        {
            "emailaddress1": "l0@x.test",
            "parentcustomerid_contact@odata.bind": f"/contacts({person['contactid'].upper()})",
            "ownerid@odata.bind": f"/teams({team['teamid']})",
        },
        {"emailaddress1": "l1@x.test", "parentcustomerid_account@odata.bind": None},
        {
            "emailaddress1": "l2@x.test",
            "parentcustomerid_account@odata.bind": f"/accounts({second['accountid']})",
        },
    ]
    source = write_ndjson(tmp_path / "in.ndjson", rows)
    given = {"table": "contact", "key": ["emailaddress1"]}

    loaded(run_dag, source, **given, undo_path=str(folder))
    after = table(emulator, "contact")
    assert after != before
    assert loaded(run_dag, source, **given, skip_unchanged=True)["unchanged"] == 3
    back = undone(run_dag, folder)

    assert (back["restored"], back["rejected"]) == (3, 0)
    assert table(emulator, "contact") == before


def test_pre_images_are_kept_in_object_storage(run_dag, emulator, tmp_path):
    attach("memory", fs=Buckets())
    before = table(emulator)
    place = "memory://undo/restoring/{{ run_id }}/"
    source = write_csv(tmp_path / "in.csv", accounts(0, 700))

    with DAG("transfer", schedule=None) as dag:
        load(source, undo_path=place) >> undo(place)
    ran = run_dag(dag, at=FIRST)

    assert ran.xcoms["undo"]["deleted"] == 700
    assert table(emulator) == before


def test_rows_of_several_partitions_keep_what_an_upsert_would_replace(run_dag, emulator, folder, tmp_path):
    made: list[dict[str, Any]] = [
        {
            "contoso_sensordataid": f"00000000-0000-4000-8000-{n:012}",
            "partitionid": f"device-{n % 2}",
            "contoso_deviceid": f"device-{n % 2}",
            "contoso_value": n,
            "contoso_sensortype": "Humidity",
        }
        for n in range(6)
    ]
    given = {"table": "contoso_sensordata", "key": None}
    loaded(run_dag, write_ndjson(tmp_path / "old.ndjson", made), **given)
    before = table(emulator, "contoso_sensordata")
    changed = [{**row, "contoso_value": row["contoso_value"] + (row["contoso_value"] % 2)} for row in made]
    source = write_ndjson(tmp_path / "in.ndjson", changed)

    done = loaded(run_dag, source, **given, skip_unchanged=True, undo_path=str(folder))

    assert (done["written"], done["unchanged"]) == (3, 3)
    now = table(emulator, "contoso_sensordata").values()
    assert sorted(row["contoso_value"] for row in now) == [0, 2, 2, 4, 4, 6]
    assert {row["contoso_sensortype"] for row in now} == {"Humidity"}
    assert undone(run_dag, folder)["restored"] == 3
    assert table(emulator, "contoso_sensordata") == before


def test_loads_of_several_tables_in_a_circle_are_undone_and_undone_again(run_dag, emulator, folder, tmp_path):
    before = table(emulator), table(emulator, "contact")
    companies = [{"number": f"C-{n}", "title": f"C {n}", "person": f"c{n}@x.test"} for n in range(20)]
    people = [{"mail": f"c{n}@x.test", "lastname": f"C {n}", "company": f"C-{n}"} for n in range(20)]
    loads = [
        {
            "table": "account",
            "key": ["accountnumber"],
            "source_path": str(write_csv(tmp_path / "a.csv", companies)),
            "columns": {"number": "accountnumber", "title": "name", "person": "primarycontactid"},
            "lookups": {"primarycontactid": "contact.emailaddress1"},
        },
        {
            "table": "contact",
            "key": ["emailaddress1"],
            "source_path": str(write_csv(tmp_path / "c.csv", people)),
            "columns": {"mail": "emailaddress1", "company": "parentcustomerid"},
            "lookups": {"parentcustomerid": "account.accountnumber"},
        },
    ]

    def make():
        ObjectStorageToDynamicsTablesOperator(task_id="load", tables=loads, undo_path=str(folder), **ONCE)

    run_one(run_dag, make)
    assert undone(run_dag, folder)["deleted"] == 40
    assert (table(emulator), table(emulator, "contact")) == before
    assert undone(run_dag, folder)["unchanged"] == 40
