"""The Dataverse Web API client, usable without Airflow.

Names are imported when they are asked for, so that parsing a DAG, which needs only `Query` and the errors,
does not load `requests`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import errors
    from airflow_provider_dynamics.dataverse.batch import BatchOutcome
    from airflow_provider_dynamics.dataverse.bulk import BulkWrite, RowOutcome
    from airflow_provider_dynamics.dataverse.change_sets import ChangeSet
    from airflow_provider_dynamics.dataverse.client import Client
    from airflow_provider_dynamics.dataverse.conditions import Condition, all_of, any_of, column
    from airflow_provider_dynamics.dataverse.definitions import NewChoice, NewColumn, NewKey, NewTable
    from airflow_provider_dynamics.dataverse.discovery import Instance, instances
    from airflow_provider_dynamics.dataverse.endpoints import Step, Webhook
    from airflow_provider_dynamics.dataverse.errors import DataverseError
    from airflow_provider_dynamics.dataverse.exchange import Request, Response
    from airflow_provider_dynamics.dataverse.feed import Feed
    from airflow_provider_dynamics.dataverse.files import StoredFile
    from airflow_provider_dynamics.dataverse.jobs import Job, Started
    from airflow_provider_dynamics.dataverse.lanes import LanePage, LaneRead
    from airflow_provider_dynamics.dataverse.options import WriteOptions
    from airflow_provider_dynamics.dataverse.pages import Deleted, Page
    from airflow_provider_dynamics.dataverse.query import Expand, FetchXml, Query, SavedQuery, Source
    from airflow_provider_dynamics.dataverse.results import ResultColumn
    from airflow_provider_dynamics.dataverse.rows import Upserted
    from airflow_provider_dynamics.dataverse.tables import Column, Key, Table
    from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy
    from airflow_provider_dynamics.dataverse.windows import Window

__all__ = [
    "BatchOutcome",
    "BulkWrite",
    "ChangeSet",
    "Client",
    "Clock",
    "Column",
    "Condition",
    "DataverseError",
    "Deleted",
    "Expand",
    "Feed",
    "FetchXml",
    "Instance",
    "Job",
    "Key",
    "LanePage",
    "LaneRead",
    "NewChoice",
    "NewColumn",
    "NewKey",
    "NewTable",
    "Page",
    "Query",
    "Request",
    "Response",
    "ResultColumn",
    "RetryPolicy",
    "RowOutcome",
    "SavedQuery",
    "Source",
    "Started",
    "Step",
    "StoredFile",
    "Table",
    "Upserted",
    "Webhook",
    "Window",
    "WriteOptions",
    "all_of",
    "any_of",
    "column",
    "errors",
    "instances",
]

_HOMES = {
    "BatchOutcome": "batch",
    "BulkWrite": "bulk",
    "ChangeSet": "change_sets",
    "Client": "client",
    "Clock": "throttle",
    "Column": "tables",
    "Condition": "conditions",
    "DataverseError": "errors",
    "Deleted": "pages",
    "Expand": "query",
    "Feed": "feed",
    "FetchXml": "query",
    "Instance": "discovery",
    "Job": "jobs",
    "Key": "tables",
    "LanePage": "lanes",
    "LaneRead": "lanes",
    "NewChoice": "definitions",
    "NewColumn": "definitions",
    "NewKey": "definitions",
    "NewTable": "definitions",
    "Page": "pages",
    "Query": "query",
    "Request": "exchange",
    "Response": "exchange",
    "ResultColumn": "results",
    "RetryPolicy": "throttle",
    "RowOutcome": "bulk",
    "SavedQuery": "query",
    "Source": "query",
    "Started": "jobs",
    "Step": "endpoints",
    "StoredFile": "files",
    "Table": "tables",
    "Upserted": "rows",
    "all_of": "conditions",
    "any_of": "conditions",
    "column": "conditions",
    "instances": "discovery",
    "Webhook": "endpoints",
    "Window": "windows",
    "WriteOptions": "options",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
