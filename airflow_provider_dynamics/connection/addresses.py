"""Which addresses a connection may name: the environment's, and the sign-in service's that gets its secret.

Airflow's Test button sends stored secrets with whatever address the form holds, so secrets go to known places
only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from airflow_provider_dynamics.auth.authorities import Authority, AuthorityKind, unfit_tenant
from airflow_provider_dynamics.auth.clouds import CLOUDS, Cloud, locate
from airflow_provider_dynamics.auth.network import is_loopback
from airflow_provider_dynamics.connection.fields import SettingsError

__all__ = ["Environment", "authority", "check_near", "chosen_cloud", "environment", "https_address", "tenant"]

_LABEL = "Environment URL"
_EXAMPLE = "https://contoso.crm4.dynamics.com"
_WHERE = "Power Platform admin center > Environments > Environment URL"
# two readers of any other character in a host's name may see two hosts, and one of them gets the token
_NAME = re.compile(r"[a-z0-9._:-]+", re.ASCII)
_ORGANIZATION = re.compile(r"(/[\w-]+)*", re.ASCII)
_FIRST = re.compile(r"/[\w-]+(?![^/?])", re.ASCII)
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
    host: str | None,
    port: int | None,
    schema: str | None,
    *,
    on_premises: bool = False,
    choosable: bool = False,
) -> Environment:
    """Return the environment a connection's host, port and schema name; raises SettingsError.

    `choosable` says that a person signs in, who could be asked. `schema` is where a connection URI's path ends up;
    `https` and `http` there are taken as the protocol.
    """
    if not host:
        chosen = ", or sign in and choose one under Admin > Microsoft Dynamics 365" if choosable else ""
        raise SettingsError(
            f"{_LABEL} is missing: enter the base address, such as {_EXAMPLE} ({_WHERE}){chosen}."
        )
    path = "" if schema in {None, "", "https", "http"} else f"/{schema}"
    url = _split(_LABEL, host, default_scheme="http" if schema == "http" else "https")
    name, here = (url.hostname or "").lower(), is_loopback(url.hostname)
    origin = f"{url.scheme}://{_with_port(name, url.port or port, url.scheme)}"
    path = url.path.rstrip("/") + path.rstrip("/") + (f"?{url.query}" if url.query else "")
    if on_premises:
        _check_organization(name, origin, path)
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


def _check_organization(name: str, origin: str, path: str) -> None:
    if locate(name):
        raise SettingsError(
            f"{_LABEL} lies in Microsoft's cloud, which signs in at Microsoft Entra ID: set Authority type to entra."
        )
    if not _ORGANIZATION.fullmatch(path):
        first = _FIRST.match(path)
        raise SettingsError(
            f"{_LABEL} must be the organization's address only: use {origin}{first[0] if first else ''}."
        )


def authority(
    kind: AuthorityKind,
    address: str | None,
    cloud: str | None,
    at: Environment,
    *,
    tenant_id: str | None = None,
    resource: str | None = None,
    allowed: Iterable[str] = (),
) -> Authority:
    """Return the service a connection signs in at: the cloud's own, or one that is expressly allowed; raises SettingsError."""
    listed = {_allowed_name(entry) for entry in allowed}
    if kind == "entra":
        if resource is not None:
            raise SettingsError(
                "AD FS resource is filled in, but Authority type is entra: empty it, or set Authority type to adfs."
            )
        return Authority("entra", f"https://{_entra_host(address, cloud, at, tenant_id, listed)}")
    if cloud not in {None, "auto"}:
        raise SettingsError(
            f"Cloud is filled in, but Authority type is {kind}: set Cloud to auto, or Authority type to entra."
        )
    url = _elsewhere(kind, address)
    if not is_loopback(url.hostname) and url.netloc not in listed:
        raise SettingsError(_refused(url.netloc, None))
    if kind == "adfs":
        check_near(at, url.netloc, listed)
    return Authority(kind, url.geturl(), resource)


