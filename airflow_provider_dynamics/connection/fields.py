"""The connection's fields one by one: their labels, how each is read, and which ones a way of signing in needs.

A value comes typed from JSON and the form, as text from a URI; `None` and empty text mean that the field is
not filled in.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from airflow_provider_dynamics.auth.clouds import CLOUDS

__all__ = [
    "AUTH_TYPES",
    "EXTRA",
    "STANDARD",
    "Field",
    "SettingsError",
    "check_combination",
    "read",
    "read_extra",
]

log = logging.getLogger(__name__)


class SettingsError(ValueError):
    """A connection's field is missing or wrong; the text names it by its label and says what to enter, without any secret."""


Reader = Callable[[str, Any], Any]


def text(label: str, value: Any) -> str:
    """Read text as it is, without spaces around it."""
    if isinstance(value, (dict, list, bool)):
        raise SettingsError(f"{label} must be text, not {_kind(value)}.")
    return str(value).strip()


def switch(label: str, value: Any) -> bool:
    """Read a yes or no, as JSON's boolean or as a word."""
    word = str(value).strip().lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off"}:
        return False
    raise SettingsError(f"{label} must be true or false, not '{value}'.")


def number(low: float, high: float, unit: str, *, whole: bool = False) -> Reader:
    """Read a number between two bounds."""

    def read_number(label: str, value: Any) -> float:
        try:
            found = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            found = float("nan")
        if not low <= found <= high or (whole and found != int(found)):
            asked = "a whole number" if whole else "a number"
            raise SettingsError(f"{label} must be {asked} of {unit} from {low:g} to {high:g}, not '{value}'.")
        return int(found) if whole else found

    return read_number


def choice(*allowed: str) -> Reader:
    """Read one of a few words."""

    def read_choice(label: str, value: Any) -> str:
        word = text(label, value)
        if word in allowed:
            return word
        near = difflib.get_close_matches(word.lower(), allowed, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise SettingsError(f"{label} '{word}' is not known. Choose one of {', '.join(allowed)}{hint}")

    return read_choice


def public_certificate(label: str, value: Any) -> str:
    """Read a PEM certificate or its path; what is secret in it must go where Airflow masks it."""
    found = text(label, value)
    # A PFX in base64 begins with MI too; it holds the key, a certificate in PEM says what it is.
    if "PRIVATE KEY" in found or (re.match(r"MI[A-Za-z0-9+/]", found) and len(found) > 200):
        raise SettingsError(
            f"{label} holds a private key, which Airflow would show to everybody who may read the connection. "
            "Move it to Private key, leave only the public certificate here, and consider the key as known to others."
        )
    return found


def existing_file(label: str, value: Any) -> str:
    """Read the path of something that is on this machine."""
    path = Path(text(label, value)).expanduser()
    if not os.access(path, os.R_OK):
        raise SettingsError(
            f"{label} '{path}' cannot be read on this machine. Correct the path, or put the file on every worker, triggerer "
            "and API server."
        )
    return str(path)


def guid(label: str, value: Any) -> str:
    """Read a GUID."""
    try:
        return str(UUID(text(label, value)))
    except ValueError:
        raise SettingsError(f"{label} must be a GUID such as 00000000-0000-0000-0000-000000000000.") from None


def api_version(label: str, value: Any) -> str:
    """Read a Web API version, with or without its v."""
    found = re.fullmatch(r"v?(9\.\d)", text(label, value))
    if found is None:
        raise SettingsError(f"{label} must look like v9.2, not '{value}'.")
    return f"v{found[1]}"


def proxy(label: str, value: Any) -> str:
    """Read a proxy's URL; it may hold a password, so it is never repeated."""
    url = text(label, value)
    try:
        parts = urlsplit(url)
        whole = (
            parts.scheme in {"http", "https", "socks5", "socks5h"} and parts.hostname and (parts.port or True)
        )
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"{label} must be a URL such as http://proxy.contoso.com:8080.")
    return url


@dataclass(frozen=True)
class Field:
    """A field of the form: its label there, how its value is read, whether it is a secret."""

    label: str
    read: Reader = text
    secret: bool = False


AUTH_TYPES = (
    "client_secret",
    "certificate",
    "refresh_token",
    "managed_identity",
    "workload_identity",
    "username_password",
)

STANDARD: Mapping[str, Field] = {
    "host": Field("Environment URL"),
    "login": Field("Client ID"),
    "password": Field("Client secret", secret=True),
}

