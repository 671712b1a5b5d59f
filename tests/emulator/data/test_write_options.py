"""What a request may ask for beside its body: duplicate detection, bypassing plug-ins, acting for somebody else."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator.directory import OTHER_USER, USER
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.switches import Plugin

ALEX, SAM = (stable_id("systemuser", one.user_name) for one in (USER, OTHER_USER))
STEP = "4ab978b0-1d77-ec11-8d21-000d3a554d57"
DETECT = {"mscrm.suppressduplicatedetection": "false"}
CRM = "Microsoft.Dynamics.CRM"


def plugin(service, **settings):
    service.api.faults.plugins.append(Plugin(**settings))


# --- duplicate detection ------------------------------------------------------------------------------------------


def test_a_duplicate_is_refused_when_the_request_asks_for_detection(empty):
    empty.make("accounts", name="Twice")
    assert empty("POST", "accounts", {"name": "twice"}, **DETECT).error == "0x80040333"
    assert empty("POST", "accounts", {"name": "twice"}, **DETECT).status == 412
    assert empty("POST", "accounts", {"name": "Twice"}).status == 204  # detection is suppressed by default
    suppressed = {"mscrm.suppressduplicatedetection": "true"}
    assert empty("POST", "accounts", {"name": "Twice"}, **suppressed).status == 204


def test_an_update_that_makes_a_duplicate_is_refused(empty):
    empty.make("leads", subject="a", lastname="A", emailaddress1="a@x.org")
    place = f"leads({empty.make('leads', subject='b', lastname='B', emailaddress1='b@x.org')})"
    assert empty("PATCH", place, {"emailaddress1": "a@x.org"}, **DETECT).error == "0x80040333"
    assert empty.get(place).json["emailaddress1"] == "b@x.org"
    assert (
        empty("PATCH", place, {"emailaddress1": "b@x.org"}, **DETECT).status == 204
    )  # it is no duplicate of itself
    assert empty("PATCH", place, {"emailaddress1": None}, **DETECT).status == 204


def test_only_what_was_sent_is_looked_at(empty):
    for _ in range(2):
        row = empty.make("accounts", name="Same")
    assert empty("PATCH", f"accounts({row})", {"telephone1": "1"}, **DETECT).status == 204


def test_an_upsert_and_a_nested_row_are_checked_too(empty):
    empty.make("contacts", lastname="C", emailaddress1="c@x.org")
    new = f"contacts({STEP})"
    assert empty("PATCH", new, {"lastname": "D", "emailaddress1": "c@x.org"}, **DETECT).status == 412
    nested = {"name": "A", "primarycontactid": {"lastname": "E", "emailaddress1": "c@x.org"}}
    assert empty("POST", "accounts", nested, **DETECT).status == 412
    assert empty.get("accounts").rows == []


def test_rules_are_published_and_taken_back(empty):
    empty.api.duplicates.publish("task", ["subject", "description"])
    row = {"subject": "S", "description": "D"}
    empty.make("tasks", **row)
    assert empty("POST", "tasks", {**row, "description": "E"}, **DETECT).status == 204
    assert empty("POST", "tasks", {"subject": "S"}, **DETECT).status == 204
    assert empty("POST", "tasks", row, **DETECT).status == 412
    empty.api.duplicates.unpublish("task")
    assert empty("POST", "tasks", row, **DETECT).status == 204


def test_a_reset_restores_the_rules(empty):
    empty.api.duplicates.unpublish()
    empty.api.reset()
    empty.make("accounts", name="A")
    assert empty("POST", "accounts", {"name": "A"}, **DETECT).status == 412


@pytest.mark.parametrize(
    ("table", "columns"), [("no_such", ["name"]), ("account", ["no_such"]), ("account", [])]
)
def test_a_rule_of_columns_there_are_not_is_refused(empty, table, columns):
    with pytest.raises(ValueError, match="a rule names"):
        empty.api.duplicates.publish(table, columns)


# --- plug-ins -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("refuse", 400, "0x80040265"), ("crash", 500, "0x8004418d"), ("timeout", 500, "0x80081111")],
)
def test_a_plug_in_stops_the_rows_it_is_about(empty, how, status, code):
    row = empty.make("accounts", name="Old")
    plugin(empty, table="account", column="name", value="Bad", how=how)
    answer = empty("POST", "accounts", {"name": "Bad"})
    assert (answer.status, answer.error) == (status, code)
    assert empty("PATCH", f"accounts({row})", {"name": "Bad"}).error == code
    assert empty("POST", "accounts", {"name": "Good"}).status == 204
    assert empty("POST", "contacts", {"lastname": "Bad"}).status == 204
    assert {one["name"] for one in empty.get("accounts").rows} == {"Old", "Good"}


@pytest.mark.parametrize("message", ["Create", "Update", "Delete"])
def test_a_plug_in_is_registered_at_a_message(empty, message):
    place = f"accounts({empty.make('accounts', name='A')})"
    plugin(empty, table="account", message=message)
    answers = {
        "Create": empty("POST", "accounts", {"name": "B"}),
        "Update": empty("PATCH", place, {"name": "C"}),
        "Delete": empty("DELETE", place),
    }
    assert {name for name, answer in answers.items() if answer.status == 400} == {message}


def test_one_row_a_plug_in_refuses_takes_the_whole_chunk_with_it(empty):
    plugin(empty, table="account", column="name", value="Bad", text="not this one")
    rows = [{"@odata.type": f"{CRM}.account", "name": name} for name in ("A", "Bad", "C")]
    answer = empty("POST", f"accounts/{CRM}.CreateMultiple", {"Targets": rows})
    assert (answer.status, answer.message) == (400, "not this one")
    assert empty.get("accounts").rows == []


def test_what_is_left_to_chance_runs_the_same_way_every_time(empty):
    def run():
        plugin(empty, table="account", probability=0.3, seed=7)
        told = [empty("POST", "accounts", {"name": str(n)}).status for n in range(40)]
        empty.api.faults.clear()
        empty.api.reset()
        return told

    first = run()
    assert 4 < first.count(400) < 24
    assert run() == first
    other = type(empty)("empty")
    plugin(other, table="account", probability=0.3, seed=7)
    assert [other("POST", "accounts", {"name": str(n)}).status for n in range(40)] == first


def test_a_plug_in_may_tell_more_to_who_asks(empty):
    plugin(
        empty, operation_status="1", sub_error_code="12345", trace="Entering MyClass plug-in.", text="Example"
    )
    error = empty("POST", "accounts", {"name": "A"}, prefer='odata.include-annotations="*"').json["error"]
    assert error["@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus"] == "1"
    assert error["@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode"] == "12345"
    assert error["@Microsoft.PowerApps.CDS.TraceText"] == "Entering MyClass plug-in."
    assert error["@Microsoft.PowerApps.CDS.InnerError.Message"] == "Example"


# --- bypassing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value", "passes"),
    [
        ("mscrm.bypassbusinesslogicexecution", "CustomSync", True),
        ("mscrm.bypassbusinesslogicexecution", "CustomSync,CustomAsync", True),
        ("mscrm.bypassbusinesslogicexecution", "CustomAsync", False),
        ("mscrm.bypassbusinesslogicexecutionstepids", STEP.upper(), True),
        ("mscrm.bypassbusinesslogicexecutionstepids", f'"{STEP}, {ALEX}"', True),
        ("mscrm.bypassbusinesslogicexecutionstepids", ALEX, False),
        ("mscrm.bypasscustompluginexecution", "true", True),
        ("mscrm.bypasscustompluginexecution", "True", True),
        ("mscrm.bypasscustompluginexecution", "false", False),
    ],
)
def test_a_request_passes_by_the_plug_ins_it_names(empty, header, value, passes):
    plugin(empty, table="account", step=STEP)
    answer = empty("POST", "accounts", {"name": "A"}, **{header: value})
    assert answer.status == (204 if passes else 400), answer.content


@pytest.mark.parametrize(
    ("header", "value", "name"),
    [
        ("mscrm.bypassbusinesslogicexecution", "CustomSync", "prvBypassCustomBusinessLogic"),
        ("mscrm.bypassbusinesslogicexecution", "CustomAsync", "prvBypassCustomBusinessLogic"),
        ("mscrm.bypassbusinesslogicexecutionstepids", STEP, "prvBypassCustomBusinessLogic"),
        ("mscrm.bypasscustompluginexecution", "true", "prvBypassCustomPlugins"),
    ],
)
def test_bypassing_needs_a_privilege(empty, header, value, name):
    empty.api.faults.privileges_taken.add((None, name))
    answer = empty("POST", "accounts", {"name": "A"}, **{header: value})
    assert (answer.status, answer.error) == (403, "0x80040220")
    assert f"is missing {name} privilege" in answer.message
    assert empty("POST", "accounts", {"name": "A"}).status == 204


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("mscrm.bypassbusinesslogicexecution", "Everything"),
        ("mscrm.bypassbusinesslogicexecutionstepids", "no guid"),
        ("mscrm.bypassbusinesslogicexecutionstepids", ",".join([STEP] * 4)),
    ],
)
def test_bypassing_what_cannot_be_named_is_refused(empty, header, value):
    assert empty("POST", "accounts", {"name": "A"}, **{header: value}).error == "0x80040203"


# --- acting for somebody else -------------------------------------------------------------------------------------


def test_who_acts_for_another_needs_the_privilege_of_that(empty):
    assert empty("POST", "accounts", {"name": "A"}, mscrmcallerid=ALEX).status == 204
    empty.api.faults.privileges_taken.add((None, "prvActOnBehalfOfAnotherUser"))
    answer = empty("POST", "accounts", {"name": "A"}, mscrmcallerid=ALEX)
    assert (answer.status, answer.error) == (403, "0x80040220")
    assert "prvActOnBehalfOfAnotherUser" in answer.message


def test_the_one_acted_for_needs_it_not(empty):
    empty.api.faults.privileges_taken.add((SAM, "prvActOnBehalfOfAnotherUser"))
    assert empty("POST", "accounts", {"name": "A"}, mscrmcallerid=SAM).status == 204
