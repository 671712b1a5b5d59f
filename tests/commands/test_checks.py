"""The doctor's conclusions, each from values made by hand."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from email.utils import formatdate

import pytest

from airflow_provider_dynamics.auth.store import Failure
from airflow_provider_dynamics.commands import checks
from airflow_provider_dynamics.commands.checks import Caller
from airflow_provider_dynamics.commands.probes import Answer
from airflow_provider_dynamics.connection.health import Health
from tests.commands.filled_in import CLIENT, ELSEWHERE, TENANT, URL, on_premises, person, settings

NOW = 1_795_334_400.0
DAY = datetime(2026, 11, 22, tzinfo=timezone.utc)


def answer(status, url=f"{URL}/api/data/v9.2/WhoAmI", body=b"", addresses=("192.0.2.7",), at=NOW, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(url, status, named, body, addresses, 0.084, at)


def test_the_settings_are_repeated_in_the_forms_words_and_without_a_secret():
    found = checks.settings(settings())
    assert found.status == "ok"
    for words in (
        URL,
        "Auth type Client secret",
        f"Tenant ID {TENANT}",
        f"Client ID {CLIENT}",
        "Authority https://",
    ):
        assert words in found.text
    assert "s3cret" not in found.text


def test_what_is_odd_about_the_fields_is_a_warning():
    found = checks.settings(settings(), ["The field 'tennant_id' means nothing here"])
    assert found.status == "warn"
    assert found.text.endswith(" The field 'tennant_id' means nothing here.")


def test_a_password_is_discouraged():
    found = checks.settings(
        settings(
            password=None, auth_type="username_password", username="ann@contoso.com", user_password="pw-1"
        )
    )
    assert found.status == "warn"
    assert "application user" in found.remedy
    assert "pw-1" not in found.text


# --- the environment ---------------------------------------------------------------------------------------------


def test_an_environment_that_asks_for_a_token_is_well():
    found = checks.environment(answer(401), settings())
    assert (found.status, found.check) == ("ok", "environment")
    assert "contoso.crm.dynamics.com (192.0.2.7) answers in 84 ms" in found.text


def test_behind_a_proxy_no_address_is_claimed():
    assert "(through a proxy)" in checks.environment(answer(401, addresses=()), settings()).text


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        pytest.param(302, "fail", "redirect", id="a log-in page"),
        pytest.param(404, "fail", "no Web API v9.2", id="something else"),
        pytest.param(503, "warn", "HTTP 503", id="a bad minute"),
    ],
)
def test_other_answers_of_the_environment(status, verdict, words):
    found = checks.environment(answer(status), settings())
    assert found.status == verdict
    assert words in found.text
    assert found.remedy


def challenge(tenant):
    return f'Bearer authorization_uri="https://login.microsoftonline.com/{tenant}/oauth2/authorize", resource_id="{URL}/"'


def test_another_tenants_environment_is_told():
    found = checks.environment(answer(401, WWW_Authenticate=challenge(ELSEWHERE)), settings())
    assert found.status == "warn"
    assert ELSEWHERE in found.text
    assert ELSEWHERE in found.remedy


@pytest.mark.parametrize(
    ("tenant", "named"),
    [
        pytest.param(TENANT.upper(), TENANT, id="the same one"),
        pytest.param("contoso.onmicrosoft.com", ELSEWHERE, id="a domain, which cannot be compared"),
        pytest.param(None, ELSEWHERE, id="none, since the environment is asked"),
    ],
)
def test_the_own_tenant_is_no_warning(tenant, named):
    mine = settings(tenant_id=tenant)
    assert checks.environment(answer(401, WWW_Authenticate=challenge(named)), mine).status == "ok"


# --- the sign-in service -----------------------------------------------------------------------------------------

AUTHORITY = f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"
DESCRIBED = {
    "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "token_endpoint": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
}


def described(status=200, **changes):
    return answer(status, AUTHORITY, json.dumps({**DESCRIBED, **changes}).encode())


def test_each_kind_of_authority_describes_itself_at_its_own_address():
    assert checks.configuration_url(settings(), TENANT) == AUTHORITY
    assert (
        checks.configuration_url(on_premises(), None)
        == "https://adfs.contoso.com/adfs/.well-known/openid-configuration"
    )


def test_a_sign_in_service_is_known_by_its_issuer():
    found = checks.authority(described(), settings())
    assert found.status == "ok"
    assert DESCRIBED["issuer"] in found.text


def test_an_unknown_tenant_is_explained_in_the_sign_ins_words():
    refusal = {
        "error": "invalid_tenant",
        "error_description": f"AADSTS90002: Tenant '{TENANT}' not found. Trace ID: x",
        "error_codes": [90002],
    }
    found = checks.authority(answer(400, AUTHORITY, json.dumps(refusal).encode()), settings())
    assert found.status == "fail"
    assert "AADSTS90002" in found.text
    assert "Tenant ID" in found.remedy


@pytest.mark.parametrize(
    ("got", "words"),
    [
        pytest.param(answer(200, AUTHORITY, b"<html>"), "is not a sign-in service", id="a web page"),
        pytest.param(answer(200, AUTHORITY, b"[]"), "is not a sign-in service", id="JSON of another kind"),
        pytest.param(answer(404, AUTHORITY), "HTTP 404", id="nothing"),
        pytest.param(
            described(token_endpoint="https://evil.example/token"), "on to evil.example", id="another host"
        ),
    ],
)
def test_what_is_no_sign_in_service_fails(got, words):
    found = checks.authority(got, settings())
    assert found.status == "fail"
    assert words in found.text
    assert "Authority" in found.remedy


# --- the clock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "auth_type", "status"),
    [
        pytest.param(20, "certificate", "ok", id="as good as right"),
        pytest.param(120, "certificate", "warn", id="two minutes"),
        pytest.param(-400, "certificate", "fail", id="too late to sign assertions"),
        pytest.param(400, "client_secret", "warn", id="a secret does not mind"),
    ],
)
def test_the_clock_is_compared_with_the_services(ahead, auth_type, status):
    there = answer(200, AUTHORITY, at=NOW + ahead, Date=formatdate(NOW, usegmt=True))
    found = checks.clock([there], auth_type)
    assert found.status == status
    if status != "ok":
        assert (
            f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} login.microsoftonline.com's"
            in found.text
        )


def test_without_a_date_the_clock_is_not_judged():
    assert checks.clock([answer(200), answer(200, Date="soon")], "certificate").status == "skipped"
    assert checks.clock([], "certificate").status == "skipped"


# --- the credential ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("health", "status"),
    [
        pytest.param(Health("client secret"), "ok", id="nothing that ends"),
        pytest.param(
            Health("certificate", what="certificate", expires_at=DAY, days_left=3.0), "warn", id="soon"
        ),
        pytest.param(
            Health("certificate", what="certificate", expires_at=DAY, days_left=-1.0), "fail", id="over"
        ),
        pytest.param(
            Health("signed-in user", what="refresh token", expires_at=DAY, days_left=-1.0, assumed=True),
            "warn",
            id="over by the service's default, which may be set otherwise",
        ),
    ],
)
def test_the_credentials_end_is_seen_coming(health, status):
    found = checks.credential(health)
    assert found.status == status
    assert found.text == health.sentence


def test_a_dead_credential_points_to_the_tokens_check():
    failure = Failure(text="AADSTS700082", at=NOW, dead="f")
    found = checks.credential(Health("signed-in user", what="refresh token", failure=failure, dead=True))
    assert found.status == "fail"
    assert "refresh token" in found.text
    assert "token's check" in found.remedy


# --- inside ------------------------------------------------------------------------------------------------------


def test_the_user_is_named():
    found = checks.user(Caller("u-1", "# ETL"), settings())
    assert found.text == "Dataverse knows the connection as application user '# ETL' (u-1)."
    assert checks.user(Caller("u-1"), person()).text == "Dataverse knows the connection as user u-1."


@pytest.mark.parametrize(
    ("caller", "status", "words"),
    [
        pytest.param(
            {"roles": ("Basic User", "Sales")}, "ok", "Security roles: Basic User, Sales.", id="some"
        ),
        pytest.param({"roles": tuple(f"R{n}" for n in range(10))}, "ok", "R7 and 2 more", id="many"),
        pytest.param(
            {"roles": ("Sales",), "privileges": frozenset({"prvReadAccount"})},
            "ok",
            "Sales, 1 privileges",
            id="counted",
        ),
        pytest.param(
            {"privileges": frozenset({"prvReadAccount"})}, "ok", "No security role of its own", id="a team's"
        ),
        pytest.param({"roles": ()}, "warn", "no security role", id="none"),
        pytest.param({}, "skipped", "no fault", id="not to be read"),
    ],
)
def test_the_roles_are_named(caller, status, words):
    found = checks.privileges(Caller("u-1", **caller))
    assert found.status == status
    assert words in found.text


def test_a_table_without_change_tracking_is_a_warning():
    assert checks.table("account", Caller("u-1"), change_tracking=True).status == "ok"
    found = checks.table("account", Caller("u-1"), change_tracking=False)
    assert found.status == "warn"
    assert "Track changes" in found.remedy


@pytest.mark.parametrize(
    ("held", "words"),
    [
        pytest.param(
            {"prvReadAccount", "prvCreateAccount", "prvWriteAccount", "prvDeleteAccount"},
            "account can be read, created, changed, deleted; its",
            id="everything",
        ),
        pytest.param(
            {"prvReadAccount"}, "account can be read, not created, changed, deleted; its", id="reading only"
        ),
        pytest.param(
            {"prvReadAccount", "prvWriteAccount"},
            "account can be read, changed, not created, deleted; its",
            id="some",
        ),
        pytest.param({"prvReadActivity"}, "account can be read; its", id="a privilege of another name"),
        pytest.param(None, "account can be read; its", id="privileges that may not be read"),
    ],
)
def test_what_may_be_done_with_a_table_is_said(held, words):
    caller = Caller("u-1", privileges=None if held is None else frozenset(held))
    assert words in checks.table("account", caller, change_tracking=True).text
