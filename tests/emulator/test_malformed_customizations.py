"""Definitions, names and solution files that cannot be read are refused in words, and nothing of them stays."""

from __future__ import annotations

import base64
import io
import re
import zipfile

import pytest

from airflow_provider_dynamics.emulator import Emulator
from airflow_provider_dynamics.emulator.solutions import package
from tests.emulator.definitions import API, BANK, column, label, lookup, options, table
from tests.emulator.receiver import receiving

NONSENSE: tuple[object, ...] = (1, -1.5, True, "x", [], {}, [1], [{}], {"a": 1}, {"Value": []}, 2**70)
BODIES = {
    f"{API}/EntityDefinitions": table("sample_Other", column("Integer", "sample_Whole", MinValue=1)),
    f"{BANK}/Attributes": column("Picklist", "sample_Choice", OptionSet=options((1, "One"))),
    f"{BANK}/Keys": {"SchemaName": "sample_Key", "DisplayName": label("K"), "KeyAttributes": ["sample_name"]},
    f"{API}/RelationshipDefinitions": lookup("sample_AccountId", "account"),
    f"{API}/GlobalOptionSetDefinitions": {
        **options((1, "One")),
        "Name": "sample_colors",
        "DisplayName": label("Colors"),
    },
    f"{API}/CreateEntities": {"Entities": [table("sample_Another")]},
}


@pytest.fixture(scope="module")
def bank():
    with Emulator(seed=None) as emulator:
        yield emulator


@pytest.fixture
def wire(bank, wire_to):
    bank.reset()
    made = wire_to(bank)
    assert made("POST", f"{API}/EntityDefinitions", json=table()).status_code == 204
    return made


def code_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


def spoilt(value):
    """Every copy of a value in which one part is of another type."""
    yield from NONSENSE
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, part in parts:
        for bad in spoilt(part):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[place] = bad
            yield copy


@pytest.mark.parametrize("path", BODIES)
def test_no_part_of_a_definition_breaks_the_service_when_it_is_of_another_type(wire, path):
    bodies = [body for body in spoilt(BODIES[path]) if isinstance(body, dict)]
    broken = [body for body in bodies[::3] if wire("POST", path, json=body).status_code == 500]
    assert broken == []
    assert wire.get("/$metadata").status_code == 200
    assert wire.get("/EntityDefinitions?$expand=Attributes").status_code == 200


@pytest.mark.parametrize(
    "members", [{"MaxLength": 0}, {"MaxLength": 5000}, {"MaxLength": "9"}, {"MaxLength": 2**40}]
)
def test_limits_are_checked_when_a_column_is_changed_too(wire, members):
    body = column("String", "sample_Name", **members)
    answer = wire("PUT", f"{BANK}/Attributes(LogicalName='sample_name')", json=body)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "name", ["EntityDefinitions", "$metadata", "a/b", "x y", 'x"; DROP TABLE account; --']
)
def test_a_set_has_a_name_that_can_stand_in_a_path(wire, name):
    answer = wire("POST", f"{API}/EntityDefinitions", json=table("sample_Other", EntitySetName=name))
    assert code_of(answer) == (400, "0x80044364")


@pytest.mark.parametrize(
    ("name", "code"),
    [("sample_name", "0x80044363"), ("createdby", "0x80044363"), ("x y", "0x80044364")],
)
def test_a_navigation_property_has_a_name_of_its_own(wire, name, code):
    body = lookup("sample_AccountId", "account", ReferencingEntityNavigationPropertyName=name)
    assert code_of(wire("POST", f"{API}/RelationshipDefinitions", json=body)) == (400, code)


