"""Metadata that is changed: new tables and columns work like any other, and wrong ones are refused as documented."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.emulator.definitions import API, BANK, column, label, lookup, options, table


@pytest.fixture(scope="module")
def bank():
    with Emulator(seed=None) as emulator:
        yield emulator


@pytest.fixture
def wire(bank, wire_to):
    bank.reset()
    return wire_to(bank)


def made(answer):
    assert answer.status_code == 204, answer.text
    return answer.headers.get("OData-EntityId")


def refused(answer):
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
def accounts(wire):
    made(wire("POST", f"{API}/EntityDefinitions", json=table()))
    return wire


ONE_OF_EACH = (
    column("String", "sample_Text", MaxLength=20, FormatName={"Value": "Email"}),
    column("Memo", "sample_Memo"),
    column("Integer", "sample_Whole", MinValue=1, MaxValue=5),
    column("BigInt", "sample_Big"),
    column("Decimal", "sample_Decimal", Precision=3, MinValue=0, MaxValue=100),
    column("Double", "sample_Double", Precision=1),
    column("Money", "sample_Balance", PrecisionSource=2),
    column("Boolean", "sample_Flag", DefaultValue=True),
    column("DateTime", "sample_Day", Format="DateOnly", DateTimeBehavior={"Value": "DateOnly"}),
    column("Picklist", "sample_Choice", OptionSet=options((727000000, "Bravo"), (None, "Delta"))),
    column("MultiSelectPicklist", "sample_Several", OptionSet=options((1, "One"), (2, "Two"))),
    column("File", "sample_File"),
    column("Image", "sample_Image"),
)
ROW = {
    "sample_name": "Main",
    "sample_text": "a@example.com",
    "sample_memo": "Lines",
    "sample_whole": 5,
    "sample_big": 2**40,
    "sample_decimal": 1.125,
    "sample_double": 2.5,
    "sample_balance": 10.5,
    "sample_flag": False,
    "sample_day": "2026-01-31",
    "sample_choice": 727000000,
    "sample_several": "1,2",
}


def test_a_table_with_a_column_of_every_kind_holds_rows(wire):
    url = made(wire("POST", f"{API}/EntityDefinitions", json=table("sample_BankAccount", *ONE_OF_EACH)))
    assert wire("GET", url).json()["LogicalName"] == "sample_bankaccount"
    row = made(wire("POST", f"{API}/sample_bankaccounts", json=ROW))
    found = wire("GET", row).json()
    assert {name: found[name] for name in ROW} == ROW
    assert (found["statecode"], found["sample_balance_base"]) == (0, 10.5)
    assert found["_ownerid_value"]
    listed = wire.get("/sample_bankaccounts?$filter=sample_whole gt 4&$select=sample_name")
    assert [one["sample_name"] for one in listed.json()["value"]] == ["Main"]
    assert 'EntityType Name="sample_bankaccount"' in wire.get("/$metadata").text


def test_columns_come_to_rows_that_are_there_already(accounts):
    row = made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "Old"}))
    url = made(accounts("POST", f"{BANK}/Attributes", json=column("Integer", "sample_Later")))
    assert accounts("GET", url).json()["SchemaName"] == "sample_Later"
    assert accounts("GET", row).json()["sample_later"] is None
    assert accounts("PATCH", row, json={"sample_later": 3}).status_code == 204
    found = accounts.get("/sample_bankaccounts").json()["value"]
    assert [(one["sample_name"], one["sample_later"]) for one in found] == [("Old", 3)]


def test_columns_are_added_to_a_table_of_the_platform(wire):
    where = f"{API}/EntityDefinitions(LogicalName='account')/Attributes"
    made(wire("POST", where, json=column("String", "sample_Code", MaxLength=10)))
    row = made(wire("POST", f"{API}/accounts", json={"name": "A", "sample_code": "x"}))
    assert wire("GET", f"{row}?$select=sample_code").json()["sample_code"] == "x"
    assert refused(wire("POST", f"{API}/accounts", json={"name": "A", "sample_code": "x" * 11}))[0] == 400


def test_one_environment_does_not_see_the_tables_of_another(accounts, wire_to):
    with Emulator(seed=None) as other:
        elsewhere = wire_to(other)
        assert elsewhere.get("/sample_bankaccounts").status_code == 404
    assert accounts.get("/sample_bankaccounts").status_code == 200


def test_a_reset_takes_new_tables_away(bank, accounts):
    bank.reset()
    assert accounts.get("/sample_bankaccounts").status_code == 404
    made(accounts("POST", f"{API}/EntityDefinitions", json=table()))
    assert accounts.get("/sample_bankaccounts").json()["value"] == []


def test_seeding_anew_forgets_what_was_not_published(accounts):
    where = f"{API}/EntityDefinitions(LogicalName='account')"
    made(accounts("PUT", where, json={"DisplayName": label("Firm")}))
    assert accounts("POST", "/_emulator/seed", json={"seed": None}).status_code == 200
    assert accounts("POST", f"{API}/PublishAllXml", json={}).status_code == 204
    shown = accounts("GET", f"{where}?$select=DisplayName").json()["DisplayName"]
    assert shown["UserLocalizedLabel"]["Label"] == "Account"
    assert accounts.get("/sample_bankaccounts").status_code == 404


def test_a_failed_change_set_takes_its_table_back(accounts):
    undone = "\r\n".join(
        (
            "--b",
            "Content-Type: multipart/mixed; boundary=c",
            "",
            *part(1, "EntityDefinitions", table("sample_Other")),
            *part(2, "accounts", {"nothing": 1}),
            "--c--",
            "--b--",
            "",
        )
    )
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    answer = accounts("POST", f"{API}/$batch", data=undone.encode(), headers=headers)
    assert "nothing" in answer.text
    assert accounts.get("/sample_others").status_code == 404
    assert accounts.get("/sample_bankaccounts").status_code == 200


def test_a_batch_refers_to_a_row_of_a_new_table(accounts):
    way = lookup("sample_ParentId", "sample_bankaccount")
    made(accounts("POST", f"{API}/RelationshipDefinitions", json=way))
    child = {"sample_name": "Child", "sample_ParentId@odata.bind": "$1"}
    parts = (
        *part(1, "sample_bankaccounts", {"sample_name": "Parent"}, "Prefer: return=representation"),
        *part(2, "sample_bankaccounts", child),
    )
    text = ("--b", "Content-Type: multipart/mixed; boundary=c", "", *parts, "--c--", "--b--", "")
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    answer = accounts("POST", f"{API}/$batch", data="\r\n".join(text).encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    found = accounts.get("/sample_bankaccounts?$filter=sample_ParentId/sample_name eq 'Parent'").json()[
        "value"
    ]
    assert [one["sample_name"] for one in found] == ["Child"]


def part(number, path, body, *headers):
    """One part of a change set."""
    head = (
        "--c",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {number}",
    )
    request = (f"POST {API}/{path} HTTP/1.1", "Content-Type: application/json", *headers)
    return (*head, "", *request, "", json.dumps(body))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SchemaName": "account"}, "0x80044366"),
        ({"SchemaName": "sample_Bank Account"}, "0x80044364"),
        ({"SchemaName": "1sample_Bank"}, "0x80044365"),
        ({"SchemaName": "sample_" + "x" * 50}, "0x80044367"),
        ({"SchemaName": "contoso_Shipment"}, "0x80044363"),
        ({"OwnershipType": "BusinessOwned"}, "0x8004700d"),
        ({"Attributes": []}, "0x80040203"),
        ({"DisplayName": None}, "0x80040203"),
        (
            {"Attributes": [column("Integer", "sample_Name", IsPrimaryName=True)]},
            "0x8004700e",
        ),
        (
            {"Attributes": [column("String", f"sample_Name{one}", IsPrimaryName=True) for one in (1, 2)]},
            "0x8004701e",
        ),
    ],
)
def test_a_wrong_table_is_refused(wire, changes, code):
    assert refused(wire("POST", f"{API}/EntityDefinitions", json={**table(), **changes})) == (400, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (column("String", "sample_Name"), "0x80047013"),
        (column("String", "Name"), "0x80044366"),
        (column("String", "sample_Long", MaxLength=4001), "0x80040203"),
        (column("Picklist", "sample_Pick"), "0x80040203"),
        (column("Picklist", "sample_Pick", OptionSet=options((1, "A"), (1, "B"))), "0x80048403"),
        (column("Integer", "sample_Whole", MinValue=3, MaxValue=2), "0x80040203"),
        ({"SchemaName": "sample_X"}, "0x80040203"),
    ],
)
def test_a_wrong_column_is_refused(accounts, body, code):
    assert refused(accounts("POST", f"{BANK}/Attributes", json=body)) == (400, code)


def test_what_is_not_known_is_not_emulated(accounts):
    formula = column("Decimal", "sample_Sum", FormulaDefinition="<Activity/>", SourceType=2)
    assert accounts("POST", f"{BANK}/Attributes", json=formula).status_code == 501
    assert accounts("POST", f"{BANK}/Attributes", json=column("Lookup", "sample_Way")).status_code == 501


def test_changes_of_a_definition_wait_for_publishing(accounts):
    whole = accounts("GET", BANK).json()
    changed = {**whole, "DisplayName": label("Account at a Bank"), "ChangeTrackingEnabled": True}
    assert made(accounts("PUT", BANK, json=changed, headers={"MSCRM.MergeLabels": "true"}))
    tracked = {"Prefer": "odata.track-changes"}
    assert refused(accounts.get("/sample_bankaccounts", headers=tracked)) == (400, "0x80072491")
    xml = "<importexportxml><entities><entity>sample_bankaccount</entity></entities></importexportxml>"
    assert accounts("POST", f"{API}/PublishXml", json={"ParameterXml": xml}).status_code == 204
    assert "@odata.deltaLink" in accounts.get("/sample_bankaccounts", headers=tracked).json()
    now = accounts("GET", f"{BANK}?$select=DisplayName", headers={"Consistency": "Strong"}).json()
    assert now["DisplayName"]["UserLocalizedLabel"]["Label"] == "Account at a Bank"


def test_a_column_is_changed_and_published_with_everything(accounts):
    made(accounts("POST", f"{BANK}/Attributes", json=column("String", "sample_Code", MaxLength=5)))
    where = f"{BANK}/Attributes(LogicalName='sample_code')"
    made(accounts("PUT", where, json=column("String", "sample_Code", MaxLength=9)))
    assert accounts.get("/sample_bankaccounts").status_code == 200
    begun = accounts("POST", f"{API}/PublishAllXmlAsync", json={}).json()["AsyncOperationId"]
    accounts.emulator.jobs.advance(60)
    assert accounts.get(f"/asyncoperations({begun})").json()["statuscode"] == 30
    assert accounts("GET", where + "/Microsoft.Dynamics.CRM.StringAttributeMetadata").json()["MaxLength"] == 9
    assert made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_code": "123456789"}))


# -- keys -------------------------------------------------------------------------------------------------

KEY = {"SchemaName": "sample_NameKey", "DisplayName": label("Name"), "KeyAttributes": ["sample_name"]}


def status_of(wire):
    return wire("GET", f"{BANK}/Keys(LogicalName='sample_namekey')").json()["EntityKeyIndexStatus"]


def test_a_key_finds_rows_once_its_index_is_built(accounts):
    made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "One"}))
    accounts.emulator.jobs.waiting = accounts.emulator.jobs.running = 60
    made(accounts("POST", f"{BANK}/Keys", json=KEY))
    assert status_of(accounts) == "Pending"
    assert accounts.get("/sample_bankaccounts(sample_name='One')").status_code == 400
    accounts.emulator.jobs.advance(61)
    assert status_of(accounts) == "InProgress"
    accounts.emulator.jobs.advance(60)
    assert status_of(accounts) == "Active"
    assert accounts.get("/sample_bankaccounts(sample_name='One')").status_code == 200
    again = accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "One"})
    assert refused(again) == (412, "0x80060892")


def test_a_key_over_rows_that_agree_fails_and_is_reactivated(accounts):
    rows = [made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "Same"})) for _ in "ab"]
    made(accounts("POST", f"{BANK}/Keys", json=KEY))
    accounts.emulator.jobs.advance(60)
    assert status_of(accounts) == "Failed"
    job = accounts.get("/asyncoperations?$filter=operationtype eq 63").json()["value"][0]
    assert (job["statuscode"], "duplicate key" in job["message"]) == (31, True)
    assert accounts("DELETE", rows[0]).status_code == 204
    named = {"EntityLogicalName": "sample_bankaccount", "EntityKeyLogicalName": "sample_namekey"}
    assert accounts("POST", f"{API}/ReactivateEntityKey", json=named).status_code == 204
    accounts.emulator.jobs.advance(60)
    assert status_of(accounts) == "Active"
    assert refused(accounts("POST", f"{API}/ReactivateEntityKey", json=named)) == (400, "0x80060897")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "0x80060893"),
        ({"SchemaName": "sample_Other"}, "0x80060894"),
        ({"SchemaName": "sample_Other", "KeyAttributes": ["sample_none"]}, "0x80041103"),
        ({"SchemaName": "sample_Other", "KeyAttributes": ["statecode"]}, "0x8006088f"),
        ({"SchemaName": "sample_Other", "KeyAttributes": []}, "0x80040203"),
    ],
)
def test_a_wrong_key_is_refused(accounts, changes, code):
    made(accounts("POST", f"{BANK}/Keys", json=KEY))
    assert refused(accounts("POST", f"{BANK}/Keys", json={**KEY, **changes}))[1] == code


def test_a_key_is_deleted_while_its_index_is_being_built(accounts):
    url = made(accounts("POST", f"{BANK}/Keys", json=KEY))
    job = accounts("GET", f"{BANK}/Keys(LogicalName='sample_namekey')").json()["AsyncJob"]["asyncoperationid"]
    assert accounts("DELETE", url).status_code == 204
    assert accounts.get(f"/asyncoperations({job})").json()["statuscode"] == 32
    assert accounts("GET", f"{BANK}/Keys").json()["value"] == []


# -- relationships ----------------------------------------------------------------------------------------


def test_a_lookup_comes_with_its_relationship_and_goes_with_it(accounts):
    url = made(accounts("POST", f"{API}/RelationshipDefinitions", json=lookup("sample_AccountId", "account")))
    shown = accounts("GET", url).json()
    assert shown["ReferencingEntityNavigationPropertyName"] == "sample_AccountId"
    owner = made(accounts("POST", f"{API}/accounts", json={"name": "Owner"}))
    body = {"sample_name": "A", "sample_AccountId@odata.bind": owner.partition("/v9.2/")[2]}
    row = made(accounts("POST", f"{API}/sample_bankaccounts", json=body))
    seen = accounts("GET", f"{row}?$expand=sample_AccountId($select=name)").json()
    assert seen["sample_AccountId"]["name"] == "Owner"
    below = accounts("GET", f"{owner}/sample_bankaccount_account?$select=sample_name").json()["value"]
    assert [one["sample_name"] for one in below] == ["A"]
    assert accounts("DELETE", url).status_code == 204
    assert "_sample_accountid_value" not in accounts("GET", row).json()


def test_a_restricting_relationship_keeps_the_row_it_points_to(accounts):
    body = lookup("sample_AccountId", "account", CascadeConfiguration={"Delete": "Restrict"})
    made(accounts("POST", f"{API}/RelationshipDefinitions", json=body))
    owner = made(accounts("POST", f"{API}/accounts", json={"name": "Owner"}))
    row = {"sample_AccountId@odata.bind": owner.partition("/v9.2/")[2]}
    made(accounts("POST", f"{API}/sample_bankaccounts", json=row))
    assert refused(accounts("DELETE", owner)) == (405, "0x80040227")


def test_rows_are_paired_over_a_new_many_to_many_relationship(accounts):
    body = {
        "@odata.type": "Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata",
        "SchemaName": "sample_accounts_contacts",
        "Entity1LogicalName": "sample_bankaccount",
        "Entity2LogicalName": "contact",
        "IntersectEntityName": "sample_accounts_contacts",
    }
    url = made(accounts("POST", f"{API}/RelationshipDefinitions", json=body))
    row = made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "A"}))
    contact = made(accounts("POST", f"{API}/contacts", json={"lastname": "C"}))
    joined = accounts("POST", f"{row}/sample_accounts_contacts/$ref", json={"@odata.id": contact})
    assert joined.status_code == 204
    assert len(accounts("GET", f"{contact}/sample_accounts_contacts").json()["value"]) == 1
    assert refused(accounts("POST", f"{API}/RelationshipDefinitions", json=body)) == (400, "0x80044363")
    assert accounts("DELETE", url).status_code == 204
    assert accounts("GET", f"{contact}/sample_accounts_contacts").status_code == 404


def test_a_customer_column_points_to_accounts_and_contacts(accounts):
    asked = {
        "Lookup": {
            **column("Lookup", "sample_CustomerId"),
            "@odata.type": "Microsoft.Dynamics.CRM.ComplexLookupAttributeMetadata",
        },
        "OneToManyRelationships": [
            {
                "SchemaName": f"sample_bankaccount_customer_{name}",
                "ReferencedEntity": name,
                "ReferencingEntity": "sample_bankaccount",
            }
            for name in ("account", "contact")
        ],
    }
    answer = accounts("POST", f"{API}/CreateCustomerRelationships", json=asked)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["RelationshipIds"]) == 2
    contact = made(accounts("POST", f"{API}/contacts", json={"lastname": "C"}))
    body = {"sample_CustomerId_contact@odata.bind": contact.partition("/v9.2/")[2]}
    row = made(accounts("POST", f"{API}/sample_bankaccounts", json=body))
    assert accounts("GET", row).json()["_sample_customerid_value"] in contact


# -- choices ----------------------------------------------------------------------------------------------

COLORS = {
    **options((727000000, "Red"), (727000001, "Yellow")),
    "Name": "sample_colors",
    "DisplayName": label("Colors"),
    "IsGlobal": True,
}


def test_a_global_choice_serves_several_columns(accounts):
    url = made(accounts("POST", f"{API}/GlobalOptionSetDefinitions", json=COLORS))
    for name in ("sample_Roof", "sample_Door"):
        body = column("Picklist", name, **{"GlobalOptionSet@odata.bind": url.partition("/v9.2")[2]})
        made(accounts("POST", f"{BANK}/Attributes", json=body))
    added = {"OptionSetName": "sample_colors", "Label": label("Blue")}
    assert accounts("POST", f"{API}/InsertOptionValue", json=added).json()["NewOptionValue"] == 727000002
    row = {"sample_roof": 727000002, "sample_door": 727000002}
    assert accounts("POST", f"{API}/sample_bankaccounts", json=row).status_code == 400
    xml = "<importexportxml><optionsets><optionset>sample_colors</optionset></optionsets></importexportxml>"
    accounts("POST", f"{API}/PublishXml", json={"ParameterXml": xml})
    named = accounts.get("/GlobalOptionSetDefinitions(Name='sample_colors')").json()
    assert [one["Value"] for one in named["Options"]] == [727000000, 727000001, 727000002]
    assert made(accounts("POST", f"{API}/sample_bankaccounts", json=row))
    assert refused(accounts("DELETE", url)) == (400, "0x8004f01f")
    assert accounts.get("/GlobalOptionSetDefinitions?$filter=Name eq 'x'").status_code == 405


def test_options_are_renamed_ordered_and_deleted(accounts):
    choice = options((1, "A"), (2, "B"), (3, "C"))
    made(accounts("POST", f"{BANK}/Attributes", json=column("Picklist", "sample_Pick", OptionSet=choice)))
    where = {"EntityLogicalName": "sample_bankaccount", "AttributeLogicalName": "sample_pick"}
    renamed = {**where, "Value": 1, "Label": label("Z"), "MergeLabels": True}
    assert accounts("POST", f"{API}/UpdateOptionValue", json=renamed).status_code == 204
    assert accounts("POST", f"{API}/DeleteOptionValue", json={**where, "Value": 2}).status_code == 204
    assert accounts("POST", f"{API}/OrderOption", json={**where, "Values": [3, 1]}).status_code == 204
    taken = {**where, "Value": 3, "Label": label("C")}
    assert refused(accounts("POST", f"{API}/InsertOptionValue", json=taken)) == (400, "0x80048403")
    assert accounts("POST", f"{API}/PublishAllXml", json={}).status_code == 204
    path = f"{BANK}/Attributes(LogicalName='sample_pick')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
    shown = accounts("GET", f"{path}?$expand=OptionSet").json()["OptionSet"]["Options"]
    assert [(one["Value"], one["Label"]["UserLocalizedLabel"]["Label"]) for one in shown] == [
        (3, "C"),
        (1, "Z"),
    ]


def test_a_status_is_added_to_its_state(accounts):
    body = {
        "EntityLogicalName": "sample_bankaccount",
        "AttributeLogicalName": "statuscode",
        "StateCode": 1,
        "Label": label("Frozen"),
    }
    value = accounts("POST", f"{API}/InsertStatusValue", json=body).json()["NewOptionValue"]
    accounts("POST", f"{API}/PublishAllXml", json={})
    row = made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "A"}))
    assert accounts("PATCH", row, json={"statecode": 1, "statuscode": value}).status_code == 204
    assert accounts("GET", row).json()["statuscode"] == value


# -- deleting, and who may --------------------------------------------------------------------------------


def test_a_table_goes_with_its_rows_unless_others_point_to_it(accounts):
    made(accounts("POST", f"{API}/EntityDefinitions", json=table("sample_Branch")))
    made(accounts("POST", f"{API}/RelationshipDefinitions", json=lookup("sample_BranchId", "sample_branch")))
    branch = f"{API}/EntityDefinitions(LogicalName='sample_branch')"
    assert refused(accounts("DELETE", branch)) == (400, "0x8004f01f")
    assert accounts("DELETE", BANK).status_code == 204
    assert accounts("DELETE", branch).status_code == 204
    assert accounts.get("/sample_branches").status_code == 404
    filters = accounts.get("/sdkmessagefilters?$filter=primaryobjecttypecode eq 'sample_branch'")
    assert filters.json()["value"] == []


def test_what_came_with_the_platform_is_not_deleted(accounts):
    account = f"{API}/EntityDefinitions(LogicalName='account')"
    assert refused(accounts("DELETE", account)) == (400, "0x80045900")
    name = f"{account}/Attributes(LogicalName='name')"
    assert refused(accounts("DELETE", name)) == (400, "0x80047009")
    primary = f"{BANK}/Attributes(LogicalName='sample_name')"
    assert refused(accounts("DELETE", primary)) == (400, "0x80047002")
    jobs = f"{API}/EntityDefinitions(LogicalName='asyncoperation')/Attributes"
    assert refused(accounts("POST", jobs, json=column("String", "sample_X"))) == (400, "0x80047008")


def test_a_column_goes_with_its_companions(accounts):
    made(accounts("POST", f"{BANK}/Attributes", json=column("Money", "sample_Sum")))
    assert accounts("DELETE", f"{BANK}/Attributes(LogicalName='sample_sum')").status_code == 204
    row = made(accounts("POST", f"{API}/sample_bankaccounts", json={"sample_name": "A"}))
    assert "sample_sum_base" not in accounts("GET", row).json()


def test_who_lacks_the_privilege_changes_nothing(bank, wire):
    bank.sign_ins.take_privilege("prvCreateEntity")
    answer = wire("POST", f"{API}/EntityDefinitions", json=table())
    assert refused(answer) == (403, "0x80040220")
    assert "prvCreateEntity" in answer.text
    assert wire.get("/sample_bankaccounts").status_code == 404


def test_nothing_is_changed_while_something_is_published(accounts):
    accounts.emulator.jobs.held = True
    accounts("POST", f"{API}/PublishAllXmlAsync", json={})
    answer = accounts("POST", f"{BANK}/Attributes", json=column("String", "sample_X"))
    assert refused(answer) == (429, "0x80071151")
    assert "[EntityCustomization] because there is another [PublishAll] running" in answer.text
