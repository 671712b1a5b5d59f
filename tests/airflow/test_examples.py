"""Every example DAG runs unchanged through Airflow against the emulator, and does what its question promises."""

from __future__ import annotations

import contextlib
import csv
import json
import runpy
import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.dataverse import WriteOptions
from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn
from airflow_provider_dynamics.hooks import DynamicsHook
from tests.airflow import contoso_solution

EXAMPLES = Path(__file__).parents[2] / "example_dags"
TESTED = {
    "ask_with_fetchxml",
    "clean_up",
    "call_actions",
    "etl_round_trip",
    "export_a_table",
    "extract_in_parallel",
    "extract_over_workers",
    "follow_changes",
    "follow_into_a_database",
    "keep_a_snapshot",
    "keep_signed_in",
    "load_files",
    "load_several_tables",
    "look_up_rows",
    "many_environments",
    "move_files",
    "plan_approve_load",
    "prepare_a_table",
    "promote_a_solution",
    "react_to_changes",
    "register_webhook",
    "replay_rejects",
    "undo_a_load",
    "wait_for_a_row",
    "wait_for_changes",
    "write_rows",
}


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def example(emulator, lake, run_dag, monkeypatch):
    """Run one example as a user would: connection from the environment, parameters as the run's configuration."""
    for name, value in emulator.airflow_connection("dynamics_default").items():
        monkeypatch.setenv(name, value)

    def run(name, mark_success_pattern=None, **conf):
        dag = runpy.run_path(str(EXAMPLES / f"{name}.py"))["dag"]
        known = {key: value for key, value in {"lake": lake.as_uri(), **conf}.items() if key in dag.params}
        ran = run_dag(dag, conf=known, mark_success_pattern=mark_success_pattern)
        assert set(ran.states.values()) <= {"success", "skipped"}, ran.errors
        return ran

    return run


def inbox(lake, name):
    file = lake / "inbox" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def test_every_example_is_tested_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TESTED


