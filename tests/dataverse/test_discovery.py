"""The list of environments: what is asked, what is made of the answer, and what stands in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_dynamics.auth import ClientSecret, StaticToken
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.dataverse import RetryPolicy, errors
from airflow_provider_dynamics.dataverse.administration.discovery import instances

CASES = Path(__file__).parents[1] / "cases" / "discovery.json"
DIRECTORY = "https://globaldisco.crm.dynamics.com"
INSTANCES = f"{DIRECTORY}/api/discovery/v2.0/Instances"
# https://learn.microsoft.com/power-apps/developer/data-platform/discovery-service
SALES = {
    "Id": "6bcbf6bf-1f2a-4ab9-9901-2605b314d72d",
    "FriendlyName": "sales",
    "UniqueName": "unq6bcbf6bf1f2a4ab999012605b314d",
    "UrlName": "contososales",
    "Url": "https://contososales.crm4.dynamics.com/",
    "ApiUrl": "https://contososales.api.crm4.dynamics.com",
    "EnvironmentId": "Default-1",
    "TenantId": "11111111-2222-3333-4444-555555555555",
    "Region": "EMEA",
    "Version": "9.2.24.1",
    "State": 0,
    "Purpose": "Production",
    "IsUserSysAdmin": True,
    "TrialExpirationDate": "2027-02-01T00:00:00Z",
}
CLOSED = {"FriendlyName": "Closed", "Url": "https://closed.crm.dynamics.com", "State": 1}


def listed(**options):
    return instances(DIRECTORY, StaticToken("the-token"), network=Network(), **options)


def test_environments_come_by_name_and_disabled_ones_last_with_what_is_known_of_them(requests_mock):
    requests_mock.get(
        INSTANCES,
        json={"@odata.context": "https://10.0.1.76:20193/api/$metadata#Instances", "value": [SALES, CLOSED]},
        headers={"odata-version": "4.0"},
    )

    sales, closed = listed()

    assert (closed.name, closed.enabled, closed.admin) == ("Closed", False, False)
    assert sales.to_json() == {
        "url": "https://contososales.crm4.dynamics.com",
        "name": "sales",
        "unique_name": "unq6bcbf6bf1f2a4ab999012605b314d",
        "id": "6bcbf6bf-1f2a-4ab9-9901-2605b314d72d",
        "environment_id": "Default-1",
        "tenant_id": "11111111-2222-3333-4444-555555555555",
        "region": "EMEA",
        "version": "9.2.24.1",
        "purpose": "Production",
        "enabled": True,
        "admin": True,
        "trial_ends": "2027-02-01",
        "api_url": "https://contososales.api.crm4.dynamics.com",
    }


def test_the_documented_answer_is_understood_though_it_names_neither_url_nor_host(requests_mock):
    case = next(one for one in json.loads(CASES.read_text()) if one["id"] == "gds-instances-select")
    requests_mock.get(INSTANCES, text=case["response"]["body_text"], headers=case["response"]["headers"])

    [found] = listed()

    assert (found.url, found.name) == ("https://yourorganization.api.crm.dynamics.com", "Your Organization")
    assert found.enabled


def test_only_the_discovery_service_sees_its_token(requests_mock):
    requests_mock.get(INSTANCES, json={"value": [SALES]})

    listed()

    [asked] = requests_mock.request_history
    assert asked.headers["Authorization"] == "Bearer the-token"
    assert asked.hostname == "globaldisco.crm.dynamics.com"


def test_whoever_may_enter_none_gets_an_empty_list(requests_mock):
    requests_mock.get(INSTANCES, json={"value": []})

    assert listed() == []


def test_a_list_on_several_pages_is_read_to_its_end(requests_mock):
    requests_mock.get(INSTANCES, json={"value": [SALES], "@odata.nextLink": f"{INSTANCES}/next"})
    requests_mock.get(f"{INSTANCES}/next", json={"value": [CLOSED]})

    assert [one.name for one in listed()] == ["sales", "Closed"]


def test_a_page_elsewhere_is_not_followed(requests_mock):
    requests_mock.get(INSTANCES, json={"value": [], "@odata.nextLink": "https://10.0.1.76/next"})

    with pytest.raises(errors.ForeignLink):
        listed()


def test_an_app_is_refused_before_anything_is_sent(requests_mock):
    app = ClientSecret("tenant", "client", "secret")

    with pytest.raises(errors.BadRequest, match=r"listed for persons.*client secret") as caught:
        instances(DIRECTORY, app, network=Network())

    assert "Power Platform admin center" in caught.value.remedy
    assert not requests_mock.called


def test_a_refusal_of_the_services_is_told_as_any_other(requests_mock):
    requests_mock.get(INSTANCES, status_code=403, json={"error": {"code": "", "message": "App-only tokens"}})

    with pytest.raises(errors.Forbidden, match="App-only tokens"):
        listed(retry=RetryPolicy.never())


@pytest.mark.parametrize(
    "url",
    [
        *(None, "", "contoso", "javascript:alert(1)", "http://contoso.crm4.dynamics.com"),
        *("https://", "https://[contoso", "https://contoso.crm4.dynamics.com:port"),
        *("https://contoso.crm4.dynamics.com@evil.test", r"https://evil.test\.crm4.dynamics.com"),
    ],
)
def test_an_environment_without_an_address_does_not_hide_the_others(requests_mock, caplog, url):
    requests_mock.get(INSTANCES, json={"value": [{"FriendlyName": "odd", "Url": url}, SALES]})

    assert [one.name for one in listed()] == ["sales"]
    assert "'odd' without an address" in caplog.text


def test_a_name_stays_a_line_of_a_list(requests_mock):
    named = {**SALES, "FriendlyName": "sales\n* Contoso\t" + "x" * 5_000}
    requests_mock.get(INSTANCES, json={"value": [named]})

    [found] = listed()

    assert found.name.startswith("sales * Contoso x")
    assert len(found.name) == 200


@pytest.mark.parametrize("answer", [{}, {"value": None}, {"value": {}}, {"value": [SALES, "odd"]}])
def test_what_is_no_list_is_no_answer(requests_mock, answer):
    requests_mock.get(INSTANCES, json=answer)

    with pytest.raises(errors.BadResponse, match="no list of environments"):
        listed()


def test_a_list_without_an_end_is_given_up(requests_mock):
    requests_mock.get(INSTANCES, json={"value": [SALES], "@odata.nextLink": INSTANCES})

    with pytest.raises(errors.BadResponse, match="does not come to an end"):
        listed()
