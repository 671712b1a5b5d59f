"""Access tokens for Dataverse: what may be signed in with, how the token is kept, and how a request gets it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.authorities import Authority
    from airflow_provider_dynamics.auth.bearer import BearerAuth
    from airflow_provider_dynamics.auth.causes import AuthenticationError
    from airflow_provider_dynamics.auth.credentials import (
        ClientCertificate,
        ClientSecret,
        Credential,
        ManagedIdentity,
        RefreshToken,
        StaticToken,
        UsernamePassword,
        WorkloadIdentity,
    )
    from airflow_provider_dynamics.auth.network import Network
    from airflow_provider_dynamics.auth.tokens import AccessToken

__all__ = [
    "AccessToken",
    "AuthenticationError",
    "Authority",
    "BearerAuth",
    "ClientCertificate",
    "ClientSecret",
    "Credential",
    "ManagedIdentity",
    "Network",
    "RefreshToken",
    "StaticToken",
    "UsernamePassword",
    "WorkloadIdentity",
]

_HOMES = {
    "AccessToken": "tokens",
    "AuthenticationError": "causes",
    "Authority": "authorities",
    "BearerAuth": "bearer",
    "Network": "network",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: BearerAuth needs `requests`, the rest does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'credentials')}"), name)
