"""EntityDefinitions: tables, columns by type, choices, keys, relationships."""

from __future__ import annotations

import pytest

ACCOUNT = "EntityDefinitions(LogicalName='account')"
CRM = "Microsoft.Dynamics.CRM"
ADMINISTRATION = {
    *("connectionreference", "environmentvariabledefinition", "environmentvariablevalue"),
    *("goal", "importjob", "metric", "publisher", "solution", "solutioncomponent"),
}
JOBS = {"asyncoperation", "backgroundoperation", "bulkdeletefailure", "bulkdeleteoperation"}
DRILLS = {"drill_bare", "drill_numbered", "drill_undated", "drill_untracked", "drill_unversioned"}


def logical_names(answer):
    return {row["LogicalName"] for row in answer.rows}


def test_the_service_document_lists_entity_sets(sample):
    answer = sample.get("")
    assert {"name": "accounts", "kind": "EntitySet", "url": "accounts"} in answer.rows


def test_all_tables_come_in_one_answer(sample):
    answer = sample.get("EntityDefinitions?$select=LogicalName,EntitySetName,ObjectTypeCode")
    sets = {row["LogicalName"]: row["EntitySetName"] for row in answer.rows}
    assert sets["opportunity"] == "opportunities"
    assert sets["transactioncurrency"] == "transactioncurrencies"
    assert sets["contoso_shipment"] == "contoso_shipments"
    assert set(answer.rows[0]) == {"LogicalName", "EntitySetName", "ObjectTypeCode", "MetadataId"}


@pytest.mark.parametrize("key", ["LogicalName='account'", "70816501-edb9-4740-a16c-6a5efbc05d84"])
def test_one_table_by_name_or_id(sample, key):
    found = sample.get(f"EntityDefinitions({key})").json
    assert found["PrimaryIdAttribute"] == "accountid"
    assert found["PrimaryNameAttribute"] == "name"
    assert found["ObjectTypeCode"] == 1
    assert found["ChangeTrackingEnabled"] is True
    assert found["TableType"] == "Standard"
    assert found["DisplayName"]["UserLocalizedLabel"]["Label"] == "Account"


def test_an_unknown_table_is_404(sample):
    answer = sample.get("EntityDefinitions(LogicalName='acount')")
    assert (answer.status, answer.error) == (404, "0x80040217")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ChangeTrackingEnabled eq false",
            {"transactioncurrency", "organization", "role", "savedquery", "sdkmessage", "sdkmessagefilter"}
            | {"userquery", "serviceendpoint", "sdkmessageprocessingstep"}
            | JOBS
            | ADMINISTRATION
            | {"contoso_sensordata", "fileattachment", "principalobjectaccess"}
            | DRILLS,
        ),
        (
            f"OwnershipType eq {CRM}.OwnershipTypes'BusinessOwned'",
            {"systemuser", "team", "businessunit", "role"},
        ),
        ("IsActivity eq true", {"task", "email", "incidentresolution", "opportunityclose"}),
        (
            "CanCreateAttributes/Value eq true",
            {"account", "businessunit", "contact", "email", "incident", "lead", "opportunity", "queue"}
            | {"queueitem", "systemuser", "task", "team", "transactioncurrency"}
            | {"contoso_shipment", "contoso_sensordata", "sample_example", "example_record"}
            | DRILLS,
        ),
        (
            "startswith(LogicalName,'contoso') or ObjectTypeCode eq 1",
            {"contoso_shipment", "contoso_sensordata", "account"},
        ),
        ("EntitySetName eq @set&@set='leads'", {"lead"}),
        (
            "not (ObjectTypeCode lt 10301)",
            {"contoso_shipment", "contoso_sensordata", "sample_example", "example_record"} | DRILLS,
        ),
    ],
)
def test_tables_are_filtered(sample, text, expected):
    assert logical_names(sample.get(f"EntityDefinitions?$select=LogicalName&$filter={text}")) == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("EntityDefinitions?$select=Nope", "Could not find a property named 'Nope'"),
        ("EntityDefinitions?$filter=Nope eq 1", "Could not find a property named 'Nope'"),
        ("EntityDefinitions?$expand=Nope", "Could not find a property named 'Nope'"),
        ("EntityDefinitions?$orderby=LogicalName", "The query parameter $orderby is not supported."),
        (f"{ACCOUNT}/Attributes?$select=MaxLength", "Could not find a property named 'MaxLength'"),
    ],
)
def test_bad_options_are_refused(sample, path, message):
    answer = sample.get(path)
    assert (answer.status, answer.error) == (400, "0x80060888")
    assert message in answer.message


