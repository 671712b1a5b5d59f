"""Views run by their id: those of the application and those people keep."""

from __future__ import annotations

import uuid

import pytest

from tests.emulator.data.fetching import COOKIE, EVERYTHING, FORMATTED, MORE, PAGING

ACTIVE_ACCOUNTS = "00000000-0000-0000-00aa-000010001002"
OPEN_OPPORTUNITIES = "00000000-0000-0000-00aa-000010003001"
NAMES = "<fetch{}><entity name='account'><attribute name='name'/><order attribute='name'/></entity></fetch>"


def view(service, name):
    query = f"savedqueries?$select=name,savedqueryid&$filter=name eq '{name}'"
    (row,) = service.get(query).rows
    return row["savedqueryid"]


def test_a_view_is_found_by_name_and_run_by_id(sample):
    assert view(sample, "Active Accounts") == ACTIVE_ACCOUNTS
    answer = sample.get(f"accounts?savedQuery={ACTIVE_ACCOUNTS}")
    active = [row["name"] for row in sample.api.rows("account") if row["statecode"] == 0]
    assert answer.status == 200
    assert sorted(row["name"] for row in answer.rows) == sorted(active)
    assert None not in answer.rows[0].values()


def test_a_view_holds_its_fetchxml_and_its_table(sample):
    row = sample.get(f"savedqueries({ACTIVE_ACCOUNTS})?$select=fetchxml,returnedtypecode,querytype").json
    assert row["fetchxml"].startswith("<fetch ")
    assert (row["returnedtypecode"], row["querytype"]) == ("account", 0)


def test_every_seeded_view_runs(sample):
    sets = {row["LogicalName"]: row["EntitySetName"] for row in sample.get("EntityDefinitions").rows}
    views = sample.get("savedqueries?$select=returnedtypecode").rows
    assert len(views) > 20
    for row in views:
        answer = sample.get(f"{sets[row['returnedtypecode']]}?savedQuery={row['savedqueryid']}")
        assert answer.status == 200, answer.content


def test_my_view_shows_my_rows(sample):
    rows = sample.get(f"accounts?savedQuery={view(sample, 'My Active Accounts')}", **EVERYTHING).rows
    assert {row.get(f"_ownerid_value@{FORMATTED}") for row in rows} <= {"System Administrator", None}


def test_a_view_is_applied_to_related_rows(empty):
    one, other = (empty.make("accounts", name=name) for name in "AB")
    for account, name, won in ((one, "Mine", False), (one, "Won", True), (other, "Other", False)):
        links = {
            "parentaccountid@odata.bind": f"/accounts({account})",
            "customerid_account@odata.bind": f"/accounts({account})",
        }
        row_id = empty.make("opportunities", name=name, **links)
        if won:
            closed = {"subject": "Won", "opportunityid@odata.bind": f"/opportunities({row_id})"}
            assert empty("POST", "WinOpportunity", {"Status": -1, "OpportunityClose": closed}).status == 204
    answer = empty.get(f"accounts({one})/opportunity_parent_account/?savedQuery={OPEN_OPPORTUNITIES}")
    assert [row["name"] for row in answer.rows] == ["Mine"]


def test_people_keep_views_of_their_own(empty):
    empty.make("accounts", name="B")
    empty.make("accounts", name="A")
    made = empty.make(
        "userqueries", name="Mine", returnedtypecode="account", querytype=0, fetchxml=NAMES.format("")
    )
    assert [row["name"] for row in empty.get(f"accounts?userQuery={made}").rows] == ["A", "B"]


def test_a_view_that_cuts_pages_says_that_there_is_more(empty):
    for name in "ABC":
        empty.make("accounts", name=name)
    text = NAMES.format(" count='2'")
    made = empty.make("userqueries", name="Two", returnedtypecode="account", querytype=0, fetchxml=text)
    answer = empty.get(f"accounts?userQuery={made}", **PAGING).json
    assert [row["name"] for row in answer["value"]] == ["A", "B"]
    assert {COOKIE, MORE} <= set(answer)


@pytest.mark.parametrize("option", ["savedQuery", "userQuery"])
def test_a_view_that_is_not_there_is_not_found(sample, option):
    answer = sample.get(f"accounts?{option}={uuid.UUID(int=1)}")
    assert (answer.status, answer.error) == (404, "0x80040217")


def test_a_view_of_another_table_is_refused(sample):
    answer = sample.get(f"contacts?savedQuery={ACTIVE_ACCOUNTS}")
    assert (answer.status, answer.error) == (400, "0x80060888")
    assert "returns 'account', not 'contact'" in answer.message


def test_what_is_no_id_is_refused(sample):
    assert sample.get("accounts?savedQuery=Active Accounts").status == 400


@pytest.mark.parametrize("more", ["$select=name", "$filter=name eq 'A'", "$top=2"])
def test_options_beside_a_view_are_not_emulated(sample, more):
    assert sample.get(f"accounts?savedQuery={ACTIVE_ACCOUNTS}&{more}").status == 501


def test_a_view_that_may_not_be_read_is_refused(sample):
    sample.api.faults.privileges_taken.add((None, "prvReadQuery"))
    try:
        answer = sample.get(f"accounts?savedQuery={ACTIVE_ACCOUNTS}")
    finally:
        sample.api.faults.clear()
    assert (answer.status, answer.error) == (403, "0x80040220")
