"""Signs in through MSAL, once per call and with nothing kept: tokens are kept in `tokens`, refresh tokens in `store`.

MSAL's own caches answer yesterday's refusal for a minute and forget what they hold when a service is busy, so
each sign-in gets a new MSAL application behind a door of our own.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_dynamics.auth.authorities import APP_MODES, Authority, unavailable, unfit_tenant
from airflow_provider_dynamics.auth.causes import AuthenticationError, Subject, refused
from airflow_provider_dynamics.auth.discovery import find_tenant
from airflow_provider_dynamics.auth.door import Door, Gate, stopped, veiled, worded
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.proofs import Proof, ProofError
from airflow_provider_dynamics.auth.tokens import AccessToken

__all__ = [
    "Exchange",
    "SignIn",
    "Signed",
    "Subject",
    "check_available",
    "exchange",
    "sign_in_app",
    "sign_in_password",
    "sign_in_refresh",
]

_DEFAULT_LIFE = 3599  # seconds; what MSAL assumes where a service does not say
_RESERVED = frozenset({"openid", "profile", "offline_access"})  # MSAL adds them itself
_CAPABILITIES = ["CP1"]  # claims challenges are answered: `bearer` replays with the claims asked for
_NAMES = ("preferred_username", "upn", "unique_name", "email")


@dataclass(frozen=True)
class SignIn:
    """Who signs in, where, how, and to what; `mode` is for texts, `proof` None makes a public client.

    `scope` goes before the scope that is derived; `tenant_id` None lets the environment say it, or `tenant_of`, where
    that is another one.
    """

    environment: str
    authority: Authority
    tenant_id: str | None
    client_id: str
    proof: Proof | None
    mode: str
    scope: str | None = None
    network: Network = field(default_factory=Network)
    tenant_of: str = ""

    @property
    def scopes(self) -> list[str]:
        """What the token is asked for; nothing at AD FS, which is told the resource instead.

        https://learn.microsoft.com/power-apps/developer/data-platform/authenticate-oauth
        """
        if self.scope:
            asked = self.scope.split()
            return asked if self.mode in APP_MODES else [one for one in asked if one not in _RESERVED]
        if self.authority.kind == "adfs":
            return []
        public = self.proof is None and self.mode not in APP_MODES
        return [f"{self.environment}/{'user_impersonation' if public else '.default'}"]

    @property
    def resource(self) -> str | None:
        """The `resource` to send along, None where there is none.

        https://learn.microsoft.com/openspecs/windows_protocols/ms-oapx/0bb6eab3-1096-4368-aba6-e4c36023b2f8
        """
        if self.authority.kind == "entra":
            return None
        if self.authority.kind == "adfs" and not self.authority.resource:
            parts = urlsplit(self.environment)
            return f"{parts.scheme}://{parts.netloc}/"
        return self.authority.resource

    @property
    def subject(self) -> Subject:
        """The facts that turn a refusal into a sentence."""
        return Subject(
            environment=self.environment,
            mode=self.mode,
            tenant_id=(self.tenant_id or "") if self.authority.kind == "entra" else "",
            client_id=self.client_id,
            authority_host=self.authority.host,
            scope=" ".join(self.scopes) or self.resource or "",
            authority_kind=self.authority.kind,
        )

    def data(self, claims: str | None = None) -> dict[str, str]:
        """What goes into the token request besides what MSAL puts there."""
        found = {"resource": self.resource, "claims": claims}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Signed:
    """What a sign-in brought: `refresh_token` where a person signed in, `user` as the service calls them ("": an app)."""

    token: AccessToken
    refresh_token: str | None = field(default=None, repr=False)
    user: str = ""
    tenant_id: str = ""


def sign_in_app(s: SignIn, *, now: Callable[[], float] = time.time, claims: str | None = None) -> Signed:
    """Sign an app in by itself; `claims` is the JSON text of a challenge. Raises AuthenticationError.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """
    with exchange(s, now) as x:
        asked = x.challenge(claims)
        return x.signed(
            lambda: x.app().acquire_token_for_client(s.scopes, claims_challenge=asked, data=s.data())
        )


def sign_in_refresh(
    s: SignIn, refresh_token: str, *, now: Callable[[], float] = time.time, claims: str | None = None
) -> Signed:
    """Exchange a person's refresh token; MSAL sends claims with every grant but this one. Raises AuthenticationError.

    https://learn.microsoft.com/entra/identity-platform/refresh-tokens
    """
    with exchange(s, now, hidden=(refresh_token,)) as x:
        data = s.data(x.capable(claims))
        return x.signed(lambda: x.app().acquire_token_by_refresh_token(refresh_token, s.scopes, data=data))


def sign_in_password(
    s: SignIn,
    username: str,
    password: str,
    *,
    now: Callable[[], float] = time.time,
    claims: str | None = None,
) -> Signed:
    """Sign a person in with their password, which Microsoft advises against. Raises AuthenticationError.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
    """
    with exchange(s, now, hidden=(password,)) as x:
        # MSAL warns on public clients only, and a warning filter is no affair of one thread
        app, asked = x.app(confidential=True), x.challenge(claims)
        return x.signed(
            lambda: app.acquire_token_by_username_password(
                username, password, s.scopes, claims_challenge=asked, data=s.data()
            )
        )


class Exchange:
    """One conversation with a sign-in service."""

    def __init__(self, s: SignIn, door: Door, credential: Any, now: Callable[[], float]) -> None:
        self.s = s
        self.door = door
        self._credential = credential
        self._asked_at = now()

    def app(self, *, confidential: bool = False) -> Any:
        """Return a new MSAL application, which asks the authority for its addresses."""
        import msal

        s = self.s
        forgetful = msal.TokenCache()
        forgetful.add = lambda *_, **__: None  # what cannot be cached would cost the new refresh token
        options: dict[str, Any] = {
            "http_client": self.door,
            "token_cache": forgetful,
            "instance_discovery": False,  # its own failure would hide the sign-in's
            "azure_region": False,  # Microsoft's own services only; an environment variable must not switch it on
            "client_capabilities": self._capabilities,
        }
        if s.authority.kind == "oidc":
            options["oidc_authority"] = s.authority.url
        else:
            tenant = f"/{s.tenant_id}" if s.authority.kind == "entra" else ""
            options["authority"] = s.authority.url + tenant
        if self._credential is None and not confidential:
            return msal.PublicClientApplication(s.client_id, **options)
        return msal.ConfidentialClientApplication(s.client_id, client_credential=self._credential, **options)

    def challenge(self, claims: str | None) -> str | None:
        """Return a claims challenge as MSAL takes it, None where it is no JSON object."""
        asked = _object(claims)
        return json.dumps(asked) if asked else None

    def capable(self, claims: str | None) -> str | None:
        """Return a claims challenge together with what MSAL would declare itself."""
        asked = _object(claims)
        if self._capabilities:
            asked.setdefault("access_token", {})["xms_cc"] = {"values": self._capabilities}
        return json.dumps(asked) if asked else None

    def signed(self, ask: Callable[[], Mapping[str, Any] | None]) -> Signed:
        """Return what `ask` brings from MSAL; raises AuthenticationError for a refusal.

        Where MSAL cannot make anything of an ID token, the tokens beside it still count: the refresh token that was
        spent on them does not come back.
        """
        try:
            result = ask()
        except (AuthenticationError, OSError):
            raise
        except Exception:
            result = self.door.answer
            if "access_token" not in result:
                raise
        return self.read(result)

    def read(self, result: Mapping[str, Any] | None) -> Signed:
        """Return what MSAL made of the answer; raises AuthenticationError for a refusal."""
        token = (result or {}).get("access_token")
        if not result or not isinstance(token, str) or not token:
            raise refused(self.s.subject, result or {}, status=self.door.status)
        answer = self.door.answer
        claims = _said_by(answer.get("id_token"))
        refresh_in = _seconds(answer.get("refresh_in"))
        return Signed(
            AccessToken(
                token,
                expires_at=self._asked_at + (_seconds(answer.get("expires_in")) or _DEFAULT_LIFE),
                refresh_at=None if refresh_in is None else self._asked_at + refresh_in,
            ),
            refresh_token=answer.get("refresh_token") or None,
            user=next((str(claims[name]) for name in _NAMES if claims.get(name)), ""),
            tenant_id=str(claims.get("tid") or self.s.tenant_id or ""),
        )

    @property
    def _capabilities(self) -> list[str] | None:
        return _CAPABILITIES if self.s.authority.kind == "entra" else None


@contextmanager
def exchange(
    s: SignIn, now: Callable[[], float] = time.time, hidden: tuple[str, ...] = ()
) -> Iterator[Exchange]:
    """Open a conversation, having checked on this side what can be; whatever goes wrong in it is AuthenticationError."""
    credential = _checked(s, now())
    secrets = (*hidden, *(s.proof.hidden if s.proof else ()))
    if s.authority.kind == "entra" and not s.tenant_id:
        where = s.tenant_of or s.environment
        s = replace(s, tenant_id=find_tenant(where, s.authority, s.network, subject=s.subject))
        _check_tenant(s)
    with requests.Session() as session:
        gate = Gate(session, s.subject, s.network, s.authority.url)
        door = Door(gate, s.subject, s.authority.url, now)
        try:
            yield Exchange(s, door, credential, now)
        except AuthenticationError as error:  # its text may quote a service that repeats what it was sent
            error.args = (veiled(str(error), secrets),)
            error.message = veiled(error.message, secrets)
            raise
        except (OSError, requests.RequestException) as error:
            raise worded(s.subject, error) from error
        except Exception as error:  # noqa: BLE001 - MSAL raises whatever an odd answer makes of its parsing
            raise worded(s.subject, error, secrets) from None


def _checked(s: SignIn, now: float) -> Any:
    """Return the credential as MSAL takes it; raises AuthenticationError for what cannot work."""
    check_available(s)
    _check_tenant(s)
    if not s.authority.url.startswith("https://"):
        raise stopped(s.subject, "Authority must start with https.", "correct Authority")
    if not s.client_id:
        raise stopped(s.subject, "Client ID is missing.", "enter the app registration's Client ID")
    try:
        return s.proof.for_msal(now) if s.proof else None
    except ProofError as error:
        raise stopped(s.subject, error.cause, error.remedy) from None


def check_available(s: SignIn) -> None:
    """Raise AuthenticationError for a way of signing in that does not exist at this kind of service."""
    absent = unavailable(s.mode, s.authority.kind)
    if absent:
        raise stopped(s.subject, absent, "choose another Auth type, or correct Authority type")


def _check_tenant(s: SignIn) -> None:
    unfit = unfit_tenant(s.mode, s.tenant_id or "") if s.authority.kind == "entra" else ""
    if unfit:
        raise stopped(s.subject, unfit, "enter the directory's GUID or one of its domains into Tenant ID")


def _said_by(id_token: Any) -> dict[str, Any]:
    """Return what an ID token says, nothing where it cannot be read; it came from the service itself over TLS."""
    try:
        part = str(id_token).split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(value: Any) -> float | None:
    """Return a number of seconds, None for all else: the refresh token beside it must not be lost over that."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _object(claims: str | None) -> dict[str, Any]:
    try:
        found = json.loads(claims or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
