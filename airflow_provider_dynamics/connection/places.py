"""Which environment a sign-in is for: the connection's own, another one that a task asks for, or one still to be chosen.

Whoever writes a DAG names environments, but the connection decides how far its tokens may go: to its own cloud.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.authorities import MODES, Authority, AuthorityKind
from airflow_provider_dynamics.auth.clouds import CLOUDS, directory_of, locate
from airflow_provider_dynamics.auth.network import is_loopback
from airflow_provider_dynamics.connection.addresses import (
    Environment,
    authority,
    check_near,
    chosen_cloud,
    environment,
    https_address,
    tenant,
)
from airflow_provider_dynamics.connection.fields import SettingsError, read

__all__ = ["PERSONS", "asked_for", "directory", "find", "sign_in_at"]

PERSONS = frozenset({"refresh_token", "username_password"})
"""The auth types with which a person signs in."""


def find(
    values: Mapping[str, Any],
    host: str | None,
    port: int | None,
    schema: str | None,
    asked: str | None,
    *,
    choosing: bool = False,
) -> tuple[Environment | None, Environment]:
    """Return the connection's own environment, and the one to work in; raises SettingsError.

    `asked` is the address that a task gives. While somebody is `choosing`, the service that lists environments
    stands in for one.
    """
    own = _own(values, host, port, schema, optional=bool(asked) or (choosing and _choosable(values)))
    if not asked:
        return own, own or _where_listed(values["authority"], values["cloud"])
    home = own or _unnamed(values)
    with _asked_for(asked):
        at = _another(asked, home, on_premises=values["authority_type"] == "adfs")
    if own is None or at.url != own.url:
        _check_scope(values["scope"], own, at)
    return own, at


def asked_for(environment: Any) -> str | None:
    """Return what a task gives as its environment, None for nothing, which means the connection's; raises SettingsError."""
    with _asked_for(environment):
        found: str | None = read("host", environment)
        return found


def sign_in_at(
    values: Mapping[str, Any],
    own: Environment | None,
    at: Environment,
    asked: str | None,
    allowed: Iterable[str],
) -> tuple[str | None, Authority]:
    """Return the tenant, None where there are none or the environment says it, and the sign-in service; raises SettingsError.

    A secret goes where the connection's own environment lets it go, whatever a task asks for.
    """
    kind: AuthorityKind = values["authority_type"]
    tenant_id = values["tenant_id"] if kind == "entra" else None  # nobody else has tenants
    if tenant_id:
        tenant_id = tenant(tenant_id, at.host, MODES[values["auth_type"]])
    elif own is None and not asked:
        tenant_id = "organizations"  # no environment says which
    found = authority(
        *(kind, values["authority"], values["cloud"], own or at),
        tenant_id=tenant_id,
        resource=values["resource"],
        allowed=allowed,
    )
    if asked and kind == "adfs":
        with _asked_for(asked):
            check_near(at, found.host, allowed)
    return tenant_id, found


def directory(at: Environment, signs_in_at: Authority, cloud: str | None) -> str:
    """Return the service that lists the environments beside this one, "" where there is none, as on premises.

    https://learn.microsoft.com/power-apps/developer/data-platform/discovery-service
    """
    if signs_in_at.kind != "entra":
        return ""
    if at.cloud is None:
        return signs_in_at.url if is_loopback(urlsplit(signs_in_at.url).hostname) else ""
    return f"https://{directory_of(at.host, chosen_cloud(cloud, at) or at.cloud)}"


def _own(
    values: Mapping[str, Any], host: str | None, port: int | None, schema: str | None, *, optional: bool
) -> Environment | None:
    named = read("host", host)
    if optional and not named:
        return None
    on_the_page = _choosable(values) and values["auth_type"] == "refresh_token"
    on_premises = values["authority_type"] == "adfs"
    return environment(named, port, schema, on_premises=on_premises, choosable=on_the_page)


def _choosable(values: Mapping[str, Any]) -> bool:
    """Say whether somebody signs in who may be asked for an environment."""
    return values["authority_type"] == "entra" and values["auth_type"] in PERSONS


def _unnamed(values: Mapping[str, Any]) -> Environment | None:
    """Return where a connection without an Environment URL is at home: where it signs in, in its cloud; None where it says neither."""
    if values["authority_type"] == "entra":
        return _where_listed(values["authority"], values["cloud"])
    url = https_address(values["authority"]) if values["authority"] else None
    return Environment(f"https://{url.netloc}", url.hostname or "", None) if url else None


@contextmanager
def _asked_for(asked: Any) -> Iterator[None]:
    """Say whose fault an address is: the task's, not the connection's; a password in it is not repeated."""
    try:
        yield
    except SettingsError as error:
        shown = str(asked).rpartition("@")[2]
        raise SettingsError(f"The task's environment '{shown}' cannot be used: {error}") from None


def _check_scope(scope: str | None, own: Environment | None, at: Environment) -> None:
    """Raise SettingsError where Scope asks for the token of an environment other than the task's, which would be sent it."""
    for host in re.findall(r"://([^/:\s]+)", (scope or "").lower()):
        place = locate(host)
        named = place is not None and place.is_environment
        if host != at.host and (named or (own is not None and host == own.host)):
            raise SettingsError(
                f"Scope names {host}, so no token for {at.url} can be had with it. Empty Scope: it follows the environment then."
            )


def _another(asked: str, home: Environment | None, *, on_premises: bool = False) -> Environment:
    """Return the environment that a task asks for in place of its connection's, which is `home`; raises SettingsError.

    The connection's tokens go to its own cloud only, and to this machine only where the connection does. One without
    an Environment URL is at `home` where its environments are listed, or where it signs in.
    """
    at = environment(asked, None, None, on_premises=on_premises)
    if home is None:
        return at
    if at.cloud is not None and home.cloud is not None and at.cloud.region != home.cloud.region:
        raise SettingsError(
            f"It lies in cloud '{at.cloud.label}', the connection in '{home.cloud.label}', and tokens do not leave their cloud: use a "
            f"connection of that cloud (its Environment URL says which, without one Cloud does: {at.cloud.name})."
        )
    if is_loopback(at.host) != is_loopback(home.host):
        raise SettingsError(
            f"The connection is one to {home.url}, and only one of the two is on this machine, which tokens do not enter or leave: use "
            "a connection of its own."
        )
    return at


def _where_listed(address: str | None, cloud: str | None) -> Environment:
    """Return the service that lists environments as if it were one, for a connection that names none yet."""
    url = https_address(address) if address else None
    if url and is_loopback(url.hostname):  # the emulator is all in one
        return Environment(f"https://{url.netloc}", url.hostname or "", None)
    found = CLOUDS[cloud if cloud not in {None, "auto"} else "public"]
    return Environment(f"https://{found.discovery_host}", found.discovery_host, found)
