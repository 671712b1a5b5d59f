"""Operators that ask or change something small; what moves many rows is in ``transfers``.

Names are imported when they are asked for, so that a DAG file loads only what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.operators.actions import DynamicsActionOperator, DynamicsFunctionOperator
    from airflow_provider_dynamics.operators.base import DynamicsOperator
    from airflow_provider_dynamics.operators.choices import (
        DynamicsAddOptionsOperator,
        DynamicsCreateChoiceOperator,
    )
    from airflow_provider_dynamics.operators.customizing import (
        DynamicsCreateColumnOperator,
        DynamicsCreateTableOperator,
        DynamicsUpdateTableOperator,
    )
    from airflow_provider_dynamics.operators.environment_variables import (
        DynamicsSetConnectionReferenceOperator,
        DynamicsSetEnvironmentVariableOperator,
    )
    from airflow_provider_dynamics.operators.jobs import DynamicsBulkDeleteOperator, DynamicsJobOperator
    from airflow_provider_dynamics.operators.keys import DynamicsCreateKeyOperator
    from airflow_provider_dynamics.operators.query import DynamicsQueryOperator
    from airflow_provider_dynamics.operators.recalculating import (
        DynamicsRecalculateOperator,
    )
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
    from airflow_provider_dynamics.operators.solution_imports import DynamicsImportSolutionOperator
    from airflow_provider_dynamics.operators.solutions import (
        DynamicsExportSolutionOperator,
        DynamicsPublishOperator,
        DynamicsUninstallSolutionOperator,
        DynamicsUpgradeSolutionOperator,
    )
    from airflow_provider_dynamics.operators.webhooks import DynamicsRegisterWebhookOperator

__all__ = [
    "DynamicsActionOperator",
    "DynamicsAddOptionsOperator",
    "DynamicsAssociateOperator",
    "DynamicsBulkDeleteOperator",
    "DynamicsCreateChoiceOperator",
    "DynamicsCreateColumnOperator",
    "DynamicsCreateKeyOperator",
    "DynamicsCreateRowOperator",
    "DynamicsCreateTableOperator",
    "DynamicsDeleteRowOperator",
    "DynamicsDisassociateOperator",
    "DynamicsExportSolutionOperator",
    "DynamicsFunctionOperator",
    "DynamicsGetRowOperator",
    "DynamicsImportSolutionOperator",
    "DynamicsJobOperator",
    "DynamicsMergeRowsOperator",
    "DynamicsOperator",
    "DynamicsPublishOperator",
    "DynamicsQueryOperator",
    "DynamicsRecalculateOperator",
    "DynamicsRefreshTokenOperator",
    "DynamicsRegisterWebhookOperator",
    "DynamicsSetConnectionReferenceOperator",
    "DynamicsSetEnvironmentVariableOperator",
    "DynamicsUninstallSolutionOperator",
    "DynamicsUpdateRowOperator",
    "DynamicsUpdateTableOperator",
    "DynamicsUpgradeSolutionOperator",
]

_HOMES = {
    "DynamicsActionOperator": "actions",
    "DynamicsAddOptionsOperator": "choices",
    "DynamicsAssociateOperator": "relations",
    "DynamicsBulkDeleteOperator": "jobs",
    "DynamicsCreateChoiceOperator": "choices",
    "DynamicsCreateColumnOperator": "customizing",
    "DynamicsCreateKeyOperator": "keys",
    "DynamicsCreateRowOperator": "rows",
    "DynamicsCreateTableOperator": "customizing",
    "DynamicsDeleteRowOperator": "rows",
    "DynamicsDisassociateOperator": "relations",
    "DynamicsExportSolutionOperator": "solutions",
    "DynamicsFunctionOperator": "actions",
    "DynamicsGetRowOperator": "rows",
    "DynamicsImportSolutionOperator": "solution_imports",
    "DynamicsJobOperator": "jobs",
    "DynamicsMergeRowsOperator": "relations",
    "DynamicsOperator": "base",
    "DynamicsPublishOperator": "solutions",
    "DynamicsQueryOperator": "query",
    "DynamicsRecalculateOperator": "recalculating",
    "DynamicsRefreshTokenOperator": "sign_ins",
    "DynamicsRegisterWebhookOperator": "webhooks",
    "DynamicsSetConnectionReferenceOperator": "environment_variables",
    "DynamicsSetEnvironmentVariableOperator": "environment_variables",
    "DynamicsUninstallSolutionOperator": "solutions",
    "DynamicsUpdateRowOperator": "rows",
    "DynamicsUpdateTableOperator": "customizing",
    "DynamicsUpgradeSolutionOperator": "solutions",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
