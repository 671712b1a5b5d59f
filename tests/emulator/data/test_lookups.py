"""Lookups: binding, clearing, references, nested rows, and what deletions do to them."""

from __future__ import annotations

import pytest

GONE = "11111111-1111-1111-1111-111111111111"


@pytest.mark.parametrize(
    "link",
    [
        "/contacts({0})",
        "contacts({0})",
        "https://x.example/api/data/v9.0/contacts({0})",
        "/contacts(emailaddress1='a@b.example')",
    ],
)
def test_a_lookup_is_bound_by_any_form_of_address(empty, link):
    contact = empty.make("contacts", lastname="C", emailaddress1="a@b.example")
    row_id = empty.make("accounts", name="A", **{"primarycontactid@odata.bind": link.format(contact)})
    assert empty.get(f"accounts({row_id})").json["_primarycontactid_value"] == contact


def test_binding_to_a_missing_row_is_refused(empty):
    bind = {"primarycontactid@odata.bind": f"/contacts({GONE})"}
    assert empty("POST", "accounts", {"name": "A", **bind}).error == "0x80040217"


def test_a_custom_lookup_is_bound_by_its_schema_name(empty):
    account = empty.make("accounts", name="A")
    good = {"contoso_AccountId@odata.bind": f"/accounts({account})"}
    row_id = empty.make("contoso_shipments", contoso_name="S", **good)
    assert empty.get(f"contoso_shipments({row_id})").json["_contoso_accountid_value"] == account
    bad = {"contoso_accountid@odata.bind": f"/accounts({account})"}
    assert empty("POST", "contoso_shipments", {"contoso_name": "S", **bad}).error == "0x80048d19"


def test_setting_one_kind_of_customer_clears_the_other(empty):
    account, contact = empty.make("accounts", name="A"), empty.make("contacts", lastname="C")
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
    place = f"contacts({empty.make('contacts', lastname='X', **bind)})"
    empty("PATCH", place, {"parentcustomerid_contact@odata.bind": f"/contacts({contact})"})
    row = empty.get(f"{place}?$expand=parentcustomerid_account,parentcustomerid_contact").json
    assert row["parentcustomerid_account"] is None
    assert row["parentcustomerid_contact"]["contactid"] == contact


@pytest.mark.parametrize("body", [{"primarycontactid@odata.bind": None}, {"primarycontactid": None}])
def test_a_lookup_is_cleared_by_null(empty, body):
    contact = empty.make("contacts", lastname="C")
    place = f"accounts({empty.make('accounts', name='A', **{'primarycontactid@odata.bind': f'/contacts({contact})'})})"
    assert empty("PATCH", place, body).status == 204
    assert empty.get(place).json["_primarycontactid_value"] is None


def test_references_associate_and_take_apart(empty):
    account, contact = empty.make("accounts", name="A"), empty.make("contacts", lastname="C")
    link = {"@odata.id": f"https://127.0.0.1:8765/api/data/v9.2/contacts({contact})"}
    place = f"accounts({account})"
    assert empty("PUT", f"{place}/primarycontactid/$ref", link).status == 204
    assert empty.get(place).json["_primarycontactid_value"] == contact
    assert empty("DELETE", f"{place}/primarycontactid/$ref").status == 204
    assert empty.get(place).json["_primarycontactid_value"] is None
    for removal in (
        f"contact_customer_accounts/$ref?$id={link['@odata.id']}",
        f"contact_customer_accounts({contact})/$ref",
    ):
        assert empty("POST", f"{place}/contact_customer_accounts/$ref", link).status == 204
        assert empty.get(f"contacts({contact})").json["_parentcustomerid_value"] == account
        assert empty("DELETE", f"{place}/{removal}").status == 204
        assert empty.get(f"contacts({contact})").json["_parentcustomerid_value"] is None


def test_nested_rows_are_made_in_one_go(empty):
    tasks = [{"subject": "One"}, {"subject": "Two"}]
    body = {
        "name": "A",
        "primarycontactid": {"firstname": "John", "lastname": "Smith"},
        "Account_Tasks": tasks,
    }
    row_id = empty.make("accounts", **body)
    row = empty.get(f"accounts({row_id})?$expand=primarycontactid,Account_Tasks").json
    assert row["primarycontactid"]["fullname"] == "John Smith"
    assert {task["subject"] for task in row["Account_Tasks"]} == {"One", "Two"}
    tasks[1]["subject"] = "x" * 201
    assert empty("POST", "accounts", body).error == "0x80044331"
    assert len(empty.get("accounts").rows) == len(empty.get("contacts").rows) == 1


def test_a_team_may_own_a_row(empty):
    team = empty.get("teams").rows[0]["teamid"]
    row_id = empty.make("accounts", name="A", **{"ownerid@odata.bind": f"/teams({team})"})
    row = empty.get(f"accounts({row_id})").json
    assert (row["_ownerid_value"], row["_owningteam_value"], row["_owninguser_value"]) == (team, team, None)


def test_deleting_a_row_empties_lookups_to_it_and_deletes_its_activities(empty):
    account = empty.make("accounts", name="A")
    child = empty.make("accounts", name="B", **{"parentaccountid@odata.bind": f"/accounts({account})"})
    empty.make("tasks", subject="T", **{"regardingobjectid_account_task@odata.bind": f"/accounts({account})"})
    etag = empty.get(f"accounts({child})").headers["ETag"]
    empty("DELETE", f"accounts({account})")
    answer = empty.get(f"accounts({child})")
    assert answer.json["_parentaccountid_value"] is None
    assert answer.headers["ETag"] != etag
    assert empty.get("tasks").rows == []


def test_a_currency_in_use_cannot_be_deleted(empty):
    row = empty.get(f"accounts({empty.make('accounts', name='A', revenue=1)})").json
    answer = empty("DELETE", f"transactioncurrencies({row['_transactioncurrencyid_value']})")
    assert (answer.status, answer.error) == (405, "0x80040227")


def test_states_and_statuses_follow_each_other(empty):
    place = f"accounts({empty.make('accounts', name='A')})"
    empty("PATCH", place, {"statecode": 1})
    assert empty.get(place).json["statuscode"] == 2
    assert empty("PATCH", place, {"statuscode": 1}).error == "0x80048408"
    empty("PATCH", place, {"statecode": 0, "statuscode": 1})
    assert empty.get(place).json["statecode"] == 0
