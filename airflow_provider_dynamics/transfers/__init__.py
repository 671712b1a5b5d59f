"""Transfers: tables to files, changes to files, and files back into tables.

Rows flow through a page at a time, so memory does not grow with them; what is returned through XCom is a
summary.
"""

from __future__ import annotations

from airflow_provider_dynamics.transfers.exports import (
    DynamicsChangesToObjectStorageOperator,
    DynamicsToObjectStorageOperator,
)
from airflow_provider_dynamics.transfers.loads import ObjectStorageToDynamicsOperator

__all__ = [
    "DynamicsChangesToObjectStorageOperator",
    "DynamicsToObjectStorageOperator",
    "ObjectStorageToDynamicsOperator",
]
