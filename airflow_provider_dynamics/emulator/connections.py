"""Airflow connections to a running emulator, one for each way to sign in.

Each is given as the environment variables that define it, as ``airflow connections`` and the task SDK read them.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.directory import USER

AUTH_TYPES = (
    "client_secret",
    "certificate",
    "refresh_token",
    "managed_identity",
    "workload_identity",
    "username_password",
)
ON_PREMISES = ("client_secret", "certificate", "refresh_token", "username_password")


class SignInFacts(Protocol):
    """What a connection is made of: the running emulator."""

    tenant_id: str
    client_id: str
    public_client_id: str

    @property
    def url(self) -> str: ...

    @property
    def ca_bundle(self) -> str: ...

    @property
    def authority(self) -> str: ...

    @property
    def adfs_authority(self) -> str: ...

    @property
    def adfs_resource(self) -> str: ...

    @property
    def client_secret(self) -> str: ...

    @property
    def certificate_pem(self) -> str: ...

    @property
    def private_key_pem(self) -> str: ...

    def federated_token_file(self) -> str: ...

    def refresh_token(self, *, client_id: str | None, authority_type: str) -> str: ...

    def managed_identity_environment(self) -> dict[str, str]: ...


def connection(
    emulator: SignInFacts,
    conn_id: str,
    auth_type: str,
    authority_type: str,
    *,
    public: bool,
    extra: dict[str, Any],
) -> dict[str, str]:
    """Return the environment variables of a connection. ValueError on a way to sign in that does not exist."""
    if authority_type not in ("entra", "adfs"):
        raise ValueError(f"authority_type must be entra or adfs, not {authority_type!r}")
    if auth_type not in (AUTH_TYPES if authority_type == "entra" else ON_PREMISES):
        raise ValueError(f"there is no way to sign in with {auth_type!r} at {authority_type!r}")
    fields: dict[str, Any] = {"conn_type": "dynamics", "host": emulator.url}
    if auth_type != "managed_identity":
        fields["login"] = emulator.public_client_id if public else emulator.client_id
    if auth_type in ("client_secret", "refresh_token", "username_password") and not public:
        fields["password"] = emulator.client_secret
    for name in ("host", "login", "password"):
        if name in extra:
            fields[name] = extra.pop(name)
    fields["extra"] = {
        **_authority(emulator, auth_type, authority_type),
        "ca_bundle": emulator.ca_bundle,
        **_proof(emulator, auth_type, authority_type, public=public),
        **extra,
    }
    more = emulator.managed_identity_environment() if auth_type == "managed_identity" else {}
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields), **more}


def _authority(emulator: SignInFacts, auth_type: str, authority_type: str) -> dict[str, Any]:
    chosen = {} if auth_type == "client_secret" else {"auth_type": auth_type}
    if authority_type == "adfs":
        place = {
            "authority_type": "adfs",
            "authority": emulator.adfs_authority,
            "resource": emulator.adfs_resource,
        }
        return {**chosen, **place}
    if auth_type == "managed_identity":
        return chosen
    return {**chosen, "tenant_id": emulator.tenant_id, "authority": emulator.authority}


def _proof(emulator: SignInFacts, auth_type: str, authority_type: str, *, public: bool) -> dict[str, Any]:
    if auth_type == "certificate":
        return {"certificate": emulator.certificate_pem, "private_key": emulator.private_key_pem}
    if auth_type == "workload_identity":
        return {"assertion_file": emulator.federated_token_file()}
    if auth_type == "username_password":
        return {"username": USER.user_name, "user_password": USER.password}
    if auth_type == "refresh_token":
        client_id = emulator.public_client_id if public else emulator.client_id
        return {"refresh_token": emulator.refresh_token(client_id=client_id, authority_type=authority_type)}
    return {}
