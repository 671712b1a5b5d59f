"""Actions, functions and custom APIs: how they are called, what is refused, and how their parameters are read."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_dynamics.emulator.custom_apis import custom_api
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations import Operation, Parameter
from airflow_provider_dynamics.emulator.schema import TABLES

GONE = "11111111-1111-1111-1111-111111111111"
CRM = "Microsoft.Dynamics.CRM"


def api(service, name, answer=None, **described):
    service.api.operations.add(custom_api(name, answer, **described))


@pytest.fixture
def echo(empty):
    """A custom API for every type: what it was given comes back through a list."""
    given: list[dict[str, object]] = []
    types = {
        "Text": "Edm.String",
        "Whole": "Edm.Int32",
        "Long": "Edm.Int64",
        "Exact": "Edm.Decimal",
        "Flag": "Edm.Boolean",
        "Id": "Edm.Guid",
        "When": "Edm.DateTimeOffset",
        "Names": "Collection(Edm.String)",
        "Rights": "mscrm.AccessRights",
        "Row": "mscrm.account",
        "Anything": "mscrm.crmbaseentity",
        "Open": "mscrm.expando",
        "Access": "mscrm.PrincipalAccess",
    }
    api(empty, "contoso_Echo", given.append, parameters=types, optional=list(types))
    return given


# --- calling ------------------------------------------------------------------------------------------------------


def test_an_action_without_a_result_answers_204_and_one_with_a_result_200(empty):
    api(empty, "contoso_Quiet")
    api(empty, "contoso_Loud", {"Sum": 3}, result={"Sum": "Edm.Int32"})
    quiet = empty("POST", "contoso_Quiet", {})
    assert (quiet.status, quiet.content) == (204, b"")
    loud = empty("POST", "contoso_Loud")  # a body is not needed where nothing is
    assert (loud.status, loud.json["Sum"]) == (200, 3)
    assert loud.json["@odata.context"].endswith(f"$metadata#{CRM}.contoso_LoudResponse")


def test_an_action_wants_post_and_a_function_get(empty):
    assert empty.get("Merge").status == 405
    assert empty("POST", "WhoAmI()", {}).status == 405
    assert empty("PATCH", "Merge", {}).status == 405


def test_a_bound_operation_is_called_by_its_full_name_at_what_it_is_bound_to(empty):
    api(
        empty,
        "contoso_Number",
        lambda given: {"Name": given["Target"]["name"]},
        bound_to="account",
        is_function=True,
        result={"Name": "Edm.String"},
    )
    row = f"accounts({empty.make('accounts', name='A')})"
    assert empty.get(f"{row}/{CRM}.contoso_Number()").json["Name"] == "A"
    assert empty.get(f"accounts/{CRM}.contoso_Number()").status == 404
    assert empty.get(f"contacts({empty.make('contacts', lastname='B')})/{CRM}.contoso_Number()").status == 404
    assert empty.get(f"accounts({GONE})/{CRM}.contoso_Number()").error == "0x80040217"


def test_an_operation_of_a_set_is_called_at_the_set(empty):
    api(empty, "contoso_All", {"N": 7}, bound_to="account", collection=True, result={"N": "Edm.Int32"})
    assert empty("POST", f"accounts/{CRM}.contoso_All", {}).json["N"] == 7
    row = f"accounts({empty.make('accounts', name='A')})"
    assert empty("POST", f"{row}/{CRM}.contoso_All", {}).status == 404


def test_without_its_namespace_a_bound_action_is_not_found(empty):
    queue = empty.make("queues", name="Q")
    answer = empty("POST", f"queues({queue})/AddToQueue", {})
    assert (answer.status, answer.message) == (400, "Request message has unresolved parameters.")


def test_what_is_not_bound_must_not_be_called_by_its_full_name(empty):
    assert empty("POST", f"{CRM}.Merge", {}).status == 404


def test_an_operation_dataverse_has_and_the_emulator_not_says_so(empty):
    assert empty("POST", "CloneAsPatch", {}).status == 501
    assert empty("POST", "contoso_NoSuchThing", {}).status == 404
    empty.api.operations.add(Operation("PublishTheme"))
    assert empty("POST", "PublishTheme", {}).status == 501


# --- parameters of actions ----------------------------------------------------------------------------------------


def test_parameters_arrive_as_they_were_sent(empty, echo):
    row = empty.make("accounts", name="A")
    body = {
        "Text": "x",
        "Whole": -5,
        "Long": 2**40,
        "Flag": True,
        "Id": GONE,
        "When": "2025-01-31T08:00:00Z",
        "Names": ["a", "b"],
        "Rights": "ReadAccess, WriteAccess",
        "Row": {"accountid": row},
        "Anything": {"@odata.type": f"{CRM}.contact", "lastname": "New"},
        "Open": {"@odata.type": f"{CRM}.expando", "whatever": [1]},
    }
    assert empty("POST", "contoso_Echo", body).status == 204
    (given,) = echo
    assert {name: given[name] for name in ("Text", "Whole", "Long", "Flag", "Names", "Open")} == {
        name: body[name] for name in ("Text", "Whole", "Long", "Flag", "Names", "Open")
    }
    assert given["Rights"] == "ReadAccess,WriteAccess"
    assert given["Row"] == {"@odata.type": f"{CRM}.account", "accountid": row}
    assert given["Anything"] == {"@odata.type": f"{CRM}.contact", "lastname": "New"}


def test_a_row_may_be_named_by_its_address_or_key(empty, echo):
    row = empty.make("accounts", name="A", accountnumber="A-1")
    for link in (f"accounts({row})", f"/accounts({row})", "accounts(accountnumber='A-1')"):
        assert empty("POST", "contoso_Echo", {"Anything": {"@odata.id": link}}).status == 204
    assert [one["Anything"]["accountid"] for one in echo] == [row] * 3


def test_an_unknown_parameter_is_refused_by_name(empty):
    answer = empty("POST", "Merge", {"Tarjet": {}})
    assert (answer.status, answer.error) == (400, "0x80048d19")
    assert (
        "The parameter 'Tarjet' in the request payload is not a valid parameter for the operation 'Merge'."
        in (answer.message)
    )


@pytest.mark.parametrize("body", [{"Status": 3}, {"Status": 3, "OpportunityClose": None}])
def test_a_parameter_that_must_be_there_is_missed(empty, body):
    answer = empty("POST", "WinOpportunity", body)
    assert (answer.status, answer.error) == (400, "0x80040203")
    assert "OpportunityClose" in answer.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Text", 5),
        ("Whole", "5"),
        ("Whole", True),
        ("Whole", 2**31),
        ("Whole", 1.5),
        ("Long", "1"),
        ("Exact", "1.5"),
        ("Flag", "true"),
        ("Id", "not a guid"),
        ("When", "yesterday"),
        ("Names", "a"),
        ("Names", ["a", 5]),
        ("Rights", "FlyAccess"),
        ("Row", "accounts(x)"),
        ("Row", {"@odata.type": f"{CRM}.contact", "contactid": GONE}),
        ("Row", {"accountid": "x"}),
        ("Row", {"@odata.id": f"contacts({GONE})"}),
        ("Anything", {"accountid": GONE}),  # without its type nobody knows what it is
        ("Anything", {"@odata.type": f"{CRM}.no_such_table"}),
        ("Access", {"AccessMask": "ReadAccess", "Who": 1}),
        ("Access", 5),
    ],
)
def test_a_parameter_of_another_type_is_refused(empty, echo, name, value):
    answer = empty("POST", "contoso_Echo", {name: value})
    assert (answer.status, answer.error) == (400, "0x80048d19"), answer.content
    assert echo == []


# --- parameters of functions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "contoso_Ask(Text='O''Brien, Inc. (x)',Whole=5,Flag=true)",
        "contoso_Ask(Text=@p1,Whole=@p2,Flag=@p3)?@p1='O''Brien, Inc. (x)'&@p2=5&@p3=true",
        "contoso_Ask( Whole=5, Flag=true ,Text='O''Brien, Inc. (x)')",
    ],
)
def test_a_functions_parameters_stand_in_the_url_or_behind_aliases(empty, call):
    given: list[dict[str, object]] = []

    def answer(parameters):
        given.append(parameters)
        return {"Ok": True}

    types = {"Text": "Edm.String", "Whole": "Edm.Int32", "Flag": "Edm.Boolean"}
    api(empty, "contoso_Ask", answer, parameters=types, is_function=True, result={"Ok": "Edm.Boolean"})
    assert empty.get(call).json["Ok"] is True
    assert given == [{"Text": "O'Brien, Inc. (x)", "Whole": 5, "Flag": True}]


@pytest.mark.parametrize(
    "call",
    [
        "GetTimeZoneCodeByLocalizedName(LocalizedStandardName='UTC')",
        "GetTimeZoneCodeByLocalizedName(LocalizedStandardName='UTC',LocaleId=1033,More=1)",
        "GetTimeZoneCodeByLocalizedName",
    ],
)
def test_a_function_is_known_by_its_parameters(empty, call):
    assert empty.get(call).status == 404


def test_an_ill_typed_parameter_of_a_function_is_refused(empty):
    call = "GetTimeZoneCodeByLocalizedName(LocalizedStandardName='UTC',LocaleId='x')"
    assert empty.get(call).error == "0x80048d19"
    assert empty.get("RetrieveTotalRecordCount(EntityNames=[oh)").error == "0x80060888"


# --- custom APIs --------------------------------------------------------------------------------------------------


def test_what_a_custom_apis_code_raises_is_a_plug_ins_refusal(empty):
    def fail(_):
        raise RuntimeError("no ships today")

    api(empty, "contoso_Fail", fail)
    answer = empty("POST", "contoso_Fail", {})
    assert (answer.status, answer.error) == (400, "0x80040265")
    assert "no ships today" in answer.message


def test_a_custom_api_may_choose_its_error(empty):
    def fail(_):
        raise Fault(403, "0x80040220", "not you")

    api(empty, "contoso_Fail", fail)
    assert empty("POST", "contoso_Fail", {}).error == "0x80040220"


def test_a_custom_api_needs_its_privilege(empty):
    api(empty, "contoso_Guarded", privilege="prvWriteAccount")
    assert empty("POST", "contoso_Guarded", {}).status == 204
    empty.api.faults.privileges_taken.add((None, "prvWriteAccount"))
    assert empty("POST", "contoso_Guarded", {}).error == "0x80040220"


@pytest.mark.parametrize(
    "described",
    [
        {"name": "Nameless"},
        {"name": "contoso_X", "parameters": {"A": "Edm.Strin"}},
        {"name": "contoso_X", "parameters": {"A": "Collection(Edm.String"}},
        {"name": "contoso_X", "parameters": {"A": "Edm.String)"}},
        {"name": "contoso_X", "parameters": {"a name": "Edm.String"}},
        {"name": "contoso_X", "parameters": {"A": "mscrm.no_such"}},
        {"name": "contoso_X", "optional": ["B"]},
        {"name": "contoso_X", "bound_to": "no_such"},
        {"name": "contoso_X", "collection": True},
        {"name": "contoso_X", "is_function": True},
        {"name": "contoso_X", "privilege": "prvFly"},
    ],
)
def test_a_custom_api_the_service_would_not_take_is_refused(described):
    with pytest.raises(ValueError, match=r"\w"):
        custom_api(**described)


def test_a_name_is_taken_once(empty):
    api(empty, "contoso_Once")
    with pytest.raises(ValueError, match="contoso_Once"):
        api(empty, "contoso_Once", bound_to="account")


@pytest.mark.parametrize("answer", [["no mapping"], {"Sum": object()}, {"Sum": "\ud800"}])
def test_an_answer_that_is_none_is_the_plug_ins_failure_and_undoes_it(empty, answer):
    def run(invocation):
        invocation.rooms.writer.create(invocation.call, TABLES["account"], {"name": "A"})
        return answer

    result = (Parameter("Sum", "Edm.String"),)
    empty.api.operations.add(Operation("contoso_Wrong", result=result, run=run))
    told = empty("POST", "contoso_Wrong", {})
    assert (told.status, told.error) == (400, "0x80040265")
    assert empty.get("accounts").rows == []


def test_exact_numbers_are_answered_as_numbers(empty):
    api(empty, "contoso_Sum", {"Sum": Decimal("12345678901234567.25")}, result={"Sum": "Edm.Decimal"})
    assert b'"Sum":12345678901234567.25' in empty("POST", "contoso_Sum", {}).content