def test_the_round_trip_exports_follows_and_loads_with_one_bad_row_set_aside(example, emulator, lake):
    with inbox(lake, "accounts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["number", "title", "turnover"])
        rows.writerows([f"ERP-{index}", f"Customer {index}", f"{index}.50"] for index in range(9))
        rows.writerow(["ERP-9", "x" * 500, "1.00"])

    first = example("etl_round_trip")
    second = example("etl_round_trip")

    assert first.xcoms["load_accounts"]["written"] == 9
    assert first.xcoms["load_accounts"]["rejected"] == 1
    rejects = Path(first.xcoms["load_accounts"]["rejects_path"].removeprefix("file://"))
    [reject] = map(json.loads, rejects.read_text().splitlines())
    assert (reject["row"], reject["column"], reject["data"]["number"]) == (10, "name", "ERP-9")
    assert first.xcoms["account_changes"]["mode"] == "full"
    assert second.xcoms["account_changes"]["mode"] == "delta"
    assert second.xcoms["account_changes"]["upserts"] == 9
    table = pq.read_table(second.xcoms["export_accounts"]["path"].removeprefix("file://"))
    assert table.num_rows == len(emulator.rows("account")) == first.xcoms["export_accounts"]["rows"] + 9
    assert str(table.schema.field("createdon").type) == "timestamp[us, tz=UTC]"


def test_a_table_is_exported_in_all_three_formats(example, lake):
    example("export_a_table")

    assert pq.read_schema(lake / "opportunities.parquet").names[-1]
    assert (lake / "contacts.csv").read_text().startswith("contactid,fullname,emailaddress1,birthdate")
    assert all(
        json.loads(line)["ticketnumber"] for line in (lake / "incidents.ndjson").read_text().splitlines()
    )


def test_changes_are_followed_from_run_to_run(example):
    first = example("follow_changes")
    second = example("follow_changes")

    assert first.xcoms["contact_changes"]["mode"] == "full"
    assert second.xcoms["contact_changes"] == {**second.xcoms["contact_changes"], "mode": "delta", "rows": 0}
    assert second.states["merge_into_the_warehouse"] == "skipped"


def test_a_table_is_followed_into_a_database(example, emulator, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SQLITE_DEFAULT", f"sqlite:///{tmp_path}/warehouse.db")
    first = example("follow_into_a_database")
    second = example("follow_into_a_database")

    with contextlib.closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse:
        found = warehouse.execute("SELECT accountid, name, primarycontactidname FROM crm_account").fetchall()
    assert (first.xcoms["accounts"]["mode"], second.xcoms["accounts"]["mode"]) == ("full", "delta")
    assert {row[:2] for row in found} == {(row["accountid"], row["name"]) for row in emulator.rows("account")}
    assert any(row[2] for row in found)


def test_a_snapshot_stays_equal_to_its_table(example, emulator, lake, dynamics_conn):
    first = example("keep_a_snapshot")
    gone, renamed, *_ = (row["accountid"] for row in emulator.rows("account"))
    with DynamicsHook(dynamics_conn).get_conn() as client:
        client.delete("account", gone)
        client.update("account", renamed, {"name": "Renamed"})
    second = example("keep_a_snapshot")

    assert (first.xcoms["accounts"]["mode"], second.xcoms["accounts"]["mode"]) == ("full", "delta")
    assert (first.xcoms["currencies"]["mode"], second.xcoms["currencies"]["mode"]) == ("full", "window")
    names = {row["accountid"]: row["name"] for row in pq.read_table(lake / "accounts.parquet").to_pylist()}
    assert names == {row["accountid"]: row["name"] for row in emulator.rows("account")}
    assert names[renamed] == "Renamed"


def test_a_file_is_loaded_by_its_key(example, emulator, lake):
    before = len(emulator.rows("contoso_shipment"))
    rows = [{"contoso_number": f"NEW-{index}", "contoso_name": f"Shipment {index}"} for index in range(3)]
    inbox(lake, "shipments.ndjson").write_text("\n".join(map(json.dumps, rows)))

    ran = example("load_files")

    assert ran.xcoms["report"] == "read 3, wrote 3, set aside 0"
    assert ran.xcoms["late"]["written"] == 1
    assert len(emulator.rows("contoso_shipment")) == before + 4


def test_several_tables_that_point_to_each_other_are_loaded(example, emulator, lake):
    inbox(lake, "customers.csv").write_text(
        "number,name,parent,main_contact\nT-1,One,T-2,a@x.test\nT-2,Two,,b@x.test\n"
    )
    inbox(lake, "contacts.csv").write_text("email,lastname,company\na@x.test,A,T-1\nb@x.test,B,T-2\n")
    inbox(lake, "shipments.csv").write_text("number,name,customer\nS-1,First,T-2\n")

    ran = example("load_several_tables")

    assert ran.xcoms["report"] == "2 of account, then 1 of contoso_shipment, then 2 of contact"
    one, two = ({row["accountnumber"]: row for row in emulator.rows("account")}[f"T-{n}"] for n in (1, 2))
    assert one["_parentaccountid_value"] == two["accountid"]
    assert all(row["_primarycontactid_value"] for row in (one, two))
    shipments = {row["contoso_number"]: row for row in emulator.rows("contoso_shipment")}
    assert shipments["S-1"]["_contoso_accountid_value"] == two["accountid"]


def test_refused_rows_are_loaded_again_once_their_cause_is_gone(example, emulator, lake):
    plug_in = {"code": "0x80040265", "message": "The plug-in is broken"}
    emulator.fault("poison", table="contoso_shipment", column="contoso_name", value="Shipment 1", **plug_in)
    rows = [{"contoso_number": f"NEW-{index}", "contoso_name": f"Shipment {index}"} for index in range(200)]
    inbox(lake, "shipments.ndjson").write_text("\n".join(map(json.dumps, rows)))
    assert example("load_files").xcoms["shipments"]["rejected"] == 1
    emulator.clear_faults()

    ran = example("replay_rejects")

    assert ran.xcoms["report"] == "1 of 1 rows are in now; they were refused for 0x80040265"
    assert any(row["contoso_number"] == "NEW-1" for row in emulator.rows("contoso_shipment"))
    assert not (lake / "rejected" / "again.ndjson").exists()


def test_without_refused_rows_there_is_nothing_to_replay(example):
    assert set(example("replay_rejects").states.values()) == {"skipped"}


def test_fetchxml_views_and_conditions_are_asked(example, emulator):
    ran = example("ask_with_fetchxml", least=5000, city='O\'Fallon & "Sons"')
    months, active = ran.xcoms["pipeline"], ran.xcoms["active"]
    worth = [
        row
        for row in emulator.rows("opportunity")
        if row["statecode"] == 0 and (row["estimatedvalue"] or 0) >= 5000
    ]
    assert sum(row["opportunities"] for row in months) == len(worth) > 0
    assert {row["month"] for row in months} <= set(range(1, 13))
    assert active[0]["name"]
    assert all(row["contact_customer_accounts"] for row in ran.xcoms["reachable"])
    assert ran.xcoms["summary"].startswith(
        f"{len(months)} months of open opportunities, {len(active)} active"
    )


def test_rows_are_looked_up(example):
    ran = example("look_up_rows")

    assert 0 < len(ran.xcoms["open_cases"]) <= 10
    assert isinstance(ran.xcoms["largest_account"], str)


def test_a_row_is_waited_for(example, emulator):
    number = emulator.rows("contoso_shipment")[0]["contoso_number"]

    ran = example("wait_for_a_row", number=number)

    assert ran.xcoms["read_it"][0]["contoso_number"] == number


def test_a_run_is_skipped_unless_something_has_changed(example, emulator, dynamics_conn):
    first = example("wait_for_changes")
    opened, closed = (
        next(
            row["opportunityid"] for row in emulator.rows("opportunity") if (row["statecode"] == 0) is is_open
        )
        for is_open in (True, False)
    )
    with DynamicsHook(dynamics_conn).get_conn() as client:
        client.update("opportunity", opened, {"name": "Changed"})
        client.update("opportunity", closed, {"name": "Changed too"})
    second = example("wait_for_changes")
    third = example("wait_for_changes")

    assert set(first.states.values()) == set(third.states.values()) == {"skipped"}
    assert second.xcoms["report"] == "1 changes, 1 rows to look at again"


def test_sign_ins_are_kept_alive_and_what_ends_soon_is_told(example, emulator, monkeypatch):
    for name, value in emulator.airflow_connection("dynamics_default", auth_type="refresh_token").items():
        monkeypatch.setenv(name, value)

    well = example("keep_signed_in")
    told = example("keep_signed_in", warn_days=91)

    assert well.xcoms["keep[0]"]["renewed"]
    assert (well.states["ending[0]"], well.states["tell"]) == ("skipped", "skipped")
    assert told.xcoms["tell"][0].startswith("dynamics_default: The refresh token ends on ")


def test_a_run_reads_the_changes_it_was_woken_for(example):
    first = example("react_to_changes")
    second = example("react_to_changes")

    assert first.xcoms["who_woke_us"] == {"changes": 0, "first": [], "deleted": 0, "complete": True}
    assert (first.xcoms["contact_changes"]["mode"], second.xcoms["contact_changes"]["mode"]) == (
        "full",
        "delta",
    )


def test_a_table_is_read_in_parallel_beside_a_report_and_a_view(example, emulator, lake):
    ran = example("extract_in_parallel")

    active = [row for row in emulator.rows("account") if row["statecode"] == 0]
    assert ran.xcoms["accounts"]["rows"] == len(active)
    assert {"statecodename", "primarycontactidname"} <= set(pq.read_schema(lake / "accounts.parquet").names)
    assert ran.xcoms["pipeline"]["rows"] == len(emulator.rows("opportunity"))
    assert "customer.name" in pq.read_schema(lake / "pipeline.parquet").names
    assert ran.xcoms["active_contacts"]["rows"] > 0


def test_a_table_is_read_over_several_workers(example, emulator, lake):
    ran = example("extract_over_workers")

    files = sorted((lake / "contacts").glob("*/part-*.parquet"))
    assert len(files) == len(ran.xcoms["partitions"]) > 1
    assert ran.xcoms["rows_in_all"] == len(emulator.rows("contact"))
    assert sum(pq.read_table(file).num_rows for file in files) == len(emulator.rows("contact"))


def test_single_rows_are_written_once_and_end_up_as_the_example_says(example, emulator):
    ran = example("write_rows")

    customer = ran.xcoms["customer"]
    assert ran.xcoms["seen"]["telephone1"] == "555-0100"
    assert ran.xcoms["seen"]["statecode"] == 1
    assert ran.xcoms["seen"]["description"].startswith("Closed on 2")
    assert [one["fullname"] for one in ran.xcoms["seen"]["contact_customer_accounts"]] == ["Jon Reyes"]
    assert ran.xcoms["merged"] is True
    assert ran.xcoms["removed"] is True
    [row] = [row for row in emulator.rows("account") if row["name"].startswith("Moreau & Reyes")]
    assert row["accountid"] == customer


def test_actions_and_functions_are_called(example, emulator):
    ran = example("call_actions")

    [row] = [row for row in emulator.rows("opportunity") if row["opportunityid"] == ran.xcoms["opportunity"]]
    assert row["statecode"] == 1
    assert "ReadAccess" in ran.xcoms["access"]["AccessRights"]


def test_documents_go_to_their_rows_and_come_back(example, emulator, lake):
    numbers = [row["accountnumber"] for row in emulator.rows("account") if row["statecode"] == 0][:3]
    for number in (*numbers, "NOBODY"):
        inbox(lake, f"contracts/{number}.pdf").write_bytes(b"%PDF " + number.encode())

    ran = example("move_files")

    assert ran.xcoms["report"] == "sent 3, set aside 1, fetched 3"
    for number in numbers:
        assert (lake / "contracts" / number / f"{number}.pdf").read_bytes() == b"%PDF " + number.encode()


def test_old_rows_are_deleted_by_a_job(example, emulator):
    days = sorted(row["createdon"][:10] for row in emulator.rows("contoso_shipment"))
    before = days[len(days) // 2]
    kept = {
        row["contoso_number"]
        for row in emulator.rows("contoso_shipment")
        if row["createdon"] >= before or row["statecode"] != 0
    }

    ran = example("clean_up", before=before)

    assert ran.xcoms["report"] == f"deleted {len(days) - len(kept)}, left 0"
    assert {row["contoso_number"] for row in emulator.rows("contoso_shipment")} == kept
    assert 0 < len(kept) < len(days)


def test_a_plan_is_shown_and_approved_before_the_load_which_can_be_undone(example, emulator, lake):
    before = {row["contoso_number"]: row["contoso_name"] for row in emulator.rows("contoso_shipment")}
    one, other, *_ = before
    inbox(lake, "shipments.csv").write_text(
        f"number,title\n{one},Renamed\n{other},{before[other]}\nNEW-1,New\n"
    )

    # the approval itself needs somebody to give it: tests/real_airflow does
    loaded = example("plan_approve_load", mark_success_pattern="approve")
    plan, load = loaded.xcoms["plan"], loaded.xcoms["load"]
    assert (plan["creates"], plan["updates"], plan["unchanged"]) == (1, 1, 1)
    assert (load["written"], load["unchanged"]) == (2, 1)
    assert {row["contoso_number"]: row["contoso_name"] for row in emulator.rows("contoso_shipment")} == {
        **before,
        one: "Renamed",
        "NEW-1": "New",
    }

    undone = example("undo_a_load", undo_path=f"{lake.as_uri()}/undo/plan_approve_load/{loaded.run_id}/")
    assert (undone.xcoms["undo"]["restored"], undone.xcoms["undo"]["deleted"]) == (1, 1)
    assert {row["contoso_number"]: row["contoso_name"] for row in emulator.rows("contoso_shipment")} == before


def test_the_same_is_done_in_every_environment(example, emulator, lake):
    other = emulator.add_environment("fabrikam", seed=None)
    places = [emulator.url, other.url]

    ran = example("many_environments", environments=places)

    here, there = ran.xcoms["report"]
    assert f"{len(emulator.rows('account'))} accounts" in here
    assert "0 accounts" in there
    files = [lake / place.removeprefix("https://").replace(":", "-") / "accounts.parquet" for place in places]
    assert [pq.read_metadata(file).num_rows for file in files] == [len(emulator.rows("account")), 0]


def test_dynamics_is_told_where_to_post_its_changes(example, emulator, monkeypatch):
    for name, value in emulator.airflow_connection(
        "dynamics_default", webhook_secret="key-of-the-example"
    ).items():
        monkeypatch.setenv(name, value)

    ran = example("register_webhook", url="http://127.0.0.1:9/dynamics/events/dynamics_default")

    assert sorted(ran.xcoms["post_changes_here"]["created"]) == [
        "Create of contact",
        "Delete of contact",
        "Update of contact",
    ]
    (endpoint,) = emulator.rows("serviceendpoint")
    assert endpoint["url"] == "http://127.0.0.1:9/dynamics/events/dynamics_default"


def test_a_load_finds_its_table_columns_and_key(
    example,
    administrator,  # noqa: ARG001 - after `example`, whose connection may not change definitions
    emulator,
):
    first = example("prepare_a_table")
    second = example("prepare_a_table")

    status = [
        {name: ran.xcoms[name]["status"] for name in ("priorities", "orders", "number")}
        for ran in (first, second)
    ]
    assert [set(one.values()) for one in status] == [{"created"}, {"unchanged"}]
    assert second.xcoms["load"]["written"] == 2
    rows = {row["new_number"]: row for row in emulator.rows("new_order")}
    assert (rows["A-1"]["new_priority"], rows["A-2"]["new_due"]) == (2, "2026-01-31")


def test_a_solution_is_promoted_once_a_version(example, administrator, emulator, lake):
    production = emulator.add_environment("production", seed=None)
    lake.mkdir(parents=True)
    with administrator() as client:
        contoso_solution.make(client)
        client.create(
            "environmentvariabledefinition",
            {"schemaname": "ctx_ApiUrl", "displayname": "Address", "type": 100000000},
            options=WriteOptions(solution=contoso_solution.NAME),
        )
        told = {
            "solution": contoso_solution.NAME,
            "production": production.url,
            "variable": "ctx_ApiUrl",
            "value": "https://api.contoso.com",
        }
        installed = example("promote_a_solution", **told)
        contoso_solution.grow(client, "2.0.0.0", NewColumn("ctx_Total", "Integer"))
        upgraded = example("promote_a_solution", **told)
        again = example("promote_a_solution", **told)

    assert installed.xcoms["import_beside"]["holding"] is False
    assert installed.xcoms["upgrade"]["status"] == "unchanged"
    assert upgraded.xcoms["import_beside"]["holding"] is True
    assert upgraded.xcoms["upgrade"]["version"] == "2.0.0.0"
    assert again.xcoms["import_beside"]["status"] == "unchanged"
    assert again.states["upgrade"] == "skipped"
    assert [ran.xcoms["variable"]["status"] for ran in (installed, upgraded, again)] == [
        "changed",
        "unchanged",
        "unchanged",
    ]
    with DynamicsHook(environment=production.url).get_conn() as client:
        assert getattr(client.solutions.get(contoso_solution.NAME), "version", None) == "2.0.0.0"
        assert client.table("ctx_order").find("ctx_total")
