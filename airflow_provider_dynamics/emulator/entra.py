"""Microsoft Entra ID as an application sees it: discovery, the token endpoint, and its errors.

Tokens are signed with a key that dies with the process; only this emulator can check them.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from airflow_provider_dynamics.emulator.faults import TOKEN_KINDS, Faults, Switch
from airflow_provider_dynamics.emulator.messages import Request, Response

TENANT_ID = "5f1c3a6e-7d0b-4c52-9a64-2f8e0d1b7c33"
TENANT_DOMAIN = "emulator.onmicrosoft.com"
CLIENT_ID = "c0ffee00-4d2a-4e0b-8f53-6b1d9a7e5c21"
CLIENT_SECRET = "emulator~secret.not-a-real-one"  # noqa: S105 - public on purpose: it opens nothing but this emulator
NO_TENANT = ("common", "organizations", "consumers")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
JSON_TYPE = "application/json; charset=utf-8"
_CACHED_TOKENS = 256


class EntraError(Exception):
    """An error of the token endpoint: OAuth error, AADSTS number and text."""

    def __init__(self, status: int, error: str, code: int, text: str, retry_after: Any = None) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.code = code
        self.text = text
        self.retry_after = retry_after


@dataclass(frozen=True)
class Caller:
    """Who a good token speaks for."""

    client_id: str
    has_claims: bool


class Entra:
    """One tenant with one app registration that has one client secret."""

    def __init__(self, faults: Faults | None = None, now: Callable[[], float] = time.time) -> None:
        self.tenant_id = TENANT_ID
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        self.issued = 0
        self._faults = faults or Faults()
        self._now = now
        self._key = secrets.token_bytes(32)
        self._checked: dict[tuple[str, str], tuple[Caller, float]] = {}

    def is_mine(self, path: str) -> bool:
        """Say whether a path belongs to the sign-in service."""
        parts = path.split("/")
        return len(parts) > 2 and ("oauth2" in parts[2:4] or ".well-known" in path)

    def strike(self, request: Request) -> dict[str, Switch]:
        """Return the switches that hit a token request."""
        if request.path.endswith("/token"):
            return self._faults.strike(TOKEN_KINDS, request.method, request.path)
        return {}

    def handle(self, request: Request, hit: Mapping[str, Switch] | None = None) -> Response:
        """Answer a request for discovery, keys or a token."""
        tenant, _, rest = request.path.lstrip("/").partition("/")
        try:
            if rest in ("v2.0/.well-known/openid-configuration", ".well-known/openid-configuration"):
                return self._discovery(request.origin, tenant)
            if rest == "discovery/v2.0/keys":
                return _json(200, {"keys": []})
            if rest == "oauth2/v2.0/token":
                return self._token(request, tenant, hit or {})
        except EntraError as error:
            return _error(error, request)
        return _json(501, {"error": "not_emulated", "error_description": f"not emulated: {request.path}"})

    def check(self, token: str, origin: str) -> Caller | None:
        """Return who a bearer token speaks for; None when it is forged, expired or made for something else."""
        known = self._checked.get((token, origin))
        if known is None:
            claims = self._read(token)
            if claims is None or not _same_place(str(claims.get("aud")), origin):
                return None
            known = Caller(str(claims["appid"]), "claims" in claims), float(claims["exp"])
            if len(self._checked) >= _CACHED_TOKENS:
                self._checked.clear()
            self._checked[token, origin] = known
        caller, expires = known
        return caller if expires > self._now() else None

    def issue(self, resource: str, lifetime: float = 3600, *, with_claims: bool = False) -> str:
        """Sign an application's access token for a resource."""
        now = int(self._now())
        self.issued += 1
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "appid": self.client_id,
            "appidacr": "1",
            "idtyp": "app",
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, self.client_id)),
            "tid": self.tenant_id,
            "uti": secrets.token_urlsafe(12),
            "ver": "1.0",
        }
        if with_claims:
            claims["claims"] = "answered"
        head = _encode(json.dumps({"typ": "JWT", "alg": "HS256", "kid": "emulator"}).encode())
        body = _encode(json.dumps(claims).encode())
        return f"{head}.{body}.{self._sign(f'{head}.{body}')}"

    def _sign(self, text: str) -> str:
        return _encode(hmac.digest(self._key, text.encode(), hashlib.sha256))

    def _read(self, token: str) -> dict[str, Any] | None:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(signed).encode()):
            return None
        body = signed.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims

    def _discovery(self, origin: str, tenant: str) -> Response:
        if tenant not in NO_TENANT:
            self._known_tenant(tenant, error="invalid_tenant")
        tenant_id = tenant if tenant in NO_TENANT else self.tenant_id
        base = f"{origin}/{tenant_id}"
        return _json(
            200,
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
                "tenant_region_scope": "NA",
                "cloud_instance_name": "microsoftonline.com",
            },
        )

    def _known_tenant(self, tenant: str, error: str = "invalid_request") -> None:
        if tenant.lower() in (self.tenant_id, TENANT_DOMAIN):
            return
        raise EntraError(
            400,
            error,
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
            "the correct cloud. Check with your subscription administrator, this may happen if there are no active "
            "subscriptions for the tenant.",
        )

    def _token(self, request: Request, tenant: str, hit: Mapping[str, Switch]) -> Response:
        if "token_error" in hit:
            raise _switched_error(hit["token_error"].settings)
        form = _form(request)
        grant = _needed(form, "grant_type")
        if grant != "client_credentials":
            text = f"The app requested an unsupported grant type '{grant}'."
            raise EntraError(400, "unsupported_grant_type", 70003, text)
        if tenant in NO_TENANT:
            text = "Tenant-identifying information not found in either the request or implied by any provided credentials."
            raise EntraError(400, "invalid_request", 50059, text)
        self._known_tenant(tenant)
        client = _needed(form, "client_id")
        self._check_client(client, tenant)
        self._check_secret(form, client, expired="secret_expired" in hit)
        resource = _resource(_needed(form, "scope"), request.origin, tenant)
        lifetime = next(iter(self._faults.state("token_lifetime")), {"seconds": 3600})["seconds"]
        token = self.issue(resource, lifetime, with_claims=bool(form.get("claims")))
        return _json(
            200,
            {
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            },
        )

    def _check_client(self, client: str, tenant: str) -> None:
        if client.lower() != self.client_id:
            raise EntraError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if "
                "the application has not been installed by the administrator of the tenant or consented to by any user "
                "in the tenant. You may have sent your authentication request to the wrong tenant.",
            )

    def _check_secret(self, form: Mapping[str, str], client: str, *, expired: bool) -> None:
        secret = form.get("client_secret")
        if secret is None:
            raise EntraError(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        if not hmac.compare_digest(secret.encode(), self.client_secret.encode()):
            raise EntraError(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{client}'.",
            )
        if expired:
            raise EntraError(
                401,
                "invalid_client",
                7000222,
                f"The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new "
                "keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added "
                "security: https://aka.ms/certCreds.",
            )


def _form(request: Request) -> dict[str, str]:
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return form
        form.setdefault("client_id", unquote_plus(name))
        form.setdefault("client_secret", unquote_plus(secret))
    return form


def _needed(form: Mapping[str, str], name: str) -> str:
    if value := form.get(name):
        return value
    raise EntraError(
        400, "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'."
    )


def _resource(scope: str, origin: str, tenant: str) -> str:
    """Return the audience a scope asks for, as given but for "/.default"."""
    if " " in scope.strip() and all(part.endswith("/.default") for part in scope.split()):
        raise EntraError(
            400,
            "invalid_scope",
            70011,
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
            f"'scope' is not valid. The scope {scope} is not valid. static scope limit exceeded.",
        )
    if not scope.endswith("/.default"):
        raise EntraError(
            400,
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI).",
        )
    resource = scope[: -len("/.default")]
    if not _same_place(resource, origin):
        raise EntraError(
            400,
            "invalid_resource",
            500011,
            f"The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if "
            "the application has not been installed by the administrator of the tenant or consented to by any user in "
            "the tenant. You might have sent your authentication request to the wrong tenant.",
        )
    return resource


