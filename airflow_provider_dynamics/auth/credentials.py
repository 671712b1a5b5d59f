"""What a caller may sign in with, as values, and the one question the Web API client asks of all of them.

A credential holds no token and no connection: access tokens live in `tokens`, refresh tokens in a store, the
sign-in itself in `authority`, so a credential may be compared, hashed and handed to threads freely.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from airflow_provider_dynamics.auth.authorities import MODES, Authority
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.events import OnEvent, watched
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.store import CredentialStore, NoStore, store_key
from airflow_provider_dynamics.auth.tokens import SHARED, AccessToken, TokenCache

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.authority import Signed, SignIn
    from airflow_provider_dynamics.auth.proofs import Proof
    from airflow_provider_dynamics.auth.rotation import Rotation

__all__ = [
    "ClientCertificate",
    "ClientSecret",
    "Credential",
    "ManagedIdentity",
    "RefreshToken",
    "Registered",
    "StaticToken",
    "UsernamePassword",
    "WorkloadIdentity",
]

TOKEN_FILE_VARIABLE = "AZURE_FEDERATED_TOKEN_FILE"  # noqa: S105 - a variable's name; Azure's identity webhook sets it
_IN_PROCESS = NoStore()


class Credential(Protocol):
    """Anything that can produce an access token for an environment.

    `rejected` is the token a request was just refused with: the answer must be another one. `claims` is the
    JSON text of a claims challenge. Implementations are safe to call from several threads and raise
    `AuthenticationError`; whether and when to ask again is the caller's decision, by its `retryable` and
    `retry_after`.
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
class Registered:
    """What every app registration signs in with: tenant, client and authority; the subclass says how.

    `tenant_id` None lets the environment name its tenant. `scope` goes before the derived one. `store` keeps what
    must outlive this process, `on_token` is told every refresh token before it is used, `on_event` each sign-in.
    `home` is the environment under whose name the store keeps it, "" for whichever is signed in to: a person's
    sign-in is one and the same in every environment, and a server may allow each of its refresh tokens a single use.
    """

    tenant_id: str | None
    client_id: str
    _: KW_ONLY
    authority: Authority = Authority()  # noqa: RUF009 - a frozen value
    scope: str | None = None
    store: CredentialStore = field(default=_IN_PROCESS, repr=False, compare=False)
    cache: TokenCache = field(default=SHARED, repr=False, compare=False)
    on_token: Callable[[str], object] | None = field(default=None, repr=False, compare=False)
    on_event: OnEvent | None = field(default=None, repr=False, compare=False)
    home: str = field(default="", compare=False)

    mode: ClassVar[str]

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
            return self._signed(self.sign_in(environment, network), claims).token

        return self.cache.get((self, environment, network), sign_in, rejected=rejected, renew=bool(claims))

    def sign_in(self, environment: str, network: Network) -> SignIn:
        """Return the sign-in as a value."""
        from airflow_provider_dynamics.auth.authority import SignIn

        return SignIn(
            environment=environment,
            authority=self.authority,
            tenant_id=self.tenant_id,
            client_id=self.client_id,
            proof=self.proof,
            mode=self.mode,
            scope=self.scope,
            network=network,
            tenant_of=self.home if self.home != self.authority.url else "",
        )

    @property
    def proof(self) -> Proof | None:
        """How the app proves who it is; None for a public client."""
        return None

    @property
    def person(self) -> str:
        """The person who signs in, "" for an app and where it is not known."""
        return ""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Whom a secret belongs to and who takes it: what its fingerprint in the store is bound to."""
        return self.authority.url, self.tenant_id or "auto", self.client_id

    def key(self, environment: str) -> str:
        """Return the name under which the store keeps this credential.

        An app that signs in by itself is somebody else than a person without a name who uses the same app.
        """
        who = self.person or self.mode
        where = self.home or environment
        return store_key(where, self.authority.url, self.tenant_id, self.client_id, who)

    def _signed(self, s: SignIn, claims: str | None) -> Signed:
        """Sign in without a person, and keep why that fails for good, for people to read."""
        rotation = self._rotation(s)
        try:
            signed = self._watched(lambda: self._ask(s, claims))
        except AuthenticationError as error:
            rotation.note(error)
            raise
        rotation.worked()
        return signed

    def _ask(self, s: SignIn, claims: str | None) -> Signed:
        from airflow_provider_dynamics.auth.authority import sign_in_app

        return sign_in_app(s, now=self.cache.now, claims=claims)

    def _rotation(self, s: SignIn) -> Rotation:
        from airflow_provider_dynamics.auth.rotation import Rotation

        key = self.key(s.environment)
        return Rotation(self.store, key, identity=self.identity, now=self.cache.now, on_token=self.on_token)

    def _watched(self, sign_in: Callable[[], Signed]) -> Signed:
        return watched(sign_in, mode=self.mode, authority=self.authority.kind, on_event=self.on_event)


@dataclass(frozen=True)
class ClientSecret(Registered):
    """An app registration signing in with its client secret: the service's side is an application user.

    https://learn.microsoft.com/power-apps/developer/data-platform/use-single-tenant-server-server-authentication
    """

    client_secret: str = field(repr=False)

    mode = MODES["client_secret"]

    @property
    def proof(self) -> Proof:
        from airflow_provider_dynamics.auth.proofs import Secret

        return Secret(self.client_secret)


@dataclass(frozen=True)
class ClientCertificate(Registered):
    """An app registration signing in with a certificate; see `proofs.Certificate` for how key and certificate are given.

    https://learn.microsoft.com/entra/identity-platform/certificate-credentials
    """

    private_key: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    certificate: str | None = None
    send_x5c: bool = False

    mode = MODES["certificate"]

    @property
    def proof(self) -> Proof:
        from airflow_provider_dynamics.auth.proofs import Certificate

        return Certificate(self.private_key, self.passphrase, self.certificate, self.send_x5c)


@dataclass(frozen=True)
class WorkloadIdentity(Registered):
    """An app registration that trusts another issuer's token: `assertion` is its file's path or a function.

    None stands for the file that AZURE_FEDERATED_TOKEN_FILE names. It is read anew for every sign-in.
    https://learn.microsoft.com/entra/workload-id/workload-identity-federation
    """

    assertion: str | Callable[[], str] | None = field(default=None, repr=False)

    mode = MODES["workload_identity"]

    @property
    def proof(self) -> Proof:
        from airflow_provider_dynamics.auth.proofs import Assertion

        return Assertion(self.assertion or os.environ.get(TOKEN_FILE_VARIABLE) or "")


@dataclass(frozen=True)
class RefreshToken(Registered):
    """A person who has signed in before: `refresh_token` is what that sign-in brought, its successors are in the store.

    With a client secret the app is registered as Web (its tokens outlive a change of password), without as a
    public client. `user` tells people apart who share an app.
    https://learn.microsoft.com/entra/identity-platform/refresh-tokens
    """

    refresh_token: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)
    _: KW_ONLY
    user: str = ""

    mode = MODES["refresh_token"]

    @property
    def proof(self) -> Proof | None:
        return _of_person_app(self.client_secret)

    @property
    def person(self) -> str:
        return self.user

    def _signed(self, s: SignIn, claims: str | None) -> Signed:
        from airflow_provider_dynamics.auth.authority import sign_in_refresh

        def redeem(token: str) -> Signed:
            return self._watched(lambda: sign_in_refresh(s, token, now=self.cache.now, claims=claims))

        return self._rotation(s).redeem(self.refresh_token, redeem)


@dataclass(frozen=True)
class UsernamePassword(Registered):
    """A person's user name and password: fails with a second factor, and Microsoft advises against it.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
    """

    username: str
    password: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)

    mode = MODES["username_password"]

    @property
    def proof(self) -> Proof | None:
        return _of_person_app(self.client_secret)

    @property
    def person(self) -> str:
        return self.username

    def _signed(self, s: SignIn, claims: str | None) -> Signed:
        from airflow_provider_dynamics.auth.authority import sign_in_password

        def sign_in() -> Signed:
            return self._watched(
                lambda: sign_in_password(s, self.username, self.password, now=self.cache.now, claims=claims)
            )

        return self._rotation(s).guard(self.password, sign_in)


@dataclass(frozen=True)
class ManagedIdentity(Registered):
    """The identity Azure gives a machine, or (`client_id`) one that is assigned to it.

    https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/overview
    """

    tenant_id: str | None = field(default=None, init=False)
    client_id: str = ""

    mode = MODES["managed_identity"]

    def _ask(self, s: SignIn, claims: str | None) -> Signed:
        from airflow_provider_dynamics.auth.managed_identity import sign_in_managed

        return sign_in_managed(s, now=self.cache.now, claims=claims)


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


def _of_person_app(client_secret: str | None) -> Proof | None:
    """Return how an app that people sign in to proves itself: a Web app by its secret, a public client not at all."""
    from airflow_provider_dynamics.auth.proofs import Secret

    return Secret(client_secret) if client_secret else None
