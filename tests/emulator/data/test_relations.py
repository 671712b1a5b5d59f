"""Relating rows: references over lookups and many to many, rows bound or made while their owner is made."""

from __future__ import annotations

import pytest

GONE = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def account(empty):
    return empty.make("accounts", name="A")


def test_a_collection_takes_a_row_in_and_gives_it_away(empty, account):
    contact = empty.make("contacts", lastname="C")
    place = f"accounts({account})/contact_customer_accounts"
    assert empty("POST", f"{place}/$ref", {"@odata.id": f"contacts({contact})"}).status == 204
    assert [row["contactid"] for row in empty.get(place).rows] == [contact]
    assert empty("DELETE", f"{place}({contact})/$ref").status == 204
    assert empty.get(place).rows == []


@pytest.mark.parametrize("way", ["leads({})", "/leads({})", "https://127.0.0.1:8765/api/data/v9.2/leads({})"])
def test_many_to_many_is_related_from_either_side(empty, account, way):
    lead = empty.make("leads", subject="L", lastname="L")
    mine, its = f"accounts({account})/accountleads_association", f"leads({lead})/accountleads_association"
    assert empty("POST", f"{mine}/$ref", {"@odata.id": way.format(lead)}).status == 204
    assert [row["leadid"] for row in empty.get(mine).rows] == [lead]
    assert [row["accountid"] for row in empty.get(its).rows] == [account]
    again = empty("POST", f"{its}/$ref", {"@odata.id": f"accounts({account})"})
    assert (again.status, again.error) == (412, "0x80040237")
    assert empty("DELETE", f"{its}/$ref?$id=accounts({account})").status == 204
    assert empty.get(mine).rows == []


def test_a_reference_leads_to_a_row_of_the_right_table_that_is_there(empty, account):
    place = f"accounts({account})/accountleads_association/$ref"
    assert empty("POST", place, {"@odata.id": f"contacts({GONE})"}).status == 400
    assert empty("POST", place, {"@odata.id": f"leads({GONE})"}).error == "0x80040217"
    assert empty("POST", place, {"@odata.id": "leads"}).status == 400
    assert empty("POST", place, {}).error == "0x80048d19"
    assert empty("DELETE", place).status == 400
    assert empty("PUT", place, {"@odata.id": f"leads({GONE})"}).status == 405


def test_a_lookup_is_pointed_elsewhere_by_key_and_emptied(empty, account):
    empty.make("accounts", name="Parent", accountnumber="P-1")
    place = f"accounts({account})/parentaccountid/$ref"
    assert empty("PUT", place, {"@odata.id": "accounts(accountnumber='P-1')"}).status == 204
    row = empty.get(f"accounts({account})?$expand=parentaccountid($select=name)").json
    assert row["parentaccountid"]["name"] == "Parent"
    assert empty("DELETE", place).status == 204
    assert empty.get(f"accounts({account})").json["_parentaccountid_value"] is None


def test_rows_that_are_there_are_bound_to_a_new_one(empty):
    contacts = [empty.make("contacts", lastname=name) for name in "ab"]
    lead = empty.make("leads", subject="L", lastname="L")
    row = {
        "name": "A",
        "contact_customer_accounts@odata.bind": [f"/contacts({one})" for one in contacts],
        "accountleads_association@odata.bind": [f"leads({lead})"],
    }
    new = empty.make("accounts", **row)
    found = empty.get(f"accounts({new})/contact_customer_accounts").rows
    assert {one["contactid"] for one in found} == set(contacts)
    assert [one["leadid"] for one in empty.get(f"accounts({new})/accountleads_association").rows] == [lead]


@pytest.mark.parametrize("links", [[f"/contacts({GONE})"], ["/leads(1)"], [5], "/contacts(1)"])
def test_a_row_that_cannot_be_bound_leaves_nothing_behind(empty, links):
    answer = empty("POST", "accounts", {"name": "A", "contact_customer_accounts@odata.bind": links})
    assert answer.status in {400, 404}
    assert empty.get("accounts").rows == []


