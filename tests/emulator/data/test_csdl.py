"""``$metadata``: tables, keys, relationships and operations as Microsoft's pages on the CSDL document show them."""

from __future__ import annotations

import re

import pytest
from defusedxml import ElementTree

from airflow_provider_dynamics.emulator.custom_apis import custom_api
from airflow_provider_dynamics.emulator.schema import TABLES

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
EDMX = "{http://docs.oasis-open.org/odata/ns/edmx}"


@pytest.fixture(scope="module")
def text(module_service):
    answer = module_service.get("$metadata")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/xml")
    return answer.content.decode()


@pytest.fixture(scope="module")
def schema(text):
    return ElementTree.fromstring(text).find(f"{EDMX}DataServices/{EDM}Schema")


def named(schema, kind, name):
    return [one for one in schema.findall(f"{EDM}{kind}") if one.get("Name") == name]


def parts(element, kind):
    return [
        {name: value for name, value in one.attrib.items() if name != "Unicode"}
        for one in element.findall(f"{EDM}{kind}")
    ]


def test_everything_lies_in_the_services_namespace_with_its_alias(schema):
    assert (schema.get("Namespace"), schema.get("Alias")) == ("Microsoft.Dynamics.CRM", "mscrm")


def test_a_table_is_an_entity_type_with_its_key_and_an_entity_set(schema):
    (account,) = named(schema, "EntityType", "account")
    assert account.get("BaseType") == "mscrm.crmbaseentity"
    assert account.find(f"{EDM}Key/{EDM}PropertyRef").get("Name") == "accountid"
    (container,) = schema.findall(f"{EDM}EntityContainer")
    sets = {one["Name"]: one["EntityType"] for one in parts(container, "EntitySet")}
    assert sets == {table.set_name: f"mscrm.{name}" for name, table in TABLES.items()}


def test_columns_are_properties_and_lookups_the_guid_behind_a_navigation_property(schema):
    (account,) = named(schema, "EntityType", "account")
    types = {one["Name"]: one["Type"] for one in parts(account, "Property")}
    assert types["name"] == "Edm.String"
    assert types["revenue"] == "Edm.Decimal"
    assert types["_primarycontactid_value"] == "Edm.Guid"
    assert "primarycontactid" not in types
    ways = {one.get("Name"): one for one in account.findall(f"{EDM}NavigationProperty")}
    assert ways["createdby"].get("Type") == "mscrm.systemuser"
    assert ways["createdby"].get("Partner") == "lk_accountbase_createdby"
    constraint = ways["createdby"].find(f"{EDM}ReferentialConstraint")
    assert constraint.attrib == {"Property": "_createdby_value", "ReferencedProperty": "systemuserid"}
    assert ways["Account_Tasks"].get("Type") == "Collection(mscrm.task)"
    assert ways["Account_Tasks"].get("Partner") == "regardingobjectid_account_task"


def test_a_lookup_to_several_tables_is_one_property_and_several_ways(schema):
    (contact,) = named(schema, "EntityType", "contact")
    ways = [
        (one.get("Name"), one.get("Type"))
        for one in contact.findall(f"{EDM}NavigationProperty")
        if one.find(f"{EDM}ReferentialConstraint") is not None
        and one.find(f"{EDM}ReferentialConstraint").get("Property") == "_parentcustomerid_value"
    ]
    assert ways == [
        ("parentcustomerid_account", "mscrm.account"),
        ("parentcustomerid_contact", "mscrm.contact"),
    ]


def test_users_and_teams_are_principals_and_tasks_activities(schema):
    bases = {one.get("Name"): one.get("BaseType") for one in schema.findall(f"{EDM}EntityType")}
    assert bases["systemuser"] == bases["team"] == "mscrm.principal"
    assert bases["task"] == bases["email"] == "mscrm.activitypointer"
    (principal,) = named(schema, "EntityType", "principal")
    assert principal.find(f"{EDM}Key/{EDM}PropertyRef").get("Name") == "ownerid"
    (task,) = named(schema, "EntityType", "task")
    assert task.find(f"{EDM}Key") is None
    assert "subject" not in {one["Name"] for one in parts(task, "Property")}  # inherited


def test_a_many_to_many_relationship_has_one_name_on_both_sides(schema):
    (team,) = named(schema, "EntityType", "team")
    (way,) = [one for one in parts(team, "NavigationProperty") if one["Name"] == "teammembership_association"]
    assert way["Type"] == "Collection(mscrm.systemuser)"
    assert way["Partner"] == "teammembership_association"


def test_alternate_keys_are_annotated(schema):
    (account,) = named(schema, "EntityType", "account")
    (keys,) = [
        one
        for one in account.findall(f"{EDM}Annotation")
        if one.get("Term") == "OData.Community.Keys.V1.AlternateKeys"
    ]
    paths = {value.get("PropertyPath") for value in keys.iter(f"{EDM}PropertyValue")}
    assert "accountnumber" in paths


@pytest.mark.parametrize("path", ["$metadata?annotations=true", "$metadata"])
def test_annotations_are_left_out_unless_they_are_asked_for(module_service, path):
    header = {} if "?" in path else {"prefer": 'odata.include-annotations="*"'}
    text = module_service.get(path, **header).content.decode()
    assert "Org.OData.Core.V1.Computed" in text
    assert "Org.OData.Core.V1.Computed" not in module_service.get("$metadata").content.decode()


