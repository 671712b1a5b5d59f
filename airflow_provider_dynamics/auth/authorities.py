"""Which sign-in service a connection goes to, and which ways of signing in exist there.

What does not exist is refused here in one sentence, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = [
    "APP_MODES",
    "CODE",
    "DEVICE_CODE",
    "MANY_TENANTS",
    "MODES",
    "Authority",
    "AuthorityKind",
    "unavailable",
    "unfit_tenant",
]

AuthorityKind = Literal["entra", "adfs", "oidc"]

MODES: Mapping[str, str] = {
    "client_secret": "client secret",
    "certificate": "certificate",
    "managed_identity": "managed identity",
    "workload_identity": "workload identity",
    "refresh_token": "refresh token",
    "username_password": "user name and password",
}
"""How texts call each auth type of the connection."""

CODE, DEVICE_CODE = "authorization code", "device code"
APP_MODES = frozenset({"client secret", "certificate", "workload identity"})
MANY_TENANTS = frozenset({"common", "organizations", "consumers"})

_NAMES: Mapping[str, str] = {
    "entra": "Microsoft Entra ID",
    "adfs": "AD FS",
    "oidc": "a generic OpenID provider",
}
_ABSENT: Mapping[tuple[str, str], str] = {
    ("managed identity", "adfs"): "Azure hands out tokens of Microsoft Entra ID only",
    ("managed identity", "oidc"): "Azure hands out tokens of Microsoft Entra ID only",
    ("workload identity", "adfs"): "AD FS trusts no tokens of other issuers",
    ("device code", "adfs"): "MSAL's device flow cannot name the resource that AD FS asks for",
    ("user name and password", "oidc"): "OpenID providers ask the person themselves",
}


@dataclass(frozen=True)
class Authority:
    """A sign-in service.

    `url` is, at Entra, the sign-in address without a tenant; at AD FS the address that ends in `/adfs`; at an
    OpenID provider the issuer. `resource` names what tokens are for where a scope does not: AD FS's relying party
    (None: the environment's address with a slash), or the resource of RFC 8707.
    """

    kind: AuthorityKind = "entra"
    url: str = "https://login.microsoftonline.com"
    resource: str | None = None

    @property
    def host(self) -> str:
        """The service's host name, with its port where it has one."""
        return urlsplit(self.url).netloc.lower()


def unavailable(mode: str, kind: str) -> str:
    """Return why a way of signing in does not exist at a kind of service, or an empty text.

    https://learn.microsoft.com/windows-server/identity/ad-fs/overview/ad-fs-openid-connect-oauth-flows-scenarios
    """
    why = _ABSENT.get((mode, kind))
    return f"There is no {mode} sign-in at {_NAMES[kind]}: {why}." if why else ""


def unfit_tenant(mode: str, tenant_id: str) -> str:
    """Return why a word that stands for many tenants does not fit a way of signing in, or an empty text.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
    """
    word = tenant_id.lower()
    if word not in MANY_TENANTS:
        return ""
    if mode in APP_MODES:
        return f"Tenant ID '{tenant_id}' stands for many tenants, and an app signs in to exactly one."
    if word == "consumers":
        return "Tenant ID 'consumers' stands for personal accounts, which have no Dynamics 365."
    if word == "common" and mode == MODES["username_password"]:
        return "Tenant ID 'common' stands for many tenants, which a password is not taken for."
    return ""
