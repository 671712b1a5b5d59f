"""Signs a person in, in a browser or with a code on another device, to obtain the refresh token a connection keeps.

Nothing is held in memory between the steps: what must be remembered is handed to the caller as JSON-able values.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from airflow_provider_dynamics.auth.authorities import CODE, DEVICE_CODE
from airflow_provider_dynamics.auth.authority import Signed, SignIn, exchange
from airflow_provider_dynamics.auth.causes import AuthenticationError, broken, refused
from airflow_provider_dynamics.auth.door import stopped
from airflow_provider_dynamics.auth.network import origin

__all__ = [
    "CodeFlow",
    "DeviceFlow",
    "finish_code_flow",
    "poll_device_flow",
    "start_code_flow",
    "start_device_flow",
]

_ANSWERS = ("code", "state", "error", "error_description", "error_subcode")
_DECLINED = frozenset({"access_denied", "authorization_declined"})
_PATIENCE = 5.0  # seconds; what RFC 8628 asks to add when a service wants to be asked less often


@dataclass(frozen=True)
class CodeFlow:
    """A sign-in in a browser that has begun: where to send the browser, and what to remember until it comes back.

    `kept` holds the PKCE verifier, nonce and state; whoever keeps it outside this process encrypts it.
    """

    url: str
    kept: dict[str, Any] = field(repr=False)


@dataclass
class DeviceFlow:
    """A sign-in with a code that has begun; `expires_at` in epoch seconds, `interval` seconds between two polls."""

    user_code: str
    verification_uri: str
    message: str
    expires_at: float
    interval: float
    kept: dict[str, Any] = field(repr=False)


def start_code_flow(
    s: SignIn, redirect_uri: str, *, login_hint: str | None = None, state: str | None = None
) -> CodeFlow:
    """Begin a sign-in in a browser, with PKCE; raises AuthenticationError when the service's addresses cannot be had.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
    """
    s = replace(s, mode=CODE)
    with exchange(s) as x:
        flow = x.app().initiate_auth_code_flow(
            x.s.scopes,
            redirect_uri=redirect_uri,
            login_hint=login_hint,
            state=state,
            prompt="consent" if s.authority.kind == "oidc" else None,  # or the provider drops offline_access
            response_mode="form_post",  # MSAL warns about any other
        )
    # the answer is asked for in the address: a browser sends no same-site cookie along with a foreign form
    url = flow.pop("auth_uri").replace("response_mode=form_post", "response_mode=query")
    if origin(url) != origin(
        s.authority.url
    ):  # MSAL took it from the service's configuration as it stood there
        raise broken(x.s.subject, "other host", url.partition("?")[0])
    if s.resource:
        url += "&" + urlencode({"resource": s.resource})
    return CodeFlow(url, {**flow, "tenant_id": x.s.tenant_id})


def finish_code_flow(
    s: SignIn, kept: Mapping[str, Any], answer: Mapping[str, str], *, now: Callable[[], float] = time.time
) -> Signed:
    """Redeem the code a browser came back with; `answer` are the parameters of the address it came back to.

    Raises AuthenticationError: declined, not the answer to this very sign-in, or refused.
    """
    s, flow = replace(s, mode=CODE), dict(kept)
    given = {name: answer[name] for name in _ANSWERS if answer.get(name)}
    tenant_id = flow.pop("tenant_id", None) or s.tenant_id
    if not flow.get("state") or not hmac.compare_digest(
        str(flow["state"]).encode(), given.get("state", "").encode()
    ):
        raise broken(s.subject, "state")
    if given.get("error") in _DECLINED and "AADSTS" not in given.get("error_description", ""):
        raise broken(s.subject, "declined")
    if "code" not in given:
        nothing = broken(s.subject, "state", "no code came back")
        raise refused(s.subject, given) if "error" in given else nothing
    s = _of_tenant(s, tenant_id)
    with exchange(s, now, hidden=(given["code"], str(flow.get("code_verifier", "")))) as x:
        app = x.app()
        result = app.acquire_token_by_auth_code_flow(flow, given, data=s.data())
        return _with_refresh_token(s, x.read(result))


def start_device_flow(s: SignIn) -> DeviceFlow:
    """Begin a sign-in with a code that a person enters on any device; for public clients. Raises AuthenticationError.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
    """
    s = replace(s, mode=DEVICE_CODE)
    _check_public(s)
    with exchange(s) as x:
        flow = x.app().initiate_device_flow(x.s.scopes)
        if "user_code" not in flow or "device_code" not in flow:
            raise refused(x.s.subject, flow, status=x.door.status)
    url = flow.get("verification_uri") or flow.get("verification_url") or ""
    return DeviceFlow(
        user_code=str(flow["user_code"]),
        verification_uri=str(url),
        message=str(flow.get("message") or f"Open {url} and enter the code {flow['user_code']}."),
        expires_at=float(flow["expires_at"]),
        interval=max(1.0, float(flow["interval"])),
        kept={"device_code": str(flow["device_code"]), "tenant_id": x.s.tenant_id},
    )


def poll_device_flow(s: SignIn, flow: DeviceFlow, *, now: Callable[[], float] = time.time) -> Signed | None:
    """Ask once whether the person has signed in, None: not yet. Wait `flow.interval` between two calls; it may grow.

    Raises AuthenticationError when the person declined or the code has expired, and for what may pass, which is
    `retryable`.
    """
    s = replace(s, mode=DEVICE_CODE)
    if now() >= flow.expires_at:
        raise refused(s.subject, {"error": "expired_token"})
    s = _of_tenant(s, flow.kept.get("tenant_id"))
    once = {"device_code": flow.kept["device_code"], "interval": 1}
    with exchange(s, now, hidden=(once["device_code"],)) as x:
        result = x.app().acquire_token_by_device_flow(once, exit_condition=lambda _: True)
        if result.get("error") == "slow_down":
            flow.interval += _PATIENCE
        if result.get("error") in {"authorization_pending", "slow_down"}:
            return None
        if result.get("error") in _DECLINED:
            raise broken(s.subject, "declined")
        return _with_refresh_token(s, x.read(result))


def _of_tenant(s: SignIn, tenant_id: str | None) -> SignIn:
    return replace(s, tenant_id=tenant_id) if tenant_id and not s.tenant_id else s


def _check_public(s: SignIn) -> None:
    if s.proof is not None:
        raise stopped(
            s.subject,
            "A code on another device signs in apps without a secret only, and this connection has one.",
            "sign in with a browser, or use a public client's Client ID and leave Client secret empty",
        )


def _with_refresh_token(s: SignIn, signed: Signed) -> Signed:
    """Return it, unless the sign-in would be over with its access token."""
    if signed.refresh_token:
        return signed
    raise _no_refresh_token(s)


def _no_refresh_token(s: SignIn) -> AuthenticationError:
    remedies = {
        "entra": "check that Scope is empty and that the app may be given offline_access",
        "adfs": "have an administrator allow them (Set-AdfsRelyingPartyTrust -IssueOAuthRefreshTokensTo AllDevices)",
        "oidc": "allow the app the scope offline_access and the grant refresh_token",
    }
    return stopped(
        s.subject,
        "The sign-in worked, but the service sent no refresh token, so the connection could not sign in again.",
        remedies[s.authority.kind],
    )
