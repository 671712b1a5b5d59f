"""Whatever is sent, the answer is an answer: bodies, keys and parameters no client should send are refused in words."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_dynamics.emulator.custom_apis import custom_api

GONE = "11111111-1111-1111-1111-111111111111"
CRM = "Microsoft.Dynamics.CRM"
NUMBERS = ["Infinity", "-Infinity", "NaN", "sNaN", "1e9999999", "9" * 5000]


@pytest.fixture(autouse=True)
def never_breaks(caplog):
    """No request of any test here ends in the emulator's own failure."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage()[:200] for record in caplog.records] == []


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:10])
@pytest.mark.parametrize("name", ["accountnumber", "revenue", "numberofemployees"])
def test_a_key_that_is_no_number_of_this_world_is_refused(module_service, name, number):
    status = module_service.get(f"accounts({name}={number})").status
    assert status == 400 or (status == 404 and name == "accountnumber")  # which is text


@pytest.mark.parametrize(
    "number", ["1e9999", "1e9999999", "-1e9999999", "1e999999999999999999999", "9" * 5000]
)
@pytest.mark.parametrize("name", ["numberofemployees", "revenue", "address1_latitude", "statuscode", "name"])
def test_a_number_no_column_holds_is_refused(module_service, name, number):
    body = f'{{"{name}":{number}}}'.encode()
    answer = module_service.send("POST", "accounts", body)
    assert answer.status == 400
    assert module_service.send("PATCH", f"accounts({GONE})", body).status == 400


@pytest.mark.parametrize("rows", ["[[]]", "[null]", "[1]", '["x"]'])
def test_nested_rows_are_objects(module_service, rows):
    body = f'{{"name":"A","contact_customer_accounts":{rows}}}'.encode()
    answer = module_service.send("POST", "accounts", body)
    assert (answer.status, answer.error) == (400, "0x80048d19")


def test_a_state_cannot_be_emptied(empty):
    account = empty.make("accounts", name="A")
    answer = empty("PATCH", f"accounts({account})", {"statecode": None})
    assert (answer.status, answer.error) == (400, "0x80048408")
    assert empty("DELETE", f"accounts({account})/statecode").error == "0x80048408"
    assert empty.get(f"accounts({account})").json["statecode"] == 0


def test_a_lead_is_not_qualified_into_a_status_there_is_not(empty):
    lead = empty.make("leads", subject="L", lastname="L")
    given = {"CreateAccount": True, "CreateContact": False, "CreateOpportunity": False, "Status": 999}
    answer = empty("POST", f"leads({lead})/{CRM}.QualifyLead", given)
    assert (answer.status, answer.error) == (400, "0x80048408")
    assert empty.get("accounts").rows == []


@pytest.mark.parametrize(
    "asked", [f"{CRM}.In(PropertyName='name',PropertyValues=['x'])", "contains(LogicalName)"]
)
def test_definitions_are_filtered_by_what_is_known_or_not_at_all(module_service, asked):
    assert module_service.get(f"EntityDefinitions?$filter={asked}").status in {400, 501}


@pytest.fixture(scope="module")
def anything(module_service):
    types = {
        "Rights": "mscrm.AccessRights",
        "Whole": "Edm.Int32",
        "Exact": "Edm.Decimal",
        "Row": "mscrm.account",
        "Open": "mscrm.expando",
        "Access": "mscrm.PrincipalAccess",
        "Names": "Collection(Edm.String)",
    }
    result = {"Told": "Edm.String"}
    made = custom_api(
        "contoso_Anything",
        {"Told": "x"},
        parameters=types,
        optional=list(types),
        result=result,
        is_function=True,
    )
    module_service.api.operations.add(made)
    return module_service


@pytest.mark.parametrize(
    "given",
    [
        "Rights={}",
        "Rights=[1]",
        "Rights=[[]]",
        "Rights=true",
        "Rights=1.5",
        "Whole=" + "9" * 5000,
        "Exact='" + "9" * 5000 + "'",
        "Row={'@odata.id':{}}",
        "Row={'@odata.type':[]}",
        "Row={'accountid':1e999999999999999999999}",
        "Open=[NaN]",
        "Access={'AccessMask':{}}",
        'Names=["\\ud800"]',
    ],
    ids=lambda given: given[:30],
)
def test_parameters_of_a_function_are_refused_in_words(anything, given):
    assert anything.get(f"contoso_Anything({given})").status == 400


def test_base64_is_plain_letters(module_service):
    body = {"BlockId": "\u00e9", "BlockData": "\u00e9", "FileContinuationToken": "x"}
    assert module_service("POST", "UploadBlock", body).status == 400
    assert module_service("POST", "accounts", {"name": "A", "entityimage": "\u00e9"}).status == 400
