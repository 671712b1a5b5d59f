"""A connection's checked content as one value, and the client and credential it leads to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.auth.authorities import MODES, Authority
from airflow_provider_dynamics.auth.credentials import (
    ClientCertificate,
    ClientSecret,
    ManagedIdentity,
    RefreshToken,
    Registered,
    UsernamePassword,
    WorkloadIdentity,
)
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.store import CredentialStore
from airflow_provider_dynamics.connection import places
from airflow_provider_dynamics.connection.fields import SettingsError, check_combination, read, read_extra
from airflow_provider_dynamics.connection.places import PERSONS
from airflow_provider_dynamics.connection.webhook_keys import webhook_keys

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.authority import SignIn
    from airflow_provider_dynamics.auth.events import OnEvent
    from airflow_provider_dynamics.auth.tokens import TokenCache
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.administration.discovery import Instance
    from airflow_provider_dynamics.dataverse.throttle import RetryPolicy

__all__ = ["Settings"]

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True)
class Settings:
    """What a connection says, validated; secrets are left out of its repr.

    `environment` may be another one than the connection's, which is `home` (without one, the sign-in service).
    `directory` lists the environments of the connection's cloud ("": nobody does); it stands in for an environment
    while none is `chosen`.
    `tenant_id` None lets the environment name its tenant. `request_timeout` is the longest silence of the service
    in seconds, `max_concurrency` a ceiling (None: automatic), `credential_end_date` the day on which the client
    secret expires. `allow_metadata_changes` lets tasks change definitions.
    """

    environment: str
    auth_type: str
    authority: Authority
    tenant_id: str | None
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    certificate: str | None = None
    private_key: str | None = field(default=None, repr=False)
    private_key_passphrase: str | None = field(default=None, repr=False)
    send_x5c: bool = False
    assertion_file: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    username: str | None = None
    user_password: str | None = field(default=None, repr=False)
    credential_end_date: date | None = None
    scope: str | None = None
    api_version: str = "v9.2"
    caller_object_id: str | None = None
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)
    request_timeout: float = 120.0
    max_concurrency: int | None = None
    allow_metadata_changes: bool = False
    webhook_secret: str | None = field(default=None, repr=False)
    home: str = ""
    directory: str = ""
    chosen: bool = True

    @classmethod
    def from_fields(
        cls,
        *,
        host: str | None = None,
        login: str | None = None,
        password: str | None = None,
        port: int | None = None,
        schema: str | None = None,
        extra: Mapping[str, Any] | None = None,
        allowed_authorities: Iterable[str] = (),
        signing_in: bool = False,
        environment: str | None = None,
        choosing: bool = False,
    ) -> Settings:
        """Check a connection's fields and return what they mean; raises SettingsError at the first that is wrong.

        `allowed_authorities` are the sign-in hosts a deployment trusts besides the clouds' own. While `signing_in`,
        the refresh token may be missing: it is what the sign-in will bring. `environment` is the address of another
        environment than the connection's, which may then have none. So it may while somebody is signing in or
        `choosing` one: the service that lists environments stands in for it.
        """
        values = _read(login, password, extra or {})
        environment = places.asked_for(environment)
        choosing = choosing or (signing_in and values["auth_type"] == "refresh_token")
        own, at = places.find(values, host, port, schema, environment, choosing=choosing)
        check_combination(values, signing_in=signing_in)
        tenant_id, authority = places.sign_in_at(values, own, at, environment, allowed_authorities)
        return cls(
            environment=at.url,
            home=own.url if own else authority.url,
            chosen=bool(own or environment),
            directory=places.directory(own or at, authority, values["cloud"]),
            authority=authority,
            tenant_id=tenant_id,
            client_id=values["login"] or values["managed_identity_client_id"] or "",
            client_secret=values["password"],
            **{name: values[name] for name in _PLAIN if values[name] is not None},
        )

    @property
    def on_premises(self) -> bool:
        """Whether a server of one's own answers, and not Microsoft's cloud."""
        return self.authority.kind == "adfs"

    @property
    def mode(self) -> str:
        """How texts call this way of signing in."""
        return MODES[self.auth_type]

    @property
    def network(self) -> Network:
        """How services are reached."""
        return Network(self.ca_bundle, self.proxy, (CONNECT_TIMEOUT, self.request_timeout))

    @property
    def person(self) -> str:
        """Whoever is said to sign in, "" for an app and where the connection does not say."""
        return (self.username or "") if self.auth_type in PERSONS else ""

    @property
    def store_key(self) -> str:
        """The name under which the credential store keeps what belongs to this sign-in; never the connection's id."""
        return self.credential().key(self.environment)

    @property
    def webhook_keys(self) -> tuple[str, ...]:
        """What posts of Dataverse's webhooks may prove themselves with, the current key first; raises SettingsError."""
        return webhook_keys(self.webhook_secret)

    def credential(
        self,
        store: CredentialStore | None = None,
        *,
        on_token: Callable[[str], object] | None = None,
        on_event: OnEvent | None = None,
        cache: TokenCache | None = None,
    ) -> Registered:
        """Return what signs in; `on_token` is told every refresh token before its first use, `on_event` each sign-in.

        With a `cache` of its own it does not share the process's access tokens: a new one makes it sign in.
        """
        options: dict[str, Any] = {
            "authority": self.authority,
            "scope": self.scope,
            "on_token": on_token,
            "on_event": on_event,
        }
        if store is not None:
            options["store"] = store
        if cache is not None:
            options["cache"] = cache
        if self.auth_type in PERSONS:
            options["home"] = self.home
        return _CREDENTIALS[self.auth_type](self, options)

    def sign_in(self) -> SignIn:
        """Return the sign-in as a value: what a code flow or device flow for this connection begins with."""
        return self.credential().sign_in(self.environment, self.network)

    def client(
        self,
        on_token: Callable[[str], None] | None = None,
        retry: RetryPolicy | None = None,
        store: CredentialStore | None = None,
        on_event: OnEvent | None = None,
        cache: TokenCache | None = None,
    ) -> Client:
        """Return a new client, for the caller to close; `on_token` is told each token before its first use.

        The other options are those of `credential`.
        """
        from airflow_provider_dynamics.dataverse import Client

        options: dict[str, Any] = {} if retry is None else {"retry": retry}
        return Client(
            self.environment,
            self.credential(store, on_token=on_token, on_event=on_event, cache=cache),
            ca_bundle=self.ca_bundle,
            proxy=self.proxy,
            timeout=self.network.timeout,
            api_version=self.api_version,
            on_premises=self.on_premises,
            caller_object_id=self.caller_object_id,
            max_concurrency=self.max_concurrency,
            allow_metadata_changes=self.allow_metadata_changes,
            on_token=on_token,
            **options,
        )

    def environments(
        self,
        on_token: Callable[[str], None] | None = None,
        retry: RetryPolicy | None = None,
        store: CredentialStore | None = None,
        on_event: OnEvent | None = None,
        cache: TokenCache | None = None,
    ) -> list[Instance]:
        """Return the environments of the connection's cloud that whoever signs in may enter; the options are those of `client`.

        Raises SettingsError on premises, and what `instances` raises.
        """
        from airflow_provider_dynamics.dataverse.administration.discovery import instances

        if not self.directory:
            raise SettingsError(
                "Environments are listed for Microsoft's clouds only. The organizations of a server of your own are known to "
                "whoever runs it: enter the address of one as Environment URL."
            )
        credential = replace(self, scope=None).credential(
            store, on_token=on_token, on_event=on_event, cache=cache
        )
        return instances(self.directory, credential, network=self.network, on_token=on_token, retry=retry)


