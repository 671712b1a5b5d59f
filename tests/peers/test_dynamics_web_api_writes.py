"""The emulator judged by npm `dynamics-web-api`, unmodified: what it writes is stored, what it calls is done."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_dynamics.emulator import Emulator
from airflow_provider_dynamics.emulator.directory import USER
from airflow_provider_dynamics.emulator.schema.model import stable_id
from tests.peers.dynamics import DynamicsWebApi, Refused, call

ALEX = stable_id("systemuser", USER.user_name)
MISSING = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def client(dynamics_web_api: DynamicsWebApi, emulator: Emulator) -> Iterator[DynamicsWebApi]:
    yield dynamics_web_api
    emulator.clear_faults()


def made(client: DynamicsWebApi, collection: str, /, **row: Any) -> str:
    """Create one row and return its id."""
    return str(client.ask("create", {"collection": collection, "data": row}))


def stored(emulator: Emulator, table: str, row_id: str) -> dict[str, Any]:
    """One row as the emulator has it."""
    key = next(name for name in emulator.rows(table)[0] if name in {f"{table}id", "activityid"})
    return next(row for row in emulator.rows(table) if row[key] == row_id)


# --- rows ---------------------------------------------------------------------------------------------------------


def test_it_creates_updates_and_deletes_a_row(client: DynamicsWebApi, emulator: Emulator) -> None:
    row_id = made(client, "accounts", name="By npm", telephone1="1")
    client.ask("update", {"collection": "accounts", "key": row_id, "data": {"telephone1": "2"}})
    assert stored(emulator, "account", row_id)["telephone1"] == "2"
    assert client.ask("deleteRecord", {"collection": "accounts", "key": row_id}) is not False
    assert row_id not in {row["accountid"] for row in emulator.rows("account")}


def test_it_gets_back_the_row_it_made(client: DynamicsWebApi, emulator: Emulator) -> None:
    request = {
        "collection": "accounts",
        "data": {"name": "Returned", "revenue": 12.5},
        "returnRepresentation": True,
        "select": ["name", "revenue"],
    }
    row = client.ask("create", request)
    assert (row["name"], row["revenue"]) == ("Returned", 12.5)
    changed = client.ask(
        "update", {**request, "key": row["accountid"], "data": {"name": "Changed"}, "select": ["name"]}
    )
    assert changed["name"] == stored(emulator, "account", row["accountid"])["name"] == "Changed"


def test_it_makes_rows_within_rows_and_binds_others(client: DynamicsWebApi, emulator: Emulator) -> None:
    parent = made(client, "accounts", name="Parent")
    row_id = made(
        client,
        "accounts",
        name="Deep",
        primarycontactid={"firstname": "Ann", "lastname": "Deep"},
        Account_Tasks=[{"subject": "One"}, {"subject": "Two"}],
        **{"parentaccountid@odata.bind": f"accounts({parent})"},
    )
    row = stored(emulator, "account", row_id)
    assert row["_parentaccountid_value"] == parent
    assert stored(emulator, "contact", row["_primarycontactid_value"])["fullname"] == "Ann Deep"
    tasks = [one["subject"] for one in emulator.rows("task") if one["_regardingobjectid_value"] == row_id]
    assert sorted(tasks) == ["One", "Two"]


def test_it_upserts_by_id_and_by_alternate_key(client: DynamicsWebApi, emulator: Emulator) -> None:
    for name in ("First", "Second"):
        for key in (MISSING, "accountnumber='NPM-1'"):
            client.ask("upsert", {"collection": "accounts", "key": key, "data": {"name": name}})
    by_id = stored(emulator, "account", MISSING)
    (by_key,) = [row for row in emulator.rows("account") if row["accountnumber"] == "NPM-1"]
    assert by_id["name"] == by_key["name"] == "Second"
    client.ask("deleteRecord", {"collection": "accounts", "key": MISSING})


def test_an_upsert_may_be_held_to_one_half(client: DynamicsWebApi, emulator: Emulator) -> None:
    row_id = made(client, "accounts", name="There")
    only_new = {"collection": "accounts", "key": row_id, "data": {"name": "X"}, "ifnonematch": "*"}
    assert client.ask("upsert", only_new) is None  # the client takes 412 for an answer
    assert stored(emulator, "account", row_id)["name"] == "There"
    only_old = {"collection": "accounts", "key": MISSING, "data": {"name": "X"}, "ifmatch": "*"}
    assert client.ask("upsert", only_old) is None
    assert MISSING not in {row["accountid"] for row in emulator.rows("account")}


def test_an_update_of_what_is_not_there_is_refused(client: DynamicsWebApi) -> None:
    with pytest.raises(Refused) as refused:
        client.ask("update", {"collection": "accounts", "key": MISSING, "data": {"name": "X"}})
    assert (refused.value.code, refused.value.status) == ("0x80040217", 404)


def test_it_writes_only_the_version_it_read(client: DynamicsWebApi, emulator: Emulator) -> None:
    row_id = made(client, "accounts", name="Version")
    tag = stored(emulator, "account", row_id)["@odata.etag"]
    change = {"collection": "accounts", "key": row_id, "data": {"name": "New"}, "ifmatch": tag}
    assert client.ask("update", change) is not False
    assert client.ask("update", change) is False
    assert client.ask("deleteRecord", {"collection": "accounts", "key": row_id, "ifmatch": tag}) is False
    assert stored(emulator, "account", row_id)["name"] == "New"


def test_it_sets_and_empties_one_property(client: DynamicsWebApi, emulator: Emulator) -> None:
    row_id = made(client, "accounts", name="Single")
    place = {"collection": "accounts", "key": row_id}
    client.ask("updateSingleProperty", {**place, "fieldValuePair": {"telephone1": "555"}})
    assert stored(emulator, "account", row_id)["telephone1"] == "555"
    client.ask("deleteRecord", {**place, "property": "telephone1"})
    assert stored(emulator, "account", row_id)["telephone1"] is None


# --- relations ----------------------------------------------------------------------------------------------------


def test_it_relates_rows_and_takes_them_apart(client: DynamicsWebApi, emulator: Emulator) -> None:
    account, contact = made(client, "accounts", name="A"), made(client, "contacts", lastname="C")
    place = {"collection": "accounts", "primaryKey": account}
    related = {"relatedCollection": "contacts", "relatedKey": contact}
    client.ask("associate", {**place, "relationshipName": "contact_customer_accounts", **related})
    client.ask("associateSingleValued", {**place, "navigationProperty": "primarycontactid", **related})
    assert stored(emulator, "contact", contact)["_parentcustomerid_value"] == account
    assert stored(emulator, "account", account)["_primarycontactid_value"] == contact
    taken = {**place, "relationshipName": "contact_customer_accounts", "relatedKey": contact}
    client.ask("disassociate", taken)
    client.ask("disassociateSingleValued", {**place, "navigationProperty": "primarycontactid"})
    assert stored(emulator, "contact", contact)["_parentcustomerid_value"] is None
    assert stored(emulator, "account", account)["_primarycontactid_value"] is None


def test_it_relates_rows_many_to_many(client: DynamicsWebApi) -> None:
    account, lead = made(client, "accounts", name="A"), made(client, "leads", subject="L", lastname="L")
    name = "accountleads_association"
    request = {"collection": "accounts", "primaryKey": account, "relationshipName": name, "relatedKey": lead}
    client.ask("associate", {**request, "relatedCollection": "leads"})
    expanded = {
        "collection": "accounts",
        "key": account,
        "expand": [{"property": name, "select": ["subject"]}],
    }
    assert [one["leadid"] for one in client.ask("retrieve", expanded)[name]] == [lead]
    client.ask("disassociate", request)
    assert client.ask("retrieve", expanded)[name] == []


# --- what a request may ask for -----------------------------------------------------------------------------------


def test_it_is_told_of_a_duplicate(client: DynamicsWebApi) -> None:
    made(client, "accounts", name="Twice by npm")
    request = {"collection": "accounts", "data": {"name": "Twice by npm"}, "duplicateDetection": True}
    with pytest.raises(Refused) as refused:
        client.ask("create", request)
    assert refused.value.code == "0x80040333"
    assert client.ask("create", {**request, "duplicateDetection": False})


def test_it_passes_by_plug_ins(client: DynamicsWebApi, emulator: Emulator) -> None:
    emulator.fault("plugin", table="account", message="Create", text="not today")
    request = {"collection": "accounts", "data": {"name": "Plugged"}}
    with pytest.raises(Refused, match="not today") as refused:
        client.ask("create", request)
    assert (refused.value.code, refused.value.status) == ("0x80040265", 400)
    assert client.ask("create", {**request, "bypassCustomPluginExecution": True})


def test_it_acts_for_somebody_else_and_tags_its_requests(client: DynamicsWebApi, emulator: Emulator) -> None:
    request = {"collection": "accounts", "data": {"name": "For Alex"}, "impersonate": ALEX, "tag": "nightly"}
    row = stored(emulator, "account", client.ask("create", request))
    assert row["_createdby_value"] == ALEX
    assert row["_createdonbehalfby_value"]
    assert emulator.requests[-1].query == "tag=nightly"


# --- batches ------------------------------------------------------------------------------------------------------


def test_its_change_set_refers_to_what_it_made(client: DynamicsWebApi, emulator: Emulator) -> None:
    client.batch(
        call("create", {"collection": "accounts", "data": {"name": "Referred"}, "contentId": "1"}),
        call("create", {"collection": "tasks", "data": {"subject": "T"}, "contentId": "2"}),
        call(
            "create",
            {
                "collection": "contacts",
                "data": {"lastname": "Referring", "parentcustomerid_account@odata.bind": "$1"},
            },
        ),
        call("update", {"contentId": "$1", "data": {"telephone1": "77"}}),
        call(
            "associate",
            {
                "collection": "$1",
                "relationshipName": "Account_Tasks",
                "relatedKey": "$2",
            },
        ),
    )
    (account,) = [row for row in emulator.rows("account") if row["name"] == "Referred"]
    (contact,) = [row for row in emulator.rows("contact") if row["lastname"] == "Referring"]
    assert account["telephone1"] == "77"
    assert contact["_parentcustomerid_value"] == account["accountid"]
    assert account["accountid"] in {row["_regardingobjectid_value"] for row in emulator.rows("task")}


def test_its_change_set_is_done_as_a_whole_or_not_at_all(client: DynamicsWebApi, emulator: Emulator) -> None:
    with pytest.raises(Refused, match="telephone1") as refused:
        client.batch(
            call("create", {"collection": "accounts", "data": {"name": "Half"}}),
            call("create", {"collection": "accounts", "data": {"name": "Half", "telephone1": "x" * 999}}),
        )
    assert refused.value.code == "0x80044331"
    assert "Half" not in {row["name"] for row in emulator.rows("account")}


def test_outside_of_change_sets_each_request_stands_for_itself(
    client: DynamicsWebApi, emulator: Emulator
) -> None:
    rows = [{"name": "Alone 1"}, {"name": "Alone 2", "telephone1": "x" * 999}, {"name": "Alone 3"}]
    requests = [{"collection": "accounts", "data": row, "inChangeSet": False} for row in rows]
    answers = client.batch(*(call("create", one) for one in requests), continueOnError=True)
    names = {row["name"] for row in emulator.rows("account")}
    assert {"Alone 1", "Alone 3"} <= names
    assert "Alone 2" not in names
    assert answers[1]["error"]["code"] == "0x80044331"


# --- operations ---------------------------------------------------------------------------------------------------


def test_it_reads_the_metadata_document(client: DynamicsWebApi) -> None:
    text = client.ask("retrieveCsdlMetadata", {})
    assert '<Action Name="WinOpportunity">' in text
    assert "Org.OData.Core.V1.Computed" not in text
    assert "Org.OData.Core.V1.Computed" in client.ask("retrieveCsdlMetadata", {"addAnnotations": True})


def test_it_calls_functions(client: DynamicsWebApi, emulator: Emulator) -> None:
    assert set(client.ask("callFunction", "WhoAmI")) >= {"UserId", "BusinessUnitId", "OrganizationId"}
    name = "GetTimeZoneCodeByLocalizedName"
    parameters = {"LocalizedStandardName": "Pacific Standard Time", "LocaleId": 1033}
    assert client.ask("callFunction", {"name": name, "parameters": parameters})["TimeZoneCode"] == 4
    row_id = emulator.rows("account")[0]["accountid"]
    access = client.ask(
        "callFunction",
        {
            "collection": "systemusers",
            "key": ALEX,
            "name": "Microsoft.Dynamics.CRM.RetrievePrincipalAccess",
            "parameters": {"Target": {"@odata.id": f"accounts({row_id})"}},
        },
    )
    assert "ReadAccess" in access["AccessRights"]


def test_it_calls_actions(client: DynamicsWebApi, emulator: Emulator) -> None:
    account = made(client, "accounts", name="Customer")
    deal = made(
        client, "opportunities", name="Deal", **{"customerid_account@odata.bind": f"accounts({account})"}
    )
    close = {"subject": "Won", "opportunityid@odata.bind": f"opportunities({deal})"}
    client.ask(
        "callAction", {"actionName": "WinOpportunity", "action": {"Status": 3, "OpportunityClose": close}}
    )
    assert stored(emulator, "opportunity", deal)["statecode"] == 1
    queue, task = made(client, "queues", name="Q"), made(client, "tasks", subject="T")
    target = {"activityid": task, "@odata.type": "Microsoft.Dynamics.CRM.task"}
    answer = client.ask(
        "callAction",
        {
            "collection": "queues",
            "key": queue,
            "actionName": "Microsoft.Dynamics.CRM.AddToQueue",
            "action": {"Target": target},
        },
    )
    assert answer["QueueItemId"] in {row["queueitemid"] for row in emulator.rows("queueitem")}


def test_it_calls_the_bulk_messages(client: DynamicsWebApi, emulator: Emulator) -> None:
    def rows(**more: Any) -> list[dict[str, Any]]:
        return [{"@odata.type": "Microsoft.Dynamics.CRM.account", **more} for _ in range(3)]

    def bulk(name: str, targets: list[dict[str, Any]]) -> Any:
        action = {"actionName": f"Microsoft.Dynamics.CRM.{name}", "action": {"Targets": targets}}
        return client.ask("callAction", {"collection": "accounts", **action})

    ids = bulk("CreateMultiple", rows(name="Many"))["Ids"]
    changes = [{**row, "accountid": row_id} for row, row_id in zip(rows(name="Changed"), ids, strict=True)]
    bulk("UpdateMultiple", changes)
    assert {stored(emulator, "account", row_id)["name"] for row_id in ids} == {"Changed"}


def test_it_calls_a_custom_api_in_the_background(client: DynamicsWebApi, emulator: Emulator) -> None:
    emulator.custom_api(
        "contoso_Double",
        lambda given: {"Twice": 2 * given["Number"]},
        parameters={"Number": "Edm.Int32"},
        result={"Twice": "Edm.Int32"},
    )
    request = {"actionName": "contoso_Double", "action": {"Number": 21}}
    assert client.ask("callAction", request)["Twice"] == 42
    started = client.ask("callAction", {**request, "respondAsync": True})
    assert started["backgroundOperationId"] in started["location"]


def test_an_action_that_does_not_fit_is_refused(client: DynamicsWebApi) -> None:
    with pytest.raises(Refused, match="is not a valid parameter for the operation 'Merge'") as refused:
        client.ask("callAction", {"actionName": "Merge", "action": {"Victim": 1}})
    assert refused.value.status == 400


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [11, 5_000_000], ids=["one block", "several blocks"])
def test_it_uploads_downloads_and_deletes_a_file(client: DynamicsWebApi, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    row_id = made(client, "accounts", name="With a file")
    place = {"collection": "accounts", "key": row_id, "property": "sample_filecolumn"}
    data = {"base64": base64.b64encode(content).decode()}
    client.ask("uploadFile", {**place, "fileName": "report.pdf", "data": data})
    found = client.ask("downloadFile", place)
    assert (found["fileName"], found["fileSize"]) == ("report.pdf", size)
    assert base64.b64decode(found["data"]["base64"]) == content
    client.ask("deleteRecord", place)
    row = client.ask("retrieve", {"collection": "accounts", "key": row_id, "select": ["sample_filecolumn"]})
    assert row["sample_filecolumn"] is None
