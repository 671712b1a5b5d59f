"""Rollup columns of accounts: calculated when asked for, over the accounts below them too."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator import Emulator

API = "/api/data/v9.2"


@pytest.fixture(scope="module")
def running():
    with Emulator(seed=None) as emulator:
        yield emulator


@pytest.fixture
def wire(running, wire_to):
    running.reset()
    return wire_to(running)


def made(wire, where, **body):
    answer = wire("POST", f"{API}/{where}", json=body)
    assert answer.status_code == 204, answer.text
    return answer.headers["OData-EntityId"].partition("/v9.2/")[2]


def calculated(wire, account, name):
    target = f"{{'@odata.id':'{account}'}}"
    return wire.get(f"/CalculateRollupField(Target=@p1,FieldName=@p2)?@p1={target}&@p2='{name}'")


@pytest.fixture
def parent(wire):
    account = made(wire, "accounts", name="Parent")
    child = made(wire, "accounts", name="Child", **{"parentaccountid@odata.bind": f"/{account}"})
    for owner, value in ((account, 100), (child, 50)):
        way = {"parentaccountid@odata.bind": f"/{owner}", "customerid_account@odata.bind": f"/{owner}"}
        made(wire, "opportunities", name="Deal", estimatedvalue=value, **way)
    return account


def test_open_deals_are_counted_over_the_hierarchy(wire, parent):
    before = wire.get(f"/{parent}").json()
    answer = calculated(wire, parent, "opendeals")
    assert answer.json()["opendeals"] == 2, answer.text
    after = wire.get(f"/{parent}").json()
    assert (before["opendeals"], after["opendeals"], after["opendeals_state"]) == (None, 2, 1)
    assert after["opendeals_date"]
    assert after["modifiedon"] == before["modifiedon"]


def test_open_revenue_is_summed(wire, parent):
    answer = calculated(wire, parent, "openrevenue").json()
    assert (answer["openrevenue"], answer["openrevenue_base"]) == (150.0, 150.0)


def test_closed_deals_are_left_out_and_values_are_not_written_by_hand(wire, parent):
    (deal, *_) = wire.get("/opportunities?$select=name").json()["value"]
    lost = {
        "OpportunityClose": {"opportunityid@odata.bind": f"/opportunities({deal['opportunityid']})"},
        "Status": 4,
    }
    assert wire("POST", f"{API}/LoseOpportunity", json=lost).status_code == 204
    assert calculated(wire, parent, "opendeals").json()["opendeals"] == 1
    wire("PATCH", f"{API}/{parent}", json={"opendeals": 99})
    assert wire.get(f"/{parent}").json()["opendeals"] == 1


def test_a_column_that_is_no_rollup_is_refused(wire, parent):
    answer = calculated(wire, parent, "name")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80060554")


def test_who_may_not_write_may_not_calculate(running, wire, parent):
    running.sign_ins.take_privilege("prvWriteAccount")
    answer = calculated(wire, parent, "opendeals")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "0x8004e027")


def test_metadata_says_which_columns_are_rollups(wire):
    where = "/EntityDefinitions(LogicalName='account')/Attributes(LogicalName='opendeals')"
    assert wire.get(f"{where}?$select=SourceType").json()["SourceType"] == 2


def test_a_goal_adds_up_the_goals_below_it(wire):
    top = made(wire, "goals", title="Top", targetinteger=20, rolluponlyfromchildgoals=True)
    for number in (3, 4):
        below = {"parentgoalid@odata.bind": f"/{top}", "actualinteger": number}
        made(wire, "goals", title=f"Below {number}", **below)
    answer = wire("POST", f"{API}/{top}/Microsoft.Dynamics.CRM.Recalculate", json={})
    assert answer.status_code == 204, answer.text
    goal = wire.get(f"/{top}").json()
    assert (goal["actualinteger"], goal["percentage"], goal["lastrolledupdate"] is not None) == (
        7,
        35.0,
        True,
    )


def test_a_goal_that_collects_from_other_tables_is_not_emulated(wire):
    metric = made(wire, "metrics", name="Deals")
    goal = made(wire, "goals", title="Deals won", **{"metricid@odata.bind": f"/{metric}"})
    assert wire("POST", f"{API}/{goal}/Microsoft.Dynamics.CRM.Recalculate", json={}).status_code == 501
