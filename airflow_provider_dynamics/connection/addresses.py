"""Which addresses a connection may name: the environment's, and the sign-in service's that gets its secret.

Airflow's Test button sends stored secrets with whatever address the form holds, so secrets go to known places
only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from airflow_provider_dynamics.auth.clouds import CLOUDS, Cloud, locate
from airflow_provider_dynamics.connection.fields import SettingsError

__all__ = ["Environment", "authority_host", "environment", "tenant"]

_LABEL = "Environment URL"
_EXAMPLE = "https://contoso.crm4.dynamics.com"
_WHERE = "Power Platform admin center > Environments > Environment URL"
_OTHER_PRODUCTS = {
    "operations.dynamics.com": "Finance and Operations",
    "businesscentral.dynamics.com": "Business Central",
    "powerapps.com": "the Power Apps maker portal",
    "powerplatform.microsoft.com": "the Power Platform admin center",
    "portal.azure.com": "the Azure portal",
    "home.dynamics.com": "the Dynamics 365 home page",
}


@dataclass(frozen=True)
class Environment:
    """A checked Environment URL, and the cloud it lies in (None on this machine and on premises)."""

    url: str
    host: str
    cloud: Cloud | None


def environment(
    host: str | None, port: int | None, schema: str | None, *, on_premises: bool = False
) -> Environment:
    """Return the environment a connection's host, port and schema name; raises SettingsError.

    `schema` is where a connection URI's path ends up; `https` and `http` there are taken as the protocol.
    """
    if not host:
        raise SettingsError(f"{_LABEL} is missing: enter the base address, such as {_EXAMPLE} ({_WHERE}).")
    path = "" if schema in {None, "", "https", "http"} else f"/{schema}"
    url = _split(_LABEL, host, default_scheme="http" if schema == "http" else "https")
    name, here = (url.hostname or "").lower(), is_loopback(url.hostname)
    origin = f"{url.scheme}://{_with_port(name, url.port or port, url.scheme)}"
    path = url.path.rstrip("/") + path.rstrip("/") + (f"?{url.query}" if url.query else "")
    if url.scheme != "https" and not here:
        raise SettingsError(
            f"{_LABEL} must start with https, not {url.scheme}: use https{origin[len(url.scheme) :]}."
        )
    if path and not on_premises:
        raise SettingsError(f"{_LABEL} must be the base address only: use {origin} (without '{path}').")
    if here or on_premises:
        return Environment(origin + (path if on_premises else ""), name, None)
    cloud = _cloud(name)
    if (url.port or port or 443) != 443:
        raise SettingsError(f"{_LABEL} must not name a port: use https://{name}.")
    return Environment(f"https://{name}", name, cloud)


def authority_host(
    authority: str | None,
    cloud: str | None,
    at: Environment,
    tenant_id: str | None,
    allowed: Iterable[str] = (),
) -> str:
    """Return the host (and port) where an Entra sign-in goes: the cloud's own, or one that is expressly allowed."""
    own = _chosen_cloud(cloud, at)
    if authority is None:
        if own is not None:
            return own.authority_host
        if at.url.startswith("https://"):
            return at.url.removeprefix("https://")  # the emulator serves both from one address
        raise SettingsError(
            f"Authority is missing: {at.url} does not tell where to sign in. Enter an https:// address."
        )
    url = _split("Authority", authority)
    name = _with_port(url.hostname or "", url.port, "https")
    if url.scheme != "https":
        raise SettingsError(f"Authority must start with https, not {url.scheme}: use https://{name}.")
    if url.path.strip("/") not in {"", tenant_id or ""}:
        raise SettingsError(
            f"Authority must be an address without a path: use https://{name}, and put the tenant into Tenant ID."
        )
    if is_loopback(url.hostname) or name in {_allowed_name(entry) for entry in allowed}:
        return name
    if own is None and name in {known.authority_host for known in CLOUDS.values()}:
        return name
    if own is not None and name == own.authority_host:
        return name
    raise SettingsError(_refused(name, own))