def _entra_host(
    address: str | None, cloud: str | None, at: Environment, tenant_id: str | None, listed: set[str]
) -> str:
    own = chosen_cloud(cloud, at)
    if address is None:
        if own is not None:
            return own.authority_host
        if at.url.startswith("https://"):
            return at.url.removeprefix("https://")  # the emulator serves both from one address
        raise SettingsError(
            f"Authority is missing: {at.url} does not tell where to sign in. Enter an https:// address."
        )
    url = https_address(address)
    if url.path.strip("/") not in {"", tenant_id or ""}:
        raise SettingsError(
            f"Authority must be an address without a path: use https://{url.netloc}, and put the tenant into Tenant ID."
        )
    known = {one.authority_host for one in CLOUDS.values()} if own is None else {own.authority_host}
    if is_loopback(url.hostname) or url.netloc in listed | known:
        return url.netloc
    raise SettingsError(_refused(url.netloc, own))


def _elsewhere(kind: str, address: str | None) -> SplitResult:
    """Return the address of an AD FS, which ends in /adfs, or the issuer of an OpenID provider, which has a path."""
    example = "https://adfs.contoso.com/adfs" if kind == "adfs" else "https://login.contoso.com/tenant"
    if address is None:
        raise SettingsError(
            f"Authority is missing, needed for Authority type {kind}. Enter the sign-in service's address, such as {example}."
        )
    url = https_address(address)
    path = url.path.rstrip("/")
    if kind == "adfs" and path.lower() not in {"", "/adfs"}:
        raise SettingsError(f"Authority of an AD FS ends in /adfs: use https://{url.netloc}/adfs.")
    if url.query or url.fragment or (kind == "oidc" and not path):
        raise SettingsError(f"Authority must be the provider's issuer, with a path, such as {example}.")
    return url._replace(path="/adfs" if kind == "adfs" else path)


def https_address(address: str) -> SplitResult:
    """Return an https address with its host name as others write it."""
    url = _split("Authority", address)
    name = _with_port((url.hostname or "").lower(), url.port, "https")
    if url.scheme != "https":
        raise SettingsError(f"Authority must start with https, not {url.scheme}: use https://{name}.")
    return url._replace(netloc=name)


def check_near(at: Environment, authority_host: str, allowed: Iterable[str]) -> None:
    """Raise SettingsError for an on-premises environment that has nothing to do with its AD FS: it would be sent the token."""
    host = urlsplit(at.url).netloc
    family = ".".join(authority_host.partition(":")[0].split(".")[1:])
    if (
        is_loopback(at.host)
        or host in {_allowed_name(entry) for entry in allowed}
        or (_is_domain(family) and at.host.endswith(f".{family}"))
    ):
        return
    raise SettingsError(
        f"{_LABEL} {host} is not in the domain of Authority {authority_host}, whose tokens it would receive. Correct it, "
        "or have whoever runs Airflow list it in [dynamics] allowed_authorities."
    )


def _is_domain(name: str) -> bool:
    """Say whether a name is somebody's, and not a registry's such as com or co.uk."""
    labels = name.split(".")
    below = 3 if len(labels[-1]) == 2 and labels[-2:-1] and len(labels[-2]) <= 3 else 2
    return len(labels) >= below


def tenant(tenant_id: str, environment_host: str, mode: str) -> str:
    """Return a tenant that can be signed in to: one GUID or one domain, or many where a person says which; raises SettingsError."""
    bare = tenant_id.lower()
    unfit = unfit_tenant(mode, tenant_id)
    if unfit:
        raise SettingsError(
            f"{unfit} Enter the directory's GUID or one of its domains (Entra admin center > Overview)."
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


def _split(label: str, value: str, default_scheme: str = "https") -> SplitResult:
    try:
        url = urlsplit(value if "://" in value else f"{default_scheme}://{value}")
        whole = _NAME.fullmatch(url.hostname or "") and (url.port or True) and " " not in value
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


def chosen_cloud(chosen: str | None, at: Environment) -> Cloud | None:
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
