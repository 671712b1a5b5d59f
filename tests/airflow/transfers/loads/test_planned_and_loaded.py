"""A plan says what a load then does, and a load of differences leaves what a load of everything leaves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import (
    ObjectStorageToDynamicsOperator,
    ObjectStorageToDynamicsTablesOperator,
)
from tests.airflow.transfers.files import ONCE, lines, run_one, write_csv, write_ndjson

pytestmark = pytest.mark.usefixtures("dynamics_conn")

COUNTS = ("rows", "written", "unchanged", "rejected")
OF_A_WRITE = ("@odata.etag", "modifiedon", "versionnumber", "createdon", "_createdby", "_modifiedby")
LOOKUPS = {
    "parentaccountid": "account.accountnumber",
    "primarycontactid": "contact.emailaddress1",
    "ownerid": "systemuser.internalemailaddress",
}


def load(run_dag, source, **arguments):
    made: dict[str, Any] = {"table": "account", "key": ["accountnumber"], "max_rejects": "100%"}

    def make():
        ObjectStorageToDynamicsOperator(
            task_id="load", source_path=str(source), **{**made, **ONCE, **arguments}
        )

    return run_one(run_dag, make).xcoms["load"]


def counts(summary):
    return {name: summary[name] for name in COUNTS}


def row(number, **more):
    return {"accountnumber": f"Q-{number}", "name": f"Row {number}", **more}


@pytest.fixture
def half(run_dag, tmp_path):
    """Ten accounts that are there already, made by a load."""
    source = write_ndjson(tmp_path / "half.ndjson", [row(n, revenue=n) for n in range(10)])
    load(run_dag, source, operation="create")


@pytest.fixture
def made_elsewhere():
    """Accounts that others have made, under ids of their own."""
    with DynamicsHook().get_conn() as client:
        for number in range(20, 23):
            client.create("account", row(number))


FILE = [
    *(row(n, revenue=n) for n in range(4)),
    *(row(n, revenue=100 + n) for n in range(4, 8)),
    *(row(n, revenue=n) for n in range(30, 33)),
    row(20, revenue=1),
    row(3, revenue=7),
    row(40, revenue="much"),
]


@pytest.mark.usefixtures("dynamics_conn", "half", "made_elsewhere")
@pytest.mark.parametrize(
    "arguments",
    [
        {"operation": "create"},
        {"operation": "create", "key": None, "row_id_from": ["accountnumber"]},
        {"operation": "create", "key": None, "columns": {"accountnumber": None}},
        {"operation": "update"},
        {"operation": "upsert"},
        {"operation": "upsert", "blank": "skip"},
        {"operation": "delete", "columns": {"name": None, "revenue": None}},
    ],
    ids=str,
)
def test_a_plan_counts_what_the_load_then_does(run_dag, arguments, tmp_path):
    source = write_ndjson(tmp_path / "in.ndjson", FILE)

    planned = load(run_dag, source, **arguments, dry_run=True)
    done = load(run_dag, source, **arguments, skip_unchanged=True)

    assert counts(planned) == counts(done)
    assert planned["rows"] == sum(
        planned[name] for name in ("creates", "updates", "deletes", "unchanged", "rejected")
    )
    if arguments["operation"] != "create":
        again = load(run_dag, source, **arguments, dry_run=True)
        assert again["written"] == 0


@pytest.mark.usefixtures("half")
def test_a_plan_of_several_passes_counts_what_the_load_then_does(run_dag, emulator, tmp_path):
    users = [
        user["internalemailaddress"] for user in emulator.rows("systemuser") if user["internalemailaddress"]
    ]
    rows = [
        row(0, revenue=0, parent="Q-11", owner=users[0], statecode="Inactive"),
        row(1, revenue=1, parent="Q-12", owner=users[0], statecode="Active"),
        row(11, revenue=1, parent="Q-0", owner=None, statecode="Inactive"),
        row(12, revenue=1, parent=None, owner=users[0], statecode="Active"),
        row(13, revenue=1, parent="Q-99", owner=None, statecode="Active"),
        row(14, revenue=1, parent=None, owner="nobody@x.test", statecode="Active"),
    ]
    source = write_csv(tmp_path / "in.csv", rows)
    arguments = {"columns": {"parent": "parentaccountid", "owner": "ownerid"}}
    arguments["lookups"] = {name: LOOKUPS[name] for name in ("parentaccountid", "ownerid")}

    planned = load(run_dag, source, **arguments, dry_run=True)
    done = load(run_dag, source, **arguments, skip_unchanged=True)
    planned_again = load(run_dag, source, **arguments, dry_run=True)
    again = load(run_dag, source, **arguments, skip_unchanged=True)

    assert counts(planned) == counts(done)
    assert done["rejected"] == 2
    assert counts(planned_again) == counts(again)
    assert (again["written"], again["unchanged"]) == (0, 4)


def tables(run_dag, *loads, **arguments):
    def make():
        ObjectStorageToDynamicsTablesOperator(
            task_id="load", tables=list(loads), max_rejects="100%", **ONCE, **arguments
        )

    return run_one(run_dag, make).xcoms["load"]


def test_a_plan_of_several_loads_of_one_table_counts_all_their_rows(run_dag, tmp_path):
    loads = [
        {
            "table": "account",
            "key": ["accountnumber"],
            "source_path": str(
                write_csv(tmp_path / f"{start}.csv", [row(n) for n in range(start, start + 5)])
            ),
        }
        for start in (50, 60)
    ]
    planned = tables(run_dag, *loads, dry_run=True)
    done = tables(run_dag, *loads)

    assert planned["creates"] == 10
    assert counts(planned) == counts(done)


def test_a_plan_of_several_tables_knows_which_rows_the_load_would_make(run_dag, tmp_path):
    people = [
        {"mail": f"q{n}@x.test", "lastname": "x" * (300 if n == 2 else 3), "company": f"q-{n} "}
        for n in range(4)
    ]
    rows = [row(n, person=f"Q{n}@x.test") for n in range(6)]
    plan = tmp_path / "plan.ndjson"
    loads = (
        {
            "table": "account",
            "key": ["accountnumber"],
            "source_path": str(write_csv(tmp_path / "a.csv", rows)),
            "columns": {"person": "primarycontactid"},
            "lookups": {"primarycontactid": "contact.emailaddress1"},
        },
        {
            "table": "contact",
            "key": ["emailaddress1"],
            "source_path": str(write_csv(tmp_path / "c.csv", people)),
            "columns": {"mail": "emailaddress1", "company": "parentcustomerid"},
            "lookups": {"parentcustomerid": ["account.accountnumber", "contact.emailaddress1"]},
        },
    )
    planned = tables(run_dag, *loads, dry_run=True, plan_path=str(plan))
    done = tables(run_dag, *loads)

    assert counts(planned) == counts(done)
    assert done["rejected"] == 4  # a name too long, and the accounts of three people who are not there
    assert sum(line["action"] == "reject" for line in lines(plan)) == 4


VALUES = {
    "name": st.sampled_from(["A", "a", "A ", "", "Ä", "x" * 160]),
    "revenue": st.sampled_from([None, 0, 10, "10.50", 10.5, "0.1", 12345678.9]),
    "numberofemployees": st.sampled_from([None, 0, 7, "7"]),
    "creditonhold": st.sampled_from([None, True, False, "Yes"]),
    "lastusedincampaign": st.sampled_from([None, "2024-02-29", "2024-03-01"]),
    "contoso_nextdelivery": st.sampled_from([None, "2024-02-29T10:00:00", "2024-02-29T10:00:00.5"]),
    "parent": st.sampled_from([None, "", "h-0", "H-1", "H-2 "]),
    "statecode": st.sampled_from([0, 1, "Inactive"]),
    "telephone1": st.sampled_from([None, "1", " 1"]),
}
ROWS = st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=5)


def numbered(rows):
    return [{"accountnumber": f"H-{number}", **each} for number, each in enumerate(rows)]


def stored(emulator):
    """Return the rows of the test, lookups by number, without what every write changes."""
    rows = emulator.rows("account")
    numbers = {each["accountid"]: each["accountnumber"] for each in rows}
    return {
        each["accountnumber"]: {
            **{
                name: value for name, value in each.items() if not name.startswith((*OF_A_WRITE, "accountid"))
            },
            "_parentaccountid_value": numbers.get(each["_parentaccountid_value"]),
        }
        for each in rows
        if str(each["accountnumber"]).startswith("H-")
    }


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.tuples(ROWS, ROWS), blank=st.sampled_from(["null", "skip"]))
def test_differences_alone_leave_what_everything_leaves(run_dag, emulator, tmp_path, rows, blank):
    old, new = (
        write_ndjson(tmp_path / f"{name}.ndjson", numbered(each))
        for name, each in zip(("old", "new"), rows, strict=True)
    )
    first, second = ({"blank": blank, **_lookups(each)} for each in rows)
    left = []
    for skips in (True, False):
        emulator.reset()
        load(run_dag, old, **first)
        planned = load(run_dag, new, **second, dry_run=True)
        done = load(run_dag, new, **second, skip_unchanged=skips)
        if skips:
            assert counts(planned) == counts(done)
            assert load(run_dag, new, **second, skip_unchanged=True)["written"] == 0
        left.append(stored(emulator))
    assert left[0] == left[1]


def _lookups(rows):
    if not any("parent" in each for each in rows):
        return {}
    return {
        "columns": {"parent": "parentaccountid"},
        "lookups": {"parentaccountid": LOOKUPS["parentaccountid"]},
    }
