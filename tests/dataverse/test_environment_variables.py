"""Values of environment variables and connections of references: set once, checked by type, never repeated in an error."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.solution_files import manifest_of
from airflow_provider_dynamics.dataverse.environment_variables import (
    component_parameters,
    set_connection_reference,
    set_environment_variable,
)
from tests.dataverse.administering import solution_zip

DEFINITION, VALUE = "environmentvariabledefinitionid", "environmentvariablevalueid"
TEXT, NUMBER, YES_NO, JSON = range(100000000, 100000004)


class _Rows:
    """A client of three small tables."""

    def __init__(self, kind: int = TEXT, value: str | None = None) -> None:
        self.definitions = [{DEFINITION: "d1", "schemaname": "new_Url", "type": kind}]
        self.values: list[dict[str, Any]] = []
        if value is not None:
            self.values.append({VALUE: "v1", f"_{DEFINITION}_value": "d1", "value": value})
        self.references = [
            {
                "connectionreferenceid": "r1",
                "connectionreferencelogicalname": "new_sql",
                "connectionid": "old",
            }
        ]
        self.written: list[tuple[Any, ...]] = []

    def rows(self, query: Any) -> Any:
        held = {
            "environmentvariabledefinition": self.definitions,
            "environmentvariablevalue": self.values,
            "connectionreference": self.references,
        }[query.table]
        name = "schemaname" if query.table.endswith("definition") else "connectionreferencelogicalname"
        return iter([row for row in held if name not in row or f"'{row[name]}'" in query.filter])

    def create(self, *given: Any) -> None:
        self.written.append(("create", *given))

    def update(self, *given: Any) -> None:
        self.written.append(("update", *given))

    def delete(self, *given: Any) -> None:
        self.written.append(("delete", *given))


Rows: Any = _Rows


def test_a_value_is_made_changed_and_left_alone():
    new, other, same = Rows(), Rows(value="https://old"), Rows(value="https://new")

    assert [set_environment_variable(client, "new_Url", "https://new") for client in (new, other, same)] == [
        True,
        True,
        False,
    ]
    assert new.written == [("create", "environmentvariablevalue", {DEFINITION: "d1", "value": "https://new"})]
    assert other.written == [("update", "environmentvariablevalue", "v1", {"value": "https://new"})]
    assert same.written == []


def test_nothing_takes_a_value_away():
    client = Rows(value="x")

    assert set_environment_variable(client, "new_Url", None)
    assert client.written == [("delete", "environmentvariablevalue", "v1")]
    assert not set_environment_variable(Rows(), "new_Url", None)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (TEXT, 7, "7"),
        (NUMBER, "7.50", "7.50"),
        (YES_NO, True, "yes"),
        (YES_NO, "No", "no"),
        (JSON, {"a": 1}, '{"a": 1}'),
        (JSON, '{"a":1}', '{"a": 1}'),
    ],
)
def test_a_value_is_written_as_its_type_wants_it(kind, value, text):
    client = Rows(kind)
    set_environment_variable(client, "new_Url", value)

    assert client.written[0][2]["value"] == text


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [(NUMBER, "s3cret", "a number"), (YES_NO, "s3cret", "yes or no"), (JSON, "s3cret", "JSON")],
)
def test_a_wrong_value_is_refused_without_being_repeated(kind, value, wanted):
    client = Rows(kind)

    with pytest.raises(errors.BadRequest, match=f"new_Url is not {wanted}") as raised:
        set_environment_variable(client, "new_Url", value)

    assert "s3cret" not in str(raised.value)
    assert client.written == []


@pytest.mark.parametrize("name", ["new_Gone", "O'Neil"])
def test_what_is_not_there_is_named(name):
    client = Rows()

    with pytest.raises(errors.RowNotFound, match=f"no environment variable .{name}."):
        set_environment_variable(client, name, "x")
    with pytest.raises(errors.RowNotFound, match=f"no connection reference .{name}."):
        set_connection_reference(client, name, "x")


def test_a_reference_is_given_another_connection_once():
    client = Rows()

    assert set_connection_reference(client, "new_sql", "new")
    assert not set_connection_reference(client, "new_sql", "old")
    assert client.written == [("update", "connectionreference", "r1", {"connectionid": "new"})]


def test_an_import_is_told_values_and_connections():
    manifest = manifest_of(
        solution_zip(variables={"new_Url": TEXT, "new_Key": None}, references=("new_sql",))
    )

    told = component_parameters(
        Rows(value="old"), manifest, {"new_Url": "https://new", "new_Key": "k"}, {"new_sql": "c1"}
    )

    # https://learn.microsoft.com/power-platform/alm/solution-async#solution-import
    assert told == [
        {
            "@odata.type": "Microsoft.Dynamics.CRM.environmentvariablevalue",
            "schemaname": "new_Url",
            "value": "https://new",
            VALUE: "v1",
        },
        {
            "@odata.type": "Microsoft.Dynamics.CRM.environmentvariablevalue",
            "schemaname": "new_Key",
            "value": "k",
        },
        {
            "@odata.type": "Microsoft.Dynamics.CRM.connectionreference",
            "connectionreferencelogicalname": "new_sql",
            "connectionreferencedisplayname": "new_sql shown",
            "connectorid": "/providers/Microsoft.PowerApps/apis/shared_sql",
            "connectionid": "c1",
        },
    ]


def test_a_first_import_knows_the_types_from_the_solution_itself():
    kinds = {"new_Map": JSON, "new_On": YES_NO, "new_Left": TEXT}
    client = Rows()
    client.definitions = []

    told = component_parameters(
        client,
        manifest_of(solution_zip(variables=kinds)),
        {"new_Map": {"a": 1}, "new_On": True, "new_Left": None},
        {},
    )

    assert [(one["schemaname"], one["value"]) for one in told] == [("new_Map", '{"a": 1}'), ("new_On", "yes")]


@pytest.mark.parametrize(
    ("variables", "connections", "said"),
    [
        ({"new_Urll": "x"}, {}, "has no environment variable 'new_Urll'. It has new_Url."),
        ({}, {"new_sq": "x"}, "has no connection reference 'new_sq'. It has new_sql."),
    ],
)
def test_a_name_the_solution_does_not_have_is_an_error_and_not_passed_over(variables, connections, said):
    manifest = manifest_of(solution_zip(variables={"new_Url": TEXT}, references=("new_sql",)))
    client = Rows()
    client.definitions = []

    with pytest.raises(errors.BadRequest) as raised:
        component_parameters(client, manifest, variables, connections)

    assert said in str(raised.value)
