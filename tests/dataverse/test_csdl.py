"""Reading the service's description of its actions and functions."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.calling import csdl
from airflow_provider_dynamics.dataverse.calling.csdl import Parameter
from tests.dataverse.metadata_document import DOCUMENT, document


@pytest.fixture(scope="module")
def schema():
    return csdl.read(DOCUMENT)


def test_an_unbound_action_has_its_parameters_without_the_namespace(schema):
    [found] = schema.operations["WinOpportunity"]
    assert (found.kind, found.binding, found.returns) == ("action", None, None)
    assert found.parameters == (
        Parameter("OpportunityClose", "opportunityclose", nullable=False),
        Parameter("Status", "Edm.Int32", nullable=False),
    )


def test_the_first_parameter_of_a_bound_operation_is_what_it_is_called_on(schema):
    [found] = schema.operations["AddToQueue"]
    assert (found.binding, found.returns) == ("queue", "AddToQueueResponse")
    assert [parameter.name for parameter in found.parameters] == [
        "Target",
        "SourceQueue",
        "QueueItemProperties",
    ]
    assert schema.operations["ExportTranslation"][0].binding == "Collection(solution)"


def test_a_name_may_have_several_bindings(schema):
    assert {one.binding for one in schema.operations["AddItemCampaign"]} == {"campaign", "list"}


def test_types_inherit_from_each_other_and_so_do_keys(schema):
    assert schema.is_a("letter", "crmbaseentity")
    assert not schema.is_a("queue", "activitypointer")
    assert schema.key_of("letter") == "activityid"
    assert schema.key_of("systemuser") == "ownerid"
    assert schema.key_of("crmbaseentity") is None


def test_members_and_options_are_known_by_name(schema):
    assert schema.members["PrincipalAccess"] == {"Principal": "principal", "AccessMask": "AccessRights"}
    assert schema.options["AccessRights"] == ("None", "ReadAccess", "WriteAccess")


def test_a_schema_without_an_alias_is_read_by_its_namespace():
    text = document('<Action Name="Do"><Parameter Name="It" Type="Microsoft.Dynamics.CRM.account"/></Action>')
    found = csdl.read(text.replace(b' Alias="mscrm"', b""))
    assert found.operations["Do"][0].parameters == (Parameter("It", "account"),)


@pytest.mark.parametrize(
    "text",
    [
        b"<edmx:Edmx",
        b"",
        document('<Action><Parameter Name="x" Type="Edm.String"/></Action>'),
        b'<!DOCTYPE x [<!ENTITY a "b">]><edmx:Edmx xmlns:edmx="x">&a;</edmx:Edmx>',
    ],
    ids=["cut off", "empty", "an action without a name", "entities, which could swell up"],
)
def test_what_cannot_be_read_is_no_description(text):
    with pytest.raises(errors.BadResponse, match="cannot be read"):
        csdl.read(text)
