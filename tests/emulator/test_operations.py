"""Custom APIs, duplicate rules and plug-ins as a test sets them up: in process, over the control paths, until a reset."""

from __future__ import annotations

import json

import pytest

API = "/api/data/v9.2"


def call(wire, name, body=None):
    return wire("POST", f"{API}/{name}", json=body or {})


def test_a_custom_api_is_there_until_the_reset(emulator, wire):
    emulator.custom_api(
        "contoso_Double",
        lambda given: {"Twice": 2 * given["Number"]},
        parameters={"Number": "Edm.Int32"},
        result={"Twice": "Edm.Int32"},
    )
    assert call(wire, "contoso_Double", {"Number": 21}).json()["Twice"] == 42
    assert 'Name="contoso_Double"' in wire.get("/$metadata").text
    emulator.reset()
    assert call(wire, "contoso_Double", {"Number": 21}).status_code == 404
    assert "contoso_Double" not in wire.get("/$metadata").text


def test_a_custom_api_with_a_fixed_answer_is_set_up_over_http(wire):
    described = {
        "name": "contoso_Weather",
        "answer": {"Sky": "blue"},
        "is_function": True,
        "bound_to": "account",
        "collection": True,
        "result": {"Sky": "Edm.String"},
    }
    assert wire("POST", "/_emulator/custom_apis", json=described).status_code == 200
    answer = wire.get("/accounts/Microsoft.Dynamics.CRM.contoso_Weather()")
    assert answer.json()["Sky"] == "blue"
    again = wire("POST", "/_emulator/custom_apis", json=described)
    assert (again.status_code, "contoso_Weather already" in again.json()["error"]) == (400, True)


@pytest.mark.parametrize("described", [{}, {"name": "Nameless"}, {"name": "contoso_X", "colour": "red"}])
def test_a_custom_api_that_is_none_is_refused_in_words(wire, described):
    answer = wire("POST", "/_emulator/custom_apis", json=described)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_duplicate_rule_holds_until_the_reset(emulator, wire):
    emulator.duplicate_rule("task", "subject")
    assert call(wire, "tasks", {"subject": "Once"}).status_code == 204
    detect = {"MSCRM.SuppressDuplicateDetection": "false"}
    assert wire("POST", f"{API}/tasks", json={"subject": "Once"}, headers=detect).status_code == 412
    emulator.reset()
    assert wire("POST", f"{API}/tasks", json={"subject": "Once"}, headers=detect).status_code == 204
    assert wire("POST", f"{API}/tasks", json={"subject": "Once"}, headers=detect).status_code == 204


def test_a_duplicate_rule_is_published_over_http(wire):
    rule = {"table": "task", "columns": ["subject"]}
    assert wire("POST", "/_emulator/duplicate_rules", json=rule).status_code == 200
    wrong = wire("POST", "/_emulator/duplicate_rules", json={"table": "task", "columns": ["sujet"]})
    assert (wrong.status_code, "sujet" in wrong.json()["error"]) == (400, True)


def test_a_plug_in_is_a_fault_like_the_others(emulator, wire):
    emulator.fault("plugin", table="account", column="name", value="Bad", text="no")
    refused = call(wire, "accounts", {"name": "Bad"})
    assert refused.json() == {"error": {"code": "0x80040265", "message": "no"}}
    assert call(wire, "accounts", {"name": "Good"}).status_code == 204
    emulator.clear_faults()
    assert call(wire, "accounts", {"name": "Bad"}).status_code == 204


def test_a_plug_in_that_does_something_else_is_refused(emulator):
    with pytest.raises(ValueError, match="refuse, crash, timeout"):
        emulator.fault("plugin", how="explode")
    with pytest.raises(ValueError, match="probability is a number"):
        emulator.fault("plugin", probability="often")


