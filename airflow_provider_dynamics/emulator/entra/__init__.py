"""Microsoft Entra ID as applications and people see it: discovery, the token endpoint, the pages, and its errors.

Built from Microsoft's documentation; what is not known here is refused with 501 "not emulated: …".
https://learn.microsoft.com/entra/identity-platform/
"""

from airflow_provider_dynamics.emulator.directory import (
    CLIENT_ID,
    CLIENT_SECRET,
    PUBLIC_CLIENT_ID,
    TENANT_DOMAIN,
    TENANT_ID,
)
from airflow_provider_dynamics.emulator.entra.errors import EntraError
from airflow_provider_dynamics.emulator.entra.service import Entra

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "PUBLIC_CLIENT_ID",
    "TENANT_DOMAIN",
    "TENANT_ID",
    "Entra",
    "EntraError",
]