def test_a_collection_of_a_row_that_is_there_is_not_bound(empty, account):
    body = {"contact_customer_accounts@odata.bind": [f"/contacts({GONE})"]}
    assert empty("PATCH", f"accounts({account})", body).status == 501


def test_new_rows_are_made_on_both_sides_of_a_new_row(empty):
    row = {
        "name": "A",
        "primarycontactid": {"firstname": "Ann", "lastname": "Lee"},
        "opportunity_customer_accounts": [
            {"name": "Deal", "Opportunity_Tasks": [{"subject": "Call"}, {"subject": "Mail"}]}
        ],
        "accountleads_association": [{"subject": "Lead", "lastname": "L"}],
    }
    new = empty.make("accounts", **row)
    expand = "$expand=primarycontactid($select=fullname)"
    assert empty.get(f"accounts({new})?{expand}").json["primarycontactid"]["fullname"] == "Ann Lee"
    (deal,) = empty.get(f"accounts({new})/opportunity_customer_accounts").rows
    tasks = empty.get(f"opportunities({deal['opportunityid']})/Opportunity_Tasks").rows
    assert {task["subject"] for task in tasks} == {"Call", "Mail"}
    assert [one["subject"] for one in empty.get(f"accounts({new})/accountleads_association").rows] == ["Lead"]


def test_one_nested_row_that_is_refused_takes_all_of_them_with_it(empty):
    row = {
        "name": "A",
        "primarycontactid": {"lastname": "Lee"},
        "contact_customer_accounts": [{"lastname": "B"}, {"lastname": "C", "no_such": 1}],
    }
    assert empty("POST", "accounts", row).error == "0x80048d19"
    assert (empty.get("accounts").rows, empty.get("contacts").rows) == ([], [])


# --- one property -------------------------------------------------------------------------------------------------


def test_one_property_is_set_and_emptied(empty, account):
    place = f"accounts({account})"
    assert empty("PUT", f"{place}/telephone1", {"value": "1"}).status == 204
    assert empty.get(f"{place}/telephone1").json["value"] == "1"
    assert empty("DELETE", f"{place}/telephone1").status == 204
    assert empty.get(place).json["telephone1"] is None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("no_such", {"value": 1}, 404),
        ("_parentaccountid_value", {"value": GONE}, 404),
        ("name", {}, 400),
        ("numberofemployees", {"value": "many"}, 400),
    ],
)
def test_a_property_that_cannot_be_set_is_refused(empty, account, path, body, status):
    assert empty("PUT", f"accounts({account})/{path}", body).status == status


def test_a_property_is_set_only_in_the_version_that_was_read(empty, account):
    place = f"accounts({account})"
    tag = empty.get(place).json["@odata.etag"]
    assert empty("PUT", f"{place}/telephone1", {"value": "1"}, if_match=tag).status == 204
    stale = empty("PUT", f"{place}/telephone1", {"value": "2"}, if_match=tag)
    assert (stale.status, stale.error) == (412, "0x80060882")
    assert empty("DELETE", f"{place}/telephone1", if_match=tag).status == 412


def test_a_row_of_another_ones_collection_is_left_there(empty, account):
    other = empty.make("accounts", name="B")
    contact = empty.make(
        "contacts", lastname="C", **{"parentcustomerid_account@odata.bind": f"accounts({other})"}
    )
    assert empty("DELETE", f"accounts({account})/contact_customer_accounts({contact})/$ref").status == 204
    assert empty.get(f"contacts({contact})").json["_parentcustomerid_value"] == other


def test_who_comes_back_under_a_deleted_rows_id_is_related_to_nobody(empty, account):
    lead = empty.make("leads", subject="L", lastname="L")
    link = {"@odata.id": f"leads({lead})"}
    assert empty("POST", f"accounts({account})/accountleads_association/$ref", link).status == 204
    assert empty("DELETE", f"leads({lead})").status == 204
    assert empty("PATCH", f"leads({lead})", {"subject": "L", "lastname": "L"}).status == 204
    assert empty.get(f"accounts({account})/accountleads_association").rows == []
    assert empty("POST", f"accounts({account})/accountleads_association/$ref", link).status == 204


