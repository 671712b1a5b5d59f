"""Actions and functions: what is checked before anything is sent, what is sent, what comes back."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_dynamics.dataverse import WriteOptions, errors
from airflow_provider_dynamics.dataverse.calling import csdl
from airflow_provider_dynamics.dataverse.calling.actions import in_doubt, run_action
from airflow_provider_dynamics.dataverse.calling.functions import run_function
from airflow_provider_dynamics.dataverse.calling.operations import Operations
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Response
from airflow_provider_dynamics.dataverse.rows.rows import Rows
from tests.dataverse.metadata_document import DOCUMENT

ID = "56ae8258-4878-e511-80d4-00155d2a68d1"
OTHER = "59ae8258-4878-e511-80d4-00155d2a68d1"
SETS = {
    "account": "accounts",
    "contact": "contacts",
    "letter": "letters",
    "queue": "queues",
    "solution": "solutions",
    "systemuser": "systemusers",
    "team": "teams",
    "opportunity": "opportunities",
    "opportunityclose": "opportunitycloses",
}


class Service:
    """Answers `$metadata` and table definitions; everything else by the next of `answers`."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.described = 0

    def send(self, request, stop=None):
        if request.target == "$metadata":
            self.described += 1
            assert request.headers["Accept"] == "application/xml"
            return Response(200, {"Content-Type": "application/xml"}, DOCUMENT)
        if request.target.startswith("EntityDefinitions"):
            return self._definition(request.target.split("'")[1])
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else Response(204, {}, b"")
        if isinstance(answer, Exception):
            raise answer
        return Response(200, {}, json.dumps(answer).encode()) if isinstance(answer, dict) else answer

    def _definition(self, name):
        if name not in SETS:
            raise errors.NotFound("no such table", status=404)
        key = "activityid" if name in {"letter", "opportunityclose"} else f"{name}id"
        columns = [
            (key, "Uniqueidentifier"),
            ("name", "String"),
            ("accountnumber", "String"),
            ("subject", "String"),
        ]
        lookups = {"opportunityclose": ("opportunityid", "opportunity")}
        found = [
            {"LogicalName": column, "AttributeType": kind, "IsValidForRead": True} for column, kind in columns
        ]
        relations = []
        if name in lookups:
            column, target = lookups[name]
            found.append({"LogicalName": column, "AttributeType": "Lookup"})
            relations.append(
                {
                    "ReferencingAttribute": column,
                    "ReferencedEntity": target,
                    "ReferencingEntityNavigationPropertyName": column,
                }
            )
        number = {"LogicalName": "n", "KeyAttributes": ["accountnumber"], "EntityKeyIndexStatus": "Active"}
        definition = {
            "LogicalName": name,
            "EntitySetName": SETS[name],
            "PrimaryIdAttribute": key,
            "Attributes": found,
            "Keys": [number],
            "ManyToOneRelationships": relations,
        }
        return Response(200, {}, json.dumps(definition).encode())


@pytest.fixture
def make(clock):
    """Return a function that makes a service and what calls its operations."""

    def made(*answers):
        service: Any = Service(*answers)
        tables = Tables(service)
        return service, Operations(service, tables, Rows(service, tables, clock).parameter)

    return made


@pytest.fixture
def act(make):
    """Return a function that carries out an action and returns the only request that was sent."""

    def acted(name, parameters=None, bound_to=None, **more):
        service, operations = make()
        run_action(service, operations, name, parameters, bound_to, **more)
        [request] = service.requests
        return request

    return acted


@pytest.fixture
def refused(make):
    """Return a function that says how an action is refused before anything is sent."""

    def told(name, parameters=None, bound_to=None, kind=errors.BadRequest):
        service, operations = make()
        with pytest.raises(kind) as caught:
            run_action(service, operations, name, parameters, bound_to)
        assert service.requests == []
        return str(caught.value)

    return told


def body(request):
    return json.loads(request.body)


