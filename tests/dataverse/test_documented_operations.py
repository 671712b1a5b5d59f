"""Ties, single columns, actions, functions and options, sent and understood as Microsoft's pages print them."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.dataverse import Request, WriteOptions, errors
from tests.dataverse.metadata_document import DOCUMENT, document
from tests.dataverse.test_cases import CASES, ENVIRONMENT, FIRST, body_of, same_address

SECOND = "00000000-0000-0000-0000-000000000002"
TABLES = {
    "account": ("accounts", "accountid"),
    "contact": ("contacts", "contactid"),
    "letter": ("letters", "activityid"),
    "opportunity": ("opportunities", "opportunityid"),
    "opportunityclose": ("opportunitycloses", "activityid"),
    "queue": ("queues", "queueid"),
    "systemuser": ("systemusers", "systemuserid"),
}
FUNCTIONS = document(
    '<EntityType Name="crmbaseentity" Abstract="true"/>'
    '<EntityType Name="account" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="accountid"/></Key></EntityType>'
    '<EnumType Name="TargetFieldType"><Member Name="ValidForCreate" Value="1"/></EnumType>'
    '<Action Name="Merge"><Parameter Name="Target" Type="mscrm.crmbaseentity" Nullable="false"/>'
    '<Parameter Name="Subordinate" Type="mscrm.crmbaseentity" Nullable="false"/>'
    '<Parameter Name="UpdateContent" Type="mscrm.crmbaseentity"/>'
    '<Parameter Name="PerformParentingChecks" Type="Edm.Boolean" Nullable="false"/></Action>'
    '<Function Name="InitializeFrom">'
    '<Parameter Name="EntityMoniker" Type="mscrm.crmbaseentity" Nullable="false"/>'
    '<Parameter Name="TargetEntityName" Type="Edm.String" Nullable="false"/>'
    '<Parameter Name="TargetFieldType" Type="mscrm.TargetFieldType" Nullable="false"/>'
    '<ReturnType Type="mscrm.crmbaseentity" Nullable="false"/></Function>'
)


def definition(table):
    entity_set, key = TABLES[table]
    names = [key, "name", "accountnumber", "subject", "masterid"]
    return {
        "LogicalName": table,
        "EntitySetName": entity_set,
        "PrimaryIdAttribute": key,
        "Attributes": [
            {
                "LogicalName": name,
                "AttributeType": "Uniqueidentifier" if name == key else "String",
                **dict.fromkeys(
                    ("IsValidForRead", "IsValidForCreate", "IsValidForUpdate"), name != "masterid"
                ),
            }
            for name in names
        ],
        "Keys": [],
        "ManyToOneRelationships": [],
        "OneToManyRelationships": [
            {
                "ReferencedEntityNavigationPropertyName": "opportunity_customer_accounts",
                "ReferencingEntity": "opportunity",
            }
        ],
    }


@pytest.fixture
def replay(make_client, requests_mock):
    """Return a function that answers what a case asks with its answer, and metadata; and the client for it."""

    def prepare(name, metadata=DOCUMENT):
        case = CASES[name]
        version = case["request"]["path"].split("/")[3]
        root = f"{ENVIRONMENT}/api/data/{version}/"
        response = case["response"] or {"status": 204}
        requests_mock.register_uri(
            case["request"]["method"],
            re.compile(re.escape(root)),
            text=body_of(case) or ("{}" if case["request"]["method"] == "GET" else ""),
            status_code=response["status"] or 200,
        )
        for table in TABLES:
            requests_mock.get(f"{root}EntityDefinitions(LogicalName='{table}')", json=definition(table))
        requests_mock.get(f"{root}$metadata", content=metadata, headers={"Content-Type": "application/xml"})
        return make_client(ENVIRONMENT, api_version=version), case["request"]

    return prepare


def check(request, documented):
    assert request.method == documented["method"]
    expected = re.sub(r"\[Organization UR[IL]\]", ENVIRONMENT, documented["path"], flags=re.IGNORECASE)
    assert same_address(request.url, expected)


def without_types(value):
    """Return a body without the types that say what the parameter says already."""
    if isinstance(value, dict):
        return {name: without_types(one) for name, one in value.items() if name != "@odata.type"}
    return value


def test_a_row_is_taken_out_of_a_collection_as_documented(replay, requests_mock):
    client, documented = replay("disassociate-collection-id-query")
    client.disassociate("account", SECOND, "opportunity_customer_accounts", FIRST)
    check(requests_mock.last_request, documented)


def test_a_single_column_is_written_as_documented(replay, requests_mock):
    client, documented = replay("update-put-single-property")
    client.set_property("account", FIRST, "name", documented["body"]["value"])
    check(requests_mock.last_request, documented)
    assert requests_mock.last_request.json() == documented["body"]


def test_a_delete_of_an_older_version_is_refused_as_documented(replay, requests_mock):
    client, documented = replay("conditional-delete-if-match-412")
    with pytest.raises(errors.DataverseError) as caught:
        client.delete("account", FIRST, if_match=documented["headers"]["If-Match"])
    assert caught.value.status == 412
    check(requests_mock.last_request, documented)
    assert requests_mock.last_request.headers["If-Match"] == documented["headers"]["If-Match"]


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("header-bypass-business-logic-request", {"bypass_business_logic": "all"}),
        ("header-suppress-flows-request", {"bypass_flows": True}),
        (
            "header-bypass-step-ids-request",
            {
                "bypass_steps": [
                    "45e0c603-0d0b-466e-a286-d7fc1cda8361",
                    "d5370603-e4b9-4b92-b765-5966492a4fd7",
                ]
            },
        ),
    ],
)
def test_an_option_is_the_documented_header(replay, requests_mock, case, options):
    client, documented = replay(case)
    client.create("account", documented["body"], options=WriteOptions(**options))
    check(requests_mock.last_request, documented)
    [(name, value)] = [one for one in documented["headers"].items() if one[0].startswith("MSCRM.")]
    printed = value.strip('"').replace(" ", "")  # the page of a later date prints it without both
    assert requests_mock.last_request.headers[name] == printed


def test_an_unbound_action_is_called_as_documented(replay, requests_mock):
    client, documented = replay("action-unbound-winopportunity")
    body = json.loads(json.dumps(documented["body"]).replace("[Organization URI]", ENVIRONMENT))
    assert client.action("WinOpportunity", body) is None
    check(requests_mock.last_request, documented)
    assert without_types(requests_mock.last_request.json()) == body


def test_a_bound_action_is_called_and_answered_as_documented(replay, requests_mock):
    client, documented = replay("action-bound-addtoqueue")
    queue = re.search(r"queues\((.*?)\)", documented["path"])
    target = ("letter", documented["body"]["Target"]["activityid"])
    found = client.action("AddToQueue", {"Target": target}, bound_to=("queue", queue and queue[1]))
    check(requests_mock.last_request, documented)
    assert requests_mock.last_request.json() == documented["body"]
    assert found == {"QueueItemId": "5aae8258-4878-e511-80d4-00155d2a68d1"}


def test_two_rows_are_merged_as_documented(replay, requests_mock):
    client, documented = replay("action-merge", FUNCTIONS)
    kept, merged = (documented["body"][name]["accountid"] for name in ("Target", "Subordinate"))
    for one in (kept, merged):
        requests_mock.get(f"{ENVIRONMENT}/api/data/v9.0/accounts({one})", json={"accountid": one})
    client.merge("account", kept, merged, {"accountnumber": "1234"})
    check(requests_mock.last_request, documented)
    names = [{"name": documented["body"][name].pop("name")} for name in ("Target", "Subordinate")]
    assert len(names) == 2  # which the page sends along; the id names the row
    assert requests_mock.last_request.json() == documented["body"]


@pytest.mark.parametrize(
    ("case", "name", "parameters", "bound_to", "metadata"),
    [
        (
            *("function-inline-params-request", "GetTimeZoneCodeByLocalizedName"),
            {"LocalizedStandardName": "Pacific Standard Time", "LocaleId": 1033},
            *(None, DOCUMENT),
        ),
        (
            *("function-odata-id-reference-request", "RetrievePrincipalAccess"),
            {"Target": ("contact", "9f3162f6-804a-e611-80d1-00155d4333fa")},
            *(("systemuser", "af9b3cf6-f654-4cd9-97a6-cf9526662797"), DOCUMENT),
        ),
        (
            *("function-initializefrom", "InitializeFrom"),
            {
                "EntityMoniker": ("account", "c65127ed-2097-e711-80eb-00155db75426"),
                "TargetEntityName": "account",
                "TargetFieldType": "ValidForCreate",
            },
            *(None, FUNCTIONS),
        ),
    ],
)
def test_a_function_means_what_the_documented_address_means(  # noqa: PLR0917 - a table
    replay, requests_mock, case, name, parameters, bound_to, metadata
):
    client, documented = replay(case, metadata)
    client.function(name, parameters, bound_to=bound_to)
    assert meant(requests_mock.last_request.url) == meant(documented["path"])


def meant(address):
    """Return a function's address with its aliases filled in, for ours are called otherwise."""
    path, _, query = unquote(address).partition("?")
    for alias, value in (one.split("=", 1) for one in query.split("&") if one):
        path = path.replace(alias, value)
    return path.rpartition("/api/data/")[2].replace('"', "'").replace("'@odata.id':", "@odata.id:")


def test_the_documented_forward_reference_is_refused_before_the_service_has_to(make_client):
    case = CASES["batch-content-id-before-declared-400"]
    assert "'$1' does not exist" in case["response"]["body"]
    phonecall = Request(
        *("POST", "phonecalls"),
        body=b'{"regardingobjectid_account_phonecall@odata.bind" : "$1"}',
        content_id="2",
    )
    account = Request("POST", "accounts", body=b'{"name": "QQQQ"}', content_id="1")
    with pytest.raises(errors.BadRequest, match=r"\$1 is the content id of no earlier request"):
        make_client(ENVIRONMENT).batch([phonecall, account], changeset=True)
