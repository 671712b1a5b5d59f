"""Signing in through MSAL: what is sent, where to, and what every odd answer turns into."""

from __future__ import annotations

import logging

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError, Network


def failure(entra, network=None):
    with pytest.raises(AuthenticationError) as caught:
        entra.sign_in(network)
    assert entra.secret not in str(caught.value)
    assert entra.secret not in repr(caught.value)
    return caught.value


def test_a_client_secret_becomes_a_token(entra, clock):
    token = entra.credential().get_token(entra.environment, network=Network())
    assert token.secret == "token-1"
    assert token.expires_at == clock.now() + 3600
    assert token.refresh_at is None
    body = requests.compat.unquote(entra.asked[0].text)
    assert f"scope={entra.environment}/.default" in body
    assert "grant_type=client_credentials" in body


def test_a_scope_of_its_own_is_asked_for(entra):
    entra.credential(scope="https://other.example/.default").get_token(entra.environment, network=Network())
    assert "scope=https%3A%2F%2Fother.example%2F.default" in entra.asked[0].text


def test_the_services_wish_to_renew_early_is_kept(entra, clock):
    entra.tokens(entra.issued(expires_in=86_400, refresh_in=43_200))
    token = entra.credential().get_token(entra.environment, network=Network())
    assert token.refresh_at == pytest.approx(clock.now() + 43_200, abs=5)


