"""Operators that ask or change something small; what moves many rows is in ``transfers``.

Names are imported when they are asked for, so that a DAG file loads only what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.operators.base import DynamicsOperator
    from airflow_provider_dynamics.operators.query import DynamicsQueryOperator
    from airflow_provider_dynamics.operators.sign_ins import DynamicsRefreshTokenOperator

__all__ = [
    "DynamicsOperator",
    "DynamicsQueryOperator",
    "DynamicsRefreshTokenOperator",
]

_HOMES = {
    "DynamicsOperator": "base",
    "DynamicsQueryOperator": "query",
    "DynamicsRefreshTokenOperator": "sign_ins",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