def test_a_table_with_a_step_cannot_be_deleted(wire):
    where = "primaryobjecttypecode eq 'sample_bankaccount' and sdkmessageid/name eq 'Create'"
    found = wire.get(f"/sdkmessagefilters?$filter={where}").json()["value"][0]
    with receiving() as receiver:
        endpoint = {"name": "x", "contract": 8, "authtype": 4, "authvalue": "key", "url": receiver.url}
        made = wire("POST", f"{API}/serviceendpoints", json=endpoint)
        step = {
            "name": "Step",
            "mode": 0,
            "stage": 40,
            "rank": 1,
            "supporteddeployment": 0,
            "eventhandler_serviceendpoint@odata.bind": made.headers["OData-EntityId"],
            "sdkmessageid@odata.bind": f"/sdkmessages({found['_sdkmessageid_value']})",
            "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({found['sdkmessagefilterid']})",
        }
        made = wire("POST", f"{API}/sdkmessageprocessingsteps", json=step)
        assert code_of(wire("DELETE", BANK)) == (400, "0x8004f01f")
        assert wire("DELETE", made.headers["OData-EntityId"]).status_code == 204
        assert wire("DELETE", BANK).status_code == 204


# -- solution files -------------------------------------------------------------------------------------


@pytest.fixture
def files(wire):
    """What the file of a solution with the table holds."""
    publisher = {
        "uniquename": "sample",
        "friendlyname": "Sample",
        "customizationprefix": "sample",
        "customizationoptionvalueprefix": 72700,
    }
    made = wire("POST", f"{API}/publishers", json=publisher).headers["OData-EntityId"]
    solution = {"uniquename": "banking", "friendlyname": "Banking", "version": "1.0"}
    body = {**solution, "publisherid@odata.bind": made}
    assert wire("POST", f"{API}/solutions", json=body).status_code == 204
    inside = {"MSCRM.SolutionUniqueName": "banking"}
    body = table("sample_Other", column("Picklist", "sample_Choice", OptionSet=options((1, "One"))))
    assert wire("POST", f"{API}/EntityDefinitions", json=body, headers=inside).status_code == 204
    variable = {"schemaname": "sample_Url", "displayname": "Address"}
    wire("POST", f"{API}/environmentvariabledefinitions", json=variable, headers=inside)
    body = {"SolutionName": "banking", "Managed": False}
    content = wire("POST", f"{API}/ExportSolution", json=body).json()["ExportSolutionFile"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(content))) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def staged(wire, content):
    body = {"CustomizationFile": base64.b64encode(content).decode()}
    return wire("POST", f"{API}/StageSolution", json=body)


@pytest.mark.parametrize(
    ("name", "pattern", "value"),
    [
        ("solution.xml", r'RootComponent type="1"', 'RootComponent type="one"'),
        ("solution.xml", r"(<CustomizationOptionValuePrefix>)\d+", r"\1many"),
        ("customizations.xml", r'(<attribute PhysicalName=")[^"]*', r"\1a&quot;, 1); DROP TABLE account; --"),
        ("customizations.xml", r"(<Name[^>]*>)sample_Other", r"\1x; DROP TABLE account"),
        ("customizations.xml", r"(<EntitySetName>)[^<]*", r"\1a/b"),
        ("customizations.xml", r'(<option value=")1', r"\1one"),
        ("customizations.xml", r"(<MaxLength>)\d+", r"\1inf"),
        ("environmentvariabledefinition.xml", r"(<type>)\d+", r"\1text"),
    ],
)
def test_a_value_that_cannot_be_read_makes_a_solution_file_invalid(wire, files, name, pattern, value):
    path = next(path for path in files if path.endswith(name))
    changed, times = re.subn(pattern, value, files[path], count=1)
    assert times == 1
    assert code_of(staged(wire, package.packed({**files, path: changed}))) == (400, "0x8004801a")


def test_a_damaged_file_is_no_solution(wire, files):
    content = package.packed(files)
    for place in range(30, len(content), 97):
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        assert staged(wire, damaged).status_code in {200, 400}


def test_a_file_that_would_fill_the_memory_is_not_unpacked(wire, files):
    bulk = {f"part{number}.xml": " " * (package.LARGEST // 2) for number in range(3)}
    assert code_of(staged(wire, package.packed({**files, **bulk}))) == (400, "0x80048491")
