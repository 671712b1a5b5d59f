"""What an access token says about itself, against the connection it was got for."""

from __future__ import annotations

import base64
import json

import pytest

from airflow_provider_dynamics.commands.claims import claims, claims_of
from tests.commands.filled_in import CLIENT, ELSEWHERE, TENANT, URL, on_premises, person, settings


def jwt(**claims):
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in ({}, claims)]
    return ".".join([*parts, "signature"])


def test_a_tokens_claims_are_read():
    assert claims_of(jwt(aud=URL, tid=TENANT)) == {"aud": URL, "tid": TENANT}


@pytest.mark.parametrize(
    "token", ["opaque", "a.b", "a.!!.c", "a.bm90IGpzb24.c", f"a.{base64.b64encode(b'[]').decode()}.c", ""]
)
def test_what_cannot_be_read_is_no_fault(token):
    assert claims_of(token) is None
    assert claims(None, settings()).status == "skipped"


def test_an_apps_token_is_described():
    found = claims({"aud": URL, "tid": TENANT, "appid": CLIENT, "roles": ["a", "b"]}, settings())
    assert found.status == "ok"
    assert found.text == f"The token is for {URL}, tenant {TENANT}, as app {CLIENT}, app roles a, b."


def test_a_persons_token_is_described():
    said = {
        "aud": f"{URL}/",
        "tid": TENANT,
        "appid": CLIENT,
        "scp": "user_impersonation",
        "upn": "ann@contoso.com",
    }
    found = claims(said, person())
    assert found.status == "ok"
    assert "as ann@contoso.com" in found.text
    assert "scopes user_impersonation" in found.text


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        pytest.param(
            {"aud": "https://graph.microsoft.com"}, "fail", "not for https://contoso", id="for Graph"
        ),
        pytest.param({}, "fail", "for nobody", id="for nobody"),
        pytest.param({"aud": URL, "tid": ELSEWHERE}, "fail", "Tenant ID is", id="another tenant"),
        pytest.param({"aud": URL, "azp": ELSEWHERE}, "warn", "Client ID is", id="another app"),
        pytest.param(
            {"aud": URL, "scp": "User.Read"}, "warn", "lacks the right", id="no right to act for the person"
        ),
    ],
)
def test_a_token_that_does_not_fit_is_explained(said, status, words):
    found = claims(said, person())
    assert found.status == status
    assert words in found.text
    assert found.remedy


def test_dataverses_own_id_is_an_audience_too():
    assert claims({"aud": "00000007-0000-0000-c000-000000000000"}, settings()).status == "ok"


def test_at_ad_fs_the_audience_is_the_resource():
    assert claims({"aud": "microsoft:identityserver:https://org.contoso.com/"}, on_premises()).status == "ok"
    found = claims({"aud": "https://other.contoso.com/"}, on_premises())
    assert found.status == "warn"
    assert "AD FS resource" in found.remedy
