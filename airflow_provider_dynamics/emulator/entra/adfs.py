"""AD FS, as it stands before an environment on premises: OAuth with a ``resource``, MSIS errors, refresh tokens for 8 hours.

https://learn.microsoft.com/windows-server/identity/ad-fs/overview/ad-fs-openid-connect-oauth-flows-scenarios
https://learn.microsoft.com/openspecs/windows_protocols/ms-oapx/
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_dynamics.emulator.directory import Application, Person, person_named
from airflow_provider_dynamics.emulator.entra import jwt
from airflow_provider_dynamics.emulator.entra.adfs_errors import AdFsError, invalid
from airflow_provider_dynamics.emulator.entra.adfs_pages import AdFsPages, resource_of
from airflow_provider_dynamics.emulator.entra.adfs_tokens import AdFsTokens, metadata
from airflow_provider_dynamics.emulator.entra.checks import read_form
from airflow_provider_dynamics.emulator.entra.clients import ASSERTION_TYPE, Clients, check_times
from airflow_provider_dynamics.emulator.entra.codes import Codes
from airflow_provider_dynamics.emulator.entra.errors import EntraError, NotEmulated, json_response
from airflow_provider_dynamics.emulator.entra.keys import tenant_key
from airflow_provider_dynamics.emulator.entra.redirects import Redirects
from airflow_provider_dynamics.emulator.entra.resources import Resources
from airflow_provider_dynamics.emulator.entra.tokens import Tokens
from airflow_provider_dynamics.emulator.limits.faults import Faults, Switch
from airflow_provider_dynamics.emulator.messages import Request, Response


class AdFs:
    """One farm that knows the same apps and people as the tenant, and one relying party: the environment."""

    def __init__(
        self,
        faults: Faults,
        clients: Clients,
        *,
        tokens: Tokens,
        codes: Codes,
        redirects: Redirects,
        now: Callable[[], float],
        resources: Resources | None = None,
    ) -> None:
        self._resources = resources or Resources()
        self._clients = clients
        self._codes = codes
        self._now = now
        self.tokens = AdFsTokens(faults, tokens, now)
        self._pages = AdFsPages(clients, codes, redirects, self._resources)
        self._grants: Mapping[str, Callable[[Mapping[str, str], Application, str], Response]] = {
            "client_credentials": self._client_credentials,
            "refresh_token": self._refresh_token,
            "password": self._password,
            "authorization_code": self._code,
        }

    def answer(self, request: Request, hit: Mapping[str, Switch]) -> Response:
        """Answer a request below /adfs."""
        rest = request.path.rstrip("/").removeprefix("/adfs/").lower()
        if rest == ".well-known/openid-configuration":
            return json_response(200, metadata(request.origin))
        if rest == "discovery/keys":
            return json_response(200, {"keys": [jwt.public_key(tenant_key())]})
        if rest == "oauth2/authorize":
            return self._pages.answer(request)
        if rest != "oauth2/token" or request.method != "POST":
            raise NotEmulated(f"{request.method} {request.path} of AD FS")
        try:
            return self._token(request, hit)
        except AdFsError as error:
            return error.response()

    def walk(self, url: str, person: Person) -> str:
        """Sign in at an authorize address without a browser; returns where the browser is sent."""
        return self._pages.walk(url, person)

    def refresh_token(self, person: Person, client_id: str, resource: str) -> str:
        """Return a refresh token without a request."""
        return self.tokens.refresh_token(person, client_id, resource)

    def _token(self, request: Request, hit: Mapping[str, Switch]) -> Response:
        form = read_form(request)
        _refuse_switched(hit)
        grant = form.get("grant_type", "")
        if grant not in self._grants:
            raise AdFsError(
                400,
                "unsupported_grant_type",
                "MSIS9611: The authorization server does not support the requested 'grant_type'. The authorization "
                "server only supports 'authorization_code' or 'refresh_token' as the grant type.",
            )
        return self._grants[grant](form, self._app(form, request.origin), request.origin)

    def _client_credentials(self, form: Mapping[str, str], app: Application, origin: str) -> Response:
        if not app.confidential:
            raise invalid("client")
        return self.tokens.for_app(app, resource_of(form, self._resources.at(origin)), origin)

    def _refresh_token(self, form: Mapping[str, str], app: Application, origin: str) -> Response:
        held = self.tokens.held(form.get("refresh_token", ""), app.client_id)
        resource = resource_of(form, self._resources.at(origin)) if "resource" in form else held.resource
        return self.tokens.for_person(held.person, app, resource, origin, form, refresh=False)

    def _password(self, form: Mapping[str, str], app: Application, origin: str) -> Response:
        return self.tokens.for_person(
            _person(form), app, resource_of(form, self._resources.at(origin)), origin, form, refresh=True
        )

    def _code(self, form: Mapping[str, str], app: Application, origin: str) -> Response:
        try:
            code = self._codes.redeem_code(form, form.get("code", ""))
        except EntraError as error:
            raise invalid("code") from error
        if code.resource is None:
            raise invalid("code")
        asked = {"scope": " ".join(code.scopes), "nonce": code.nonce or ""}
        return self.tokens.for_person(code.person, app, code.resource, origin, asked, refresh=True)

    def _app(self, form: Mapping[str, str], origin: str) -> Application:
        """Return the client, its proof checked: a secret, or an assertion signed RS256 and named by x5t."""
        try:
            app = self._clients.known(form.get("client_id", ""), "adfs")
        except EntraError as error:
            raise invalid("client_id") from error
        secret, assertion = form.get("client_secret"), form.get("client_assertion")
        if not app.confidential:
            if secret is not None or assertion is not None:
                raise invalid("client")
            return app
        if assertion is not None:
            self._check_assertion(form, app, origin)
        elif not hmac.compare_digest((secret or "").encode(), self._clients.secret.encode()):
            raise invalid("client")
        return app

    def _check_assertion(self, form: Mapping[str, str], app: Application, origin: str) -> None:
        try:
            token = jwt.read(form["client_assertion"])
            check_times(token.claims, self._now())
        except (ValueError, EntraError) as error:
            raise invalid("client") from error
        pair = self._clients.signer(token) if set(token.header) & {"x5t"} else None
        good = (
            form.get("client_assertion_type") == ASSERTION_TYPE
            and token.header.get("alg") == "RS256"
            and token.claims.get("iss") == token.claims.get("sub") == app.client_id
            and str(token.claims.get("aud")).rstrip("/") == f"{origin}/adfs/oauth2/token"
            and pair is not None
            and pair.certificate.not_valid_after_utc.timestamp() > self._now()
            and jwt.is_signed_by(token, pair.key.public_key())
        )
        if not good:
            raise invalid("client")


def _person(form: Mapping[str, str]) -> Person:
    person = person_named(form.get("username", ""))
    if person is None or not hmac.compare_digest(form.get("password", "").encode(), person.password.encode()):
        raise invalid("person")
    return person


def _refuse_switched(hit: Mapping[str, Switch]) -> None:
    kinds = set(hit) - {"token_slow"}
    if not kinds:
        return
    if "token_error" not in kinds:
        raise NotEmulated(f"the fault {', '.join(sorted(kinds))} at AD FS")
    settings: Mapping[str, Any] = hit["token_error"].settings
    raise AdFsError(
        settings["status"] or 400, settings["error"], settings["message"] or "MSIS9699: An error occurred."
    )
