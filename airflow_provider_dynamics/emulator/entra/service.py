"""The sign-in services behind one door: Entra's endpoints and pages, AD FS, the managed-identity endpoints.

This holds what they share (the clock, the tokens, the refresh tokens, who consented) and sends each request to
the room that answers it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from airflow_provider_dynamics.emulator.directory import (
    CLIENT_ID,
    CLIENT_SECRET,
    TENANT_ID,
    Application,
    Person,
)
from airflow_provider_dynamics.emulator.entra import jwt
from airflow_provider_dynamics.emulator.entra.adfs import AdFs
from airflow_provider_dynamics.emulator.entra.authorize import Pages
from airflow_provider_dynamics.emulator.entra.checks import NO_TENANT, known_tenant, needed, read_form
from airflow_provider_dynamics.emulator.entra.clients import Clients
from airflow_provider_dynamics.emulator.entra.codes import DEVICE_LIFETIME, INTERVAL, Codes
from airflow_provider_dynamics.emulator.entra.consent import Consents
from airflow_provider_dynamics.emulator.entra.errors import (
    EntraError,
    NotEmulated,
    error_response,
    json_response,
    not_emulated,
)
from airflow_provider_dynamics.emulator.entra.grants import Grants
from airflow_provider_dynamics.emulator.entra.keys import tenant_key
from airflow_provider_dynamics.emulator.entra.managed import ManagedIdentities
from airflow_provider_dynamics.emulator.entra.redirects import Redirects
from airflow_provider_dynamics.emulator.entra.refresh import RefreshTokens
from airflow_provider_dynamics.emulator.entra.resources import Resources
from airflow_provider_dynamics.emulator.entra.tokens import Tokens
from airflow_provider_dynamics.emulator.limits.faults import TOKEN_KINDS, Faults, Switch
from airflow_provider_dynamics.emulator.messages import Principal, Request, Response

# /adfs/…, the two managed-identity endpoints, and below a tenant what Entra serves there
MINE = re.compile(
    r"^/(adfs(/|$)|metadata/identity/|msi/token$|error$|"
    r"(?!api/|_emulator)[^/]+/(oauth2|v2\.0|\.well-known|discovery|adminconsent|userrealm|login|consent|mfa)(/|$))",
    re.IGNORECASE,
)
CLOUD = "microsoftonline.com"


class Entra:
    """One tenant with a Web app and a native app, a few people, and two managed identities."""

    def __init__(self, faults: Faults | None = None, now: Callable[[], float] = time.time) -> None:
        self.tenant_id = TENANT_ID
        self.client_id = CLIENT_ID
        self.skew = 0.0  # seconds the service's clock is ahead of this machine's
        self._faults = faults or Faults()
        self._now = now
        self.tokens = Tokens(self.now)
        self.refresh = RefreshTokens(self.now)
        self.codes = Codes(self.now)
        self.consents = Consents()
        self.clients = Clients(CLIENT_SECRET, self.now)
        self.redirects = Redirects()
        self.resources, self.relying_parties = Resources(), Resources()  # Entra's, and AD FS's
        self._grants = Grants(
            self._faults,
            self.clients,
            tokens=self.tokens,
            refresh=self.refresh,
            codes=self.codes,
            consents=self.consents,
            resources=self.resources,
        )
        self.pages = Pages(self.clients, self.codes, self.consents, self.redirects, self.resources)
        self.managed = ManagedIdentities(self._faults, self.tokens, self.now, self.resources)
        self.on_premises = AdFs(
            self._faults,
            self.clients,
            tokens=self.tokens,
            codes=self.codes,
            redirects=self.redirects,
            now=self.now,
            resources=self.relying_parties,
        )

    @property
    def client_secret(self) -> str:
        """The Web app's secret."""
        return self.clients.secret

    @property
    def issued(self) -> int:
        """How many access tokens were issued."""
        return self.tokens.issued

    def now(self) -> float:
        """Return the service's clock, in seconds since 1970."""
        return self._now() + self.skew

    def is_mine(self, path: str) -> bool:
        """Say whether a path belongs to the sign-in services."""
        return MINE.match(path) is not None

    def strike(self, request: Request) -> dict[str, Switch]:
        """Return the switches that hit a request: all at a token endpoint, elsewhere those that name the path."""
        everywhere = request.path.rstrip("/").endswith("/token")
        return self._faults.strike(TOKEN_KINDS, request.method, request.path, named_only=not everywhere)

    def handle(self, request: Request, hit: Mapping[str, Switch] | None = None) -> Response:
        """Answer a request to the sign-in services."""
        try:
            return self._answer(request, hit or {})
        except EntraError as error:
            return error_response(error, request)
        except NotEmulated as what:
            return not_emulated(str(what))

    def check(self, token: str, *places: str) -> Principal | None:
        """Return whom a bearer token speaks for; None when it is forged, expired or made for none of these places."""
        found = (self.tokens.check(token, place) for place in places)
        return next((principal for principal in found if principal), None)

    def issue(self, resource: str, lifetime: float = 3600) -> str:
        """Sign an access token of the Web app without a request."""
        return self.tokens.for_app(resource, lifetime)

    def issue_for(self, person: Person, app: Application, resource: str, lifetime: float = 3600) -> str:
        """Sign an access token of a person without a request."""
        return self.tokens.for_person(resource, lifetime, person, app)

    def sign_in(self, url: str, person: Person, *, accept: bool) -> str:
        """Sign in at an authorize address without a browser; returns the redirect's URL. ValueError on a page."""
        if "/adfs/" in url:
            return self.on_premises.walk(url, person)
        return self.pages.walk(url, person, accept=accept)

    def _answer(self, request: Request, hit: Mapping[str, Switch]) -> Response:
        path = request.path.rstrip("/")
        if path.startswith("/metadata/identity/") or path == "/msi/token":
            return self.managed.answer(request)
        if path == "/adfs" or path.startswith("/adfs/"):
            return self.on_premises.answer(request, hit)
        tenant, _, rest = path.lstrip("/").partition("/")
        if request.method == "POST" and rest == "oauth2/v2.0/token":
            return self._grants.answer(request, tenant, hit)
        if request.method == "POST" and rest == "oauth2/v2.0/devicecode":
            return self._device_code(request, tenant)
        document = _document(request.origin, tenant, rest)
        if document is not None:
            return json_response(200, document)
        return self.pages.answer(request, tenant, rest) or not_emulated(f"{request.method} {request.path}")

    def _device_code(self, request: Request, tenant: str) -> Response:
        """Start a device flow.

        https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
        """
        if tenant not in NO_TENANT:
            known_tenant(tenant)
        form = read_form(request)
        app = self.clients.known(needed(form, "client_id"), tenant)
        device = self.codes.new_device(app.client_id, tuple(needed(form, "scope").split()))
        page = f"{request.origin}/common/oauth2/deviceauth"
        return json_response(
            200,
            {
                "user_code": device.user_code,
                "device_code": device.device_code,
                "verification_uri": page,
                "expires_in": DEVICE_LIFETIME,
                "interval": INTERVAL,
                "message": f"To sign in, use a web browser to open the page {page} and enter the code "
                f"{device.user_code} to authenticate.",
            },
        )


