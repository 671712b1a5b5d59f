"""The tokens the sign-in services issue, and who they speak for when they come back.

Access tokens are signed with a secret that dies with the process: only this emulator can check them. ID
tokens are signed with a key that the key set publishes.
https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_dynamics.emulator.directory import CLIENT_ID, TENANT_ID, Application, Person
from airflow_provider_dynamics.emulator.entra import jwt
from airflow_provider_dynamics.emulator.entra.keys import tenant_key
from airflow_provider_dynamics.emulator.messages import Principal

LOOPBACK = ("127.0.0.1", "localhost", "::1")
CHALLENGE = {"access_token": {"nbf": {"essential": True, "value": "1700000000"}}}
_CACHED_TOKENS = 256


@dataclass(frozen=True)
class Claims:
    """What a ``claims`` parameter asks for: capabilities of the client, and the challenge it answers."""

    capabilities: tuple[str, ...] = ()
    answers_challenge: bool = False


def read_claims(text: str | None) -> Claims:
    """Read a ``claims`` parameter; ValueError when it is no claims request.

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    if not text:
        return Claims()
    wanted = json.loads(text)
    members = wanted.get("access_token", {}) if isinstance(wanted, dict) else None
    if not isinstance(members, dict):
        raise ValueError("claims must be an object with an access_token")  # noqa: TRY004 - the text is wrong
    capable = members.get("xms_cc") or {}
    return Claims(tuple(map(str, capable.get("values", ()))), bool(set(members) - {"xms_cc"}))


def same_place(resource: str, origin: str) -> bool:
    """127.0.0.1, localhost and ::1 are one environment; scheme and port must agree."""
    if resource.rstrip("/").lower() == origin.lower():
        return True
    left, right = urlsplit(resource), urlsplit(origin)
    loopback = left.hostname in LOOPBACK and right.hostname in LOOPBACK
    try:
        return loopback and left.scheme == right.scheme and left.port == right.port and left.path in ("", "/")
    except ValueError:
        return False


class Tokens:
    """Issues and checks tokens; ``now`` is the clock of the sign-in service."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.issued = 0
        self.key = secrets.token_bytes(32)
        self._now = now
        self._lock = threading.Lock()
        self._checked: dict[tuple[str, str], tuple[Principal, float]] = {}

    def for_app(
        self,
        resource: str,
        lifetime: float,
        client_id: str = CLIENT_ID,
        *,
        proof: str = "1",
        claims: Claims = Claims(),
        **more: Any,
    ) -> str:
        """Sign an application's access token; ``proof`` 1 is a secret, 2 a certificate or assertion."""
        app = {
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            "appid": client_id,
            "appidacr": proof,
            "idtyp": "app",
            "oid": Application(client_id, "", confidential=True).object_id,
            "tid": TENANT_ID,
            "ver": "1.0",
        }
        return self._sign(resource, lifetime, {**app, **_asked_for(claims), **more})

    def for_person(
        self,
        resource: str,
        lifetime: float,
        person: Person,
        client: Application,
        *,
        claims: Claims = Claims(),
    ) -> str:
        """Sign the access token of a person who signed in through an application."""
        body = {
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            "acr": "1",
            "amr": ["pwd", "mfa"] if person.needs_second_factor else ["pwd"],
            "appid": client.client_id,
            "appidacr": "1" if client.confidential else "0",
            "family_name": person.family_name,
            "given_name": person.given_name,
            "name": person.name,
            "oid": person.object_id,
            "scp": "user_impersonation",
            "sub": _subject(person, resource),
            "tid": TENANT_ID,
            "unique_name": person.user_name,
            "upn": person.user_name,
            "ver": "1.0",
        }
        return self._sign(resource, lifetime, {**body, **_asked_for(claims)})

    def on_premises(self, resource: str, lifetime: float, issuer: str, claims: Mapping[str, Any]) -> str:
        """Sign an access token as AD FS does."""
        return self._sign(resource, lifetime, {"iss": issuer, "ver": "1.0", **claims})

    def id_token(self, issuer: str, client_id: str, person: Person, nonce: str | None) -> str:
        """Sign an ID token of version 2.0.

        https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
        """
        now = int(self._now())
        claims = {
            "aud": client_id,
            "iss": issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "name": person.name,
            "oid": person.object_id,
            "preferred_username": person.user_name,
            "sub": _subject(person, client_id),
            "tid": TENANT_ID,
            "uti": secrets.token_urlsafe(12),
            "ver": "2.0",
        }
        return self.sign_id({**claims, **({"nonce": nonce} if nonce else {})})

    def sign_id(self, claims: Mapping[str, Any]) -> str:
        """Sign an ID token's claims with the published key."""
        return jwt.sign(claims, tenant_key(), kid=tenant_key().thumbprint("x5t"))

    def check(self, token: str, origin: str) -> Principal | None:
        """Return whom a bearer token speaks for; None when it is forged, expired or made for something else."""
        known = self._checked.get((token, origin))
        if known is None:
            claims = jwt.read_secret(token, self.key)
            if claims is None or not same_place(str(claims.get("aud")), origin):
                return None
            known = _principal(claims), float(claims["exp"])
            if len(self._checked) >= _CACHED_TOKENS:
                self._checked.clear()
            self._checked[token, origin] = known
        principal, expires = known
        return principal if expires > self._now() else None

    def _sign(self, resource: str, lifetime: float, claims: Mapping[str, Any]) -> str:
        now = int(self._now())
        with self._lock:
            self.issued += 1
        times = {"aud": resource, "iat": now, "nbf": now, "exp": now + lifetime}
        return jwt.sign_secret({**times, **claims, "uti": secrets.token_urlsafe(12)}, self.key)


def _asked_for(claims: Claims) -> dict[str, Any]:
    return {
        **({"xms_cc": list(claims.capabilities)} if claims.capabilities else {}),
        **({"claims": "answered"} if claims.answers_challenge else {}),
    }


def _principal(claims: Mapping[str, Any]) -> Principal:
    is_person = "upn" in claims
    return Principal(
        client_id=str(claims["appid"]),
        object_id=str(claims["oid"]) if is_person and "oid" in claims else None,
        user_name=str(claims["upn"]) if is_person else None,
        answers_challenge="claims" in claims,
    )


def _subject(person: Person, audience: str) -> str:
    return jwt.encode(uuid.uuid5(uuid.NAMESPACE_URL, f"{person.object_id}/{audience}").bytes * 2)
