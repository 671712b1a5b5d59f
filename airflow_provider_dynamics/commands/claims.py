"""What an access token says about itself, compared with the connection it was got for.

Microsoft asks programs not to rely on what an access token says, so its claims explain a failure and decide
nothing.
https://learn.microsoft.com/entra/identity-platform/access-tokens
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_dynamics.commands.checks import PERSONS, is_guid, listed
from airflow_provider_dynamics.commands.findings import Finding
from airflow_provider_dynamics.connection import Settings

__all__ = ["claims", "claims_of"]

_DATAVERSE = "00000007-0000-0000-c000-000000000000"  # Dataverse's own app id, the audience of some tokens


def claims_of(token: str) -> dict[str, Any] | None:
    """Return what a JSON Web Token says, unchecked; None where the token is not one."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    return found if isinstance(found, dict) else None


def claims(said: Mapping[str, Any] | None, settings: Settings) -> Finding:
    """Compare an access token's claims with the connection: for whom, from where, as whom, with which rights."""
    if said is None:
        return Finding(
            "claims", "skipped", "The token is not one that can be read, which is its issuer's right."
        )
    wrong = (
        _wrong_audience(said, settings) or _wrong_identity(said, settings) or _missing_right(said, settings)
    )
    if wrong:
        return wrong
    person = _first(said, "upn", "preferred_username", "unique_name")
    facts = [
        f"for {_audience(said)}",
        f"tenant {said['tid']}" if said.get("tid") else "",
        f"as {person}" if person else f"as app {_first(said, 'appid', 'azp') or '?'}",
        f"scopes {said['scp']}" if said.get("scp") else "",
        f"app roles {listed(said['roles'])}" if said.get("roles") else "",
    ]
    return Finding("claims", "ok", f"The token is {', '.join(fact for fact in facts if fact)}.")


def _wrong_audience(said: Mapping[str, Any], settings: Settings) -> Finding | None:
    wanted = {settings.environment, settings.authority.resource or settings.environment, _DATAVERSE}
    audience = _audience(said).removeprefix("microsoft:identityserver:")
    if audience.rstrip("/") in {one.rstrip("/") for one in wanted}:
        return None
    entra = settings.authority.kind == "entra"
    return Finding(
        "claims",
        "fail" if entra else "warn",
        f"The token is for {audience or 'nobody'}, not for {settings.environment}.",
        "Leave Scope empty, so that the environment's own is asked for"
        if entra
        else "Set AD FS resource to the identifier that Dynamics 365 is registered with as a relying party",
    )


def _wrong_identity(said: Mapping[str, Any], settings: Settings) -> Finding | None:
    app, tid = _first(said, "appid", "azp"), str(said.get("tid") or "")
    if is_guid(settings.tenant_id) and tid and tid.lower() != str(settings.tenant_id).lower():
        text = f"The token is of tenant {tid}, but Tenant ID is {settings.tenant_id}."
        return Finding("claims", "fail", text, "Correct Tenant ID")
    if settings.client_id and app and app.lower() != settings.client_id.lower():
        text = f"The token is of app {app}, but Client ID is {settings.client_id}."
        return Finding("claims", "warn", text, "Correct Client ID, or sign in again")
    return None


def _missing_right(said: Mapping[str, Any], settings: Settings) -> Finding | None:
    scopes = str(said.get("scp") or "").split()
    person = settings.auth_type in PERSONS and settings.authority.kind == "entra"
    if not person or "user_impersonation" in scopes:
        return None
    return Finding(
        "claims",
        "warn",
        f"The token lacks the right to act for the person (scopes: {' '.join(scopes) or 'none'}).",
        "Give the app registration the API permission Dynamics CRM > user_impersonation, and sign in again",
    )


def _audience(said: Mapping[str, Any]) -> str:
    found = said.get("aud")
    return str(found[0] if isinstance(found, list) and found else found or "")


def _first(said: Mapping[str, Any], *names: str) -> str:
    return next((str(said[name]) for name in names if said.get(name)), "")
