"""CreateMultiple, UpdateMultiple, UpsertMultiple: order, atomicity, duplicates, and tables without them."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator.web_api import Poison

TYPE = {"@odata.type": "Microsoft.Dynamics.CRM.account"}


def bulk(service, name, targets, entity_set="accounts"):
    path = f"{entity_set}/Microsoft.Dynamics.CRM.{name}"
    return service("POST", path, {"Targets": targets})


def names(service):
    return sorted(row["name"] for row in service.get("accounts?$select=name").rows)


def test_ids_come_in_the_order_of_the_targets(empty):
    answer = bulk(empty, "CreateMultiple", [{**TYPE, "name": f"A{number}"} for number in range(20)])
    assert answer.status == 200
    assert answer.json["@odata.context"].endswith("$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse")
    found = [empty.get(f"accounts({row_id})").json["name"] for row_id in answer.json["Ids"]]
    assert found == [f"A{number}" for number in range(20)]


@pytest.mark.parametrize("bad", [{"name": "x" * 161}, {"nope": 1}, {"name": "B", "accountnumber": "N1"}])
def test_one_bad_row_undoes_them_all(empty, bad):
    targets = [{**TYPE, "name": "A", "accountnumber": "N1"}, {**TYPE, **bad}]
    assert bulk(empty, "CreateMultiple", targets).status in {400, 412}
    assert names(empty) == []


def test_a_poisoned_row_undoes_them_all(empty):
    empty.api.faults.poison.append(Poison("account", "numberofemployees", 13))
    targets = [{**TYPE, "name": "A"}, {**TYPE, "name": "B", "numberofemployees": 13}]
    assert bulk(empty, "CreateMultiple", targets).error == "0x80040265"
    assert names(empty) == []


@pytest.mark.parametrize("name", ["CreateMultiple", "UpdateMultiple", "UpsertMultiple"])
def test_every_target_needs_its_type(empty, name):
    answer = bulk(empty, name, [{"name": "A"}])
    assert (answer.status, answer.error) == (400, "0x80048d19")
    assert "crmbaseentity" in answer.message
    wrong = [{"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": "A"}]
    assert bulk(empty, name, wrong).error == "0x80048d19"


def test_of_a_row_updated_twice_the_first_counts(empty):
    row_id = empty.make("accounts", name="A")
    targets = [
        {**TYPE, "accountid": row_id, "name": "first"},
        {**TYPE, "accountid": row_id, "name": "second"},
    ]
    answer = bulk(empty, "UpdateMultiple", targets)
    assert (answer.status, answer.content) == (204, b"")
    assert names(empty) == ["first"]


def test_an_update_of_a_missing_row_undoes_them_all(empty):
    row_id = empty.make("accounts", name="A")
    gone = "11111111-1111-1111-1111-111111111111"
    targets = [{**TYPE, "accountid": row_id, "name": "B"}, {**TYPE, "accountid": gone, "name": "C"}]
    assert bulk(empty, "UpdateMultiple", targets).error == "0x80040217"
    assert names(empty) == ["A"]


def test_an_update_needs_to_know_its_rows(empty):
    assert bulk(empty, "UpdateMultiple", [{**TYPE, "name": "A"}]).status == 400


def keyed(number, **row):
    return {**TYPE, "@odata.id": f"accounts(accountnumber='{number}')", **row}


def test_an_upsert_by_alternate_key_creates_and_updates(empty):
    empty.make("accounts", name="old", accountnumber="N1")
    answer = bulk(empty, "UpsertMultiple", [keyed("N1", name="new"), keyed("N/2", name="made")])
    assert (answer.status, answer.content) == (204, b"")
    rows = empty.get("accounts?$select=name,accountnumber&$orderby=accountnumber desc").rows
    assert [(row["accountnumber"], row["name"]) for row in rows] == [("N1", "new"), ("N/2", "made")]


def test_an_upsert_by_primary_key_creates_and_updates(empty):
    made = "22222222-2222-2222-2222-222222222222"
    there = empty.make("accounts", name="old")
    targets = [{**TYPE, "accountid": there, "name": "new"}, {**TYPE, "accountid": made, "name": "made"}]
    assert bulk(empty, "UpsertMultiple", targets).status == 204
    assert names(empty) == ["made", "new"]
    assert empty.get(f"accounts({made})").status == 200


def test_a_key_column_in_the_row_too_is_refused_when_creating_and_tolerated_when_updating(empty):
    target = keyed("N1", name="A", accountnumber="N1")
    answer = bulk(empty, "UpsertMultiple", [target])
    assert (answer.status, answer.error) == (400, "0x80040216")
    empty.make("accounts", name="old", accountnumber="N1")
    assert bulk(empty, "UpsertMultiple", [target]).status == 204
    assert names(empty) == ["A"]


def test_a_row_upserted_twice_is_an_error(empty):
    answer = bulk(empty, "UpsertMultiple", [keyed("N1", name="A"), keyed("N1", name="B")])
    assert (answer.status, answer.error) == (412, "0x80040237")
    assert names(empty) == []


def test_standard_tables_know_no_delete_multiple(empty):
    answer = bulk(empty, "DeleteMultiple", [TYPE])
    assert answer.message == "DeleteMultiple has not yet been implemented."


def test_a_table_without_bulk_messages_says_so_and_lists_none(empty):
    task = {"@odata.type": "Microsoft.Dynamics.CRM.task", "subject": "T"}
    answer = bulk(empty, "CreateMultiple", [task], "tasks")
    assert (answer.status, answer.error) == (400, "0x80040800")
    query = (
        "sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq @message and "
        "primaryobjecttypecode eq @table&@message='{}'&@table='{}'"
    )
    for message in ("CreateMultiple", "UpdateMultiple"):
        assert len(empty.get(query.format(message, "account")).rows) == 1
        assert empty.get(query.format(message, "task")).rows == []
    assert empty.get(query.format("UpsertMultiple", "account")).rows == []


def test_other_bound_actions_are_not_emulated(empty):
    assert bulk(empty, "Merge", []).status == 501
