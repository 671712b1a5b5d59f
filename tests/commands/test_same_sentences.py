"""The doctor and Airflow's own Test say the same, whatever the way of signing in and whatever is wrong."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.commands.doctor import REAL
from airflow_provider_dynamics.commands.examination import examine
from airflow_provider_dynamics.hooks import DynamicsHook

CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\d[ T][\d:]+Z?"
)  # ids and moments of one answer


@pytest.fixture
def hook(emulator, monkeypatch):
    """Return the hook of a connection to the emulator: `hook(auth_type, …)`, as for `airflow_connection`."""
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "none")  # there is no database here

    def of(*args, **options):
        SHARED.clear()
        for name, value in emulator.airflow_connection("crm", *args, **options).items():
            monkeypatch.setenv(name, value)
        return DynamicsHook("crm")

    return of


def both(hook):
    """Return what Airflow's test says, and what the doctor says first of what is wrong."""
    passed, tested = hook.test_connection()
    assert not passed
    SHARED.clear()
    found = next(one for one in examine(lambda: (hook.settings, ()), REAL) if one.status == "fail")
    return CHANGING.sub("…", tested), CHANGING.sub("…", found.text)


def other_key(emulator):
    certificate, key = emulator.new_certificate(registered=False)
    return {"certificate": certificate, "private_key": key}


@pytest.mark.parametrize(
    ("args", "change", "words"),
    [
        pytest.param(["client_secret"], {"password": "wrong-secret"}, "AADSTS7000215", id="a wrong secret"),
        pytest.param(["certificate"], other_key, "AADSTS700027", id="an unknown certificate"),
        pytest.param(
            ["refresh_token"], {"refresh_token": "1.not-one"}, "What to do", id="a strange refresh token"
        ),
        pytest.param(["username_password"], {"user_password": "wrong"}, "AADSTS50126", id="a wrong password"),
        pytest.param(
            ["managed_identity"],
            {"managed_identity_client_id": "00000000-0000-0000-0000-000000000001"},
            "Managed identity client ID",
            id="an identity that this machine has not",
        ),
        pytest.param(
            ["workload_identity"],
            {"assertion_file": "/nowhere/token"},
            "Federated token file",
            id="no token file",
        ),
        pytest.param(
            ["client_secret", "adfs"], {"password": "wrong-secret"}, "MSIS", id="a wrong secret at AD FS"
        ),
    ],
)
def test_a_refused_sign_in_is_told_alike(emulator, hook, args, change, words):
    tested, examined = both(hook(*args, **(change(emulator) if callable(change) else change)))
    assert tested == examined
    assert words in tested


def test_a_missing_application_user_is_told_alike(emulator, hook):
    emulator.fault("not_a_member")
    tested, examined = both(hook())
    assert tested == examined
    assert "0x80072560" in tested


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"login": ""}, "Client ID is missing", id="a missing field"),
        pytest.param({"cloud": "grey"}, "Cloud 'grey' is not known", id="an unknown cloud"),
        pytest.param({"authority": "https://evil.example"}, "is not allowed", id="a foreign authority"),
    ],
)
def test_a_wrong_field_is_told_alike_but_for_the_connections_name(hook, change, words):
    tested, examined = both(hook(**change))
    assert examined.removeprefix("Connection 'crm': ").replace("[dynamics]", "(dynamics)") == tested
    assert words in tested


def test_the_test_names_a_person_as_a_person(hook):
    passed, text = hook("refresh_token", public=True).test_connection()
    assert passed
    assert " as user '" in text


def test_nothing_in_brackets_is_lost_on_airflows_console(hook):
    from rich.text import Text

    _, text = hook(authority="https://evil.example").test_connection()
    assert "allowed_authorities" in text
    assert Text.from_markup(text).plain == text


def test_every_text_fits_into_what_airflow_keeps(hook):
    _, text = hook(tenant_id="x" * 5000).test_connection()
    assert len(text) <= 2000
    assert json.dumps(text)
