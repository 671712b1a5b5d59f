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
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from airflow_provider_dynamics.auth.authorities import MODES, unavailable
from airflow_provider_dynamics.auth.clouds import CLOUDS
from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.connection.pasted import damage, mistaken

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

    def __init__(self, text: str) -> None:
        super().__init__(fitted(text))


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


def refresh_token(label: str, value: Any) -> str:
    """Read a refresh token that copying has not damaged."""
    found = text(label, value)
    wrong = damage(found)
    if wrong:
        raise SettingsError(f"{label} {wrong}.")
    return found


def day(label: str, value: Any) -> date:
    """Read a date, of which a time is left out."""
    try:
        return date.fromisoformat(text(label, value)[:10])
    except ValueError:
        raise SettingsError(f"{label} must be a date such as 2027-01-31, not '{value}'.") from None


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
    found = re.fullmatch(r"v?(8\.[0-2]|9\.\d)", text(label, value))
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


AUTH_TYPES = tuple(MODES)

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
    "refresh_token": Field("Refresh token", refresh_token, secret=True),
    "webhook_secret": Field("Webhook secret", secret=True),
    "allow_metadata_changes": Field("Allow metadata changes", switch),
    "username": Field("User name"),
    "user_password": Field("User password", secret=True),
    "credential_end_date": Field("Client secret's end date", day),
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

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "client_secret": ("login", "password"),
    "certificate": ("login", "private_key"),
    "refresh_token": ("login", "refresh_token"),
    "managed_identity": (),
    "workload_identity": ("login",),
    "username_password": ("login", "username", "user_password"),
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
    "private_key": "the PEM key or the PFX, as text or as a path",
    "refresh_token": "nothing by hand, but sign in (Admin > Microsoft Dynamics 365, or `airflow dynamics login CONN_ID`)",
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


def check_combination(values: Mapping[str, Any], *, signing_in: bool = False) -> None:
    """Raise SettingsError when the chosen way of signing in lacks a field, or fields contradict it or each other.

    While `signing_in`, a refresh token is what is still to come.
    """
    auth_type = values["auth_type"]
    if values["password"] and (values["certificate"] or values["private_key"]):
        raise SettingsError(
            "Client secret and Certificate (or Private key) are both filled in, and an app signs in with one of them. "
            "Empty the one that is not meant."
        )
    absent = unavailable(MODES[auth_type], values["authority_type"])
    if absent:
        raise SettingsError(f"{absent} Choose another Auth type, or correct Authority type.")
    _check_identity(values)
    optional = {"refresh_token"} if signing_in else set()
    missing = [name for name in REQUIRED[auth_type] if not values[name] and name not in optional]
    if missing:
        raise SettingsError(_missing(missing, auth_type))
    _check_refresh_token(values)
    secrets = (name for name, field in {**STANDARD, **EXTRA}.items() if field.secret)
    _tell_unused((name for name in secrets if values[name]), auth_type)


def _check_identity(values: Mapping[str, Any]) -> None:
    """Raise for an identity in the wrong one of two fields: the machine's own would sign in instead of it."""
    label, other = EXTRA["managed_identity_client_id"].label, STANDARD["login"].label
    if values["auth_type"] == "managed_identity" and values["login"]:
        raise SettingsError(
            f"{other} is for app registrations, and Auth type is managed_identity. Move an assigned identity's client ID to "
            f"{label}, or empty {other} for the machine's own identity."
        )
    if values["auth_type"] != "managed_identity" and values["managed_identity_client_id"]:
        raise SettingsError(
            f"{label} is filled in, but Auth type is {values['auth_type']}. Set Auth type to managed_identity, or empty {label}."
        )


def _check_refresh_token(values: Mapping[str, Any]) -> None:
    kind = mistaken(values["refresh_token"] or "", values["login"], values["authority_type"])
    if kind:
        raise SettingsError(
            f"Refresh token holds {kind}, with which nobody can sign in again. Paste the answer's refresh_token, or sign in: "
            "Admin > Microsoft Dynamics 365, or `airflow dynamics login CONN_ID`."
        )


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
