"""What AD FS issues: access tokens for its relying party, ID tokens, refresh tokens that end 8 hours after the sign-in.

https://learn.microsoft.com/windows-server/identity/ad-fs/operations/ad-fs-single-sign-on-settings
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.emulator.directory import Application, Person
from airflow_provider_dynamics.emulator.entra.adfs_errors import invalid
from airflow_provider_dynamics.emulator.entra.errors import json_response
from airflow_provider_dynamics.emulator.entra.tokens import Tokens
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.messages import Response

SSO_LIFETIME = 480 * 60.0


@dataclass
class Held:
    """What a refresh token stands for."""

    person: Person
    client_id: str
    resource: str
    issued_at: float
    is_revoked: bool = False


class AdFsTokens:
    """Issues AD FS's tokens; safe to use from several threads."""

    def __init__(self, faults: Faults, tokens: Tokens, now: Callable[[], float]) -> None:
        self._faults = faults
        self._tokens = tokens
        self._now = now
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}

    def refresh_token(self, person: Person, client_id: str, resource: str) -> str:
        """Return a new refresh token."""
        text = secrets.token_urlsafe(96)
        with self._lock:
            self._held[text] = Held(person, client_id, resource, self._now())
        return text

    def held(self, text: str, client_id: str) -> Held:
        """Return what a refresh token stands for. Raises ``AdFsError`` when it is dead."""
        with self._lock:
            held = self._held.get(text)
        if held is None or held.client_id != client_id or held.is_revoked:
            raise invalid("refresh_token")
        if self._now() - held.issued_at > SSO_LIFETIME:
            raise invalid("expired")
        return held

    def revoke(self, user_name: str | None) -> int:
        """Revoke the refresh tokens of one person, or of all; returns how many."""
        with self._lock:
            found = [one for one in self._held.values() if user_name in (None, one.person.user_name)]
            for one in found:
                one.is_revoked = True
        return len(found)

    def expire(self) -> int:
        """End every session; returns how many refresh tokens there were."""
        with self._lock:
            for one in self._held.values():
                one.issued_at = self._now() - SSO_LIFETIME - 1
            return len(self._held)

    def for_app(self, app: Application, resource: str, origin: str) -> Response:
        """Answer with an application's token."""
        claims = {"appid": app.client_id, "apptype": "Confidential", "sub": app.client_id}
        lifetime = self._lifetime()
        token = self._tokens.on_premises(resource, lifetime, trust(origin), claims)
        return json_response(200, {"access_token": token, "token_type": "bearer", "expires_in": lifetime})

    def for_person(
        self,
        person: Person,
        app: Application,
        resource: str,
        origin: str,
        asked: Mapping[str, str],
        *,
        refresh: bool,
    ) -> Response:
        """Answer with a person's tokens; a refresh token comes with the first ones only."""
        lifetime = self._lifetime()
        who = {"upn": person.user_name, "unique_name": f"CONTOSO\\{person.user_name.partition('@')[0]}"}
        kind = "Confidential" if app.confidential else "Public"
        claims = {**who, "appid": app.client_id, "apptype": kind, "auth_time": int(self._now())}
        content: dict[str, Any] = {
            "access_token": self._tokens.on_premises(resource, lifetime, trust(origin), claims),
            "token_type": "bearer",
            "expires_in": lifetime,
            "resource": resource,
        }
        if refresh:
            content["refresh_token"] = self.refresh_token(person, app.client_id, resource)
            content["refresh_token_expires_in"] = int(SSO_LIFETIME) - 1
        if "openid" in asked.get("scope", "").split():
            content["scope"] = "openid"
            content["id_token"] = self._id_token(origin, app, who, asked.get("nonce"))
        return json_response(200, content)

    def _id_token(self, origin: str, app: Application, who: Mapping[str, str], nonce: str | None) -> str:
        now = int(self._now())
        claims = {
            "aud": app.client_id,
            "iss": issuer(origin),
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "sub": who["upn"],
            **who,
            **({"nonce": nonce} if nonce else {}),
        }
        return self._tokens.sign_id(claims)

    def _lifetime(self) -> int:
        return int(next(iter(self._faults.state("token_lifetime")), {"seconds": 3600})["seconds"])


def issuer(origin: str) -> str:
    """The issuer of ID tokens."""
    return f"{origin}/adfs"


def trust(origin: str) -> str:
    """The issuer of access tokens: a name, not an address."""
    return f"{origin.replace('https://', 'http://')}/adfs/services/trust"


def metadata(origin: str) -> dict[str, Any]:
    """The discovery document.

    https://learn.microsoft.com/windows-server/identity/ad-fs/development/ad-fs-openid-connect-oauth-concepts
    """
    base = f"{origin}/adfs"
    return {
        "issuer": issuer(origin),
        "authorization_endpoint": f"{base}/oauth2/authorize/",
        "token_endpoint": f"{base}/oauth2/token/",
        "jwks_uri": f"{base}/discovery/keys",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "client_secret_basic",
            "private_key_jwt",
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", "password"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "user_impersonation", "allatclaims", "aza"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "access_token_issuer": trust(origin),
        "claims_supported": ["aud", "iss", "iat", "exp", "auth_time", "nonce", "sub", "upn", "unique_name"],
        "end_session_endpoint": f"{base}/oauth2/logout",
    }
