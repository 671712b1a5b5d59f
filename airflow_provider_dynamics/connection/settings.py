"""A connection's checked content as one value, and the client it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.auth.credentials import ClientSecret, Credential
from airflow_provider_dynamics.connection import addresses
from airflow_provider_dynamics.connection.fields import SettingsError, check_combination, read, read_extra

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.throttle import RetryPolicy

__all__ = ["Settings"]

CONNECT_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True)
class Settings:
    """What a connection says, validated; secrets are left out of its repr.

    `request_timeout` is the longest silence of the service in seconds, `max_concurrency` a ceiling (None:
    automatic).
    """

    environment: str
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    authority_host: str
    scope: str | None = None
    api_version: str = "v9.2"
    caller_object_id: str | None = None
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)
    request_timeout: float = 120.0
    max_concurrency: int | None = None

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
    ) -> Settings:
        """Check a connection's fields and return what they mean; raises SettingsError at the first that is wrong.

        `allowed_authorities` are the sign-in hosts a deployment trusts besides the clouds' own.
        """
        values = read_extra(extra or {})
        values |= {"login": read("login", login), "password": read("password", password)}
        values["auth_type"] = values["auth_type"] or "client_secret"
        entra = values["authority_type"] in {None, "entra"}
        at = addresses.environment(
            read("host", host), port, schema, on_premises=values["authority_type"] == "adfs"
        )
        check_combination(values, entra=entra)
        _refuse_what_is_to_come(values["auth_type"], values["authority_type"])
        tenant_id = addresses.tenant(values["tenant_id"], at.host)
        given = {name: values[name] for name in _PLAIN if values[name] is not None}
        return cls(
            environment=at.url,
            tenant_id=tenant_id,
            client_id=values["login"],
            client_secret=values["password"],
            authority_host=addresses.authority_host(
                values["authority"], values["cloud"], at, tenant_id, allowed_authorities
            ),
            **given,
        )

    def credential(self) -> Credential:
        """Return what signs in."""
        return ClientSecret(
            self.tenant_id, self.client_id, self.client_secret, self.authority_host, self.scope
        )

    def client(
        self, on_token: Callable[[str], None] | None = None, retry: RetryPolicy | None = None
    ) -> Client:
        """Return a new client, for the caller to close; `on_token` is told each access token before its first use."""
        from airflow_provider_dynamics.dataverse import Client

        options: dict[str, Any] = {} if retry is None else {"retry": retry}
        return Client(
            self.environment,
            self.credential(),
            ca_bundle=self.ca_bundle,
            proxy=self.proxy,
            timeout=(CONNECT_TIMEOUT, self.request_timeout),
            api_version=self.api_version,
            caller_object_id=self.caller_object_id,
            max_concurrency=self.max_concurrency,
            on_token=on_token,
            **options,
        )


_PLAIN = (
    "scope",
    "api_version",
    "caller_object_id",
    "ca_bundle",
    "proxy",
    "request_timeout",
    "max_concurrency",
)


def _refuse_what_is_to_come(auth_type: str, authority_type: str | None) -> None:
    if auth_type != "client_secret":
        raise SettingsError(
            f"Auth type {auth_type} is not available yet: this version signs in with client_secret. "
            "Choose it, and enter an app registration's Client ID and Client secret."
        )
    if authority_type not in {None, "entra"}:
        raise SettingsError(
            f"Authority type {authority_type} is not available yet: this version signs in with client_secret at Entra. "
            "Set Authority type to entra."
        )