def test_attributes_are_expanded_with_options_inside(sample):
    inside = f"$select=LogicalName;$filter=AttributeType eq {CRM}.AttributeTypeCode'Money'"
    found = sample.get(f"{ACCOUNT}?$select=LogicalName&$expand=Attributes({inside}),Keys").json
    assert {column["LogicalName"] for column in found["Attributes"]} >= {"revenue", "revenue_base"}
    assert found["Keys"][0]["KeyAttributes"] == ["accountnumber"]


def test_columns_carry_the_type_of_each(sample):
    rows = sample.get(
        f"{ACCOUNT}/Attributes?$select=LogicalName,AttributeType,AttributeTypeName,RequiredLevel"
    ).rows
    columns = {row["LogicalName"]: row for row in rows}
    assert columns["name"]["@odata.type"] == f"#{CRM}.StringAttributeMetadata"
    assert columns["name"]["RequiredLevel"]["Value"] == "ApplicationRequired"
    assert columns["contoso_services"]["AttributeType"] == "Virtual"
    assert columns["contoso_services"]["AttributeTypeName"] == {"Value": "MultiSelectPicklistType"}
    assert columns["ownerid"]["AttributeType"] == "Owner"


@pytest.mark.parametrize(
    ("table", "cast", "column", "members"),
    [
        ("account", "StringAttributeMetadata", "name", {"MaxLength": 160}),
        ("account", "MemoAttributeMetadata", "description", {"MaxLength": 2000}),
        ("account", "MoneyAttributeMetadata", "revenue", {"Precision": 2, "PrecisionSource": 2}),
        (
            "contoso_shipment",
            "MoneyAttributeMetadata",
            "contoso_unitcost",
            {"Precision": 4, "PrecisionSource": 0},
        ),
        ("contoso_shipment", "DecimalAttributeMetadata", "contoso_weight", {"Precision": 3}),
        ("account", "DoubleAttributeMetadata", "address1_latitude", {"Precision": 5, "MaxValue": 90}),
        ("account", "IntegerAttributeMetadata", "numberofemployees", {"MinValue": 0}),
        ("account", "BigIntAttributeMetadata", "versionnumber", {}),
        ("account", "BooleanAttributeMetadata", "followemail", {"DefaultValue": True}),
        (
            "account",
            "DateTimeAttributeMetadata",
            "contoso_foundedon",
            {"DateTimeBehavior": {"Value": "DateOnly"}},
        ),
        (
            "account",
            "DateTimeAttributeMetadata",
            "contoso_nextdelivery",
            {"DateTimeBehavior": {"Value": "TimeZoneIndependent"}},
        ),
        ("contact", "LookupAttributeMetadata", "parentcustomerid", {"Targets": ["account", "contact"]}),
        ("account", "UniqueIdentifierAttributeMetadata", "accountid", {"IsPrimaryId": True}),
    ],
)
def test_a_cast_gives_the_members_of_a_type(sample, table, cast, column, members):
    path = f"EntityDefinitions(LogicalName='{table}')/Attributes/{CRM}.{cast}"
    found = next(row for row in sample.get(path).rows if row["LogicalName"] == column)
    assert {name: found[name] for name in members} == members
    single = f"EntityDefinitions(LogicalName='{table}')/Attributes(LogicalName='{column}')/{CRM}.{cast}"
    assert sample.get(single).json["MetadataId"] == found["MetadataId"]


@pytest.mark.parametrize(
    ("table", "kind", "column", "values"),
    [
        ("account", "Picklist", "accountcategorycode", {1: "Preferred Customer", 2: "Standard"}),
        ("account", "State", "statecode", {0: "Active", 1: "Inactive"}),
        ("account", "Status", "statuscode", {1: "Active", 2: "Inactive"}),
        ("account", "MultiSelectPicklist", "contoso_services", {100000000: "Installation"}),
    ],
)
def test_choices_come_with_values_and_labels(sample, table, kind, column, values):
    path = f"EntityDefinitions(LogicalName='{table}')/Attributes/{CRM}.{kind}AttributeMetadata"
    rows = sample.get(f"{path}?$select=LogicalName&$expand=OptionSet,GlobalOptionSet").rows
    found = next(row for row in rows if row["LogicalName"] == column)
    options = {
        option["Value"]: option["Label"]["UserLocalizedLabel"]["Label"]
        for option in found["OptionSet"]["Options"]
    }
    assert options.items() >= values.items()
    assert found["GlobalOptionSet"] is None