# -- what is sent


def test_an_unbound_action_goes_to_its_plain_name_with_its_rows_lookups_bound(act):
    sent = act("WinOpportunity", {"Status": 3, "OpportunityClose": {"subject": "Won", "opportunityid": ID}})
    assert (sent.method, sent.target, sent.repeatable) == ("POST", "WinOpportunity", False)
    assert body(sent) == {
        "Status": 3,
        "OpportunityClose": {
            "@odata.type": "Microsoft.Dynamics.CRM.opportunityclose",
            "subject": "Won",
            "opportunityid@odata.bind": f"/opportunities({ID})",
        },
    }


def test_an_action_bound_to_a_row_has_the_whole_name_and_a_row_as_parameter_its_type(act):
    sent = act("AddToQueue", {"Target": ("letter", OTHER)}, ("queue", ID))
    assert sent.target == f"queues({ID})/Microsoft.Dynamics.CRM.AddToQueue"
    assert body(sent) == {"Target": {"@odata.type": "Microsoft.Dynamics.CRM.letter", "activityid": OTHER}}


def test_an_action_bound_to_a_table_is_called_on_its_entity_set(act):
    sent = act("Microsoft.Dynamics.CRM.ExportTranslation", {"SolutionName": "Mine"}, "solution")
    assert sent.target == "solutions/Microsoft.Dynamics.CRM.ExportTranslation"


def test_users_are_named_by_the_key_they_share_with_teams(act):
    sent = act("AddMembersTeam", {"Members": [["systemuser", ID]]}, ("team", OTHER))
    assert body(sent) == {"Members": [{"@odata.type": "Microsoft.Dynamics.CRM.systemuser", "ownerid": ID}]}


def test_a_row_may_be_named_by_an_alternate_key(act):
    number = {"accountnumber": "A/1"}
    sent = act("AddToQueue", {"Target": ("account", number)}, ("queue", {"accountnumber": "Q1"}))
    assert sent.target == "queues(accountnumber='Q1')/Microsoft.Dynamics.CRM.AddToQueue"
    assert body(sent)["Target"]["@odata.id"] == "accounts(accountnumber='A%2F1')"


def test_a_complex_parameter_is_checked_inside_too(act, refused):
    access = {"Principal": ("systemuser", ID), "AccessMask": "readaccess, WriteAccess"}
    sent = act("GrantAccess", {"Target": ("account", ID), "PrincipalAccess": access})
    assert body(sent)["PrincipalAccess"] == {
        "Principal": {"@odata.type": "Microsoft.Dynamics.CRM.systemuser", "ownerid": ID},
        "AccessMask": "ReadAccess,WriteAccess",
    }
    told = refused("GrantAccess", {"Target": ("account", ID), "PrincipalAccess": {**access, "AcessMask": 1}})
    assert "has no member 'AcessMask'" in told
    assert "Did you mean 'AccessMask'?" in told


