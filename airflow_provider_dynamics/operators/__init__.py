"""Operators that ask or change something small; what moves many rows is in ``transfers``.

Names are imported when they are asked for, so that a DAG file loads only what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.operators.actions import DynamicsActionOperator, DynamicsFunctionOperator
    from airflow_provider_dynamics.operators.base import DynamicsOperator
    from airflow_provider_dynamics.operators.jobs import DynamicsBulkDeleteOperator, DynamicsJobOperator
    from airflow_provider_dynamics.operators.query import DynamicsQueryOperator
    from airflow_provider_dynamics.operators.relations import (
        DynamicsAssociateOperator,
        DynamicsDisassociateOperator,
        DynamicsMergeRowsOperator,
    )
    from airflow_provider_dynamics.operators.rows import (
        DynamicsCreateRowOperator,
        DynamicsDeleteRowOperator,
        DynamicsGetRowOperator,
        DynamicsUpdateRowOperator,
    )
    from airflow_provider_dynamics.operators.sign_ins import DynamicsRefreshTokenOperator

__all__ = [
    "DynamicsActionOperator",
    "DynamicsAssociateOperator",
    "DynamicsBulkDeleteOperator",
    "DynamicsCreateRowOperator",
    "DynamicsDeleteRowOperator",
    "DynamicsDisassociateOperator",
    "DynamicsFunctionOperator",
    "DynamicsGetRowOperator",
    "DynamicsJobOperator",
    "DynamicsMergeRowsOperator",
    "DynamicsOperator",
    "DynamicsQueryOperator",
    "DynamicsRefreshTokenOperator",
    "DynamicsUpdateRowOperator",
]

_HOMES = {
    "DynamicsActionOperator": "actions",
    "DynamicsAssociateOperator": "relations",
    "DynamicsBulkDeleteOperator": "jobs",
    "DynamicsCreateRowOperator": "rows",
    "DynamicsDeleteRowOperator": "rows",
    "DynamicsDisassociateOperator": "relations",
    "DynamicsFunctionOperator": "actions",
    "DynamicsGetRowOperator": "rows",
    "DynamicsJobOperator": "jobs",
    "DynamicsMergeRowsOperator": "relations",
    "DynamicsOperator": "base",
    "DynamicsQueryOperator": "query",
    "DynamicsRefreshTokenOperator": "sign_ins",
    "DynamicsUpdateRowOperator": "rows",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
