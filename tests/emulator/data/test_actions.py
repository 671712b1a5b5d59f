"""What the actions and functions Dataverse brings do to rows."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator.directory import USER
from airflow_provider_dynamics.emulator.schema.model import stable_id

GONE = "11111111-1111-1111-1111-111111111111"
CRM = "Microsoft.Dynamics.CRM"
ALEX = stable_id("systemuser", USER.user_name)


def row_of(name, key, row_id, **columns):
    return {"@odata.type": f"{CRM}.{name}", key: row_id, **columns}


def an_account(row_id, **columns):
    return row_of("account", "accountid", row_id, **columns)


# --- closing ------------------------------------------------------------------------------------------------------


@pytest.fixture
def deal(empty):
    account = empty.make("accounts", name="A")
    bind = {"customerid_account@odata.bind": f"/accounts({account})"}
    return empty.make("opportunities", name="Deal", estimatedvalue=500, **bind)


def closing(deal, **columns):
    return {"subject": "Done", "opportunityid@odata.bind": f"/opportunities({deal})", **columns}


@pytest.mark.parametrize(("action", "status", "state"), [("WinOpportunity", 3, 1), ("LoseOpportunity", 5, 2)])
def test_closing_an_opportunity_sets_its_state_and_leaves_a_record(empty, deal, action, status, state):
    assert empty("POST", action, {"Status": status, "OpportunityClose": closing(deal)}).status == 204
    row = empty.get(f"opportunities({deal})").json
    assert (row["statecode"], row["statuscode"]) == (state, status)
    assert (row["actualvalue"], row["actualclosedate"]) == (500, "2025-06-15")
    (record,) = empty.get("opportunitycloses").rows
    assert (record["subject"], record["statecode"]) == ("Done", 1)
    assert record["_opportunityid_value"] == deal


def test_a_closed_opportunity_says_what_it_brought_and_cannot_be_closed_again(empty, deal):
    closed = closing(deal, actualrevenue=450, actualend="2025-06-01T10:00:00Z")
    assert empty("POST", "WinOpportunity", {"Status": -1, "OpportunityClose": closed}).status == 204
    row = empty.get(f"opportunities({deal})").json
    assert (row["statuscode"], row["actualvalue"], row["actualclosedate"]) == (3, 450, "2025-06-01")
    again = empty("POST", "LoseOpportunity", {"Status": 4, "OpportunityClose": closing(deal)})
    assert (again.status, again.error) == (400, "0x80040515")
    assert len(empty.get("opportunitycloses").rows) == 1  # its record was rolled back


@pytest.mark.parametrize("status", [4, 77])
def test_an_opportunity_is_not_won_with_a_status_of_another_state(empty, deal, status):
    answer = empty("POST", "WinOpportunity", {"Status": status, "OpportunityClose": closing(deal)})
    assert answer.error == "0x80048408"
    assert empty.get(f"opportunities({deal})").json["statecode"] == 0
    assert empty.get("opportunitycloses").rows == []


def test_closing_nothing_is_refused(empty):
    answer = empty("POST", "WinOpportunity", {"Status": 3, "OpportunityClose": {"subject": "x"}})
    assert (answer.status, answer.error) == (400, "0x80040203")


def test_a_case_is_resolved(empty):
    bind = {"customerid_account@odata.bind": f"/accounts({empty.make('accounts', name='A')})"}
    case = empty.make("incidents", title="Broken", **bind)
    resolution = {"subject": "Fixed", "timespent": 30, "incidentid@odata.bind": f"/incidents({case})"}
    assert empty("POST", "CloseIncident", {"Status": 5, "IncidentResolution": resolution}).status == 204
    row = empty.get(f"incidents({case})").json
    assert (row["statecode"], row["statuscode"]) == (1, 5)
    assert empty.get(f"incidents({case})/Incident_IncidentResolutions").rows[0]["timespent"] == 30


# --- merging ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(empty):
    return empty.make("accounts", name="One"), empty.make("accounts", name="Two")


def merge(service, pair, **changes):
    body = {
        "Target": an_account(pair[0]),
        "Subordinate": an_account(pair[1]),
        "PerformParentingChecks": False,
    }
    return service("POST", "Merge", {**body, **changes})


def test_merging_updates_one_row_and_puts_the_other_out_of_use(empty, pair):
    assert (
        merge(empty, pair, UpdateContent={"@odata.type": f"{CRM}.account", "telephone1": "1"}).status == 204
    )
    one, two = (empty.get(f"accounts({row_id})").json for row_id in pair)
    assert (one["telephone1"], one["statecode"], one["merged"]) == ("1", 0, False)
    assert (two["statecode"], two["statuscode"], two["merged"]) == (1, 2, True)
    assert two["_masterid_value"] == pair[0]


def test_what_belonged_to_the_one_belongs_to_the_other(empty, pair):
    contact = empty.make(
        "contacts", lastname="C", **{"parentcustomerid_account@odata.bind": f"/accounts({pair[1]})"}
    )
    task = empty.make(
        "tasks", subject="T", **{"regardingobjectid_account_task@odata.bind": f"/accounts({pair[1]})"}
    )
    lead = empty.make("leads", subject="L", lastname="L")
    link = {"@odata.id": f"leads({lead})"}
    for account in pair:
        made = empty("POST", f"accounts({account})/accountleads_association/$ref", link)
        assert made.status == 204, made.content
    assert merge(empty, pair).status == 204
    assert empty.get(f"contacts({contact})").json["_parentcustomerid_value"] == pair[0]
    assert empty.get(f"tasks({task})").json["_regardingobjectid_value"] == pair[0]
    assert [row["leadid"] for row in empty.get(f"accounts({pair[0]})/accountleads_association").rows] == [
        lead
    ]
    assert empty.get(f"accounts({pair[1]})/accountleads_association").rows == []


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"Subordinate": an_account(GONE)}, 404, "0x80040217"),
        ({"Subordinate": {"@odata.type": f"{CRM}.account", "name": "x"}}, 400, "0x80048d19"),
        ({"Subordinate": {"accountid": GONE}}, 400, "0x80048d19"),
        ({"PerformParentingChecks": None}, 400, "0x80040203"),
        ({"UpdateContent": {"@odata.type": f"{CRM}.account", "no_such": 1}}, 400, "0x80048d19"),
    ],
)
def test_a_merge_that_cannot_be_done_changes_nothing(empty, pair, changes, status, code):
    answer = merge(empty, pair, **changes)
    assert (answer.status, answer.error) == (status, code), answer.content
    assert {row["statecode"] for row in empty.get("accounts").rows} == {0}


def test_a_row_is_merged_with_an_active_one_that_is_not_itself(empty, pair):
    assert merge(empty, pair, Subordinate=an_account(pair[0])).error == "0x80045305"
    assert merge(empty, pair).status == 204
    assert merge(empty, pair).error == "0x80045304"


def test_parents_are_compared_when_that_is_asked_for(empty, pair):
    parent = empty.make("accounts", name="Parent")
    empty("PATCH", f"accounts({pair[1]})", {"parentaccountid@odata.bind": f"/accounts({parent})"})
    assert merge(empty, pair, PerformParentingChecks=True).error == "0x80045316"
    assert merge(empty, pair).status == 204


def test_tables_that_cannot_be_merged_are_refused(empty):
    tasks = [row_of("task", "activityid", empty.make("tasks", subject=name)) for name in "ab"]
    body = {"Target": tasks[0], "Subordinate": tasks[1], "PerformParentingChecks": False}
    assert empty("POST", "Merge", body).error == "0x80040203"


def test_who_may_not_merge_may_not(empty, pair):
    empty.api.faults.privileges_taken.add((None, "prvMerge"))
    assert merge(empty, pair).error == "0x80040220"


# --- qualifying ---------------------------------------------------------------------------------------------------


def qualify(service, lead, **wanted):
    body = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3, **wanted}
    return service("POST", f"leads({lead})/{CRM}.QualifyLead", body)


def test_a_qualified_lead_becomes_an_account_a_contact_and_an_opportunity(empty):
    lead = empty.make(
        "leads", subject="Ships", firstname="Ann", lastname="Lee", companyname="Boats", budgetamount=5
    )
    answer = qualify(empty, lead)
    assert answer.status == 200
    made = {one["@odata.type"].rpartition(".")[2]: one for one in answer.rows}
    account = empty.get(f"accounts({made['account']['accountid']})").json
    contact = empty.get(f"contacts({made['contact']['contactid']})").json
    deal = empty.get(f"opportunities({made['opportunity']['opportunityid']})").json
    assert (account["name"], contact["fullname"], deal["name"]) == ("Boats", "Ann Lee", "Ships")
    assert contact["_parentcustomerid_value"] == deal["_customerid_value"] == account["accountid"]
    assert (deal["_originatingleadid_value"], deal["budgetamount"]) == (lead, 5)
    row = empty.get(f"leads({lead})").json
    assert (row["statecode"], row["statuscode"]) == (1, 3)
    assert row["_qualifyingopportunityid_value"] == deal["opportunityid"]


def test_a_lead_is_qualified_once_and_makes_what_was_asked_for(empty):
    lead = empty.make("leads", subject="S", lastname="L", companyname="B")
    answer = qualify(empty, lead, CreateContact=False, CreateOpportunity=False, Status=-1)
    assert [one["@odata.type"] for one in answer.rows] == [f"#{CRM}.account"]
    assert qualify(empty, lead).error == "0x80040519"
    assert len(empty.get("accounts").rows) == 1


def test_the_customer_of_the_opportunity_may_be_one_that_is_there(empty):
    account = empty.make("accounts", name="A")
    lead = empty.make("leads", subject="S", lastname="L")
    answer = qualify(
        empty, lead, CreateAccount=False, CreateContact=False, OpportunityCustomerId=an_account(account)
    )
    (deal,) = answer.rows
    assert empty.get(f"opportunities({deal['opportunityid']})").json["_customerid_value"] == account


def test_a_template_begins_with_what_the_other_row_says(empty):
    account = empty.make("accounts", name="A", telephone1="1", address1_city="Oslo")
    call = (
        f"InitializeFrom(EntityMoniker=@m,TargetEntityName='contact',TargetFieldType=@t)?@m={{'@odata.id':"
        f"'accounts({account})'}}&@t={CRM}.TargetFieldType'ValidForCreate'"
    )
    template = empty.get(call).json
    assert template.pop("@odata.context").endswith("#contacts/$entity")
    assert template == {
        "@odata.type": f"#{CRM}.contact",
        "parentcustomerid_account@odata.bind": f"accounts({account})",
        "telephone1": "1",
        "address1_city": "Oslo",
    }
    assert empty("POST", "contacts", {"lastname": "N", **template}).status == 204


# --- queues -------------------------------------------------------------------------------------------------------


def test_a_row_waits_in_one_queue_at_a_time(empty):
    first, second = (empty.make("queues", name=name) for name in "ab")
    task = row_of("task", "activityid", empty.make("tasks", subject="T"))
    item = empty("POST", f"queues({first})/{CRM}.AddToQueue", {"Target": task}).json["QueueItemId"]
    again = empty("POST", f"queues({second})/{CRM}.AddToQueue", {"Target": task}).json["QueueItemId"]
    row = empty.get(f"queueitems({item})").json
    assert (again, row["_queueid_value"], row["title"]) == (item, second, "T")
    assert row["_objectid_value"] == task["activityid"]
    wrong = {"Target": task, "SourceQueue": {"queueid": first}}
    assert empty("POST", f"queues({first})/{CRM}.AddToQueue", wrong).error == "0x80040524"


def test_rows_of_some_tables_do_not_queue_and_a_queue_may_be_closed(empty):
    queue = empty.make("queues", name="Q")
    account = an_account(empty.make("accounts", name="A"))
    assert empty("POST", f"queues({queue})/{CRM}.AddToQueue", {"Target": account}).error == "0x800404ea"
    empty("PATCH", f"queues({queue})", {"statecode": 1, "statuscode": 2})
    task = row_of("task", "activityid", empty.make("tasks", subject="T"))
    assert empty("POST", f"queues({queue})/{CRM}.AddToQueue", {"Target": task}).error == "0x80040522"


def test_an_item_is_picked_and_removed(empty):
    queue = empty.make("queues", name="Q")
    task = row_of("task", "activityid", empty.make("tasks", subject="T"))
    item = empty("POST", f"queues({queue})/{CRM}.AddToQueue", {"Target": task}).json["QueueItemId"]
    pick = {"RemoveQueueItem": False, "SystemUser": row_of("systemuser", "systemuserid", ALEX)}
    assert empty("POST", f"queueitems({item})/{CRM}.PickFromQueue", pick).status == 204
    assert empty.get(f"queueitems({item})").json["_workerid_value"] == ALEX
    assert empty("POST", f"queueitems({item})/{CRM}.RemoveFromQueue", {}).status == 204
    assert empty.get("queueitems").rows == []


# --- sharing ------------------------------------------------------------------------------------------------------


def access(row_id, rights, who=ALEX):
    return {
        "Target": an_account(row_id),
        "PrincipalAccess": {"Principal": row_of("systemuser", "systemuserid", who), "AccessMask": rights},
    }


def shares(service, row_id):
    call = f"RetrieveSharedPrincipalsAndAccess(Target=@t)?@t={{'@odata.id':'accounts({row_id})'}}"
    return {
        one["Principal"]["systemuserid"]: one["AccessMask"]
        for one in service.get(call).json["PrincipalAccesses"]
    }


def test_access_is_granted_changed_and_revoked(empty):
    row = empty.make("accounts", name="A")
    assert empty("POST", "GrantAccess", access(row, "ReadAccess")).status == 204
    assert empty("POST", "GrantAccess", access(row, "WriteAccess")).status == 204
    assert shares(empty, row) == {ALEX: "ReadAccess, WriteAccess"}
    assert empty("POST", "ModifyAccess", access(row, "DeleteAccess,ShareAccess")).status == 204
    assert shares(empty, row) == {ALEX: "DeleteAccess, ShareAccess"}
    gone = {"Target": an_account(row), "Revokee": row_of("systemuser", "systemuserid", ALEX)}
    assert empty("POST", "RevokeAccess", gone).status == 204
    assert shares(empty, row) == {}


def test_a_row_is_not_shared_with_its_owner_nor_when_it_has_none(empty):
    row = empty.make("accounts", name="A")
    me = empty.get("WhoAmI").json["UserId"]
    assert empty("POST", "GrantAccess", access(row, "ReadAccess", me)).error == "0x80040214"
    (unit, *_) = empty.get("businessunits").rows
    body = {
        **access(row, "ReadAccess"),
        "Target": row_of("businessunit", "businessunitid", unit["businessunitid"]),
    }
    assert empty("POST", "GrantAccess", body).error == "0x80040203"


def test_what_a_user_may_do_with_a_row_is_told(empty):
    row = empty.make("accounts", name="A")
    call = (
        f"systemusers({ALEX})/{CRM}.RetrievePrincipalAccess(Target=@t)?@t={{'@odata.id':'accounts({row})'}}"
    )
    assert "WriteAccess" in empty.get(call).json["AccessRights"].split(", ")
    empty.api.faults.privileges_taken.add((None, "prvWriteAccount"))
    assert "WriteAccess" not in empty.get(call).json["AccessRights"].split(", ")
    empty("POST", "GrantAccess", access(row, "WriteAccess"))
    assert "WriteAccess" in empty.get(call).json["AccessRights"].split(", ")


def test_people_join_and_leave_a_team(empty):
    (team, *_) = empty.get("teams").rows
    place = f"teams({team['teamid']})"
    members = {"Members": [row_of("systemuser", "systemuserid", ALEX)]}
    before = {row["systemuserid"] for row in empty.get(f"{place}/teammembership_association").rows}
    for _ in range(2):  # a member stays a member
        assert empty("POST", f"{place}/{CRM}.AddMembersTeam", members).status == 204
    after = {row["systemuserid"] for row in empty.get(f"{place}/teammembership_association").rows}
    assert after == before | {ALEX}
    assert empty("POST", f"{place}/{CRM}.RemoveMembersTeam", members).status == 204
    left = {row["systemuserid"] for row in empty.get(f"{place}/teammembership_association").rows}
    assert ALEX not in left


def test_a_deleted_row_is_shared_with_nobody(empty):
    account = empty.make("accounts", name="A")
    access = {"AccessMask": "ReadAccess", "Principal": row_of("systemuser", "systemuserid", ALEX)}
    assert (
        empty("POST", "GrantAccess", {"Target": an_account(account), "PrincipalAccess": access}).status == 204
    )
    assert empty("DELETE", f"accounts({account})").status == 204
    assert empty.api.rows("principalobjectaccess") == []


def test_who_a_row_is_shared_with_is_told_to_who_may_read_it(empty):
    account = empty.make("accounts", name="A")
    asked = f"RetrieveSharedPrincipalsAndAccess(Target=@t)?@t={{'@odata.id':'accounts({account})'}}"
    assert empty.get(asked).status == 200
    empty.api.faults.privileges_taken.add((None, "prvReadAccount"))
    assert empty.get(asked).error == "0x80040220"


def test_merging_rows_and_giving_them_away_takes_the_privilege_to_assign(empty):
    first, second = (empty.make("accounts", name=name) for name in "AB")
    body = {
        "Target": an_account(first),
        "Subordinate": an_account(second),
        "UpdateContent": {
            "@odata.type": f"{CRM}.account",
            "ownerid@odata.bind": f"/systemusers({ALEX})",
        },
        "PerformParentingChecks": False,
    }
    empty.api.faults.privileges_taken.add((None, "prvAssignAccount"))
    assert empty("POST", "Merge", body).error == "0x80040220"
    empty.api.faults.privileges_taken.clear()
    assert empty("POST", "Merge", body).status == 204