def test_a_status_knows_its_state_and_a_state_its_default_status(sample):
    base = "EntityDefinitions(LogicalName='opportunity')/Attributes(LogicalName='{}')/{}"
    status = sample.get(base.format("statuscode", f"{CRM}.StatusAttributeMetadata/OptionSet")).json
    assert {option["Value"]: option["State"] for option in status["Options"]} == {
        1: 0,
        2: 0,
        3: 1,
        4: 2,
        5: 2,
    }
    state = sample.get(base.format("statecode", f"{CRM}.StateAttributeMetadata") + "?$expand=OptionSet").json
    assert [option["DefaultStatus"] for option in state["OptionSet"]["Options"]] == [1, 3, 4]


def test_yes_and_no_have_labels(sample):
    path = (
        f"{ACCOUNT}/Attributes(LogicalName='donotbulkemail')/{CRM}.BooleanAttributeMetadata?$expand=OptionSet"
    )
    options = sample.get(path).json["OptionSet"]
    assert options["TrueOption"]["Label"]["UserLocalizedLabel"]["Label"] == "Do Not Allow"
    assert options["FalseOption"]["Value"] == 0


def test_choices_cannot_be_expanded_without_a_cast(sample):
    assert sample.get(f"{ACCOUNT}/Attributes?$expand=OptionSet").status == 400


def test_unknown_casts_and_columns_are_404(sample):
    assert sample.get(f"{ACCOUNT}/Attributes/{CRM}.EnumAttributeMetadata").status == 404
    assert sample.get(f"{ACCOUNT}/Attributes(LogicalName='nope')").error == "0x80041103"


def test_keys_say_what_they_consist_of(sample):
    path = "EntityDefinitions(LogicalName='contoso_shipment')/Keys?$select=LogicalName,KeyAttributes,EntityKeyIndexStatus"
    keys = {tuple(row["KeyAttributes"]): row["EntityKeyIndexStatus"] for row in sample.get(path).rows}
    assert keys == {("contoso_number",): "Active", ("contoso_ordernumber", "contoso_position"): "Active"}


def test_relationships_name_the_case_sensitive_navigation_properties(sample):
    path = "EntityDefinitions(LogicalName='contoso_shipment')/ManyToOneRelationships"
    rows = sample.get(f"{path}?$filter=ReferencingAttribute eq 'contoso_accountid'").rows
    assert [row["ReferencingEntityNavigationPropertyName"] for row in rows] == ["contoso_AccountId"]
    task = sample.get("EntityDefinitions(LogicalName='task')/ManyToOneRelationships").rows
    owners = {
        row["ReferencingEntityNavigationPropertyName"]
        for row in task
        if row["ReferencingAttribute"] == "ownerid"
    }
    assert owners == {"ownerid_task"}


def test_one_to_many_is_the_way_back(sample):
    rows = sample.get(f"{ACCOUNT}/OneToManyRelationships?$filter=ReferencingEntity eq 'task'").rows
    assert [row["ReferencedEntityNavigationPropertyName"] for row in rows] == ["Account_Tasks"]
    (pairs,) = sample.get(f"{ACCOUNT}/ManyToManyRelationships").rows
    assert pairs["SchemaName"] == "accountleads_association"


def test_relationships_can_be_asked_for_as_a_whole(sample):
    path = f"RelationshipDefinitions/{CRM}.OneToManyRelationshipMetadata?$select=SchemaName&$filter=ReferencedEntity eq 'account'"
    assert "Account_Tasks" in {row["SchemaName"] for row in sample.get(path).rows}


def test_an_environment_has_no_global_choices_until_they_are_made(sample):
    assert sample.get("GlobalOptionSetDefinitions").rows == []


def test_every_row_agrees_with_the_metadata(sample):
    definitions = sample.get("EntityDefinitions?$expand=Attributes").rows
    for table in definitions:
        names = set()
        for column in table["Attributes"]:
            if column["AttributeTypeName"]["Value"] == "ImageType":
                continue  # pictures come only when they are selected
            lookup = column["AttributeType"] in {"Lookup", "Customer", "Owner"}
            names.add(f"_{column['LogicalName']}_value" if lookup else column["LogicalName"])
        for row in sample.get(f"{table['EntitySetName']}?$top=3").rows:
            assert set(row) - {"@odata.etag", "ownerid"} == names - {"ownerid"}
