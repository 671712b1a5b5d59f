"""What a refused sign-in says: its class, its words, and whether it is worth another try."""

from __future__ import annotations

import copy
import pickle
import string

import pytest

from airflow_provider_dynamics.auth import causes
from airflow_provider_dynamics.auth.causes import Subject, broken, refused

SUBJECT = Subject(
    environment="https://contoso.crm4.dynamics.com",
    mode="client secret",
    tenant_id="contoso.onmicrosoft.com",
    client_id="66666666-7777-8888-9999-000000000000",
    authority_host="login.microsoftonline.com",
    scope="https://contoso.crm4.dynamics.com/.default",
)
KNOWN = {*causes.CODES.values(), *causes.ERRORS.values(), *causes.BREAKS.values()}
PLACEHOLDERS = {"tenant", "client_id", "environment", "authority_host", "scope"}


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
    for text in (cause.cause, cause.remedy):
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= PLACEHOLDERS
    assert cause.cause.endswith(".")
    assert not cause.remedy.endswith(".")
    assert cause.kind in {"transient", "permanent", "needs-interaction", "needs-admin"}


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (7000215, "permanent"),
        (7000222, "permanent"),
        (7000112, "needs-admin"),
        (53003, "needs-admin"),
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
    error = refused(SUBJECT, {"error": "teapot", "error_description": "x" * 5000})
    assert len(error.message) == 300


@pytest.mark.parametrize(
    ("body", "status", "retryable"),
    [
        pytest.param(answer(90033, "temporarily_unavailable"), 400, True, id="the error says it will pass"),
        pytest.param(
            answer(90033, "invalid_grant"), 400, False, id="the table says it will pass, the error does not"
        ),
        pytest.param(answer(7000215, "invalid_client"), 503, True, id="the status says it will pass"),
        pytest.param(answer(7000215, "invalid_client"), 401, False, id="neither does"),
        pytest.param(answer(90055, "invalid_request"), 429, True, id="too many requests"),
    ],
)
def test_error_and_status_decide_about_another_try_and_not_the_table(body, status, retryable):
    assert refused(SUBJECT, body, status=status).retryable is retryable


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


def pickled(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes


@pytest.mark.parametrize("way", [copy.copy, pickled], ids=["copied", "pickled"])
def test_an_error_keeps_its_facts_when_it_is(way):
    error = refused(SUBJECT, answer(90033, "temporarily_unavailable"), status=503, retry_after=7.0)
    again = way(error)
    assert str(again) == str(error)
    assert (again.code, again.retryable, again.retry_after) == ("AADSTS90033", True, 7.0)