def test_the_overload_is_chosen_by_what_it_is_called_on(make):
    service, operations = make()
    with pytest.raises(errors.BadRequest) as caught:
        run_action(service, operations, "AddItemCampaign", {"Item": ("account", ID)}, ("account", ID))
    assert "on a row of campaign" in str(caught.value)
    assert "on a row of list" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("Truth", " True ", True),
        ("Whole", "7", 7),
        ("Money", "12.30", 12.30),
        ("Money", Decimal("0.1"), 0.1),
        ("Id", "{56AE8258-4878-E511-80D4-00155D2A68D1}", ID),
        ("When", datetime(2026, 1, 2, 3, tzinfo=timezone.utc), "2026-01-02T03:00:00Z"),
        ("When", date(2026, 1, 2), "2026-01-02T00:00:00Z"),
        ("Day", datetime(2026, 1, 2, 3, tzinfo=timezone.utc), "2026-01-02"),
        ("Bytes", b"\x00\x01", "AAE="),
        ("Texts", ["a", "b"], ["a", "b"]),
        ("Rights", 3, 3),
        ("Text", None, None),
    ],
)
def test_values_are_spelled_as_their_types_want_them(act, name, value, sent):
    assert body(act("new_Everything", {name: value})) == {name: sent}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("Text", 7, "a text"),
        ("Truth", "maybe", "true or false"),
        ("Truth", 1, "true or false"),
        ("Whole", 2**31, "a whole number in its range"),
        ("Whole", 1.5, "a whole number in its range"),
        ("Whole", True, "a whole number in its range"),
        ("Money", float("nan"), "a number"),
        ("Money", "much", "a number"),
        ("Id", "7", "an id such as"),
        ("When", "yesterday", "a time such as"),
        ("Day", "2026-13", "a date such as"),
        ("Bytes", "not base64!", "bytes, or text in base64"),
        ("Texts", "a", "a list"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_name_and_what_it_takes(refused, name, value, wanted):
    told = refused("new_Everything", {name: value})
    assert f"new_Everything: the parameter '{name}' is a" in told
    assert wanted in told


def test_an_element_of_a_list_is_named_by_its_place(refused):
    assert "'Texts[1]'" in refused("new_Everything", {"Texts": ["a", 2]})


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"Target": {"name": "A"}}, "takes rows of several tables"),
        ({"Target": ("acount", ID)}, "Did you mean 'account'?"),
        ({"Target": ("account", ID), "SourceQueue": ("account", ID)}, "takes queue, not 'account'"),
        ({"Target": "account"}, "a row as a dict, or one that exists as (table, row id)"),
        ({"Target": None}, "is null; it takes crmbaseentity"),
    ],
)
def test_a_row_of_the_wrong_kind_is_refused(refused, parameters, words):
    assert words in refused("AddToQueue", parameters, ("queue", ID))


# -- names and bindings


@pytest.mark.parametrize(
    ("name", "parameters", "bound_to", "kind", "words"),
    [
        ("WinOportunity", {}, None, errors.UnknownOperation, "Did you mean 'WinOpportunity'?"),
        ("Whatever_at_all", {}, None, errors.UnknownOperation, "checked=False"),
        ("WhoAmI", {}, None, errors.UnknownOperation, "is no action but a function"),
        ("AddToQueue", {}, None, errors.BadRequest, "bound_to=('queue', row id)"),
        ("AddToQueue", {}, "queue", errors.BadRequest, "cannot be called on the table queue"),
        ("AddToQueue", {}, ("account", ID), errors.BadRequest, "cannot be called on a row of account"),
        ("ExportTranslation", {}, ("solution", ID), errors.BadRequest, "bound_to='solution'"),
        ("WinOpportunity", {}, "account", errors.BadRequest, "stands alone"),
        ("WinOpportunity", {"Status": 3}, None, errors.BadRequest, "needs 'OpportunityClose'"),
        ("WinOpportunity", {"status": 3}, None, errors.BadRequest, "Did you mean 'Status'?"),
        ("WinOpportunity", {}, ["account", "x", "y"], errors.BadRequest, "bound_to is"),
    ],
)
def test_what_the_environment_does_not_offer_is_said_before_anything_is_sent(  # noqa: PLR0917 - a table
    refused, name, parameters, bound_to, kind, words
):
    assert words in refused(name, parameters, bound_to, kind)


def test_the_description_is_read_once(make):
    service, operations = make({}, {})
    for _ in range(2):
        run_function(service, operations, "WhoAmI")
    assert service.described == 1


def test_an_unchecked_call_asks_for_no_description_and_sends_what_it_is_given(make):
    service, operations = make()
    run_action(service, operations, "new_Private", {"Any": [1]}, checked=False)
    assert (service.described, body(service.requests[0])) == (0, {"Any": [1]})


