"""The token endpoint of Entra, version 2.0: one method for each grant.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.emulator.directory import TENANT_ID, Application, Person
from airflow_provider_dynamics.emulator.entra import jwt, scopes
from airflow_provider_dynamics.emulator.entra.checks import check_tenant, known_person, needed, read_form
from airflow_provider_dynamics.emulator.entra.clients import Clients, no_proof
from airflow_provider_dynamics.emulator.entra.codes import Codes
from airflow_provider_dynamics.emulator.entra.consent import Consents
from airflow_provider_dynamics.emulator.entra.errors import (
    EntraError,
    NotEmulated,
    consent_missing,
    error_response,
    invalid_request,
    json_response,
    malformed,
    policy_claims,
    second_factor_needed,
    switched_error,
)
from airflow_provider_dynamics.emulator.entra.refresh import RefreshTokens
from airflow_provider_dynamics.emulator.entra.resources import Resources
from airflow_provider_dynamics.emulator.entra.tokens import Claims, Tokens, read_claims
from airflow_provider_dynamics.emulator.limits.faults import Faults, Switch
from airflow_provider_dynamics.emulator.messages import Request, Response

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
OTHER_GRANTS = (
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:saml2-bearer",
)
_LONG_LIFE = 7200  # from here on Entra says when to refresh: half way


@dataclass(frozen=True)
class Ask:
    """One token request, its app known and proved."""

    request: Request
    tenant: str
    form: Mapping[str, str]
    app: Application
    proof: str
    claims: Claims


class Grants:
    """Answers token requests."""

    def __init__(
        self,
        faults: Faults,
        clients: Clients,
        *,
        tokens: Tokens,
        refresh: RefreshTokens,
        codes: Codes,
        consents: Consents,
        resources: Resources,
    ) -> None:
        self._faults = faults
        self._resources = resources
        self._clients = clients
        self._tokens = tokens
        self._refresh = refresh
        self._codes = codes
        self._consents = consents
        self._grants: Mapping[str, Callable[[Ask], Response]] = {
            "client_credentials": self._client_credentials,
            "refresh_token": self._refresh_token,
            "authorization_code": self._authorization_code,
            "password": self._password,
            DEVICE_CODE: self._device_code,
        }

    def answer(self, request: Request, tenant: str, hit: Mapping[str, Switch]) -> Response:
        """Answer a token request; a refusal is an answer too."""
        try:
            return self._answer(request, tenant, hit)
        except EntraError as error:
            return error_response(error, request)

    def _answer(self, request: Request, tenant: str, hit: Mapping[str, Switch]) -> Response:
        form = read_form(request)
        if error := switched_error(hit, form.get("client_id", "")):
            raise error
        kind = needed(form, "grant_type")
        if kind in OTHER_GRANTS:
            raise NotEmulated(f"the grant {kind}")
        if kind not in self._grants:
            raise EntraError(
                400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{kind}'."
            )
        check_tenant(kind, tenant)
        client_id = needed(form, "client_id")
        app = self._clients.known(client_id, tenant)
        proof = self._clients.prove(
            form,
            app,
            request.origin,
            expired_secret="secret_expired" in hit,
            expired_key="certificate_expired" in hit,
        )
        ask = Ask(request, tenant, form, app, proof, _claims(form))
        if "claims_needed" in hit and not ask.claims.answers_challenge:
            raise _claims_needed()
        return self._grants[kind](ask)

    def _client_credentials(self, ask: Ask) -> Response:
        if not ask.app.confidential:
            raise no_proof()
        resource = scopes.app_resource(
            needed(ask.form, "scope"), self._resources.at(ask.request.origin), ask.tenant
        )
        times = self._times()
        token = self._tokens.for_app(
            resource, times["expires_in"], ask.app.client_id, proof=ask.proof, claims=ask.claims
        )
        return json_response(200, {"token_type": "Bearer", **times, "access_token": token})

    def _refresh_token(self, ask: Ask) -> Response:
        text = needed(ask.form, "refresh_token")
        known = self._refresh.peek(text, ask.app.client_id)
        asked = ask.form.get("scope") or (" ".join(known.scopes) if known else "")
        if known is None:
            self._refresh.redeem(text, ask.app.client_id)
            raise malformed()
        wanted = scopes.delegated(asked, self._resources.at(ask.request.origin), ask.tenant)
        self._need_consent(known.person, ask.app)
        token, successor = self._refresh.redeem(text, ask.app.client_id)
        return self._delegated(ask, token.person, wanted, successor, nonce=None)

    def _authorization_code(self, ask: Ask) -> Response:
        code = self._codes.redeem_code(ask.form, needed(ask.form, "code"))
        if code.resource is not None:
            raise malformed()
        asked = ask.form.get("scope") or " ".join(code.scopes)
        return self._first(ask, code.person, asked, (*code.scopes,), nonce=code.nonce)

    def _device_code(self, ask: Ask) -> Response:
        text = needed(ask.form, "device_code")
        device = self._codes.redeem_device(ask.form, text)
        if device.person is None:
            raise malformed()
        return self._first(ask, device.person, " ".join(device.scopes), device.scopes, nonce=None)

    def _password(self, ask: Ask) -> Response:
        name, password = needed(ask.form, "username"), needed(ask.form, "password")
        asked = needed(ask.form, "scope")
        person = known_person(name, password)
        wanted = scopes.delegated(asked, self._resources.at(ask.request.origin), ask.tenant)
        if person.needs_second_factor:
            raise second_factor_needed(wanted.resource)
        self._need_consent(person, ask.app)
        return self._first(ask, person, asked, tuple(asked.split()), nonce=None)

    def _need_consent(self, person: Person, app: Application) -> None:
        if not self._consents.has(person, app):
            raise consent_missing(app.client_id, app.name)

    def _first(
        self, ask: Ask, person: Person, asked: str, original: tuple[str, ...], nonce: str | None
    ) -> Response:
        """Answer the first token request after a sign-in; the refresh token remembers what was asked for then."""
        wanted = scopes.delegated(asked, self._resources.at(ask.request.origin), ask.tenant)
        self._need_consent(person, ask.app)
        refresh = None
        if "offline_access" in original or "offline_access" in wanted.extras:
            refresh = self._refresh.issue(person, ask.app.client_id, original)
        return self._delegated(ask, person, wanted, refresh, nonce=nonce)

    def _delegated(
        self, ask: Ask, person: Person, wanted: scopes.Asked, refresh: str | None, nonce: str | None
    ) -> Response:
        times = self._times()
        content: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": wanted.granted,
            **times,
            "access_token": self._tokens.for_person(
                wanted.resource, times["expires_in"], person, ask.app, claims=ask.claims
            ),
        }
        if refresh:
            content["refresh_token"] = refresh
        if "openid" in wanted.extras:
            issuer = f"{ask.request.origin}/{TENANT_ID}/v2.0"
            content["id_token"] = self._tokens.id_token(issuer, ask.app.client_id, person, nonce)
        if ask.form.get("client_info") == "1":
            content["client_info"] = client_info(person)
        return json_response(200, content)

    def _times(self) -> dict[str, Any]:
        """Return expires_in and its companions; ``refresh_in`` comes with long-lived tokens."""
        settings: Mapping[str, Any] = next(iter(self._faults.state("token_lifetime")), {"seconds": 3600})
        lifetime, refresh_in = settings["seconds"], settings.get("refresh_in")
        if refresh_in is None and lifetime > _LONG_LIFE:
            refresh_in = lifetime // 2
        extra = {} if refresh_in is None else {"refresh_in": refresh_in}
        return {"expires_in": lifetime, "ext_expires_in": lifetime, **extra}


def client_info(person: Person) -> str:
    """Return who signed in, as Entra's ``client_info`` says it."""
    return jwt.encode(json.dumps({"uid": person.object_id, "utid": TENANT_ID}).encode())


def _claims(form: Mapping[str, str]) -> Claims:
    try:
        return read_claims(form.get("claims"))
    except ValueError as error:
        raise invalid_request(9002313, "Invalid request. Request is malformed or invalid.") from error


def _claims_needed() -> EntraError:
    error = EntraError(
        400,
        "interaction_required",
        50158,
        "External security challenge not satisfied. User will be redirected to another page or authentication provider "
        "to satisfy additional authentication challenges.",
        suberror="basic_action",
    )
    error.claims = policy_claims()
    return error