def test_what_a_request_asked_for_beside_its_body_is_recorded(emulator, wire):
    headers = {
        "MSCRM.SolutionUniqueName": "Contoso",
        "MSCRM.SuppressCallbackRegistrationExpanderJob": "true",
        "MSCRM.BypassBusinessLogicExecution": "CustomAsync",
    }
    answer = wire("POST", f"{API}/accounts?tag=nightly%20load", json={"name": "A"}, headers=headers)
    assert answer.status_code == 204
    recorded = emulator.requests[-1]
    assert recorded.options == {
        "mscrm.solutionuniquename": "Contoso",
        "mscrm.suppresscallbackregistrationexpanderjob": "true",
        "mscrm.bypassbusinesslogicexecution": "CustomAsync",
        "tag": "nightly load",
    }
    assert wire.who_am_i().status_code == 200
    assert emulator.requests[-1].options == {}


# --- in change sets -----------------------------------------------------------------------------------------------


def change_set(wire, *parts):
    """Send requests, (method, path, body), as one change set."""
    lines = ["--b", "Content-Type: multipart/mixed; boundary=c", ""]
    for number, (method, path, body) in enumerate(parts, 1):
        lines += ["--c", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
        lines += [
            f"Content-ID: {number}",
            "",
            f"{method} {path} HTTP/1.1",
            "Content-Type: application/json",
            "",
        ]
        lines += [json.dumps(body)]
    text = "\r\n".join([*lines, "--c--", "--b--", ""])
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    return wire("POST", f"{API}/$batch", data=text.encode(), headers=headers)


@pytest.fixture
def deal(wire):
    account = wire.get("/accounts?$top=1").json()["value"][0]["accountid"]
    bind = {"customerid_account@odata.bind": f"/accounts({account})"}
    made = call(wire, "opportunities", {"name": "Deal", **bind})
    return made.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


def won(deal):
    close = {"subject": "Won", "opportunityid@odata.bind": f"/opportunities({deal})"}
    return "POST", f"{API}/WinOpportunity", {"Status": 3, "OpportunityClose": close}


def test_an_action_in_a_change_set_is_undone_with_it(emulator, wire, deal):
    bad = ("POST", f"{API}/accounts", {"no_such": 1})
    assert change_set(wire, won(deal), bad).status_code == 400
    assert wire.get(f"/opportunities({deal})").json()["statecode"] == 0
    assert emulator.rows("opportunityclose") == []
    good = ("POST", f"{API}/accounts", {"name": "A"})
    assert change_set(wire, won(deal), good).status_code == 200
    assert wire.get(f"/opportunities({deal})").json()["statecode"] == 1


def test_rows_of_a_change_set_are_related_by_their_content_ids(wire):
    answer = change_set(
        wire,
        ("POST", f"{API}/accounts", {"name": "Set"}),
        ("POST", f"{API}/leads", {"subject": "Set", "lastname": "S"}),
        ("POST", "$1/accountleads_association/$ref", {"@odata.id": "$2"}),
        ("PUT", "$1/telephone1", {"value": "77"}),
    )
    assert answer.status_code == 200, answer.text
    found = wire.get("/accounts?$filter=name eq 'Set'&$expand=accountleads_association($select=subject)")
    (row,) = found.json()["value"]
    assert row["telephone1"] == "77"
    assert [lead["subject"] for lead in row["accountleads_association"]] == ["Set"]


def test_what_a_change_set_took_away_in_vain_is_there_again(wire):
    me = wire.who_am_i().json()["UserId"]
    role = wire.get(f"/systemusers({me})/systemuserroles_association").json()["value"][0]["roleid"]
    privileges = f"/systemusers({me})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
    before = wire.get(privileges).json()["RolePrivileges"]
    away: tuple[str, str, dict[str, object]] = (
        "DELETE",
        f"{API}/systemusers({me})/systemuserroles_association({role})/$ref",
        {},
    )
    asks = ("POST", f"{API}/accounts", {"name": "A"})
    bad = ("POST", f"{API}/accounts", {"no_such": 1})
    assert before
    assert change_set(wire, away, asks, bad).status_code == 400
    assert wire.get(privileges).json()["RolePrivileges"] == before
