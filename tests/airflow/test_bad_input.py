"""What people get wrong in a connection: one sentence for each, the same from a task as from Test, and no request at all.

The tenant is left empty, so that a sign-in that looked for it first would be noticed.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_dynamics.auth import AuthenticationError
from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.hooks import DynamicsHook
from tests.airflow.filled_in import CLIENT, ENVIRONMENT, SECRET, TENANT
from tests.auth.keys import PASSPHRASE, pair, rsa_key
from tests.auth.services import unsigned

YESTERDAY = datetime.now(timezone.utc) - timedelta(days=1)
CERTIFICATE = pair().certificate_pem
KEY = pair().key_pem()
ID_TOKEN = unsigned({"aud": CLIENT, "preferred_username": "ann@contoso.com", "nonce": "n"})
TOKEN = "1.AXoA-seed"


def app(**fields):
    return {"password": SECRET, **fields}


def certificate(**fields):
    return {
        "password": None,
        "auth_type": "certificate",
        "private_key": KEY,
        "certificate": CERTIFICATE,
        **fields,
    }


def workload(**fields):
    return {"password": None, "auth_type": "workload_identity", **fields}


def person(token, **fields):
    return {"password": SECRET, "auth_type": "refresh_token", "refresh_token": token, **fields}


WRONG = {
    "both secret and certificate": (certificate(password=SECRET), "are both filled in"),
    "a certificate where a secret is to sign in": (app(certificate=CERTIFICATE), "are both filled in"),
    "a mode without its field": (
        certificate(private_key=None),
        "Private key is missing, needed for auth type certificate",
    ),
    "a mode with another's field": (app(managed_identity_client_id=CLIENT), "but Auth type is client_secret"),
    "a client where the machine signs in": (
        {"password": None, "auth_type": "managed_identity"},
        "Client ID is for app registrations, and Auth type is managed_identity",
    ),
    "a mode that the authority has not": (
        app(auth_type="managed_identity", authority_type="adfs", host="https://127.0.0.1:1"),
        "There is no managed identity sign-in at AD FS",
    ),
    "a mode of another name": (app(auth_type="device_code"), "Auth type 'device_code' is not known"),
    "an unreadable key": (certificate(private_key="a password?"), "Private key cannot be read"),
    "a key's path that leads nowhere": (
        certificate(private_key="/no/such/key.pem"),
        "cannot be read on this machine",
    ),
    "an encrypted key without its passphrase": (
        certificate(private_key=pair().key_pem(PASSPHRASE)),
        "Private key is encrypted and Private key passphrase is empty",
    ),
    "a PFX without its passphrase": (
        certificate(private_key=pair().pfx_text(PASSPHRASE), certificate=None),
        "Private key is encrypted and Private key passphrase is empty",
    ),
    "a key and the certificate of another": (
        certificate(private_key=pair(key=rsa_key("other")).key_pem()),
        "do not belong together",
    ),
    "an expired certificate": (
        certificate(
            private_key=pair(begins=YESTERDAY - timedelta(days=9), ends=YESTERDAY).pfx_text(),
            certificate=None,
        ),
        f" expired on {YESTERDAY:%Y-%m-%d}",
    ),
    "a token file that is missing": (
        workload(assertion_file="/no/such/token"),
        "cannot be read on this machine",
    ),
    "a token file that is empty": (
        workload(assertion_file="/dev/null"),
        "Federated token file '/dev/null' is empty",
    ),
    "no token file at all": (workload(), "AZURE_FEDERATED_TOKEN_FILE is not set on this machine"),
    "common and a secret": (app(tenant_id="common"), "Tenant ID 'common' stands for many tenants"),
    "common and a certificate": (
        certificate(tenant_id="common"),
        "Tenant ID 'common' stands for many tenants",
    ),
    "common and a workload": (
        workload(tenant_id="common", assertion_file="/dev/null"),
        "Tenant ID 'common' stands for many tenants",
    ),
    "an authority of another cloud": (
        app(authority="https://login.microsoftonline.us"),
        "but Authority is login.microsoftonline.us, which belongs to 'US Government GCC High'",
    ),
    "a cloud of another environment": (app(cloud="china"), "but Cloud says 'China (21Vianet)'"),
    "a refresh token in quotes": (person(f'"{TOKEN}"'), "has quotes or a comma around it"),
    "a refresh token with a line break": (
        person(TOKEN.replace("-", "\n-")),
        "has a line break or a space in it",
    ),
    "an ID token as refresh token": (person(ID_TOKEN), "Refresh token holds an ID token"),
}


@pytest.fixture
def hook(monkeypatch):
    """Return the hook of a connection with fields filled in."""
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "none")
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    SHARED.clear()

    def fill_in(password, host=ENVIRONMENT, **extra):
        connection = {"conn_type": "dynamics", "host": host, "login": CLIENT, "password": password}
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({**connection, "extra": extra}))
        return DynamicsHook("crm")

    return fill_in


@pytest.mark.parametrize(("fields", "words"), WRONG.values(), ids=list(WRONG))
def test_a_mistake_is_told_in_one_sentence_before_anybody_is_asked(requests_mock, hook, fields, words):
    mine = hook(**fields)
    passed, text = mine.test_connection()
    assert not passed
    assert words in text
    assert text.count(words) == 1
    assert "\n" not in text
    assert len(text) < 700
    assert not any(secret in text for secret in (SECRET, TOKEN, ID_TOKEN, KEY[40:80]))
    assert requests_mock.request_history == []


@pytest.mark.parametrize(("fields", "words"), WRONG.values(), ids=list(WRONG))
def test_a_task_says_what_the_test_says(requests_mock, hook, fields, words):
    mine = hook(**fields)
    with pytest.raises((SettingsError, AuthenticationError)) as caught, mine.get_conn() as client:
        client.who_am_i()
    assert str(caught.value).removeprefix("Connection 'crm': ") == mine.test_connection()[1]
    assert words in str(caught.value)
    assert not getattr(caught.value, "retryable", False)
    assert requests_mock.request_history == []


def test_the_same_connection_filled_in_rightly_does_ask(requests_mock, hook):
    assert not hook(**app(tenant_id=TENANT)).test_connection()[0]
    assert requests_mock.request_history