def tenant(tenant_id: str, environment_host: str) -> str:
    """Return a tenant an app can sign in to: one GUID or one domain; raises SettingsError."""
    bare = tenant_id.lower()
    if bare in {"common", "organizations", "consumers"}:
        raise SettingsError(
            f"Tenant ID '{tenant_id}' stands for many tenants, and an app signs in to exactly one. "
            "Enter the directory's GUID or one of its domains (Entra admin center > Overview)."
        )
    if "/" in bare or ":" in bare or bare == environment_host or locate(bare):
        raise SettingsError(
            f"Tenant ID looks like an address. The environment's address goes into {_LABEL}; Tenant ID is the directory's "
            "GUID or one of its domains (Entra admin center > Overview)."
        )
    if not all(letter.isalnum() or letter in ".-_" for letter in bare):
        raise SettingsError(
            "Tenant ID has characters that neither a GUID nor a domain has. Copy it from Entra admin center > Overview."
        )
    return tenant_id


def is_loopback(name: str | None) -> bool:
    """Say whether a host name is this machine's own."""
    if not name:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _split(label: str, value: str, default_scheme: str = "https") -> SplitResult:
    try:
        url = urlsplit(value if "://" in value else f"{default_scheme}://{value}")
        whole = url.hostname and (url.port or True) and " " not in value
    except ValueError:
        whole = False
    if not whole or url.scheme not in {"https", "http"}:
        raise SettingsError(
            f"{label} is not a web address: enter one such as {_EXAMPLE if label == _LABEL else 'https://…'}."
        )
    if url.username is not None or url.password is not None:
        raise SettingsError(
            f"{label} must not hold a user name or password: Client ID and Client secret are fields of their own."
        )
    return url


def _with_port(name: str, port: int | None, scheme: str) -> str:
    host = f"[{name}]" if ":" in name else name
    return host if port in {None, 443 if scheme == "https" else 80} else f"{host}:{port}"


def _cloud(name: str) -> Cloud:
    for suffix, product in _OTHER_PRODUCTS.items():
        if name == suffix or name.endswith("." + suffix):
            raise SettingsError(
                f"'{name}' is {product}, not a Dataverse environment. Enter the environment's own address, "
                f"such as {_EXAMPLE} ({_WHERE})."
            )
    place = locate(name)
    if place is None:
        raise SettingsError(
            f"'{name}' is not an address of a Dynamics 365 cloud. Check {_LABEL} for typing errors ({_WHERE}); "
            "for Dynamics 365 on-premises set Authority type to AD FS."
        )
    if not place.is_environment:
        raise SettingsError(
            f"'{name}' is the address of a region or a service, not of an environment. Put the environment's name before it: "
            f"https://<environment>.{place.region_host}."
        )
    return place.cloud


def _chosen_cloud(chosen: str | None, at: Environment) -> Cloud | None:
    if chosen in {None, "auto"}:
        return at.cloud
    cloud = CLOUDS[str(chosen)]
    if at.cloud is not None and cloud.region != at.cloud.region:
        raise SettingsError(
            f"Environment URL lies in cloud '{at.cloud.label}', but Cloud says '{cloud.label}'. "
            f"Set Cloud to auto or {at.cloud.name}, or correct the Environment URL."
        )
    return cloud


def _allowed_name(entry: str) -> str:
    url = urlsplit(entry if "://" in entry else f"https://{entry}")
    return _with_port(url.hostname or "", url.port, "https")


def _refused(name: str, own: Cloud | None) -> str:
    other = next((known for known in CLOUDS.values() if known.authority_host == name), None)
    if own is not None and other is not None:
        return (
            f"Environment URL lies in cloud '{own.label}', but Authority is {name}, which belongs to '{other.label}'. "
            f"Leave Authority empty, or use https://{own.authority_host}."
        )
    return (
        f"Authority {name} is not allowed to receive this connection's secret. Leave Authority empty, or have whoever runs "
        "Airflow list it in [dynamics] allowed_authorities."
    )
