"""The connection form's own words, so that the commands call things as the form does."""

from __future__ import annotations

from airflow_provider_dynamics.provider_info import get_provider_info

__all__ = ["auth_type_label"]


def auth_type_label(auth_type: str) -> str:
    """Return what the form's list shows for an auth type."""
    schema = get_provider_info()["connection-types"][0]["conn-fields"]["auth_type"]["schema"]
    return str(schema["values_display"].get(auth_type, auth_type))
