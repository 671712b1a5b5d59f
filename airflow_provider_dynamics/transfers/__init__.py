"""Transfers: tables to files, changes to files or into databases, and files back into tables.

Rows flow through a page at a time, so memory does not grow with them; what is returned through XCom is a
summary.
"""

from __future__ import annotations

from airflow_provider_dynamics.transfers.changes import DynamicsChangesToObjectStorageOperator
from airflow_provider_dynamics.transfers.exports import DynamicsToObjectStorageOperator
from airflow_provider_dynamics.transfers.loads import ObjectStorageToDynamicsOperator
from airflow_provider_dynamics.transfers.partitions import DynamicsPartitionsOperator
from airflow_provider_dynamics.transfers.sql import DynamicsToSqlOperator

__all__ = [
    "DynamicsChangesToObjectStorageOperator",
    "DynamicsPartitionsOperator",
    "DynamicsToObjectStorageOperator",
    "DynamicsToSqlOperator",
    "ObjectStorageToDynamicsOperator",
]
