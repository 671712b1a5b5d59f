"""Transfers: tables to files, changes to files or into databases, and files back into tables.

Rows flow through a page at a time, so memory does not grow with them; what is returned through XCom is a
summary. Names are imported when they are asked for, so that a DAG file loads only what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.transfers.changes import DynamicsChangesToObjectStorageOperator
    from airflow_provider_dynamics.transfers.column_files import (
        DynamicsFileToObjectStorageOperator,
        ObjectStorageToDynamicsFileOperator,
    )
    from airflow_provider_dynamics.transfers.exports import DynamicsToObjectStorageOperator
    from airflow_provider_dynamics.transfers.loads.operator import ObjectStorageToDynamicsOperator
    from airflow_provider_dynamics.transfers.loads.rows import DynamicsUpsertRowsOperator
    from airflow_provider_dynamics.transfers.loads.several import ObjectStorageToDynamicsTablesOperator
    from airflow_provider_dynamics.transfers.loads.undoing import DynamicsUndoOperator
    from airflow_provider_dynamics.transfers.partitions import DynamicsPartitionsOperator
    from airflow_provider_dynamics.transfers.sql import DynamicsToSqlOperator

__all__ = [
    "DynamicsChangesToObjectStorageOperator",
    "DynamicsFileToObjectStorageOperator",
    "DynamicsPartitionsOperator",
    "DynamicsToObjectStorageOperator",
    "DynamicsToSqlOperator",
    "DynamicsUndoOperator",
    "DynamicsUpsertRowsOperator",
    "ObjectStorageToDynamicsFileOperator",
    "ObjectStorageToDynamicsOperator",
    "ObjectStorageToDynamicsTablesOperator",
]

_HOMES = {
    "DynamicsChangesToObjectStorageOperator": "changes",
    "DynamicsFileToObjectStorageOperator": "column_files",
    "DynamicsPartitionsOperator": "partitions",
    "DynamicsToObjectStorageOperator": "exports",
    "DynamicsToSqlOperator": "sql",
    "DynamicsUndoOperator": "loads.undoing",
    "DynamicsUpsertRowsOperator": "loads.rows",
    "ObjectStorageToDynamicsFileOperator": "column_files",
    "ObjectStorageToDynamicsOperator": "loads.operator",
    "ObjectStorageToDynamicsTablesOperator": "loads.several",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