_PLAIN = (
    "auth_type",
    "certificate",
    "private_key",
    "private_key_passphrase",
    "send_x5c",
    "assertion_file",
    "refresh_token",
    "username",
    "user_password",
    "credential_end_date",
    "scope",
    "api_version",
    "caller_object_id",
    "ca_bundle",
    "proxy",
    "request_timeout",
    "max_concurrency",
    "allow_metadata_changes",
    "webhook_secret",
)


def _read(login: str | None, password: str | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field's value, with the kinds of sign-in and the version that are meant where none is given; raises SettingsError."""
    values = {**read_extra(extra), "login": read("login", login), "password": read("password", password)}
    values["auth_type"] = values["auth_type"] or "client_secret"
    values["authority_type"] = values["authority_type"] or "entra"
    on_premises, version = values["authority_type"] == "adfs", values["api_version"]
    if on_premises and values["caller_object_id"]:
        raise SettingsError(
            "Caller object ID is the id of a user in Microsoft Entra ID, which Dynamics 365 on premises does not know. Empty it, "
            "and sign in as that user."
        )
    if version and version < "v9" and not on_premises:
        raise SettingsError(
            f"Web API version must look like v9.2, not '{version}': only servers on premises have one before v9.0."
        )
    values["api_version"] = version or ("v9.1" if on_premises else None)  # the newest there is there
    return values


def _certificate(s: Settings, options: dict[str, Any]) -> Registered:
    return ClientCertificate(
        s.tenant_id,
        s.client_id,
        s.private_key or "",
        s.private_key_passphrase,
        s.certificate,
        s.send_x5c,
        **options,
    )


def _refresh_token(s: Settings, options: dict[str, Any]) -> Registered:
    return RefreshToken(
        s.tenant_id, s.client_id, s.refresh_token or "", s.client_secret, user=s.person, **options
    )


def _password(s: Settings, options: dict[str, Any]) -> Registered:
    _discourage(s.environment, s.person)
    return UsernamePassword(
        s.tenant_id, s.client_id, s.person, s.user_password or "", s.client_secret, **options
    )


_CREDENTIALS: Mapping[str, Callable[[Settings, dict[str, Any]], Registered]] = {
    "client_secret": lambda s, options: ClientSecret(
        s.tenant_id, s.client_id, s.client_secret or "", **options
    ),
    "certificate": _certificate,
    "workload_identity": lambda s, options: WorkloadIdentity(
        s.tenant_id, s.client_id, s.assertion_file, **options
    ),
    "managed_identity": lambda s, options: ManagedIdentity(s.client_id, **options),
    "refresh_token": _refresh_token,
    "username_password": _password,
}


@lru_cache(maxsize=64)
def _discourage(environment: str, username: str) -> None:
    """Say once in a process what is wrong with this way of signing in.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
    """
    log.warning(
        "%s is signed in to with the user name and password of %s. Microsoft advises against it: it stops when a second "
        "factor is asked for or the password changes. Prefer an application user (client secret, certificate).",
        environment,
        username,
    )