def _same_place(resource: str, origin: str) -> bool:
    """127.0.0.1, localhost and ::1 are one environment; scheme and port must agree."""
    if resource.rstrip("/") == origin:
        return True
    left, right = urlsplit(resource), urlsplit(origin)
    loopback = left.hostname in LOOPBACK and right.hostname in LOOPBACK
    try:
        return loopback and left.scheme == right.scheme and left.port == right.port
    except ValueError:
        return False


def _switched_error(settings: Mapping[str, Any]) -> EntraError:
    error = settings["error"]
    codes = {
        "invalid_client": (7000215, "Invalid client secret provided."),
        "invalid_grant": (70008, "The provided authorization code or refresh token has expired."),
        "temporarily_unavailable": (90033, "A transient error has occurred. Please try again."),
    }
    code, text = codes.get(error, (90036, "An unexpected, non-retryable error stemming from the directory."))
    return EntraError(
        settings["status"] or (401 if error == "invalid_client" else 400),
        error,
        settings["code"] or code,
        settings["message"] or text,
        settings["retry_after"],
    )


def _error(error: EntraError, request: Request) -> Response:
    """Entra's error body; the correlation id is the caller's own when it sent one."""
    trace = str(uuid.uuid4())
    correlation = request.headers.get("client-request-id") or str(uuid.uuid4())
    moment = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    text = f"AADSTS{error.code}: {error.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}"
    return _json(
        error.status,
        {
            "error": error.error,
            "error_description": text,
            "error_codes": [error.code],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{request.origin}/error?code={error.code}",
        },
        () if error.retry_after is None else (("Retry-After", str(error.retry_after)),),
    )


def _json(status: int, content: Mapping[str, Any], more: tuple[tuple[str, str], ...] = ()) -> Response:
    headers = (
        ("Content-Type", JSON_TYPE),
        ("Cache-Control", "no-store, no-cache"),
        ("Pragma", "no-cache"),
        ("x-ms-request-id", str(uuid.uuid4())),
        *more,
    )
    return Response(status, headers, json.dumps(content).encode())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
