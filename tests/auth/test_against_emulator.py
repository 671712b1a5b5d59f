"""Real MSAL over real TLS: the emulator plays Entra, and its switches make it fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError, Authority, BearerAuth, ClientSecret, Network
from airflow_provider_dynamics.auth.tokens import TokenCache


@pytest.fixture
def network(emulator):
    return Network(ca_bundle=emulator.ca_bundle, timeout=(5, 5))


@pytest.fixture
def credential(emulator, clock):
    return ClientSecret(
        emulator.tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=Authority(url=emulator.url),
        cache=TokenCache(now=clock.now),
    )


def changed(credential, **changes):
    return replace(credential, **changes)


def token_requests(emulator):
    return [request for request in emulator.requests if request.path.endswith("/token")]


def failure(credential, emulator, network):
    with pytest.raises(AuthenticationError) as caught:
        credential.get_token(emulator.url, network=network)
    assert emulator.client_secret not in str(caught.value)
    return caught.value


def test_a_token_opens_the_environment(emulator, credential, network):
    response = requests.get(
        f"{emulator.url}/api/data/v9.2/WhoAmI",
        auth=BearerAuth(credential, emulator.url, network),
        verify=network.verify,
        timeout=5,
    )
    assert response.status_code == 200
    assert response.json()["UserId"]


def test_sixteen_threads_sign_in_once(emulator, credential, network):
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(lambda _: credential.get_token(emulator.url, network=network), range(16)))
    assert len({token.secret for token in tokens}) == 1
    assert len(token_requests(emulator)) == 1


def test_an_expired_token_is_renewed_within_the_request(emulator, credential, network):
    emulator.fault("expired_token", count=1)
    response = requests.get(
        f"{emulator.url}/api/data/v9.2/WhoAmI",
        auth=BearerAuth(credential, emulator.url, network),
        verify=network.verify,
        timeout=5,
    )
    assert response.status_code == 200
    assert len(token_requests(emulator)) == 2


def test_a_claims_challenge_is_answered(emulator, credential, network):
    emulator.fault("claims")
    response = requests.get(
        f"{emulator.url}/api/data/v9.2/WhoAmI",
        auth=BearerAuth(credential, emulator.url, network),
        verify=network.verify,
        timeout=5,
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"client_secret": "wrong"}, "AADSTS7000215", id="wrong secret"),
        pytest.param(
            {"client_id": "66666666-7777-8888-9999-000000000000"}, "AADSTS700016", id="wrong client"
        ),
        pytest.param({"tenant_id": "typo.onmicrosoft.com"}, "AADSTS90002", id="wrong tenant"),
        pytest.param(
            {"scope": "https://contoso.crm.dynamics.com/.default"}, "AADSTS500011", id="wrong environment"
        ),
        pytest.param({"scope": "User.Read"}, "AADSTS1002012", id="wrong scope"),
    ],
)
def test_a_wrong_field_is_refused_with_its_code(emulator, credential, network, changes, code):
    error = failure(changed(credential, **changes), emulator, network)
    assert error.code == code
    assert not error.retryable
    assert "What to do: " in str(error)


def test_an_expired_secret_says_so(emulator, credential, network):
    emulator.fault("secret_expired")
    error = failure(credential, emulator, network)
    assert error.code == "AADSTS7000222"
    assert error.correlation_id
    assert "Create a new secret" in error.remedy


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        pytest.param({"kind": "token_status", "status": 503, "retry_after": 3}, True, id="503 with HTML"),
        pytest.param({"kind": "token_html"}, True, id="200 with HTML"),
        pytest.param({"kind": "token_reset"}, True, id="connection reset"),
        pytest.param({"kind": "token_error", "error": "temporarily_unavailable"}, True, id="busy"),
        pytest.param({"kind": "token_error", "error": "invalid_client"}, False, id="refused"),
    ],
)
def test_a_failing_service_is_told_apart(emulator, credential, network, fault, retryable):
    emulator.fault(**fault)
    error = failure(credential, emulator, network)
    assert error.retryable is retryable
    assert "<" not in str(error)


def test_a_failing_service_leaves_a_valid_token_in_use(emulator, credential, network, clock):
    first = credential.get_token(emulator.url, network=network)
    clock.move(3400)
    emulator.fault("token_status", status=503)
    assert credential.get_token(emulator.url, network=network) is first


def test_a_service_that_is_slow_is_a_timeout(emulator, credential, network):
    emulator.fault("token_slow", seconds=1.0)
    error = failure(credential, emulator, Network(ca_bundle=network.ca_bundle, timeout=(5, 0.2)))
    assert "did not answer in time" in str(error)
    assert error.retryable


def test_a_certificate_nobody_vouches_for_is_refused(emulator, credential):
    error = failure(credential, emulator, Network())
    assert "is not trusted here" in str(error)
    assert "certificate verify failed" in str(error)
    assert "0x" not in str(error)
    assert not error.retryable


def test_a_closed_port_is_no_connection(emulator, credential, network):
    error = failure(changed(credential, authority=Authority(url="https://127.0.0.1:1")), emulator, network)
    assert "127.0.0.1:1 could not be reached" in str(error)
    assert "refused" in str(error)
    assert "0x" not in str(error)


def test_a_proxy_that_is_not_there_is_worded(credential):
    elsewhere = replace(credential, authority=Authority())  # no proxy stands between this machine and itself
    with pytest.raises(AuthenticationError) as caught:
        elsewhere.get_token(
            "https://contoso.crm4.dynamics.com", network=Network(proxy="http://u:pass@127.0.0.1:1")
        )
    error = caught.value
    assert "The proxy did not let the sign-in through" in str(error)
    assert "pass" not in str(error).replace("passing", "").replace("password", "")


def test_a_ca_bundle_that_vanished_is_worded(emulator, credential):
    error = failure(credential, emulator, Network(ca_bundle="/gone/ca.pem"))
    assert "CA bundle cannot be read" in str(error)
