"""The client is one door to everything, and lets nobody in who should not be."""

from __future__ import annotations

import subprocess
import sys

import pytest

import airflow_provider_dynamics.dataverse as package
from airflow_provider_dynamics.dataverse import Client, Query, errors

ENVIRONMENT = "https://contoso.crm.dynamics.com"
ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
ID = "d6f193fc-ce85-e611-80d8-00155d2a68de"


@pytest.fixture
def online(requests_mock, client, definition):
    requests_mock.get(ROOT + "EntityDefinitions(LogicalName='account')", json=definition)
    return client


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(
            "https://contoso.crm.dynamics.com/", "https://contoso.crm.dynamics.com", id="a slash at the end"
        ),
        pytest.param(" https://contoso.crm4.dynamics.com ", "https://contoso.crm4.dynamics.com", id="blanks"),
        pytest.param("https://crm.contoso.com/sales/", "https://crm.contoso.com/sales", id="on-premises"),
        pytest.param("http://127.0.0.1:8765", "http://127.0.0.1:8765", id="this machine without TLS"),
        pytest.param("http://localhost:8765", "http://localhost:8765", id="this machine by name"),
        pytest.param("http://[::1]:8765", "http://[::1]:8765", id="this machine by IPv6"),
    ],
)
def test_an_environment_is_kept_as_given(make_client, given, kept):
    assert make_client(given).environment == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param("contoso.crm.dynamics.com", "looks like https", id="no scheme"),
        pytest.param("ftp://contoso", "looks like https", id="another scheme"),
        pytest.param("https://", "looks like https", id="no host"),
        pytest.param("https://contoso.crm.dynamics.com?x=1", "looks like https", id="a query"),
        pytest.param("http://contoso.crm.dynamics.com", "show the access token", id="no TLS"),
        pytest.param(r"https://evil.example\.contoso.com", "which host it names", id="a backslash"),
        pytest.param("https://@evil.example", "which host it names", id="a user without a name"),
        pytest.param(
            "http://127.0.0.1.evil.example", "show the access token", id="a host that looks like loopback"
        ),
        pytest.param("http://localhost.evil.example", "show the access token", id="another one"),
        pytest.param("https://me:secret@contoso.crm.dynamics.com", "user name", id="a password"),
    ],
)
def test_what_is_no_environment_is_refused(make_client, given, words):
    with pytest.raises(ValueError, match=words):
        make_client(given)


def test_who_am_i(client, requests_mock):
    requests_mock.get(ROOT + "WhoAmI()", json={"UserId": ID, "OrganizationId": ID})
    assert client.who_am_i()["UserId"] == ID


def test_another_api_version_is_another_root(make_client, requests_mock):
    requests_mock.get(f"{ENVIRONMENT}/api/data/v9.1/WhoAmI()", json={"UserId": ID})
    assert make_client(api_version="v9.1").who_am_i() == {"UserId": ID}


def test_rows_are_the_rows_of_all_pages(online, requests_mock):
    second = ROOT + "accounts?$skiptoken=2"
    first = {"value": [{"name": "a"}], "@odata.nextLink": second}
    requests_mock.get(ROOT + "accounts", [{"json": first}, {"json": {"value": [{"name": "b"}]}}])
    assert list(online.rows(Query("account"))) == [{"name": "a"}, {"name": "b"}]


def test_a_row_is_written_and_deleted(online, requests_mock):
    requests_mock.post(ROOT + "accounts", status_code=204)
    requests_mock.patch(
        f"{ROOT}accounts({ID})", [{"status_code": 204}, {"status_code": 201, "json": {"accountid": ID}}]
    )
    requests_mock.delete(f"{ROOT}accounts({ID})", status_code=204)
    requests_mock.get(f"{ROOT}accounts({ID})", json={"name": "a"})
    assert online.create("account", {"accountid": ID}) == ID
    online.update("account", ID, {"name": "a"})
    assert online.upsert("account", ID, {"name": "a"}).created
    online.delete("account", ID)
    assert online.get("account", ID, ["name"]) == {"name": "a"}
    assert [r.method for r in requests_mock.request_history] == [
        "GET",
        "POST",
        "PATCH",
        "PATCH",
        "DELETE",
        "GET",
    ]


def test_metadata_is_asked_for_once(online, requests_mock):
    requests_mock.get(ROOT + "accounts", json={"value": []})
    for _ in range(3):
        list(online.pages(Query("account")))
    assert requests_mock.call_count == 4
    assert online.requests_sent == 4


def test_throttled_seconds_add_up(client, requests_mock):
    busy = {"status_code": 429, "headers": {"Retry-After": "7"}}
    requests_mock.get(ROOT + "WhoAmI()", [busy, busy, {"json": {}}])
    client.who_am_i()
    assert client.throttled_seconds == 14


def test_a_cancelled_client_asks_for_nothing_more(online, requests_mock):
    online.cancel()
    for ask in (
        online.who_am_i,
        lambda: online.table("account"),
        lambda: list(online.rows(Query("account"))),
    ):
        with pytest.raises(errors.Interrupted):
            ask()
    assert requests_mock.call_count == 0


def test_bulk_goes_as_wide_as_the_service_recommends_within_the_ceilings(make_client):
    client = make_client()
    assert client._width(None) == 4
    client._transport.parallelism_hint = 48
    assert client._width(None) == 8
    assert client._width(20) == 20
    assert client._width(1) == 1
    capped = make_client(max_concurrency=2)
    capped._transport.parallelism_hint = 48
    assert (capped._width(None), capped._width(20)) == (2, 2)


def test_bulk_writes_in_chunks_over_the_wire(online, requests_mock):
    requests_mock.get(ROOT + "sdkmessagefilters", json={"value": [{"sdkmessagefilterid": "1"}]})
    many = requests_mock.post(ROOT + "accounts/Microsoft.Dynamics.CRM.UpsertMultiple", status_code=204)
    rows = [{"accountnumber": "A1", "name": "a"}, {"accountnumber": "A2", "name": "b"}]
    outcomes = list(online.bulk("account", rows, "upsert", key="accountnumber"))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert many.last_request.json()["Targets"][1]["@odata.id"] == "accounts(accountnumber='A2')"


def test_an_operation_that_is_none_is_refused_at_once(client):
    with pytest.raises(ValueError, match="create, update, upsert, delete"):
        client.bulk("account", [], "merge")


def test_the_package_offers_its_names_and_no_others():
    assert {name: getattr(package, name) for name in package.__all__}["Client"] is Client
    with pytest.raises(AttributeError):
        package.Nothing  # noqa: B018


def test_queries_and_errors_come_without_requests():
    code = (
        "import sys; from airflow_provider_dynamics.dataverse import Query, errors, DataverseError; "
        "from airflow_provider_dynamics.dataverse.errors import Throttled; "
        "print([name for name in ('requests', 'urllib3', 'msgspec', 'airflow') if name in sys.modules])"
    )
    done = subprocess.run(  # our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_users_privileges_are_named(requests_mock, client):
    held = [
        {"PrivilegeName": "prvReadAccount", "PrivilegeId": ID},
        {"PrivilegeName": None, "PrivilegeId": "older"},
    ]
    requests_mock.get(
        f"{ROOT}systemusers({ID})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()",
        json={"RolePrivileges": held},
    )
    assert client.privileges(ID) == {"prvReadAccount", "older"}
