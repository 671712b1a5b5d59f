"""Connections as somebody has filled them in, for tests that look at what they mean."""

from __future__ import annotations

from airflow_provider_dynamics.connection import Settings

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
ELSEWHERE = "99999999-8888-7777-6666-555555555555"
URL = "https://contoso.crm.dynamics.com"


def settings(password: str | None = "s3cret", login=CLIENT, host=URL, **extra):  # noqa: S107 - it opens nothing
    return Settings.from_fields(
        host=host,
        login=login,
        password=password,
        extra={"tenant_id": TENANT, **extra},
        allowed_authorities=["adfs.contoso.com"],
    )


def person(**extra):
    return settings(password=None, auth_type="refresh_token", refresh_token="1.AAAA", **extra)


def on_premises():
    return settings(
        host="https://org.contoso.com", authority_type="adfs", authority="https://adfs.contoso.com/adfs"
    )
