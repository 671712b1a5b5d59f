"""What every room of the sign-in service asks first: which tenant, which fields, which person.

https://learn.microsoft.com/entra/identity-platform/v2-protocols#endpoints
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from airflow_provider_dynamics.emulator.directory import TENANT_DOMAIN, TENANT_ID, Person, person_named
from airflow_provider_dynamics.emulator.entra.errors import (
    EntraError,
    NotEmulated,
    invalid_grant,
    invalid_request,
)
from airflow_provider_dynamics.emulator.messages import Request

NO_TENANT = ("common", "organizations", "consumers")


def check_tenant(kind: str, tenant: str) -> None:
    """Raise ``EntraError`` when a grant is not for the tenant in the address."""
    if tenant not in NO_TENANT:
        known_tenant(tenant)
    elif kind == "client_credentials":
        raise invalid_request(
            50059,
            "Tenant-identifying information not found in either the request or implied by any provided credentials.",
        )
    elif kind == "password" and tenant != "organizations":
        raise invalid_request(
            9001023,
            "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations "
            "or tenant-specific endpoint.",
        )
    elif tenant == "consumers":
        raise NotEmulated("personal Microsoft accounts")


def known_person(user_name: str, password: str) -> Person:
    """Return the person with that name and password. Raises ``EntraError`` otherwise."""
    person = person_named(user_name)
    if person is None:
        raise invalid_grant(
            50034,
            f"The user account {{EUII Hidden}} does not exist in the {TENANT_ID} directory. To sign into this "
            "application, the account must be added to the directory.",
        )
    if not hmac.compare_digest(password.encode(), person.password.encode()):
        raise invalid_grant(50126, "Error validating credentials due to invalid username or password.")
    return person


def known_tenant(tenant: str, error: str = "invalid_request") -> None:
    """Raise ``EntraError`` unless this is the emulated tenant."""
    if tenant.lower() in (TENANT_ID, TENANT_DOMAIN):
        return
    raise EntraError(
        400,
        error,
        90002,
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    )


def read_form(request: Request) -> dict[str, str]:
    """Read a form's fields; a client may name itself in a Basic Authorization header instead."""
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return form
        form.setdefault("client_id", unquote_plus(name))
        form.setdefault("client_secret", unquote_plus(secret))
    return form


def needed(form: Mapping[str, str], name: str) -> str:
    """Return a field. Raises ``EntraError`` when it is missing or empty."""
    if value := form.get(name):
        return value
    raise invalid_request(900144, f"The request body must contain the following parameter: '{name}'.")
