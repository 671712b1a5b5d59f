"""Managed identity: which endpoint is asked on which platform, that nobody else is, and what its answers mean."""

from __future__ import annotations

import time

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError, ManagedIdentity, Network
from airflow_provider_dynamics.auth.tokens import TokenCache
from tests.auth.services import CLIENT, ENVIRONMENT

IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"
LOCAL = "http://127.0.0.1:41741/msi/token"
VARIABLES = (
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
)


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def get(clock, client_id="", network=None, **options):
    mine = ManagedIdentity(client_id, cache=TokenCache(now=clock.now))
    return mine.get_token(ENVIRONMENT, network=network or Network(), **options)


def failure(clock, **options):
    with pytest.raises(AuthenticationError) as caught:
        get(clock, **options)
    assert "What to do: " in str(caught.value)
    return caught.value


def imds(value="machine-1", expires_in="86400"):
    return {"access_token": value, "expires_in": expires_in, "resource": ENVIRONMENT, "token_type": "Bearer"}


def test_a_virtual_machine_is_asked_for_the_environments_token(requests_mock, clock):
    requests_mock.get(IMDS, json=imds())
    token = get(clock)
    assert (token.secret, token.expires_at) == ("machine-1", clock.now() + 86_400)
    assert token.refresh_at == clock.now() + 43_200
    (asked,) = requests_mock.request_history
    assert asked.qs["resource"] == [ENVIRONMENT]
    assert asked.headers["Metadata"] == "true"
    assert "client_id" not in asked.qs


def test_an_assigned_identity_is_named(requests_mock, clock):
    requests_mock.get(IMDS, json=imds())
    get(clock, CLIENT)
    assert requests_mock.last_request.qs["client_id"] == [CLIENT]


def test_the_endpoint_may_be_elsewhere_on_the_machine(requests_mock, clock, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:2579/")
    requests_mock.get("http://127.0.0.1:2579/metadata/identity/oauth2/token", json=imds())
    assert get(clock).secret == "machine-1"


def test_an_app_service_is_asked_with_its_header(requests_mock, clock, monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", LOCAL)
    monkeypatch.setenv("IDENTITY_HEADER", "h3ader")
    expires_on = str(int(time.time()) + 7200)
    requests_mock.get(LOCAL, json={"access_token": "service-1", "expires_on": expires_on})
    token = get(clock)
    assert token.secret == "service-1"
    assert token.expires_at == pytest.approx(clock.now() + 7200, abs=5)
    assert requests_mock.last_request.headers["X-IDENTITY-HEADER"] == "h3ader"


def test_machine_learning_is_asked_with_its_secret(requests_mock, clock, monkeypatch):
    monkeypatch.setenv("MSI_ENDPOINT", LOCAL)
    monkeypatch.setenv("MSI_SECRET", "s3cret")
    requests_mock.get(LOCAL, json={"access_token": "ml-1", "expires_on": str(int(time.time()) + 3600)})
    assert get(clock).secret == "ml-1"


def test_an_arc_machine_without_its_key_is_told(requests_mock, clock, monkeypatch):
    """Only the agent's group may read the key; a worker that may not gets this far and no further."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", LOCAL)
    monkeypatch.setenv("IMDS_ENDPOINT", "http://127.0.0.1:41741")
    key = "/var/opt/azcmagent/tokens/no-such.key"
    requests_mock.get(LOCAL, status_code=401, headers={"WWW-Authenticate": f"Basic realm={key}"})
    error = failure(clock)
    assert "no-such.key" in str(error)
    assert "himds" in error.remedy


def test_service_fabric_is_refused_by_name(requests_mock, clock, monkeypatch):
    monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "00")
    assert "Managed identity on Service Fabric is not supported" in str(failure(clock))
    assert not requests_mock.request_history


def test_no_proxy_is_ever_used(requests_mock, clock, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://workers:3128")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    requests_mock.get(IMDS, json=imds())
    get(clock, network=Network(proxy="http://proxy:8080"))
    assert not requests_mock.last_request.proxies


def test_a_redirect_is_not_followed(requests_mock, clock):
    requests_mock.get(IMDS, status_code=302, headers={"Location": "https://evil.example/"})
    assert "redirect" in str(failure(clock))
    assert len(requests_mock.request_history) == 1


@pytest.mark.parametrize("status", [404, 408, 410, 429, 500, 503, 504])
def test_what_azure_asks_to_try_again_is_worth_another_try(requests_mock, clock, status):
    requests_mock.get(IMDS, status_code=status, text="busy")
    error = failure(clock)
    assert f"identity endpoint is busy (HTTP {status})" in str(error)
    assert error.retryable
    assert error.retry_after == (10 if status == 410 else None)


def test_the_wait_that_is_asked_for_is_passed_on(requests_mock, clock):
    requests_mock.get(IMDS, status_code=429, headers={"Retry-After": "7"})
    assert failure(clock).retry_after == 7


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            {
                "status_code": 400,
                "json": {"error": "invalid_request", "error_description": "Identity not found"},
            },
            "no managed identity that would answer. (Identity not found)",
            id="no identity",
        ),
        pytest.param({"status_code": 403, "json": {"error": "forbidden"}}, "(forbidden)", id="forbidden"),
        pytest.param({"status_code": 200, "json": {}}, "no managed identity", id="an empty answer"),
        pytest.param({"status_code": 200, "text": "<html>"}, "HTTP 200, no JSON", id="a page"),
        pytest.param(
            {"json": {"access_token": "x", "expires_in": "soon"}},
            "could not sign in",
            id="a life that is no number",
        ),
        pytest.param(
            {"json": {"access_token": ["x"], "expires_in": 1}}, "no token", id="a token that is a list"
        ),
    ],
)
def test_what_will_not_change_is_permanent(requests_mock, clock, answer, words):
    requests_mock.get(IMDS, **answer)
    error = failure(clock)
    assert words in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    "error", [requests.ConnectTimeout("x"), requests.ConnectionError("no route")], ids=repr
)
def test_a_machine_that_is_none_of_azures_says_so(requests_mock, clock, error):
    requests_mock.get(IMDS, exc=error)
    found = failure(clock)
    assert "identity endpoint at http://169.254.169.254 did not answer" in str(found)
    assert "works on Azure's own machines" in found.remedy


def test_a_challenge_brings_a_new_question(requests_mock, clock):
    requests_mock.get(IMDS, [{"json": imds("machine-1")}, {"json": imds("machine-2")}])
    cache = TokenCache(now=clock.now)
    mine = ManagedIdentity(cache=cache)
    first = mine.get_token(ENVIRONMENT, network=Network())
    second = mine.get_token(ENVIRONMENT, network=Network(), rejected=first, claims='{"access_token":{}}')
    assert (first.secret, second.secret) == ("machine-1", "machine-2")


def test_a_scope_of_its_own_names_the_resource(requests_mock, clock):
    requests_mock.get(IMDS, json=imds())
    mine = ManagedIdentity(scope="https://other.example/.default", cache=TokenCache(now=clock.now))
    mine.get_token(ENVIRONMENT, network=Network())
    assert requests_mock.last_request.qs["resource"] == ["https://other.example"]
