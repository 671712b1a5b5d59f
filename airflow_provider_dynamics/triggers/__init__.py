"""The waiting half of sensors, and the watchers of assets: triggers that look now and then, without holding a worker.

What is serialised names the classes in this package, not the files they live in.
"""

from __future__ import annotations

from airflow_provider_dynamics.triggers.changes import DynamicsChangesTrigger
from airflow_provider_dynamics.triggers.credentials import DynamicsCredentialExpiryTrigger, find_ending
from airflow_provider_dynamics.triggers.looking import (
    MAX_TRANSIENT_ERRORS,
    DynamicsClientTrigger,
    DynamicsTrigger,
)
from airflow_provider_dynamics.triggers.rows import DynamicsRowTrigger, find_row

__all__ = [
    "MAX_TRANSIENT_ERRORS",
    "DynamicsChangesTrigger",
    "DynamicsClientTrigger",
    "DynamicsCredentialExpiryTrigger",
    "DynamicsRowTrigger",
    "DynamicsTrigger",
    "find_ending",
    "find_row",
]
