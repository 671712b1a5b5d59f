"""How an application proves who it is: a secret, a certificate's signature, another issuer's token, or not at all.

https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from cryptography import x509

from airflow_provider_dynamics.emulator.directory import (
    APPLICATIONS,
    FEDERATED_AUDIENCE,
    FEDERATED_ISSUER,
    FEDERATED_SUBJECT,
    TENANT_DOMAIN,
    TENANT_ID,
    Application,
)
from airflow_provider_dynamics.emulator.entra import jwt
from airflow_provider_dynamics.emulator.entra.errors import (
    EntraError,
    NotEmulated,
    invalid_client,
    invalid_request,
)
from airflow_provider_dynamics.emulator.entra.keys import KeyPair, application_key, federated_key
from airflow_provider_dynamics.emulator.entra.tokens import same_place

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLOCK_TOLERANCE = 300.0  # seconds an assertion may be early or late
THUMBPRINTS = ("x5t#S256", "x5t")


class Clients:
    """Checks applications' proofs; ``now`` is the service's clock."""

    def __init__(self, secret: str, now: Callable[[], float]) -> None:
        self.secret = secret
        self.certificates: list[KeyPair] = []  # registered beside the one every emulator has
        self._now = now

    def known(self, client_id: str, tenant: str) -> Application:
        """Return the app registration. Raises ``EntraError`` when there is none."""
        found = APPLICATIONS.get(client_id.lower())
        if found is None:
            raise EntraError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen "
                "if the application has not been installed by the administrator of the tenant or consented to by any "
                "user in the tenant. You may have sent your authentication request to the wrong tenant.",
            )
        return found

    def prove(
        self,
        form: Mapping[str, str],
        app: Application,
        origin: str,
        *,
        expired_secret: bool,
        expired_key: bool,
    ) -> str:
        """Check an app's proof; returns ``appidacr``: 0 none (public client), 1 secret, 2 assertion.

        Raises ``EntraError`` when it does not hold.
        """
        secret, assertion = form.get("client_secret"), form.get("client_assertion")
        if not app.confidential:
            if secret is not None or assertion is not None:
                raise invalid_client(
                    700025,
                    "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
                )
            return "0"
        if assertion is not None:
            self._assertion(form, app, origin, expired_key=expired_key)
            return "2"
        self._secret(secret, app, expired=expired_secret)
        return "1"

    def _secret(self, secret: str | None, app: Application, *, expired: bool) -> None:
        if secret is None:
            raise no_proof()
        if not hmac.compare_digest(secret.encode(), self.secret.encode()):
            raise invalid_client(
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{app.client_id}'.",
            )
        if expired:
            raise invalid_client(
                7000222,
                f"The provided client secret keys for app '{app.client_id}' are expired. Visit the Azure portal to "
                "create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate "
                "credentials for added security: https://aka.ms/certCreds.",
            )

    def _assertion(
        self, form: Mapping[str, str], app: Application, origin: str, *, expired_key: bool
    ) -> None:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise invalid_request(
                900144,
                "The request body must contain the following parameter: 'client_assertion_type'.",
            )
        try:
            token = jwt.read(form["client_assertion"])
        except ValueError as error:
            raise invalid_request(50027, f"JWT token is invalid or malformed: {error}.") from error
        if token.claims.get("iss") == app.client_id:
            self._certificate(token, app, origin, expired_key=expired_key)
        else:
            self._federated(token)
        check_times(token.claims, self._now())

    def _certificate(self, token: jwt.Token, app: Application, origin: str, *, expired_key: bool) -> None:
        if token.claims.get("sub") != app.client_id:
            raise invalid_client(
                700021,
                "Client assertion application identifier doesn't match 'client_id' parameter.",
            )
        audience = str(token.claims.get("aud"))
        if not is_token_address(audience, origin):
            raise invalid_client(
                700023,
                f"Client assertion audience claim does not match Realm issuer. Audience: '{audience}'.",
            )
        pair = self.signer(token)
        if pair is None:
            raise _bad_signature("The key was not found.", token)
        if expired_key or pair.certificate.not_valid_after_utc.timestamp() < self._now():
            raise _bad_signature("The key used is expired.", token)
        if not jwt.is_signed_by(token, pair.key.public_key()):
            raise _bad_signature(
                "The provided signature value did not match the expected signature value.", token
            )

    def signer(self, token: jwt.Token) -> KeyPair | None:
        """Return the registered certificate a header names: by its thumbprint, or as the first of its chain."""
        registered = (application_key(), *self.certificates)
        for name in THUMBPRINTS:
            if name in token.header:
                wanted = str(token.header[name]).rstrip("=")
                return next((one for one in registered if one.thumbprint(name) == wanted), None)
        chain = token.header.get("x5c")
        leaf = _leaf(chain) if chain else None
        return next((one for one in registered if one.certificate == leaf), None)

    def _federated(self, token: jwt.Token) -> None:
        """Check another issuer's token against the app's federated credential.

        https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
        """
        wanted = {
            "iss": (700211, "issuer", FEDERATED_ISSUER),
            "sub": (700213, "subject", FEDERATED_SUBJECT),
            "aud": (700212, "audience", FEDERATED_AUDIENCE),
        }
        for claim, (code, word, value) in wanted.items():
            given = token.claims.get(claim)
            if given not in (value, [value]):
                raise invalid_client(
                    code,
                    f"No matching federated identity record found for presented assertion {word} '{given}'. Check your "
                    "federated identity credential Subject, Audience and Issuer against the presented assertion. "
                    "https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
                )
        if not jwt.is_signed_by(token, federated_key().key.public_key()):
            raise _bad_signature(
                "The provided signature value did not match the expected signature value.", token
            )


def no_proof() -> EntraError:
    """An app that must prove who it is did not try to."""
    return invalid_client(
        7000218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    )


def check_times(claims: Mapping[str, Any], now: float) -> None:
    """Raise ``EntraError`` when an assertion is not valid now."""
    try:
        start, end = float(claims.get("nbf", claims.get("iat", now))), float(claims["exp"])
    except (KeyError, TypeError, ValueError) as error:
        raise invalid_request(50027, "JWT token is invalid or malformed: it has no expiry.") from error
    if start - CLOCK_TOLERANCE <= now <= end + CLOCK_TOLERANCE:
        return
    raise invalid_client(
        700024,
        f"Client assertion is not within its valid time range. Current time: {_when(now)}, assertion valid from "
        f"{_when(start)}, expiry time of assertion {_when(end)}. Review the documentation at "
        "https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
    )


def is_token_address(audience: str, origin: str) -> bool:
    """Whether an assertion was made for this token endpoint: its address, or the tenant's issuer."""
    place, _, path = audience.partition("://")[2].partition("/")
    scheme = audience.partition("://")[0]
    tenant, _, rest = path.rstrip("/").partition("/")
    if not same_place(f"{scheme}://{place}", origin):
        return False
    return tenant.lower() in (TENANT_ID, TENANT_DOMAIN, "common", "organizations") and rest in (
        "oauth2/v2.0/token",
        "oauth2/token",
        "v2.0",
    )


def _leaf(chain: Any) -> x509.Certificate:
    first = chain[0] if isinstance(chain, list) else chain
    try:
        return x509.load_der_x509_certificate(base64.b64decode(first))
    except ValueError as error:
        raise invalid_request(50027, "JWT token is invalid or malformed: x5c.") from error


def _bad_signature(reason: str, token: jwt.Token) -> EntraError:
    thumbprint = next((token.header[name] for name in THUMBPRINTS if name in token.header), None)
    if token.header.get("alg") not in jwt.PADDINGS:
        raise NotEmulated(f"a client assertion signed with {token.header.get('alg')}")
    used = f", Thumbprint of key used by client: '{thumbprint}'" if thumbprint else ""
    return invalid_client(
        700027, f"Client assertion contains an invalid signature. [Reason - {reason}{used}]"
    )


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
