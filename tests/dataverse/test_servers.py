"""What servers on premises lack: refused by name, gone round, and a version of the Web API that is not there."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.auth.bearer import BearerAuth
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.dataverse import Client, RetryPolicy, WriteOptions, errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.servers import CLOUD, Server
from airflow_provider_dynamics.dataverse.transport.transport import Transport

ORGANIZATION = "https://crm.contoso.com/sales"
ROOT = f"{ORGANIZATION}/api/data/v9.1/"
SOMEBODY = "11111111-2222-3333-4444-555555555555"
MULTIPLE = "accounts/Microsoft.Dynamics.CRM.UpsertMultiple"
LACKING = [
    pytest.param(
        Request("POST", MULTIPLE, body=b"{}"), "CreateMultiple and its kind", id="many rows at once"
    ),
    pytest.param(
        Request("POST", "x_Do", {"Prefer": "respond-async"}), "background operations", id="background"
    ),
    pytest.param(
        Request("GET", f"{ORGANIZATION}/api/backgroundoperation/{SOMEBODY}"), "background", id="its status"
    ),
    pytest.param(Request("POST", "InitializeFileBlocksUpload", body=b"{}"), "file columns", id="blocks"),
    pytest.param(Request("PATCH", "accounts(1)/doc", {"x-ms-file-name": "a"}), "file columns", id="a file"),
    pytest.param(Request("PATCH", "a(1)/d", {"x-ms-transfer-mode": "chunked"}), "file columns", id="ranges"),
    pytest.param(
        Request("GET", "accounts", {"CallerObjectId": SOMEBODY}), "Entra object id", id="somebody else"
    ),
    pytest.param(Request("GET", "logs(1)?partitionId='a'"), "elastic tables", id="a partition"),
    pytest.param(Request("POST", "ImportSolutionAsync", body=b"{}"), "solutions as jobs", id="a solution"),
]


@pytest.fixture
def client():
    with Client(
        ORGANIZATION,
        StaticToken("the-token"),
        api_version="v9.1",
        on_premises=True,
        retry=RetryPolicy.never(),
    ) as found:
        yield found


@pytest.mark.parametrize(("request_", "name"), LACKING)
def test_what_is_missing_on_premises_is_refused_by_name_and_says_what_to_do(request_, name):
    with pytest.raises(errors.NotOnThisServer, match=name) as caught:
        Server(on_premises=True, api_version="v9.1").check(request_)

    assert "Dynamics 365 on premises" in str(caught.value)
    assert caught.value.remedy
    CLOUD.check(request_)


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "accounts?$select=name"),
        Request("POST", "accounts", {"Prefer": "return=representation"}, b"{}"),
        Request("POST", "BulkDelete", body=b"{}"),
        Request("GET", "x_partitions?$filter=x_partitionid eq 1"),
        Request("GET", "UpdateMultipleChoices"),
    ],
    ids=lambda request: request.target,
)
def test_what_is_there_goes_out(request_):
    Server(on_premises=True, api_version="v8.2").check(request_)


def test_counts_came_with_version_nine():
    counted = Request("GET", "RetrieveTotalRecordCount(EntityNames=@names)?@names=['account']")

    Server(on_premises=True, api_version="v9.0").check(counted)
    with pytest.raises(
        errors.NotOnThisServer, match=r"in version v8\.2 does not have .*RetrieveTotalRecordCount"
    ):
        Server(on_premises=True, api_version="v8.2").check(counted)


def test_webhooks_came_with_version_nine(requests_mock):
    with (
        Client(ORGANIZATION, StaticToken("the-token"), api_version="v8.2", on_premises=True) as old,
        pytest.raises(
            errors.NotOnThisServer, match=r"in version v8\.2 does not have webhooks.*Watch the table"
        ),
    ):
        old.webhooks.all()
    assert not requests_mock.called

    requests_mock.get(f"{ORGANIZATION}/api/data/v9.0/serviceendpoints", json={"value": []})
    with Client(ORGANIZATION, StaticToken("the-token"), api_version="v9.0", on_premises=True) as newer:
        assert newer.webhooks.all() == []


def test_nothing_is_sent_of_what_is_missing(client, requests_mock):
    with pytest.raises(errors.NotOnThisServer, match="background operations"):
        client.jobs.start("x_Do", background=True, checked=False)
    with pytest.raises(errors.NotOnThisServer, match="Entra object id"):
        client.batch([Request("POST", "accounts", WriteOptions(caller_object_id=SOMEBODY).headers(), b"{}")])

    assert not requests_mock.called


def test_requests_go_to_the_organization_in_the_path(client, requests_mock):
    requests_mock.get(f"{ROOT}WhoAmI()", json={"UserId": SOMEBODY})

    assert client.who_am_i() == {"UserId": SOMEBODY}


def test_a_table_is_not_asked_for_a_type_there(client, requests_mock):
    definition = requests_mock.get(
        f"{ROOT}EntityDefinitions(LogicalName='account')",
        status_code=500,
        json={"error": {"message": "enough"}},
    )
    with pytest.raises(errors.ServerError):
        client.table("account")

    assert "TableType" not in definition.last_request.url
    assert "ChangeTrackingEnabled" in definition.last_request.url


# --- versions ---


def versions(requests_mock, *there, environment=ORGANIZATION):
    requests_mock.get(
        requests_mock_any(environment), status_code=404, json={"Message": "No HTTP resource was found"}
    )
    for one in there:
        requests_mock.get(f"{environment}/api/data/{one}/RetrieveVersion()", json={"Version": "9.1.0.5"})


def requests_mock_any(environment):
    import re

    return re.compile(re.escape(environment))


def of_version(version, **options):
    return Client(
        ORGANIZATION, StaticToken("the-token"), api_version=version, retry=RetryPolicy.never(), **options
    )


@pytest.mark.parametrize("status", [404, 501])
def test_a_version_that_the_server_lacks_is_named_with_those_it_has(requests_mock, status):
    versions(requests_mock, "v9.1", "v9.0", "v8.2")
    requests_mock.get(f"{ORGANIZATION}/api/data/v9.2/WhoAmI()", status_code=status, text="")

    with of_version("v9.2", on_premises=True) as client, pytest.raises(errors.UnknownVersion) as caught:
        client.who_am_i()

    assert f"{ORGANIZATION} has no Web API v9.2; it has v9.1, v9.0 and v8.2" in str(caught.value)
    assert "9.1.0.5" in str(caught.value)
    assert caught.value.remedy == "Set Web API version to v9.1 in the connection."


def test_so_is_one_that_the_cloud_lacks(requests_mock):
    versions(requests_mock, "v9.2", "v9.1", "v9.0")

    with (
        of_version("v9.3") as client,
        pytest.raises(errors.UnknownVersion, match=r"it has v9\.2, v9\.1 and v9\.0"),
    ):
        client.who_am_i()


def test_where_no_version_answers_the_error_stays_what_it_was(requests_mock):
    versions(requests_mock)

    with of_version("v9.1", on_premises=True) as client, pytest.raises(errors.NotFound) as caught:
        client.who_am_i()

    assert type(caught.value) is errors.NotFound


def test_a_server_that_has_the_version_is_believed_about_the_rest(requests_mock):
    versions(requests_mock, "v9.1")

    with of_version("v9.1", on_premises=True) as client, pytest.raises(errors.NotFound) as caught:
        client.function("Nothing", checked=False)

    assert type(caught.value) is not errors.UnknownVersion


def test_nobody_asks_for_versions_once_the_server_has_answered(requests_mock, client):
    requests_mock.get(f"{ROOT}WhoAmI()", json={"UserId": SOMEBODY})
    requests_mock.get(f"{ROOT}Nothing()", status_code=404, json={"error": {"message": "No such function"}})
    client.who_am_i()
    for _ in range(2):
        with pytest.raises(errors.NotFound):
            client.function("Nothing", checked=False)

    assert requests_mock.call_count == 3


@pytest.fixture
def transport():
    auth = BearerAuth(StaticToken("the-token"), ORGANIZATION, Network())
    found = Transport(ORGANIZATION, auth, server=Server(on_premises=True, api_version="v9.1"))
    yield found
    found.close()


@pytest.mark.parametrize("path", ["service/api/data/v9.1/accounts", "salesmen/api/data", "api/data", ""])
def test_a_link_to_another_organization_of_the_host_is_not_followed(transport, requests_mock, path):
    with pytest.raises(errors.ForeignLink):
        transport.send(Request("GET", f"https://crm.contoso.com/{path}"))

    assert requests_mock.call_count == 0


def test_the_organization_may_be_spelled_differently_in_a_link(transport, requests_mock):
    requests_mock.get(f"{ROOT}accounts", json={"value": []})

    transport.send(Request("GET", f"{ROOT.replace('sales', 'Sales')}accounts"))

    assert requests_mock.call_count == 1


def test_a_network_that_fails_meanwhile_hides_nothing(requests_mock):
    versions(requests_mock)
    requests_mock.get(f"{ORGANIZATION}/api/data/v9.0/RetrieveVersion()", exc=requests.ConnectionError("gone"))

    with of_version("v9.1", on_premises=True) as client, pytest.raises(errors.NotFound):
        client.who_am_i()
