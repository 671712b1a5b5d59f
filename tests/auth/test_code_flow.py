"""Signing a person in with a browser or a code: what is remembered between the steps, and what may not pass."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError
from airflow_provider_dynamics.auth.code_flow import (
    finish_code_flow,
    poll_device_flow,
    start_code_flow,
    start_device_flow,
)
from airflow_provider_dynamics.auth.proofs import Secret
from tests.auth.services import (
    ANN,
    CLIENT,
    ENVIRONMENT,
    SECRET,
    TENANT,
    FakeService,
    issued,
    issued_to_ann,
    refusal,
)

BACK = "http://localhost:8080/dynamics/callback"
KINDS = ("entra", "adfs", "oidc")


def parameters(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def answer(flow, **changes):
    return {"code": "the-code", "state": parameters(flow.url)["state"], **changes}


def nonce(flow):
    return parameters(flow.url)["nonce"]


def failure(call, *arguments):
    with pytest.raises(AuthenticationError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "What to do: " in text
    assert not any(hidden in text for hidden in ("the-code", "device-1", SECRET))
    return caught.value


def test_nobody_is_sent_to_an_address_of_another_origin_to_sign_in(service):
    service.configure(authorization_endpoint="https://login.c0ntoso.com/authorize")
    error = failure(start_code_flow, service.sign_in(), BACK)
    assert "to another host" in str(error)
    assert "https://login.c0ntoso.com/authorize" in str(error)


@pytest.fixture(params=KINDS)
def service(request, requests_mock):
    return FakeService(requests_mock, request.param)


@pytest.fixture
def entra(requests_mock):
    return FakeService(requests_mock)


def test_a_browser_is_sent_with_pkce_state_and_nonce(service):
    s = service.sign_in(proof=Secret(SECRET))
    flow = start_code_flow(s, BACK, login_hint=ANN, state="signed-state")
    sent = parameters(flow.url)
    assert flow.url.startswith(f"{service.base}/authorize?")
    assert (sent["client_id"], sent["redirect_uri"], sent["state"]) == (CLIENT, BACK, "signed-state")
    assert (sent["response_type"], sent["response_mode"], sent["login_hint"]) == ("code", "query", ANN)
    verifier = flow.kept["code_verifier"]
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (sent["code_challenge"], sent["code_challenge_method"]) == (digest, "S256")
    assert {"openid", "offline_access"} <= set(sent["scope"].split())
    assert SECRET not in flow.url + repr(flow)
    assert verifier not in flow.url + repr(flow)


@pytest.mark.parametrize(
    ("kind", "resource", "prompt"),
    [("entra", None, None), ("adfs", f"{ENVIRONMENT}/", None), ("oidc", None, "consent")],
)
def test_each_service_is_told_what_it_needs(requests_mock, kind, resource, prompt):
    """An AD FS without its resource issues a token for nothing; a provider without consent no refresh token."""
    sent = parameters(start_code_flow(FakeService(requests_mock, kind).sign_in(), BACK).url)
    assert (sent.get("resource"), sent.get("prompt")) == (resource, prompt)


@pytest.mark.parametrize(
    ("proof", "scope"),
    [(None, "user_impersonation"), (Secret(SECRET), ".default")],
    ids=["public", "Web app"],
)
def test_the_scope_follows_from_the_app(entra, proof, scope):
    sent = parameters(start_code_flow(entra.sign_in(proof=proof), BACK).url)
    assert f"{ENVIRONMENT}/{scope}" in sent["scope"].split()


def test_a_code_is_redeemed_by_another_process(service):
    """Nothing is in memory between the two: what is kept survives being text."""
    s = service.sign_in(proof=Secret(SECRET))
    flow = start_code_flow(s, BACK)
    service.answers(issued_to_ann(nonce=nonce(flow)))
    signed = finish_code_flow(s, json.loads(json.dumps(flow.kept)), answer(flow))
    assert (signed.user, signed.refresh_token, signed.tenant_id) == (ANN, "refresh-2", TENANT)
    (sent,) = service.asked
    assert (sent["grant_type"], sent["code"], sent["redirect_uri"]) == (
        "authorization_code",
        "the-code",
        BACK,
    )
    assert (sent["code_verifier"], sent["client_secret"]) == (flow.kept["code_verifier"], SECRET)
    assert sent.get("resource") == s.resource


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"state": "another"}, "does not belong to the sign-in that was begun here", id="a state of another"),
        pytest.param({"state": ""}, "does not belong to the sign-in", id="no state"),
        pytest.param({"code": ""}, "no code came back", id="no code"),
        pytest.param(
            {"code": "", "error": "access_denied"}, "Whoever was asked to sign in declined", id="declined"
        ),
        pytest.param(
            {
                "code": "",
                "error": "access_denied",
                "error_description": "AADSTS65004: User declined to consent.",
            },
            "AADSTS65004 Whoever signed in did not agree",
            id="consent declined at Entra",
        ),
        pytest.param(
            {"code": "", "error": "server_error", "error_description": "<b>x</b>"},
            "server_error",
            id="a service in trouble",
        ),
    ],
)  # fmt: skip
def test_an_answer_without_a_code_of_ours_asks_for_no_token(service, changes, words):
    s = service.sign_in()
    flow = start_code_flow(s, BACK)
    assert words in str(failure(finish_code_flow, s, flow.kept, answer(flow, **changes)))
    assert not service.asked


def test_a_token_of_another_sign_in_is_refused(service):
    s = service.sign_in()
    flow = start_code_flow(s, BACK)
    service.answers(issued_to_ann(nonce="of another"))
    assert "nonce" in str(failure(finish_code_flow, s, flow.kept, answer(flow)))


def test_a_code_that_was_used_already_is_worded(entra):
    s = entra.sign_in()
    flow = start_code_flow(s, BACK)
    entra.answers(refusal("invalid_grant", "AADSTS54005: already redeemed", error_codes=[54005]))
    error = failure(finish_code_flow, s, flow.kept, answer(flow))
    assert (error.code, error.retryable) == ("AADSTS54005", False)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("entra", "offline_access"), ("adfs", "IssueOAuthRefreshTokensTo"), ("oidc", "offline_access")],
)
def test_a_sign_in_that_could_not_be_kept_says_so(requests_mock, kind, words):
    service = FakeService(requests_mock, kind)
    s = service.sign_in()
    flow = start_code_flow(s, BACK)
    service.answers(issued_to_ann(successor=None, nonce=nonce(flow)))
    error = failure(finish_code_flow, s, flow.kept, answer(flow))
    assert "the service sent no refresh token" in str(error)
    assert words in error.remedy


def test_the_tenant_is_found_once_and_kept(entra, requests_mock):
    requests_mock.get(
        f"{ENVIRONMENT}/api/data/v9.2/",
        status_code=401,
        headers={
            "WWW-Authenticate": f"Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}/oauth2/authorize"
        },
    )
    s = entra.sign_in(tenant_id=None)
    flow = start_code_flow(s, BACK)
    entra.answers(issued_to_ann(nonce=nonce(flow)))
    finish_code_flow(s, flow.kept, answer(flow))
    hosts = [request.hostname for request in requests_mock.request_history]
    assert hosts.count("contoso.crm4.dynamics.com") == 1


DEVICE = {
    "user_code": "ABCD-EFGH",
    "device_code": "device-1",
    "verification_uri": "https://microsoft.com/devicelogin",
    "expires_in": 900,
    "interval": 5,
    "message": "Open the page and enter ABCD-EFGH.",
}


@pytest.fixture(params=["entra", "oidc"])
def device_service(request, requests_mock):
    service = FakeService(requests_mock, request.param)
    service.answers_device(json=DEVICE)
    return service


def test_a_code_is_shown_and_polled_for_once_at_a_time(device_service):
    s = device_service.sign_in()
    flow = start_device_flow(s)
    assert (flow.user_code, flow.verification_uri) == ("ABCD-EFGH", "https://microsoft.com/devicelogin")
    assert (flow.message, flow.interval) == (DEVICE["message"], 5)
    assert flow.expires_at == pytest.approx(time.time() + 900, abs=30)
    assert "device-1" not in repr(flow)
    device_service.answers(
        refusal("authorization_pending"), refusal("slow_down"), issued_to_ann(), refusal("invalid_grant")
    )
    assert poll_device_flow(s, flow) is None
    assert flow.interval == 5
    assert poll_device_flow(s, flow) is None
    assert flow.interval == 10
    signed = poll_device_flow(s, flow)
    assert signed is not None
    assert (signed.user, signed.refresh_token) == (ANN, "refresh-2")
    assert len(device_service.asked) == 3
    assert {sent["device_code"] for sent in device_service.asked} == {"device-1"}


@pytest.mark.parametrize("interval", [0, "0", None, "5"], ids=repr)
def test_no_interval_makes_a_poll_wait_or_go_on_for_ever(requests_mock, interval):
    service = FakeService(requests_mock)
    given = {name: value for name, value in DEVICE.items() if name != "interval"}
    service.answers_device(json=given if interval is None else {**DEVICE, "interval": interval})
    service.answers(refusal("authorization_pending"))
    flow = start_device_flow(service.sign_in())
    assert poll_device_flow(service.sign_in(), flow) is None
    assert flow.interval >= 1
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param(
            refusal("authorization_declined"), "Whoever was asked to sign in declined", id="declined"
        ),
        pytest.param(refusal("access_denied"), "Whoever was asked to sign in declined", id="denied"),
        pytest.param(refusal("expired_token"), "The code that was shown is used up, too old", id="too late"),
        pytest.param(refusal("bad_verification_code"), "The code that was shown", id="another code"),
        pytest.param(issued(), "the service sent no refresh token", id="no refresh token"),
    ],
)
def test_a_code_that_leads_to_nothing_is_worded(device_service, said, words):
    s = device_service.sign_in()
    flow = start_device_flow(s)
    device_service.answers(said)
    error = failure(poll_device_flow, s, flow)
    assert words in str(error)
    assert not error.retryable


def test_a_code_that_is_too_old_is_not_asked_for_any_more(device_service):
    s = device_service.sign_in()
    flow = start_device_flow(s)
    with pytest.raises(AuthenticationError, match="The code that was shown is used up, too old"):
        poll_device_flow(s, flow, now=lambda: flow.expires_at)
    assert not device_service.asked


def test_a_lost_connection_while_polling_is_worth_another_try(device_service):
    s = device_service.sign_in()
    flow = start_device_flow(s)
    device_service.answers({"exc": requests.ConnectionError("reset")})
    assert failure(poll_device_flow, s, flow).retryable


def test_a_device_flow_that_is_not_allowed_is_worded(device_service):
    device_service.answers_device(status_code=400, json={"error": "unauthorized_client"})
    assert failure(start_device_flow, device_service.sign_in()).error == "unauthorized_client"


def test_a_device_flow_cannot_name_the_resource_of_ad_fs(requests_mock):
    error = failure(start_device_flow, FakeService(requests_mock, "adfs").sign_in())
    assert "There is no device code sign-in at AD FS" in str(error)
    assert not requests_mock.request_history


def test_a_device_flow_is_for_apps_without_a_secret(entra, requests_mock):
    error = failure(start_device_flow, entra.sign_in(proof=Secret(SECRET)))
    assert "signs in apps without a secret only" in str(error)
    assert "leave Client secret empty" in error.remedy
    assert not requests_mock.request_history