def test_options_go_along_as_headers_and_the_tag_in_the_address(act):
    sent = act(
        "new_Everything", options=WriteOptions(bypass_flows=True, tag="a b", bypass_business_logic="sync")
    )
    assert sent.target == "new_Everything?tag=a%20b"
    assert sent.headers == {
        "MSCRM.BypassBusinessLogicExecution": "CustomSync",
        "MSCRM.SuppressCallbackRegistrationExpanderJob": "true",
    }


# -- functions


def test_a_functions_parameters_are_aliases_in_its_address(make):
    service, operations = make({"TimeZoneCode": 4})
    found = run_function(
        *(service, operations, "GetTimeZoneCodeByLocalizedName"),
        {"LocalizedStandardName": "Pacific's & Time", "LocaleId": "1033"},
    )
    [sent] = service.requests
    assert (sent.method, found) == ("GET", {"TimeZoneCode": 4})
    assert sent.target == (
        "GetTimeZoneCodeByLocalizedName(LocalizedStandardName=@p1,LocaleId=@p2)"
        "?@p1='Pacific''s%20%26%20Time'&@p2=1033"
    )


def test_a_row_is_given_to_a_function_by_its_address(make):
    service, operations = make({})
    run_function(
        *(service, operations, "RetrievePrincipalAccess", {"Target": ("contact", OTHER)}, ("systemuser", ID))
    )
    assert service.requests[0].target == (
        f"systemusers({ID})/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@p1)"
        f"?@p1=%7B'@odata.id':'contacts({OTHER})'%7D"
    )


def test_values_of_other_types_are_spelled_as_an_address_wants_them(make):
    service, operations = make({"value": []})
    when = datetime(2026, 1, 2, tzinfo=timezone.utc)
    given = {"Id": ID, "Right": "ReadAccess", "Texts": ["a"], "When": when}
    assert run_function(service, operations, "new_Ask", given) == []
    assert service.requests[0].target.partition("?")[2] == (
        f"@p1={ID}&@p2=Microsoft.Dynamics.CRM.AccessRights'ReadAccess'&@p3=%5B%22a%22%5D&@p4=2026-01-02T00:00:00Z"
    )


def test_all_pages_of_a_functions_rows_are_returned_without_the_protocols_members(make):
    first = {
        "@odata.context": "x",
        "value": [{"@odata.etag": "1", "name": "A", "accountid@odata.type": "#Guid"}],
        "@odata.nextLink": "more",
    }
    service, operations = make(
        first, {"value": [{"name": "B", "@odata.type": "#Microsoft.Dynamics.CRM.account"}]}
    )
    assert run_function(service, operations, "new_Ask") == [
        {"name": "A"},
        {"name": "B", "@odata.type": "#Microsoft.Dynamics.CRM.account"},
    ]


# -- results and doubt


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Response(204, {}, b""), None),
        ({"@odata.context": "x", "QueueItemId": ID}, {"QueueItemId": ID}),
        ({"@odata.context": "x", "value": 7}, 7),
        ({"value": 7, "more": 1}, {"value": 7, "more": 1}),
    ],
)
def test_a_result_comes_without_the_protocols_members(make, answer, result):
    service, operations = make(answer)
    assert run_action(service, operations, "new_Everything") == result


@pytest.mark.parametrize(
    ("error", "doubt"),
    [
        (errors.Unreachable("x"), True),
        (errors.Unreachable("x", sent=False), False),
        (errors.ServerError("x"), True),
        (errors.BadResponse("x"), True),
        (errors.BadRequest("x"), False),
        (errors.Throttled("x"), False),
    ],
)
def test_only_a_lost_answer_leaves_it_in_doubt_whether_an_action_was_carried_out(error, doubt):
    assert in_doubt(error) is doubt


def test_a_schema_knows_what_an_operation_is_called_on():
    found = csdl.read(DOCUMENT).operations
    assert found["ExportTranslation"][0].called_on == "is called on the table solution (bound_to='solution')"