def _document(origin: str, tenant: str, rest: str) -> dict[str, Any] | None:
    """Return what can be read without proof: discovery, the key set, how a user name signs in."""
    if rest in ("v2.0/.well-known/openid-configuration", ".well-known/openid-configuration"):
        return _discovery(origin, tenant)
    if rest == "discovery/v2.0/keys":
        return {"keys": [jwt.public_key(tenant_key())]}
    if rest.lower().startswith("userrealm/"):
        return _realm(unquote(rest.partition("/")[2]))
    return None


def _discovery(origin: str, tenant: str) -> dict[str, Any]:
    if tenant not in NO_TENANT:
        known_tenant(tenant, error="invalid_tenant")
    base = f"{origin}/{tenant if tenant in NO_TENANT else TENANT_ID}"
    issuer = "{tenantid}" if tenant in NO_TENANT else TENANT_ID
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"{origin}/{issuer}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "tenant_region_scope": "NA",
        "cloud_instance_name": CLOUD,
    }


def _realm(user_name: str) -> dict[str, Any]:
    """Say how a user name signs in: at Entra itself ("Managed"), or nothing is known of its domain."""
    domain = user_name.rpartition("@")[2].lower()
    if domain != "contoso.example":
        return {"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": CLOUD}
    return {
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": domain,
        "cloud_instance_name": CLOUD,
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    }
