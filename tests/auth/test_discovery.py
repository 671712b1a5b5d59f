"""The tenant from an environment's 401: what is believed of it, and what is not."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError, Authority, ClientSecret, Network
from airflow_provider_dynamics.auth.discovery import find_tenant
from airflow_provider_dynamics.auth.tokens import TokenCache
from tests.auth.services import CLIENT, ENVIRONMENT, SECRET, TENANT, FakeService

PUBLIC = "https://login.microsoftonline.com"


def challenge(address):
    return {
        "status_code": 401,
        "headers": {
            "WWW-Authenticate": f"Bearer authorization_uri={address}, resource_id={ENVIRONMENT}/",
        },
    }


def find(mocker, authority=PUBLIC, **answer):
    mocker.get(f"{ENVIRONMENT}/api/data/v9.2/", **answer)
    return find_tenant(ENVIRONMENT, Authority(url=authority), Network())


def failure(mocker, **answer):
    with pytest.raises(AuthenticationError) as caught:
        find(mocker, **answer)
    return caught.value


@pytest.mark.parametrize(
    ("authority", "address"),
    [
        pytest.param(PUBLIC, f"{PUBLIC}/{TENANT}/oauth2/authorize", id="as Dataverse says it"),
        pytest.param(PUBLIC, f'"{PUBLIC}/{TENANT}/oauth2/authorize"', id="in quotes"),
        pytest.param(
            PUBLIC, f"https://login.windows.net/{TENANT}/oauth2/authorize", id="by the cloud's older name"
        ),
        pytest.param(
            "https://login.microsoftonline.us",
            f"https://login.microsoftonline.us/{TENANT}/oauth2/authorize",
            id="in another cloud",
        ),
        pytest.param(
            "https://127.0.0.1:8765",
            f"https://127.0.0.1:8765/{TENANT}/oauth2/authorize",
            id="on this machine",
        ),
    ],
)
def test_the_tenant_is_read(requests_mock, authority, address):
    assert find(requests_mock, authority, **challenge(address)) == TENANT


@pytest.mark.parametrize(
    "address",
    [
        f"https://evil.example/{TENANT}/oauth2/authorize",
        f"https://login.microsoftonline.com.evil.example/{TENANT}/oauth2/authorize",
        f"https://login.microsoftonline.com:8443/{TENANT}/oauth2/authorize",
        f"https://login.microsoftonline.us/{TENANT}/oauth2/authorize",
    ],
    ids=["a foreign host", "a host that begins alike", "another port", "another cloud"],
)
def test_an_environment_does_not_choose_who_gets_the_secret(requests_mock, address):
    error = failure(requests_mock, **challenge(address))
    assert "The environment signs in at " in str(error)
    assert "not at login.microsoftonline.com" in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"status_code": 401}, id="a 401 that says nothing"),
        pytest.param({"status_code": 200, "text": "<html>"}, id="a page"),
        pytest.param({"status_code": 404, "text": ""}, id="nothing there"),
        pytest.param(challenge(f"{PUBLIC}/common/oauth2/authorize"), id="no tenant of its own"),
        pytest.param(challenge(f"{PUBLIC}/%2e%2e/oauth2/authorize"), id="no tenant at all"),
        pytest.param(challenge("http://login.microsoftonline.com/x/authorize"), id="plain http"),
    ],
)
def test_an_environment_that_does_not_say_is_told(requests_mock, answer):
    error = failure(requests_mock, **answer)
    assert "did not name the tenant it belongs to" in str(error)
    assert "Fill in Tenant ID" in error.remedy
    assert not error.retryable


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param({"status_code": 503}, "HTTP 503", id="busy"),
        pytest.param({"exc": requests.ConnectionError("refused")}, "could not be reached", id="away"),
        pytest.param({"exc": requests.ReadTimeout("x")}, "did not answer in time", id="slow"),
    ],
)
def test_an_environment_in_trouble_is_worth_another_try(requests_mock, answer, words):
    error = failure(requests_mock, **answer)
    assert words in str(error)
    assert error.retryable


def test_an_environment_is_not_followed_elsewhere(requests_mock):
    error = failure(requests_mock, status_code=302, headers={"Location": "https://evil.example/"})
    assert "answered with a redirect" in str(error)
    assert len(requests_mock.request_history) == 1


def test_a_credential_without_a_tenant_signs_in_at_the_environments_own(requests_mock, clock):
    service = FakeService(requests_mock)
    requests_mock.get(f"{ENVIRONMENT}/api/data/v9.2/", **challenge(f"{PUBLIC}/{TENANT}/oauth2/authorize"))
    mine = ClientSecret(None, CLIENT, SECRET, cache=TokenCache(now=clock.now))
    assert mine.get_token(ENVIRONMENT, network=Network()).secret == "access-1"
    first = requests_mock.request_history[0]
    assert first.url == f"{ENVIRONMENT}/api/data/v9.2/"
    assert "Authorization" not in first.headers
    assert len(service.asked) == 1
