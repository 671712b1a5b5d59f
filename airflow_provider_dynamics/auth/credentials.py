"""What a caller may sign in with, as values, and the one question the Web API client asks of all of them.

A credential holds no token and no connection: tokens live in `tokens`, the sign-in itself in `authority`, so
a credential may be compared, hashed and handed to threads freely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.tokens import SHARED, AccessToken, TokenCache

__all__ = ["ClientSecret", "Credential", "StaticToken"]


class Credential(Protocol):
    """Anything that can produce an access token for an environment.

    `rejected` is the token a request was just refused with: the answer must be another one. `claims` is the
    JSON text of a claims challenge. Implementations are safe to call from several threads, never sleep, and
    raise `AuthenticationError`; whether and when to ask again is the caller's decision, by its `retryable`
    and `retry_after`.
    """

    def get_token(
        self,
        environment: str,
        *,
        network: Network,
        rejected: AccessToken | None = None,
        claims: str | None = None,
    ) -> AccessToken: ...


@dataclass(frozen=True)
class ClientSecret:
    """An app registration signing in with its client secret: the service's side is an application user.

    https://learn.microsoft.com/power-apps/developer/data-platform/use-single-tenant-server-server-authentication
    """

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    authority_host: str = "login.microsoftonline.com"
    scope: str | None = None
    cache: TokenCache = field(default=SHARED, repr=False, compare=False)

    def get_token(
        self,
        environment: str,
        *,
        network: Network,
        rejected: AccessToken | None = None,
        claims: str | None = None,
    ) -> AccessToken:
        """Return this identity's token, signing in only when none is fresh; raises AuthenticationError."""

        def sign_in() -> AccessToken:
            from airflow_provider_dynamics.auth import authority

            subject = authority.Subject(
                environment=environment,
                mode="client secret",
                tenant_id=self.tenant_id,
                client_id=self.client_id,
                authority_host=self.authority_host,
                scope=self.scope or f"{environment}/.default",
            )
            return authority.sign_in_app(
                subject, self.client_secret, network=network, now=self.cache.now, claims=claims
            )

        return self.cache.get((self, environment, network), sign_in, rejected=rejected, renew=bool(claims))


@dataclass(frozen=True)
class StaticToken:
    """A token somebody else obtained; it is used as it is and cannot be renewed."""

    secret: str = field(repr=False)

    def get_token(
        self,
        environment: str,
        *,
        network: Network,
        rejected: AccessToken | None = None,
        claims: str | None = None,
    ) -> AccessToken:
        """Return the token given; a refused one comes back unchanged, which tells the caller not to try again."""
        return AccessToken(self.secret, expires_at=math.inf)
