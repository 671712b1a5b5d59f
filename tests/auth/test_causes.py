"""What a refused sign-in says: its class, its words, and whether it is worth another try."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_dynamics.auth import codes
from airflow_provider_dynamics.auth.causes import AuthenticationError, Subject, broken, explain, refused

SUBJECT = Subject(
    environment="https://contoso.crm4.dynamics.com",
    mode="client secret",
    tenant_id="contoso.onmicrosoft.com",
    client_id="66666666-7777-8888-9999-000000000000",
    authority_host="login.microsoftonline.com",
    scope="https://contoso.crm4.dynamics.com/.default",
)
PERSON = replace(SUBJECT, mode="signed-in user")
PASSWORD = replace(SUBJECT, mode="user name and password")
CERTIFICATE = replace(SUBJECT, mode="certificate")
ADFS = replace(PERSON, tenant_id="", authority_host="adfs.contoso.com", authority_kind="adfs")
OIDC = replace(PERSON, tenant_id="", authority_host="login.example.org", authority_kind="oidc")
WORDY = "x" * 3000
LONG = Subject(f"https://{WORDY}", WORDY, WORDY, WORDY, WORDY, WORDY)
TABLES: dict[str, Mapping[Any, codes.Cause]] = {
    "AADSTS": codes.ENTRA,
    "MSIS": codes.ADFS,
    "": {**codes.ERRORS, **codes.SUBERRORS, **codes.ELSEWHERE, **codes.BREAKS},
}
KNOWN = {cause for table in TABLES.values() for cause in table.values()}
FULL_STOP = re.compile(r"[.!?]$")


def answer(number, error, text="Something is wrong.", **more):
    return {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number], **more}


def test_a_refusal_reads_as_one_text_with_cause_remedy_and_correlation_id():
    error = refused(
        SUBJECT,
        answer(
            7000222,
            "invalid_client",
            "The provided client secret keys are expired. Trace ID: t Correlation ID: c Timestamp: 2026-06-09 09:07:41Z",
            correlation_id="0d1a5c28",
            timestamp="2026-06-09 09:07:41Z",
        ),
        status=401,
    )
    assert str(error) == (
        "Sign-in to https://contoso.crm4.dynamics.com (client secret, tenant contoso.onmicrosoft.com, client "
        "66666666-7777-8888-9999-000000000000) failed: AADSTS7000222 The client secret has expired. What to do: Create a new "
        "secret (Entra admin center > App registrations > 66666666-7777-8888-9999-000000000000 > Certificates & secrets) and "
        "put its Value into the connection's Client secret. Correlation ID 0d1a5c28, 2026-06-09 09:07:41Z."
    )
    assert (error.code, error.error, error.kind) == ("AADSTS7000222", "invalid_client", "permanent")
    assert error.message == "AADSTS7000222: The provided client secret keys are expired."
    assert error.correlation_id == "0d1a5c28"
    assert error.remedy in str(error)
    assert not error.retryable


@pytest.mark.parametrize("cause", KNOWN, ids=lambda cause: cause.cause[:50])
def test_every_row_of_the_table_is_complete_and_names_only_known_facts(cause):
    assert cause.cause.endswith(".")
    assert not FULL_STOP.search(cause.remedy)
    assert cause.kind in {"transient", "permanent", "needs-interaction", "needs-admin"}


@pytest.mark.parametrize("subject", [SUBJECT, PERSON, PASSWORD, ADFS, OIDC, LONG], ids=lambda s: s.mode[:30])
def test_no_text_is_longer_than_airflow_shows_and_none_keeps_a_brace(subject):
    tail = {"correlation_id": "c" * 9000, "timestamp": "t" * 9000, "suberror": "s" * 9000}
    said = "The line of the service, which goes on. " * 200
    texts = [str(broken(subject, what, said)) for what in codes.BREAKS]
    texts += [
        str(refused(subject, answer(number, "e" * 9000, said, **tail))) for number in (*codes.ENTRA, 424242)
    ]
    texts += [
        str(refused(subject, {"error": error, "error_description": f"MSIS{number}: {said}", **tail}))
        for error in codes.ERRORS
        for number in (*codes.ADFS, 1234)
    ]
    for text in texts:
        assert len(text) <= 2000
        assert "What to do: " in text
        assert "{" not in text
    assert all("Correlation ID ccc" in text for text in texts[len(codes.BREAKS) :])


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (7000215, "permanent"),
        (7000222, "permanent"),
        (7000112, "needs-admin"),
        (53003, "needs-admin"),
        (700082, "needs-interaction"),
        (50076, "needs-interaction"),
        (65001, "needs-admin"),
        (90033, "transient"),
    ],
)
def test_a_code_has_its_class(number, kind):
    assert refused(SUBJECT, answer(number, "invalid_client")).kind == kind


def test_an_unknown_code_has_the_class_of_its_error_and_passes_the_services_text_on():
    error = refused(
        SUBJECT, answer(424242, "consent_required", "Brand new reason.\r\nTrace ID: 1"), status=400
    )
    assert error.kind == "needs-admin"
    assert error.code == "AADSTS424242"
    assert 'The service said: "AADSTS424242: Brand new reason."' in str(error)
    assert "https://login.microsoftonline.com/error?code=424242" in str(error)
    assert "Trace ID" not in str(error)


def test_a_code_is_found_in_the_description_where_it_is_not_listed():
    error = refused(
        SUBJECT, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}
    )
    assert error.code == "AADSTS7000215"
    assert "the secret's ID that was pasted" in str(error)


def test_an_error_of_no_known_name_is_told_as_the_service_said_it():
    error = refused(SUBJECT, {"error": "teapot", "error_description": "Short and stout."})
    assert 'teapot The sign-in was refused. The service said: "Short and stout."' in str(error)
    assert error.kind == "permanent"


def test_an_answer_without_anything_in_it_still_gives_a_sentence():
    assert "The sign-in was refused. What to do: See what the service said." in str(refused(SUBJECT, {}))


def test_a_long_text_of_the_service_is_cut():
    error = refused(SUBJECT, {"error": "teapot", "error_description": "x " * 5000})
    assert len(error.message) == 300


@pytest.mark.parametrize(
    ("body", "status", "retryable"),
    [
        pytest.param(answer(90033, "temporarily_unavailable"), 400, True, id="the error says it will pass"),
        pytest.param(answer(90033, "invalid_grant"), 400, True, id="only its code says that it will pass"),
        pytest.param(answer(424242, "server_error"), 400, True, id="an unknown code of a passing error"),
        pytest.param(answer(424242, "invalid_grant"), 400, False, id="an unknown code of a lasting error"),
        pytest.param(answer(7000215, "invalid_client"), 503, True, id="the status says it will pass"),
        pytest.param(answer(7000215, "invalid_client"), 401, False, id="neither does"),
        pytest.param(answer(90055, "invalid_request"), 429, True, id="too many requests"),
    ],
)
def test_error_status_and_code_decide_about_another_try(body, status, retryable):
    error = refused(SUBJECT, body, status=status)
    assert error.retryable is retryable
    assert (error.kind == "transient") is retryable


def test_what_an_administrator_must_do_stays_that_whatever_the_suberror_says():
    error = refused(PERSON, answer(53003, "invalid_grant", suberror="message_only"), status=400)
    assert (error.kind, error.dead) == ("needs-admin", False)


@pytest.mark.parametrize(
    ("suberror", "kind"),
    [
        ("basic_action", "needs-interaction"),
        ("consent_required", "needs-admin"),
        ("unknown_word", "permanent"),
    ],
)
def test_a_suberror_can_change_the_class(suberror, kind):
    assert refused(SUBJECT, answer(7000215, "invalid_client", suberror=suberror)).kind == kind


def test_what_broke_before_an_answer_is_worded_with_its_detail():
    error = broken(SUBJECT, "unreachable", "[Errno 111] Connection refused")
    assert "login.microsoftonline.com could not be reached. ([Errno 111] Connection refused)" in str(error)
    assert error.retryable


@pytest.mark.parametrize(
    ("what", "retryable", "kind"),
    [
        ("proxy", None, "transient"),
        ("proxy", False, "permanent"),
        ("not json", None, "permanent"),
        ("not json", True, "transient"),
        ("declined", False, "needs-interaction"),
    ],
)
def test_whoever_saw_it_break_may_know_better_whether_it_passes(what, retryable, kind):
    error = broken(SUBJECT, what, retryable=retryable)
    assert error.kind == kind
    assert error.retryable is (kind == "transient")


def test_a_web_page_in_place_of_the_authority_is_not_worth_long_patience():
    assert broken(SUBJECT, "not json", retryable=True).patience == 15
    assert broken(SUBJECT, "unreachable").patience is None


# --- whose turn it is ---------------------------------------------------------------------------------------------


def test_missing_consent_has_the_link_that_gives_it():
    error = refused(PERSON, answer(65001, "invalid_grant", suberror="consent_required"), status=400)
    assert error.kind == "needs-admin"
    assert (
        "Let an Entra administrator open https://login.microsoftonline.com/contoso.onmicrosoft.com/adminconsent"
        f"?client_id={SUBJECT.client_id}." in str(error)
    )


def test_the_consent_link_works_without_a_known_tenant():
    error = refused(replace(PERSON, tenant_id=""), answer(65001, "invalid_grant"))
    assert "https://login.microsoftonline.com/organizations/adminconsent?client_id=" in str(error)


@pytest.mark.parametrize(
    ("subject", "remedy"),
    [
        pytest.param(
            PERSON,
            "Sign in again (Admin > Microsoft Dynamics 365 > Sign in, or `airflow dynamics login CONN_ID`)",
            id="a signed-in person signs in again",
        ),
        pytest.param(PASSWORD, "Check User name and User password", id="a password is corrected"),
        pytest.param(
            CERTIFICATE, "Check Client ID, Certificate and Private key", id="a certificate is looked at"
        ),
        pytest.param(SUBJECT, "Check Client ID and Client secret", id="a secret is looked at"),
        pytest.param(
            replace(SUBJECT, mode="workload identity"),
            "Check Client ID and Federated token file",
            id="a file is looked at",
        ),
        pytest.param(
            replace(SUBJECT, mode="managed identity"),
            "Check Managed identity client ID",
            id="an identity is looked at",
        ),
    ],
)
def test_the_remedy_fits_the_way_of_signing_in(subject, remedy):
    assert f"What to do: {remedy}" in str(refused(subject, {"error": "invalid_grant"}, status=400))


@pytest.mark.parametrize(
    ("subject", "place"),
    [
        pytest.param(SUBJECT, "Entra admin center > App registrations > ", id="Entra's"),
        pytest.param(ADFS, "AD FS Management > Application Groups > ", id="AD FS's"),
        pytest.param(
            OIDC, f"the registration of {SUBJECT.client_id} at login.example.org", id="another provider's"
        ),
    ],
)
def test_the_remedy_leads_to_a_page_the_authority_has(subject, place):
    assert place in refused(subject, {"error": "invalid_client"}, status=401).remedy


@pytest.mark.parametrize("what", codes.BREAKS)
@pytest.mark.parametrize("subject", [ADFS, OIDC], ids=lambda s: s.authority_kind)
def test_nobody_outside_entra_is_told_of_tenants_and_clouds(subject, what):
    if what == "tenant unknown":  # only Entra has them
        return
    assert not re.search("tenant|cloud", str(broken(subject, what)), re.IGNORECASE)


def test_a_code_of_ad_fs_is_found_in_the_description():
    error = refused(
        ADFS,
        {"error": "invalid_grant", "error_description": "MSIS9615: The refresh token has expired."},
        status=401,
    )
    assert (error.code, error.kind, error.dead) == ("MSIS9615", "needs-interaction", True)
    assert "MSIS9615 The refresh token has expired: AD FS lets it live for 8 hours" in str(error)
    assert "tenant" not in str(error)


def test_a_redirect_address_that_is_not_registered_is_named_as_the_service_names_it():
    said = "The redirect URI 'https://airflow.contoso.com/dynamics/callback' does not match."
    assert said in str(refused(PERSON, answer(50011, "invalid_request", said)))


def test_what_looks_like_a_token_is_not_passed_on():
    token = "0.AXoA" + "aB3_-x" * 40
    error = refused(PERSON, answer(424242, "invalid_grant", f"The token {token} is bad."))
    assert token not in str(error)
    assert token not in error.message
    assert "The token … is bad." in error.message


# --- dead grants --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(answer(700082, "invalid_grant"), id="not used for 90 days"),
        pytest.param(answer(50173, "invalid_grant", suberror="bad_token"), id="revoked"),
        pytest.param(answer(70008, "invalid_grant", suberror="token_expired"), id="expired"),
        pytest.param(answer(50126, "invalid_grant"), id="a wrong password, before the account is locked"),
        pytest.param(answer(50053, "invalid_grant"), id="a locked account"),
        pytest.param(answer(424242, "invalid_grant"), id="a code nobody knows"),
        pytest.param({"error": "invalid_grant"}, id="a provider without codes"),
    ],
)
def test_a_grant_is_dead_when_the_service_calls_it_invalid(body):
    assert refused(PERSON, body, status=400).dead


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(answer(53003, "invalid_grant"), 400, id="Conditional Access"),
        pytest.param(answer(70043, "invalid_grant"), 400, id="a policy's sign-in frequency"),
        pytest.param(answer(50076, "invalid_grant", suberror="basic_action"), 400, id="a second factor"),
        pytest.param(
            answer(424242, "invalid_grant", suberror="basic_action"), 400, id="an unknown wish for a person"
        ),
        pytest.param(answer(65001, "invalid_grant"), 400, id="missing consent"),
        pytest.param(answer(50105, "invalid_grant"), 400, id="a missing assignment"),
        pytest.param(answer(50196, "invalid_grant"), 400, id="too many attempts"),
        pytest.param(answer(700082, "invalid_grant"), 503, id="a service with problems of its own"),
        pytest.param(answer(7000222, "invalid_client"), 401, id="an expired secret"),
        pytest.param({"error": "interaction_required"}, 400, id="a wish for a person"),
    ],
)
def test_a_grant_lives_through(body, status):
    assert not refused(PERSON, body, status=status).dead


def test_too_many_attempts_are_left_alone_for_minutes():
    error = refused(PERSON, answer(50196, "invalid_grant"), status=400)
    assert (error.kind, error.retry_after) == ("transient", 300)
    assert refused(PERSON, answer(50196, "invalid_grant"), retry_after=7.0).retry_after == 7.0


@pytest.mark.parametrize(
    ("given", "kind", "retryable"),
    [
        ({}, "permanent", False),
        ({"retryable": True}, "transient", True),
        ({"kind": "transient"}, "transient", True),
        ({"kind": "needs-admin"}, "needs-admin", False),
    ],
)
def test_an_errors_class_and_whether_to_try_again_go_together(given, kind, retryable):
    error = AuthenticationError("x", **given)
    assert (error.kind, error.retryable) == (kind, retryable)


# --- codes explained ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["AADSTS7000222", "aadsts7000222", " 7000222 ", "AADSTS 7000222"])
def test_a_code_is_explained_however_it_is_spelled(spelled):
    found = explain(spelled)
    assert found is not None
    assert (found.code, found.kind) == ("AADSTS7000222", "permanent")
    assert found.cause == "The client secret has expired."
    assert found.remedy.startswith("Create a new secret (Entra admin center > App registrations > CLIENT_ID")
    assert found.link == "https://login.microsoftonline.com/error?code=7000222"


def test_every_code_and_error_is_explained_in_whole_sentences():
    for prefix, table in {**TABLES, "": codes.ERRORS}.items():
        for code in table:
            found = explain(f"{prefix}{code}")
            assert found is not None
            assert found.code == f"{prefix}{code}"
            assert FULL_STOP.search(found.cause)
            assert FULL_STOP.search(found.remedy)
            assert "{" not in found.cause + found.remedy


@pytest.mark.parametrize("code", ["AADSTS1", "AADSTS424242", "MSIS1234", "0x80040217", "what", ""])
def test_what_is_in_no_table_is_not_explained(code):
    assert explain(code) is None


def pickled(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes


@pytest.mark.parametrize("way", [copy.copy, pickled], ids=["copied", "pickled"])
def test_an_error_keeps_its_facts_when_it_is(way):
    error = refused(SUBJECT, answer(90033, "temporarily_unavailable"), status=503, retry_after=7.0)
    again = way(error)
    assert str(again) == str(error)
    assert (again.code, again.retryable, again.retry_after) == ("AADSTS90033", True, 7.0)