# --- who may ------------------------------------------------------------------------------------------------------


def may(service, method, path, body=None):
    """Whether the request passes, which nobody knows who is missing a privilege."""
    answer = service(method, path, body)
    if answer.status == 403:
        assert answer.error == "0x80040220"
    return answer.status < 300


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ({"name": "A", "contact_customer_accounts": [{"lastname": "C"}]}, "prvCreateContact"),
        ({"name": "A", "primarycontactid": {"lastname": "C"}}, "prvCreateContact"),
        ({"name": "A", "primarycontactid": {"lastname": "C", "lead_parent_contact": [{}]}}, "prvCreateLead"),
    ],
)
@pytest.mark.parametrize("bulk", [False, True])
def test_nested_rows_need_the_privilege_to_create_them(empty, body, taken, bulk):
    path = "accounts/Microsoft.Dynamics.CRM.CreateMultiple" if bulk else "accounts"
    sent = {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.account", **body}]} if bulk else body
    empty.api.faults.privileges_taken.add((None, taken))
    assert not may(empty, "POST", path, sent)
    assert empty.get("accounts").rows == empty.get("contacts").rows == []
    empty.api.faults.privileges_taken.clear()
    assert may(empty, "POST", path, sent)


@pytest.mark.parametrize(
    ("navigation", "target", "taken"),
    [
        ("accountleads_association", "leads", "prvAppendAccount"),
        ("accountleads_association", "leads", "prvWriteAccount"),
        ("accountleads_association", "leads", "prvAppendToLead"),
        ("contact_customer_accounts", "contacts", "prvWriteContact"),
        ("primarycontactid", "contacts", "prvWriteAccount"),
    ],
)
def test_relating_rows_needs_the_privilege_where_it_is_kept(empty, account, navigation, target, taken):
    row = empty.make(target, lastname="R", **({"subject": "S"} if target == "leads" else {}))
    path, link = f"accounts({account})/{navigation}/$ref", {"@odata.id": f"{target}({row})"}
    method = "PUT" if target == "contacts" and navigation == "primarycontactid" else "POST"
    gone = path if method == "PUT" else path.replace("/$ref", f"({row})/$ref")
    empty.api.faults.privileges_taken.add((None, taken))
    assert not may(empty, method, path, link)
    assert not may(empty, "DELETE", gone)
    empty.api.faults.privileges_taken.clear()
    assert may(empty, method, path, link)


def test_a_collection_is_filled_without_the_right_to_write_its_owner(empty, account):
    contact = empty.make("contacts", lastname="C")
    empty.api.faults.privileges_taken.add((None, "prvWriteAccount"))
    link = {"@odata.id": f"contacts({contact})"}
    assert may(empty, "POST", f"accounts({account})/contact_customer_accounts/$ref", link)


def test_giving_a_row_away_by_reference_takes_the_privilege_to_assign(empty, account):
    me = empty.get("WhoAmI").json["UserId"]
    empty.api.faults.privileges_taken.add((None, "prvAssignAccount"))
    assert not may(empty, "PUT", f"accounts({account})/ownerid/$ref", {"@odata.id": f"systemusers({me})"})


@pytest.mark.parametrize(
    ("collection", "target", "taken"),
    [
        ("contact_customer_accounts", "contacts", "prvWriteContact"),
        ("accountleads_association", "leads", "prvAppendAccount"),
        ("accountleads_association", "leads", "prvAppendToLead"),
    ],
)
def test_rows_are_bound_to_a_new_one_by_who_may_relate_them(empty, collection, target, taken):
    row = empty.make(target, lastname="R", **({"subject": "S"} if target == "leads" else {}))
    body = {"name": "A", f"{collection}@odata.bind": [f"/{target}({row})"]}
    empty.api.faults.privileges_taken.add((None, taken))
    assert not may(empty, "POST", "accounts", body)
    assert empty.get("accounts").rows == []
    empty.api.faults.privileges_taken.clear()
    assert may(empty, "POST", "accounts", body)