def test_certificates_are_checked_against_the_connections_bundle_whatever_the_environment_says(
    entra, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/somewhere/else.pem")
    entra.sign_in(Network(ca_bundle="/etc/ca.pem"))
    assert {request.verify for request in entra.mocker.request_history} == {"/etc/ca.pem"}


def test_the_environments_bundle_is_used_where_the_connection_has_none(entra, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/company/ca.pem")
    entra.sign_in()
    assert {request.verify for request in entra.mocker.request_history} == {"/company/ca.pem"}


def test_the_proxy_and_the_timeouts_are_the_connections(entra):
    entra.sign_in(Network(proxy="http://proxy:8080", timeout=(3, 7)))
    for request in entra.mocker.request_history:
        assert request.proxies["https"] == "http://proxy:8080"
        assert request.timeout == (3, 7)


def test_a_silent_service_is_waited_for_less_than_a_long_query(entra):
    entra.sign_in(Network(timeout=(5, 3600)))
    assert {request.timeout for request in entra.mocker.request_history} == {(5, 30)}


def test_the_workers_own_proxy_is_used_where_the_connection_has_none(entra, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://workers:3128")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    entra.sign_in()
    assert entra.asked[0].proxies["https"] == "http://workers:3128"


def test_region_and_netrc_of_the_worker_change_nothing(entra, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine login.microsoftonline.com login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    entra.sign_in()
    assert "Authorization" not in entra.asked[0].headers
    assert {request.hostname for request in entra.mocker.request_history} == {"login.microsoftonline.com"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_secret(entra, status):
    entra.tokens({"status_code": status, "headers": {"Location": "https://evil.example/token"}})
    error = failure(entra)
    assert "redirect, which is not followed" in str(error)
    assert not error.retryable
    assert {request.hostname for request in entra.mocker.request_history} == {"login.microsoftonline.com"}


def test_a_token_endpoint_on_another_host_gets_no_secret(entra):
    entra.serve(token_url="https://login.microsoftonline.us/x/oauth2/v2.0/token")
    error = failure(entra)
    assert "another host" in str(error)
    assert error.remedy == "Check Tenant ID, Cloud and Authority"
    assert not entra.asked


def test_a_wrong_secret_is_worded_and_not_worth_another_try(entra):
    entra.tokens(entra.refusal(7000215, "invalid_client"))
    error = failure(entra)
    assert error.code == "AADSTS7000215"
    assert "Paste the secret's Value" in error.remedy
    assert not error.retryable


def test_an_unknown_tenant_is_named_although_msal_drops_the_text(entra):
    entra.discovery(**entra.refusal(90002, "invalid_tenant", status=400))
    error = failure(entra)
    assert error.code == "AADSTS90002"
    assert f"no tenant '{entra.tenant}' at login.microsoftonline.com" in str(error)


def test_discovery_that_finds_nothing_is_worded(entra):
    entra.discovery(status_code=404, text="<html>nothing here</html>")
    error = failure(entra)
    assert f"no configuration for tenant {entra.tenant}. (HTTP 404)" in str(error)
    assert not error.retryable


def test_discovery_that_is_busy_is_worth_another_try(entra):
    entra.discovery(status_code=503, text="<html>later</html>", headers={"Retry-After": "9"})
    error = failure(entra)
    assert error.retryable
    assert error.retry_after == 9


def test_discovery_that_lacks_what_it_must_say_is_worded(entra):
    entra.discovery(json={"issuer": "x"})
    assert "MSAL could not sign in. (KeyError" in str(failure(entra))


@pytest.mark.parametrize(
    ("answer", "retryable", "words"),
    [
        pytest.param({"status_code": 503, "text": "<html>busy</html>"}, True, "HTTP 503", id="503 with HTML"),
        pytest.param({"status_code": 429, "text": ""}, True, "HTTP 429", id="429 without a body"),
        pytest.param(
            {"status_code": 200, "text": "<html>log in</html>"},
            True,
            "not a sign-in service",
            id="200 with HTML",
        ),
        pytest.param(
            {"status_code": 403, "text": "<html>blocked</html>"}, False, "HTTP 403", id="403 with HTML"
        ),
        pytest.param({"status_code": 400, "text": ""}, False, "HTTP 400", id="400 without a body"),
        pytest.param(
            {"status_code": 200, "text": "[]"}, True, "not a sign-in service", id="JSON that is no object"
        ),
        pytest.param(
            {"status_code": 200, "json": {}}, False, "The sign-in was refused", id="an object without a token"
        ),
    ],
)
def test_an_answer_that_is_no_oauth_answer_is_worded(entra, answer, retryable, words, caplog):
    entra.tokens(answer)
    error = failure(entra)
    assert words in str(error)
    assert error.retryable is retryable
    assert "<html>" not in caplog.text + str(error)


def test_a_busy_services_own_words_are_kept(entra):
    answer = entra.refusal(90033, "temporarily_unavailable", status=503)
    entra.tokens({**answer, "headers": {"Retry-After": "Fri, 15 Jan 2027 08:00:20 GMT"}})
    error = failure(entra)
    assert error.code == "AADSTS90033"
    assert error.retryable
    assert error.retry_after == 20


@pytest.mark.parametrize(
    ("thrown", "retryable", "words"),
    [
        pytest.param(requests.ConnectTimeout("x"), True, "did not answer in time", id="connect timeout"),
        pytest.param(requests.ReadTimeout("x"), True, "did not answer in time", id="read timeout"),
        pytest.param(
            requests.ConnectionError("refused"), True, "could not be reached. (refused)", id="no connection"
        ),
        pytest.param(
            requests.exceptions.SSLError("self-signed"),
            False,
            "put its file into CA bundle",
            id="bad certificate",
        ),
        pytest.param(
            requests.exceptions.ProxyError("407 wants a password"), False, "Check Proxy", id="proxy refuses"
        ),
        pytest.param(requests.exceptions.ProxyError("no route"), True, "Check Proxy", id="proxy away"),
        pytest.param(OSError("invalid path: /gone.pem"), False, "CA bundle cannot be read", id="no CA file"),
        pytest.param(
            requests.exceptions.InvalidURL("bad"),
            False,
            "MSAL could not sign in. (InvalidURL: bad)",
            id="bad URL",
        ),
    ],
)
def test_a_broken_connection_is_worded(entra, thrown, retryable, words):
    entra.tokens({"exc": thrown})
    error = failure(entra)
    assert words in str(error)
    assert error.retryable is retryable


def test_a_failure_is_not_remembered_once_it_is_repaired(entra):
    """MSAL alone would repeat the 400 from its own cache for a minute."""
    credential = entra.credential()
    entra.tokens(entra.refusal(700016, "unauthorized_client", status=400))
    with pytest.raises(AuthenticationError):
        credential.get_token(entra.environment, network=Network())
    entra.tokens(entra.issued("repaired"))
    assert credential.get_token(entra.environment, network=Network()).secret == "repaired"


def test_a_busy_service_does_not_take_a_valid_token_away(entra, clock):
    """MSAL alone would raise, although its cache holds a token that is good for minutes."""
    credential = entra.credential()
    first = credential.get_token(entra.environment, network=Network())
    clock.move(3400)
    entra.tokens({"status_code": 503, "text": "<html>"})
    assert credential.get_token(entra.environment, network=Network()) is first


def test_claims_are_sent_and_bring_a_new_token(entra):
    credential = entra.credential()
    first = credential.get_token(entra.environment, network=Network())
    entra.tokens(entra.issued("token-2"))
    token = credential.get_token(
        entra.environment,
        network=Network(),
        rejected=first,
        claims='{"access_token":{"nbf":{"essential":true}}}',
    )
    assert token.secret == "token-2"
    assert "claims=" in entra.asked[-1].text
    assert "nbf" in entra.asked[-1].text


def test_neither_secret_nor_token_is_ever_logged(entra, caplog):
    caplog.set_level(logging.DEBUG)
    entra.tokens(entra.issued("the-access-token"), entra.refusal(7000215, "invalid_client"))
    credential = entra.credential()
    token = credential.get_token(entra.environment, network=Network())
    with pytest.raises(AuthenticationError):
        credential.get_token(entra.environment, network=Network(), rejected=token)
    assert len(entra.asked) == 2
    assert entra.secret not in caplog.text
    assert requests.compat.quote_plus(entra.secret) not in caplog.text
    assert "the-access-token" not in caplog.text


def test_a_secret_in_somebody_elses_message_is_blotted_out(entra):
    entra.tokens({"exc": ValueError(f"cannot use {entra.secret}")})
    assert "cannot use ***" in str(failure(entra))
