"""No error is longer than what Airflow keeps, whatever was filled in and whatever a service says; its remedy is still there."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.auth import (
    AuthenticationError,
    Authority,
    ClientSecret,
    Network,
    WorkloadIdentity,
)
from airflow_provider_dynamics.auth.store import StoreError
from airflow_provider_dynamics.auth.texts import LONGEST_TEXT, fitted
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.connection.fields import EXTRA
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.retry import airflow_error
from tests.airflow.filled_in import CLIENT, TENANT, settings

LONG = "y" * 6000
HERE = Authority(url="https://127.0.0.1:1")


def told(error):
    """Return what a task says."""
    translated = airflow_error(error)
    assert translated is not None
    return str(translated)


@pytest.mark.parametrize(
    "fields",
    [
        *({name: LONG} for name in sorted(EXTRA)),
        {"host": LONG},
        {"host": f"https://contoso.crm4.dynamics.com/{LONG}"},
        {"host": f"https://{LONG}.crm4.dynamics.com:1"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_long_value_in_the_form(fields):
    said = ""
    try:
        settings(**fields)
    except SettingsError as error:
        said = f"{error}\n{told(error)}"
    assert all(len(line) <= LONGEST_TEXT for line in said.splitlines())


@pytest.mark.parametrize(
    "credential",
    [
        WorkloadIdentity(TENANT, CLIENT, f"/{LONG}"),
        ClientSecret(LONG, LONG, LONG, authority=HERE),
        ClientSecret("common", LONG, LONG),
    ],
    ids=["a file's name", "every name", "many tenants"],
)
def test_a_sign_in_with_long_names(credential):
    with pytest.raises(AuthenticationError) as caught:
        credential.get_token("https://127.0.0.1:1", network=Network())
    assert len(told(caught.value)) <= LONGEST_TEXT
    assert "What to do: " in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError(f"{LONG} Sign in again."),
        StoreError(f"{LONG} Sign in again."),
        SettingsError(f"{LONG} Sign in again."),
        errors.Forbidden(
            LONG, asked=LONG, status=403, code="0x80040220", request_id=LONG, remedy="Sign in again."
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_service_says_at_length(error):
    assert len(told(error)) <= LONGEST_TEXT
    assert told(error).endswith("Sign in again.")


def test_a_text_that_fits_stays_as_it_is():
    assert fitted("x" * 2000) == "x" * 2000
    assert len(fitted("x" * 2001)) == 2000
    assert len(fitted("x" * 99, 50)) == 50
