"""The waiting half of sensors, and the watchers of assets: triggers that look now and then, without holding a worker.

What is serialised names the classes in this package, not the files they live in. Names are imported when they are
asked for: a DAG file needs none of them before a task defers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.triggers.awaited import DynamicsChangedRowsTrigger
    from airflow_provider_dynamics.triggers.changes import DynamicsChangesTrigger
    from airflow_provider_dynamics.triggers.credentials import DynamicsCredentialExpiryTrigger, find_ending
    from airflow_provider_dynamics.triggers.imports import DynamicsImportTrigger
    from airflow_provider_dynamics.triggers.jobs import DynamicsJobTrigger
    from airflow_provider_dynamics.triggers.looking import (
        MAX_TRANSIENT_ERRORS,
        DynamicsClientTrigger,
        DynamicsTrigger,
    )
    from airflow_provider_dynamics.triggers.rows import DynamicsRowTrigger, find_rows

__all__ = [
    "MAX_TRANSIENT_ERRORS",
    "DynamicsChangedRowsTrigger",
    "DynamicsChangesTrigger",
    "DynamicsClientTrigger",
    "DynamicsCredentialExpiryTrigger",
    "DynamicsImportTrigger",
    "DynamicsJobTrigger",
    "DynamicsRowTrigger",
    "DynamicsTrigger",
    "find_ending",
    "find_rows",
]

_HOMES = {
    "MAX_TRANSIENT_ERRORS": "looking",
    "DynamicsChangedRowsTrigger": "awaited",
    "DynamicsChangesTrigger": "changes",
    "DynamicsClientTrigger": "looking",
    "DynamicsCredentialExpiryTrigger": "credentials",
    "DynamicsImportTrigger": "imports",
    "DynamicsJobTrigger": "jobs",
    "DynamicsRowTrigger": "rows",
    "DynamicsTrigger": "looking",
    "find_ending": "credentials",
    "find_rows": "rows",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