def test_actions_are_printed_as_microsofts_pages_print_them(schema):
    (win,) = named(schema, "Action", "WinOpportunity")
    assert win.get("IsBound") is None
    assert parts(win, "Parameter") == [
        {"Name": "OpportunityClose", "Type": "mscrm.opportunityclose", "Nullable": "false"},
        {"Name": "Status", "Type": "Edm.Int32", "Nullable": "false"},
    ]
    assert parts(win, "ReturnType") == []
    (merge,) = named(schema, "Action", "Merge")
    assert parts(merge, "Parameter")[2] == {"Name": "UpdateContent", "Type": "mscrm.crmbaseentity"}


def test_a_bound_action_has_what_it_is_bound_to_first(schema):
    (add,) = named(schema, "Action", "AddToQueue")
    assert add.get("IsBound") == "true"
    assert parts(add, "Parameter") == [
        {"Name": "entity", "Type": "mscrm.queue", "Nullable": "false"},
        {"Name": "Target", "Type": "mscrm.crmbaseentity", "Nullable": "false"},
        {"Name": "SourceQueue", "Type": "mscrm.queue"},
        {"Name": "QueueItemProperties", "Type": "mscrm.queueitem"},
    ]
    assert parts(add, "ReturnType") == [{"Type": "mscrm.AddToQueueResponse", "Nullable": "false"}]
    (response,) = named(schema, "ComplexType", "AddToQueueResponse")
    assert parts(response, "Property") == [{"Name": "QueueItemId", "Type": "Edm.Guid", "Nullable": "false"}]


def test_a_row_in_a_complex_type_is_reached_by_navigation(schema):
    (access,) = named(schema, "ComplexType", "PrincipalAccess")
    assert [one["Name"] for one in parts(access, "Property")] == ["AccessMask"]
    assert parts(access, "NavigationProperty") == [{"Name": "Principal", "Type": "mscrm.principal"}]


def test_functions_and_imports_of_what_is_not_bound_are_there(schema):
    (who,) = named(schema, "Function", "WhoAmI")
    assert parts(who, "ReturnType") == [{"Type": "mscrm.WhoAmIResponse", "Nullable": "false"}]
    (container,) = schema.findall(f"{EDM}EntityContainer")
    assert {"Name": "WhoAmI", "Function": "mscrm.WhoAmI"} in parts(container, "FunctionImport")
    assert {"Name": "Merge", "Action": "mscrm.Merge"} in parts(container, "ActionImport")
    assert "AddToQueue" not in {one["Name"] for one in parts(container, "ActionImport")}


def test_bulk_messages_are_bound_to_the_sets_of_the_tables_that_have_them(schema):
    bound = {parts(one, "Parameter")[0]["Type"] for one in named(schema, "Action", "CreateMultiple")}
    assert "Collection(mscrm.account)" in bound
    assert "Collection(mscrm.task)" not in bound
    assert len(named(schema, "ComplexType", "CreateMultipleResponse")) == 1


def test_every_type_that_is_named_is_defined(schema, text):
    defined = {
        one.get("Name")
        for kind in ("EntityType", "ComplexType", "EnumType")
        for one in schema.findall(EDM + kind)
    }
    defined |= {one.get("Name") for kind in ("Action", "Function") for one in schema.findall(EDM + kind)}
    assert set(re.findall(r'"(?:Collection\()?mscrm\.(\w+)\)?"', text)) <= defined


def members(schema, name):
    """Properties and navigation properties of a type by name, inherited ones included; each may come once."""
    found = {}
    while name:
        (one,) = named(schema, "EntityType", name)
        for part in (*one.findall(f"{EDM}Property"), *one.findall(f"{EDM}NavigationProperty")):
            assert part.get("Name") not in found, (name, part.get("Name"))
            found[part.get("Name")] = part
        name = (one.get("BaseType") or "").removeprefix("mscrm.")
    return found


def test_every_navigation_leads_to_its_partner_and_back(schema):
    for one in schema.findall(f"{EDM}EntityType"):
        for part in one.findall(f"{EDM}NavigationProperty"):
            other = re.sub(r"Collection\(|mscrm\.|\)", "", part.get("Type"))
            partner = members(schema, other)[part.get("Partner")]
            assert partner.get("Partner") == part.get("Name")
            for constraint in part.findall(f"{EDM}ReferentialConstraint"):
                assert constraint.get("Property") in members(schema, one.get("Name"))
                assert constraint.get("ReferencedProperty") in members(schema, other)


def test_what_users_and_teams_own_is_theirs_as_principals(schema):
    assert members(schema, "principal")["owner_accounts"].get("Partner") == "ownerid"
    (user,) = named(schema, "EntityType", "systemuser")
    assert "owner_accounts" not in {part["Name"] for part in parts(user, "NavigationProperty")}


def test_names_of_types_are_there_once(schema):
    names = [one.get("Name") for kind in ("EntityType", "ComplexType") for one in schema.findall(EDM + kind)]
    assert len(names) == len(set(names))


def test_a_custom_api_is_in_the_document_until_the_reset(empty):
    made = custom_api("contoso_Sum", parameters={"Number": "Edm.Int32"}, result={"Sum": "Edm.Int32"})
    empty.api.operations.add(made)
    assert '<Action Name="contoso_Sum">' in empty.get("$metadata").content.decode()
    empty.api.reset()
    assert "contoso_Sum" not in empty.get("$metadata").content.decode()


def test_the_document_is_read_only(empty):
    assert empty("POST", "$metadata", {}).status == 405
