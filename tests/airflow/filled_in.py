"""A connection of an app with a secret, to be filled in differently field by field."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.connection import Settings, SettingsError

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
SECRET = "~s3/cr@t:+%"
ENVIRONMENT = "https://contoso.crm4.dynamics.com"


def settings(
    *,
    host=ENVIRONMENT,
    login=CLIENT,
    password=SECRET,
    allowed=(),
    port=None,
    schema=None,
    signing_in=False,
    **extra,
):
    return Settings.from_fields(
        host=host,
        login=login,
        password=password,
        port=port,
        schema=schema,
        extra={"tenant_id": TENANT, **extra},
        allowed_authorities=allowed,
        signing_in=signing_in,
    )


def refusal(**fields):
    with pytest.raises(SettingsError) as caught:
        settings(**fields)
    assert SECRET not in str(caught.value)
    return str(caught.value)
