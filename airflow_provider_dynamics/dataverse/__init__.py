"""The Dataverse Web API client, usable without Airflow.

Names are imported when they are asked for, so that parsing a DAG, which needs only `Query` and the errors,
does not load `requests`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import errors
    from airflow_provider_dynamics.dataverse.bulk import RowOutcome
    from airflow_provider_dynamics.dataverse.client import Client
    from airflow_provider_dynamics.dataverse.errors import DataverseError
    from airflow_provider_dynamics.dataverse.pages import Deleted, Page
    from airflow_provider_dynamics.dataverse.query import Query
    from airflow_provider_dynamics.dataverse.rows import Upserted
    from airflow_provider_dynamics.dataverse.tables import Column, Key, Table
    from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy

__all__ = [
    "Client",
    "Clock",
    "Column",
    "DataverseError",
    "Deleted",
    "Key",
    "Page",
    "Query",
    "RetryPolicy",
    "RowOutcome",
    "Table",
    "Upserted",
    "errors",
]

_HOMES = {
    "Client": "client",
    "Clock": "throttle",
    "Column": "tables",
    "DataverseError": "errors",
    "Deleted": "pages",
    "Key": "tables",
    "Page": "pages",
    "Query": "query",
    "RetryPolicy": "throttle",
    "RowOutcome": "bulk",
    "Table": "tables",
    "Upserted": "rows",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