EXTRA: Mapping[str, Field] = {
    "auth_type": Field("Auth type", choice(*AUTH_TYPES)),
    "tenant_id": Field("Tenant ID"),
    "certificate": Field("Certificate", public_certificate),
    "private_key": Field("Private key", secret=True),
    "private_key_passphrase": Field("Private key passphrase", secret=True),
    "send_x5c": Field("Send certificate chain", switch),
    "assertion_file": Field("Federated token file"),
    "managed_identity_client_id": Field("Managed identity client ID"),
    "refresh_token": Field("Refresh token", secret=True),
    "webhook_secret": Field("Webhook secret", secret=True),
    "username": Field("User name"),
    "user_password": Field("User password", secret=True),
    "cloud": Field("Cloud", choice("auto", *CLOUDS)),
    "authority": Field("Authority"),
    "authority_type": Field("Authority type", choice("entra", "adfs", "oidc")),
    "resource": Field("AD FS resource"),
    "scope": Field("Scope"),
    "api_version": Field("Web API version", api_version),
    "caller_object_id": Field("Caller object ID", guid),
    "ca_bundle": Field("CA bundle", existing_file),
    "proxy": Field("Proxy", proxy, secret=True),
    "request_timeout": Field("Request timeout", number(1, 3600, "seconds")),
    "max_concurrency": Field("Max concurrency", number(1, 52, "requests", whole=True)),
}

_APP = ("login", "tenant_id")
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "client_secret": (*_APP, "password"),
    "certificate": (*_APP, "private_key"),
    "refresh_token": ("login", "refresh_token"),
    "managed_identity": (),
    "workload_identity": _APP,
    "username_password": (*_APP, "username", "user_password"),
}

_USES: Mapping[str, frozenset[str]] = {
    "client_secret": frozenset({"password"}),
    "certificate": frozenset({"private_key", "private_key_passphrase"}),
    "refresh_token": frozenset({"password", "refresh_token"}),
    "managed_identity": frozenset(),
    "workload_identity": frozenset(),
    "username_password": frozenset({"password", "user_password"}),
}

_WHERE: Mapping[str, str] = {
    "login": "the Application (client) ID of the app registration (Entra admin center > App registrations)",
    "password": "the secret's Value (Entra admin center > App registrations > your app > Certificates & secrets)",
    "tenant_id": "the directory's GUID or one of its domains (Entra admin center > Overview > Tenant ID)",
    "private_key": "the PEM key or the PFX, as text or as a path",
    "refresh_token": "the token that the authorization returned",
    "username": "the name the person signs in with, such as ann@contoso.com",
    "user_password": "that person's password",
}


def read(name: str, value: Any) -> Any:
    """Return a field's value, None when it is not filled in; raises SettingsError."""
    field = STANDARD.get(name) or EXTRA[name]
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return field.read(field.label, value)


def read_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return every known extra field's value by name; a key that is not one is told in the log and left alone."""
    for key in extra:
        if key not in EXTRA and extra[key] not in (None, ""):
            near = difflib.get_close_matches(key, EXTRA, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            log.warning("The connection's extra has a field '%s' that means nothing here%s", key, hint)
    return {name: read(name, extra.get(name)) for name in EXTRA}


def check_combination(values: Mapping[str, Any], *, entra: bool) -> None:
    """Raise SettingsError when the chosen way of signing in lacks a field, or two ways are filled in."""
    auth_type = values["auth_type"]
    if values["password"] and (values["certificate"] or values["private_key"]):
        raise SettingsError(
            "Client secret and Certificate (or Private key) are both filled in, and an app signs in with one of them. "
            "Empty the one that is not meant."
        )
    needed = [name for name in REQUIRED[auth_type] if entra or name != "tenant_id"]
    missing = [name for name in needed if not values[name]]
    if missing:
        raise SettingsError(_missing(missing, auth_type))
    secrets = (name for name, field in {**STANDARD, **EXTRA}.items() if field.secret)
    _tell_unused((name for name in secrets if values[name]), auth_type)


def _missing(names: list[str], auth_type: str) -> str:
    labels = [(STANDARD.get(name) or EXTRA[name]).label for name in names]
    listed = " and ".join([", ".join(labels[:-1]), labels[-1]] if labels[1:] else labels)
    enter = "; ".join(f"{label}: {_WHERE[name]}" for label, name in zip(labels, names, strict=True))
    return (
        f"{listed} {'are' if labels[1:] else 'is'} missing, needed for auth type {auth_type}. Enter {enter}."
    )


def _tell_unused(filled: Iterable[str], auth_type: str) -> None:
    for name in filled:
        if name not in _USES[auth_type] | {"proxy", "webhook_secret"}:
            label = (STANDARD.get(name) or EXTRA[name]).label
            log.warning("The connection's %s is filled in but not used by auth type %s", label, auth_type)


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "a boolean"}[type(value)]
