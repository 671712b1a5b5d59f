"""Where small state lives: how far a task has followed a table's changes, and what is remembered of sign-ins.

Every DAG file imports this package, so what only a sign-in needs is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.state.cursor import (
    MAX_BYTES,
    MAX_RUNS,
    Cursor,
    CursorKey,
    CursorStore,
    RunRange,
    VariableStore,
    cursor_store,
    run_order,
)

if TYPE_CHECKING:
    from airflow_provider_dynamics.state.credentials import credential_store
    from airflow_provider_dynamics.state.variable_store import VariableCredentialStore

__all__ = [
    "MAX_BYTES",
    "MAX_RUNS",
    "Cursor",
    "CursorKey",
    "CursorStore",
    "RunRange",
    "VariableCredentialStore",
    "VariableStore",
    "credential_store",
    "cursor_store",
    "run_order",
]

_HOMES = {"VariableCredentialStore": "variable_store", "credential_store": "credentials"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
