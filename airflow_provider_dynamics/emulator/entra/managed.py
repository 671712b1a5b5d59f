"""The endpoints that give a virtual machine or an App Service the tokens of its managed identity.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import hmac
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from airflow_provider_dynamics.emulator.directory import (
    MANAGED_IDENTITIES,
    SYSTEM_IDENTITY,
    TENANT_ID,
    USER_IDENTITY,
)
from airflow_provider_dynamics.emulator.entra.errors import NotEmulated, json_response
from airflow_provider_dynamics.emulator.entra.resources import Resources
from airflow_provider_dynamics.emulator.entra.tokens import Tokens
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.messages import Request, Response

IMDS = "/metadata/identity/oauth2/token"
APP_SERVICE = "/msi/token"
LIFETIME = 86_400
APP_SERVICE_VERSION = "2019-08-01"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_OLDEST = "2018-02-01"
_OTHER_NAMES = ("object_id", "principal_id", "mi_res_id", "msi_res_id")


class Refused(Exception):
    """A refusal in the words of either endpoint."""

    def __init__(self, status: int, error: str, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.text = status, error, text


class ManagedIdentities:
    """One machine with a system-assigned and a user-assigned identity."""

    def __init__(
        self, faults: Faults, tokens: Tokens, now: Callable[[], float], resources: Resources | None = None
    ) -> None:
        self._resources = resources or Resources()
        self.header = secrets.token_hex(16)
        self._faults = faults
        self._tokens = tokens
        self._now = now

    def environment(self, kind: str, origin: str) -> dict[str, str]:
        """Return the environment variables a program on that machine finds. ValueError on an unknown kind."""
        if kind == "imds":
            return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": origin}
        if kind == "app_service":
            return {"IDENTITY_ENDPOINT": f"{origin}{APP_SERVICE}", "IDENTITY_HEADER": self.header}
        raise ValueError(f"there is no managed identity {kind!r}; there are: imds, app_service")

    def answer(self, request: Request) -> Response:
        """Answer one token request."""
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        if request.path.rstrip("/") == APP_SERVICE:
            return self._app_service(request, query)
        if request.path.rstrip("/") != IMDS:
            raise NotEmulated(request.path)
        try:
            _check_imds(request, query)
            return json_response(200, self._token(request, query))
        except Refused as refused:
            return json_response(refused.status, {"error": refused.error, "error_description": refused.text})

    def _app_service(self, request: Request, query: Mapping[str, str]) -> Response:
        try:
            given = request.headers.get("x-identity-header", "")
            self._check_app_service(given, query)
            token = self._token(request, query)
        except Refused as refused:
            body = {
                "statusCode": refused.status,
                "message": refused.text,
                "correlationId": str(uuid.uuid4()),
            }
            return json_response(refused.status, body)
        kept = ("access_token", "client_id", "expires_on", "resource", "token_type")
        return json_response(200, {name: token[name] for name in kept})

    def _check_app_service(self, given: str, query: Mapping[str, str]) -> None:
        if not hmac.compare_digest(given.encode(), self.header.encode()):
            raise Refused(401, "", "The X-IDENTITY-HEADER header is missing or not this instance's.")
        if query.get("api-version") != APP_SERVICE_VERSION:
            raise NotEmulated(f"the App Service token endpoint's api-version {query.get('api-version')}")

    def _token(self, request: Request, query: Mapping[str, str]) -> dict[str, str]:
        resource = query.get("resource", "")
        if not resource:
            raise Refused(400, "invalid_request", "The request is missing a required parameter: resource.")
        identity = _identity(query)
        if not self._resources.at(request.origin)(resource):
            raise Refused(
                400,
                "invalid_resource",
                f"AADSTS500011: The resource principal named {resource} was not found in the tenant named {TENANT_ID}. "
                "This can happen if the application has not been installed by the administrator of the tenant or "
                "consented to by any user in the tenant.",
            )
        state = next(iter(self._faults.state("token_lifetime")), None)
        lifetime = int(state["seconds"]) if state else LIFETIME
        now = int(self._now())
        return {
            "access_token": self._tokens.for_app(resource, lifetime, identity, proof="2"),
            "client_id": identity,
            "expires_in": str(lifetime),
            "expires_on": str(now + lifetime),
            "ext_expires_in": str(lifetime),
            "not_before": str(now),
            "resource": resource,
            "token_type": "Bearer",
        }


def refusal(path: str, status: int, retry_after: object) -> Response | None:
    """Return what these endpoints answer with a status of trouble: JSON, not a gateway's page. None elsewhere."""
    if path.rstrip("/") not in (IMDS, APP_SERVICE):
        return None
    words = {410: "gone", 429: "too_many_requests"}
    body = {"error": words.get(status, "unknown"), "error_description": "The endpoint is not available now."}
    more = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return json_response(status, body, more)


def _check_imds(request: Request, query: Mapping[str, str]) -> None:
    if request.headers.get("metadata") != "true":
        raise Refused(400, "bad_request_102", "Required metadata header not specified")
    if "x-forwarded-for" in request.headers:
        raise Refused(400, "bad_request", "A request that came through a proxy is refused.")
    version = query.get("api-version", "")
    if not _DATE.fullmatch(version) or version < _OLDEST:
        raise Refused(400, "invalid_request", f"The api-version is missing or not {_OLDEST} or later.")


def _identity(query: Mapping[str, str]) -> str:
    if other := next((name for name in _OTHER_NAMES if name in query), None):
        raise NotEmulated(f"choosing a managed identity by {other}; choose it by client_id")
    wanted = query.get("client_id", SYSTEM_IDENTITY).lower()
    if wanted not in MANAGED_IDENTITIES:
        raise Refused(400, "invalid_request", "Identity not found")
    return USER_IDENTITY if wanted == USER_IDENTITY else SYSTEM_IDENTITY
