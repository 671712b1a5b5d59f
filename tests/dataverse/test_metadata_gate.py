"""Nothing leads around the switch that keeps a connection from changing definitions: no batch, no row, no spelling."""

from __future__ import annotations

import json
import uuid

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate

ID = str(uuid.UUID(int=7))
ROOT = "https://contoso.crm.dynamics.com/api/data/v9.2/"
CHANGES = [
    ("POST", "EntityDefinitions"),
    ("PUT", "EntityDefinitions(LogicalName='account')"),
    ("DELETE", f"EntityDefinitions({ID})/Attributes(LogicalName='new_x')"),
    ("POST", "entitydefinitions(LogicalName=%27account%27)/Keys?x=1"),
    ("POST", f"{ROOT}RelationshipDefinitions"),
    ("POST", "GlobalOptionSetDefinitions"),
    ("POST", "Entity%44efinitions"),
    ("POST", "ImportSolutionAsync"),
    ("POST", "importsolutionasync()"),
    ("POST", "Microsoft.Dynamics.CRM.DeleteOptionValue?api-version=9.2"),
    ("DELETE", f"solutions({ID})"),
    ("DELETE", "solutions(uniquename='contoso_sales')"),
    ("POST", "solutions/Microsoft.Dynamics.CRM.DeleteMultiple"),
]
NO_CHANGES = [
    ("GET", "EntityDefinitions"),
    ("GET", f"solutions({ID})"),
    ("POST", "PublishXml"),
    ("POST", "ExportSolutionAsync"),
    ("DELETE", f"accounts({ID})"),
    ("DELETE", "accounts(name='x)/solutions')"),
    ("PATCH", "accounts(name='O''Neil/EntityDefinitions')"),
    ("POST", "contoso_solutions"),
]


@pytest.mark.parametrize(("method", "target"), CHANGES)
def test_a_request_that_changes_definitions_is_refused_by_its_target(method, target):
    request = Request(method, target)

    with pytest.raises(errors.MetadataChangesOff, match="may not change definitions"):
        MetadataGate().check_request(request)
    MetadataGate(allowed=True).check_request(request)


@pytest.mark.parametrize(("method", "target"), NO_CHANGES)
def test_others_pass(method, target):
    MetadataGate().check_request(Request(method, target))


@pytest.fixture
def client(emulator):
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle) as made:
        yield made


CHOICE = Request("POST", "GlobalOptionSetDefinitions", body=json.dumps({"Name": "new_x"}).encode())


@pytest.mark.parametrize(
    "way_around",
    [
        pytest.param(lambda client: client.batch([Request("GET", "WhoAmI()"), CHOICE]), id="a batch"),
        pytest.param(lambda client: client.batch([ChangeSet([CHOICE])]), id="a change set"),
        pytest.param(lambda client: client.delete("solution", ID), id="a row"),
        pytest.param(lambda client: list(client.bulk("solution", [ID], "delete")), id="a load"),
        pytest.param(lambda client: client.action("ImportSolution()", {}, checked=False), id="an action"),
        pytest.param(
            lambda client: client.jobs.start("uninstallSolutionAsync", {}, checked=False), id="a job"
        ),
    ],
)
def test_no_way_of_sending_it_leads_around(client, emulator, way_around):
    with pytest.raises(errors.MetadataChangesOff):
        way_around(client)

    assert not [one for one in emulator.requests if one.method != "GET" and "/api/data/" in one.path]
