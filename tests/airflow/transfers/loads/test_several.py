"""Several tables in one load, through Airflow against the emulator: in order, in circles, refused, tried again."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dynamics.lineage import Place, loaded
from airflow_provider_dynamics.transfers import (
    ObjectStorageToDynamicsOperator,
    ObjectStorageToDynamicsTablesOperator,
)
from airflow_provider_dynamics.transfers.loads.job import TableLoad
from tests.airflow.transfers.files import ONCE, failed_once, lines, run_one, write_csv, write_ndjson

pytestmark = pytest.mark.usefixtures("dynamics_conn")

ACCOUNTS: dict[str, Any] = {
    "table": "account",
    "key": ["accountnumber"],
    "columns": {
        "number": "accountnumber",
        "title": "name",
        "parent": "parentaccountid",
        "person": "primarycontactid",
    },
    "lookups": {"parentaccountid": "account.accountnumber", "primarycontactid": "contact.emailaddress1"},
}
CONTACTS: dict[str, Any] = {
    "table": "contact",
    "key": ["emailaddress1"],
    "columns": {"mail": "emailaddress1", "company": "parentcustomerid"},
    "lookups": {"parentcustomerid": "account.accountnumber"},
}
SHIPMENTS: dict[str, Any] = {
    "table": "contoso_shipment",
    "key": ["contoso_number"],
    "columns": {"number": "contoso_number", "name": "contoso_name", "account": "contoso_accountid"},
    "lookups": {"contoso_accountid": "account.accountnumber"},
}


@pytest.fixture
def files(tmp_path):
    """Accounts whose parents stand below them, contacts of those accounts, who are their primary contacts, and shipments."""
    accounts = [
        {
            "number": f"T-{n}",
            "title": f"Company {n}",
            "parent": f"T-{n + 1}" if n < 9 else "",
            "person": f"p{n}@x.test",
        }
        for n in range(10)
    ]
    contacts = [{"mail": f"p{n}@x.test", "lastname": f"Person {n}", "company": f"t-{n} "} for n in range(10)]
    shipments = [{"number": f"S-{n}", "name": f"Shipment {n}", "account": f"T-{n % 10}"} for n in range(30)]
    return {
        "account": write_csv(tmp_path / "accounts.csv", accounts),
        "contact": write_ndjson(tmp_path / "contacts.ndjson", contacts),
        "contoso_shipment": write_csv(tmp_path / "shipments.csv", shipments),
    }


def load(files, *tables, **arguments):
    return ObjectStorageToDynamicsTablesOperator(
        task_id="load",
        tables=[{**table, "source_path": str(files[table["table"]])} for table in tables],
        **{**ONCE, **arguments},
    )


def stored(emulator):
    accounts = {
        row["accountnumber"]: row
        for row in emulator.rows("account")
        if str(row["accountnumber"]).startswith("T-")
    }
    contacts = {
        row["emailaddress1"]: row
        for row in emulator.rows("contact")
        if str(row["emailaddress1"]).endswith("@x.test")
    }
    shipments = {
        row["contoso_number"]: row
        for row in emulator.rows("contoso_shipment")
        if row["contoso_number"][:2] == "S-"
    }
    return accounts, contacts, shipments


def check_all_there(emulator):
    accounts, contacts, shipments = stored(emulator)
    assert (len(accounts), len(contacts), len(shipments)) == (10, 10, 30)
    for n in range(10):
        account, person = accounts[f"T-{n}"], contacts[f"p{n}@x.test"]
        assert account["_primarycontactid_value"] == person["contactid"]
        assert person["_parentcustomerid_value"] == account["accountid"]
        above = accounts.get(f"T-{n + 1}")
        assert account["_parentaccountid_value"] == (above["accountid"] if above else None)
    assert all(
        row["_contoso_accountid_value"] == accounts[f"T-{int(number[2:]) % 10}"]["accountid"]
        for number, row in shipments.items()
    )


@pytest.mark.parametrize(
    "order",
    [(ACCOUNTS, CONTACTS, SHIPMENTS), (SHIPMENTS, CONTACTS, ACCOUNTS), (CONTACTS, SHIPMENTS, ACCOUNTS)],
)
def test_tables_that_point_to_each_other_are_loaded_whole_in_whatever_order_they_are_named(
    run_dag, emulator, files, order
):
    ran = run_one(run_dag, lambda: load(files, *order))

    assert ran.errors == {}
    check_all_there(emulator)
    summary = ran.xcoms["load"]
    assert (summary["rows"], summary["written"], summary["rejected"]) == (50, 50, 0)
    assert {name: part["rows"] for name, part in summary["tables"].items()} == {
        "account": 10,
        "contact": 10,
        "contoso_shipment": 30,
    }
    assert list(summary["tables"])[-1] == "contoso_shipment"


def test_loading_the_same_again_changes_nothing(run_dag, emulator, files):
    run_one(run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS))
    ran = run_one(run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS, skip_unchanged=True))

    assert (ran.xcoms["load"]["written"], ran.xcoms["load"]["unchanged"]) == (0, 50)
    check_all_there(emulator)


def test_refused_rows_of_all_tables_are_in_one_file_that_can_be_loaded_again(
    run_dag, emulator, files, tmp_path
):
    contacts = [{"mail": f"p{n}@x.test", "lastname": f"Person {n}", "company": f"T-{n}"} for n in range(9)]
    write_ndjson(files["contact"], contacts)
    rejects = tmp_path / "rejects.ndjson"

    ran = run_one(
        run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS, rejects_path=str(rejects), max_rejects=1)
    )

    assert ran.errors == {}
    [line] = lines(rejects)
    assert (line["table"], line["row"], line["column"]) == ("account", 10, "primarycontactid")
    assert line["message"] == (
        "The row is written, and what had to wait is refused: The lookup primarycontactid: there is no row of contact with "
        "emailaddress1 'p9@x.test'."
    )
    assert len(stored(emulator)[0]) == 10, "the row itself is written"
    summary = ran.xcoms["load"]
    assert (summary["rows"], summary["written"], summary["rejected"]) == (49, 48, 1)

    write_ndjson(files["contact"], [{"mail": "p9@x.test", "lastname": "Person 9", "company": "T-9"}])
    again = {
        **ACCOUNTS,
        "source_path": str(rejects),
        "file_format": "rejects",
    }
    once_more = run_one(
        run_dag,
        lambda: ObjectStorageToDynamicsTablesOperator(
            task_id="load", tables=[again, {**CONTACTS, "source_path": str(files["contact"])}], **ONCE
        ),
    )
    assert once_more.errors == {}
    check_all_there(emulator)


def test_a_dry_run_writes_nothing_and_takes_what_the_load_would_write_as_written(run_dag, emulator, files):
    before = [emulator.rows(table) for table in files]

    ran = run_one(run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS, dry_run=True))

    assert ran.errors == {}
    assert [emulator.rows(table) for table in files] == before
    summary = ran.xcoms["load"]
    assert (summary["mode"], summary["rows"], summary["creates"], summary["rejected"]) == ("plan", 50, 50, 0)


def test_states_are_set_when_all_rows_are_there(run_dag, emulator, tmp_path):
    rows = [
        {
            "number": f"T-{n}",
            "title": "x",
            "parent": f"T-{(n + 1) % 4}",
            "statecode": "Inactive",
            "statuscode": "2",
        }
        for n in range(4)
    ]
    files = {"account": write_csv(tmp_path / "a.csv", rows)}
    columns = {"number": "accountnumber", "title": "name", "parent": "parentaccountid"}
    accounts = {**ACCOUNTS, "columns": columns, "lookups": {"parentaccountid": "account.accountnumber"}}

    ran = run_one(run_dag, lambda: load(files, accounts))

    assert ran.errors == {}
    made = stored(emulator)[0]
    assert {row["statecode"] for row in made.values()} == {1}
    assert all(row["_parentaccountid_value"] for row in made.values())


@pytest.mark.parametrize("order", [("account", "contoso_shipment"), ("contoso_shipment", "account")])
def test_deletions_go_from_what_points_to_what_is_pointed_to(run_dag, emulator, files, tmp_path, order):
    run_one(run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS))
    gone = {
        "account": write_csv(tmp_path / "a.csv", [{"accountnumber": f"T-{n}"} for n in range(10)]),
        "contoso_shipment": write_csv(tmp_path / "s.csv", [{"contoso_number": f"S-{n}"} for n in range(30)]),
    }
    keys = {"account": ["accountnumber"], "contoso_shipment": ["contoso_number"]}

    ran = run_one(
        run_dag,
        lambda: load(gone, *({"table": name, "key": keys[name], "operation": "delete"} for name in order)),
    )

    assert ran.errors == {}
    assert list(ran.xcoms["load"]["tables"]) == ["contoso_shipment", "account"]
    assert stored(emulator)[0] == stored(emulator)[2] == {}


def test_two_files_of_one_table_are_two_loads(run_dag, emulator, tmp_path):
    def part(name, numbers):
        rows = [
            {"accountnumber": f"T-{n}", "name": name, "parentaccountid": f"T-{(n + 1) % 6}"} for n in numbers
        ]
        return {
            "table": "account",
            "key": ["accountnumber"],
            "lookups": {"parentaccountid": "account.accountnumber"},
            "source_path": str(write_csv(tmp_path / f"{name}.csv", rows)),
        }

    parts = [part("one", range(3)), part("two", range(3, 6))]
    ran = run_one(
        run_dag, lambda: ObjectStorageToDynamicsTablesOperator(task_id="load", tables=parts, **ONCE)
    )

    assert list(ran.xcoms["load"]["tables"]) == ["account", "account 2"]
    accounts = stored(emulator)[0]
    assert all(
        accounts[f"T-{n}"]["_parentaccountid_value"] == accounts[f"T-{(n + 1) % 6}"]["accountid"]
        for n in range(6)
    )


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([], "tables is not set"),
        ("", "tables is text, but not JSON"),
        ("{}", "tables is not set"),
        (["account"], "A load is a dict"),
        ([{"table": "account"}], "The load of account has no source_path"),
        ([{"table": "account", "source": "x"}], "A load has no member 'source'"),
        (
            [{**ACCOUNTS, "source_path": "{accounts}", "lookups": {"parentaccountid": "contact.x"}}],
            "it points to account",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(run_dag, emulator, files, tables, said):
    if isinstance(tables, list) and tables and isinstance(tables[0], dict):
        place = {"{accounts}": str(files["account"])}
        tables = [{name: place.get(str(value), value) for name, value in table.items()} for table in tables]
    before = len(emulator.rows("account"))

    ran = run_one(
        run_dag, lambda: ObjectStorageToDynamicsTablesOperator(task_id="load", tables=tables, **ONCE)
    )

    assert said in failed_once(ran)
    assert len(emulator.rows("account")) == before


def test_a_broken_last_table_stops_the_load_before_the_first_is_written(run_dag, emulator, files):
    before = len(emulator.rows("account"))
    broken = {**SHIPMENTS, "columns": {**SHIPMENTS["columns"], "name": "contoso_nam"}}
    ran = run_one(run_dag, lambda: load(files, ACCOUNTS, CONTACTS, broken))
    assert "contoso_nam" in failed_once(ran)
    assert len(emulator.rows("account")) == before


def test_templates_are_rendered_in_loads_given_as_values(run_dag, tmp_path):
    write_csv(tmp_path / "accounts.csv", [{"accountnumber": "T-1", "name": "A"}])
    given = TableLoad("account", f"{tmp_path}/{{{{ 'accounts' }}}}.csv", key=("accountnumber",))
    ran = run_one(
        run_dag, lambda: ObjectStorageToDynamicsTablesOperator(task_id="load", tables=[given], **ONCE)
    )
    assert ran.xcoms["load"]["written"] == 1


def test_missing_rows_that_lookups_name_are_created_once_whatever_is_retried(run_dag, emulator, tmp_path):
    rows = [{"number": f"S-{n}", "name": "x", "account": f"T-{n % 3}"} for n in range(30)]
    files = {"contoso_shipment": write_csv(tmp_path / "s.csv", rows)}
    creating = {**SHIPMENTS, "on_missing_lookup": "create"}
    for _ in range(2):
        ran = run_one(run_dag, lambda: load(files, creating))
        assert ran.errors == {}
    accounts, _, shipments = stored(emulator)
    assert len(accounts) == 3
    assert len(shipments) == 30


def test_rows_that_are_created_for_lookups_carry_the_options_of_the_load(run_dag, emulator, tmp_path):
    files = {
        "contoso_shipment": write_csv(tmp_path / "s.csv", [{"number": "S-1", "name": "x", "account": "T-1"}])
    }
    creating = {**SHIPMENTS, "on_missing_lookup": "create"}

    run_one(run_dag, lambda: load(files, creating, bypass_flows=True))

    written = [
        found
        for found in emulator.requests
        if found.method in {"POST", "PATCH"} and "/api/data/" in found.path
    ]
    assert {found.path.rpartition("/")[2].partition("(")[0] for found in written} == {
        "accounts",
        "contoso_shipments",
    }
    assert all("mscrm.suppresscallbackregistrationexpanderjob" in found.headers for found in written)


def test_a_dry_run_of_one_table_knows_that_it_would_write_its_own_rows(run_dag, emulator, files):
    contacts = [{"mail": f"p{n}@x.test", "lastname": "x", "company": ""} for n in range(10)]
    write_ndjson(files["contact"], contacts)
    run_one(run_dag, lambda: load(files, CONTACTS))
    known = {name: value for name, value in ACCOUNTS.items() if name != "table"}

    ran = run_one(
        run_dag,
        lambda: ObjectStorageToDynamicsOperator(
            task_id="load", table="account", source_path=str(files["account"]), dry_run=True, **known, **ONCE
        ),
    )

    assert (ran.xcoms["load"]["creates"], ran.xcoms["load"]["rejected"]) == (10, 0)
    assert stored(emulator)[0] == {}


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("throttle", {"every": 3, "retry_after": 0}),
        ("status", {"every": 4}),
        ("reset", {"when": "after", "skip": 1, "count": 2}),
        ("reset", {"when": "before", "skip": 2, "count": 2}),
    ],
)
def test_whatever_the_service_does_everything_lands_once(run_dag, emulator, files, kind, members):
    switch = emulator.fault(kind, path=r"Multiple|\$batch|accounts|contacts|shipments", **members)

    ran = run_one(run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS, on_row_error="fail"))

    assert ran.errors == {}
    assert switch.hits > 0
    check_all_there(emulator)
    assert ran.xcoms["load"]["rejected"] == 0


def test_tables_may_come_out_of_a_template_as_json(run_dag, tmp_path):
    path = write_csv(tmp_path / "accounts.csv", [{"accountnumber": "T-1", "name": "A"}])
    given = [{"table": "account", "key": ["accountnumber"], "source_path": str(path)}]
    with_json = f"{{% set given = {given!r} %}}{{{{ given | tojson }}}}"
    ran = run_one(
        run_dag, lambda: ObjectStorageToDynamicsTablesOperator(task_id="load", tables=with_json, **ONCE)
    )
    assert ran.xcoms["load"]["written"] == 1


def test_refused_rows_are_never_written_over_a_source(run_dag, files):
    ran = run_one(
        run_dag, lambda: load(files, ACCOUNTS, CONTACTS, SHIPMENTS, rejects_path=str(files["contact"]))
    )
    assert "name another file" in failed_once(ran)
    assert len(lines(files["contact"])) == 10


def test_every_table_is_told_to_openlineage():
    pytest.importorskip("airflow.providers.openlineage", reason="the OpenLineage provider is not installed")
    made = ObjectStorageToDynamicsTablesOperator(task_id="load", tables=[ACCOUNTS])
    for table in ("account", "contact"):
        place = Place("file", f"/lake/{table}.csv")
        made.moves.append(
            loaded("https://contoso.crm.dynamics.com", table, place, {"a": ("name", "String")}, rows=3)
        )

    told = made.get_openlineage_facets_on_complete(None)

    assert [one.name for one in told.inputs] == ["/lake/account.csv", "/lake/contact.csv"]
    assert [(one.name, one.outputFacets["outputStatistics"].rowCount) for one in told.outputs] == [
        ("account", 3),
        ("contact", 3),
    ]
