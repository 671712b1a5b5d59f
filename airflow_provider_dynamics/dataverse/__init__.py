"""The Dataverse Web API client, usable without Airflow.

Names are imported when they are asked for, so that parsing a DAG, which needs only `Query` and the errors,
does not load `requests`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import errors
    from airflow_provider_dynamics.dataverse.administration.definitions import (
        NewChoice,
        NewColumn,
        NewKey,
        NewTable,
    )
    from airflow_provider_dynamics.dataverse.administration.discovery import Instance, instances
    from airflow_provider_dynamics.dataverse.administration.endpoints import Step, Webhook
    from airflow_provider_dynamics.dataverse.administration.job import Job, Started
    from airflow_provider_dynamics.dataverse.client import Client
    from airflow_provider_dynamics.dataverse.errors import DataverseError
    from airflow_provider_dynamics.dataverse.file_columns.files import StoredFile
    from airflow_provider_dynamics.dataverse.following.feed import Feed
    from airflow_provider_dynamics.dataverse.lanes.lanes import LanePage, LaneRead
    from airflow_provider_dynamics.dataverse.lanes.windows import Window
    from airflow_provider_dynamics.dataverse.loading.bulk import BulkWrite, RowOutcome
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Key, Table
    from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
    from airflow_provider_dynamics.dataverse.protocol.options import WriteOptions
    from airflow_provider_dynamics.dataverse.protocol.pages import Deleted, Page
    from airflow_provider_dynamics.dataverse.queries.conditions import Condition, all_of, any_of, column
    from airflow_provider_dynamics.dataverse.queries.query import Expand, FetchXml, Query, SavedQuery, Source
    from airflow_provider_dynamics.dataverse.reading.results import ResultColumn, named
    from airflow_provider_dynamics.dataverse.rows.rows import Upserted
    from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy
    from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome
    from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet

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
    "named",
]

_HOMES = {
    "BatchOutcome": "transport.batch",
    "BulkWrite": "loading.bulk",
    "ChangeSet": "transport.change_sets",
    "Client": "client",
    "Clock": "throttle",
    "Column": "metadata.columns",
    "Condition": "queries.conditions",
    "DataverseError": "errors",
    "Deleted": "protocol.pages",
    "Expand": "queries.query",
    "Feed": "following.feed",
    "FetchXml": "queries.query",
    "Instance": "administration.discovery",
    "Job": "administration.job",
    "Key": "metadata.table",
    "LanePage": "lanes.lanes",
    "LaneRead": "lanes.lanes",
    "NewChoice": "administration.definitions",
    "NewColumn": "administration.definitions",
    "NewKey": "administration.definitions",
    "NewTable": "administration.definitions",
    "Page": "protocol.pages",
    "Query": "queries.query",
    "Request": "protocol.exchange",
    "Response": "protocol.exchange",
    "ResultColumn": "reading.results",
    "RetryPolicy": "throttle",
    "RowOutcome": "loading.bulk",
    "SavedQuery": "queries.query",
    "Source": "queries.query",
    "Started": "administration.job",
    "Step": "administration.endpoints",
    "StoredFile": "file_columns.files",
    "Table": "metadata.table",
    "Upserted": "rows.rows",
    "all_of": "queries.conditions",
    "any_of": "queries.conditions",
    "column": "queries.conditions",
    "instances": "administration.discovery",
    "named": "reading.results",
    "Webhook": "administration.endpoints",
    "Window": "lanes.windows",
    "WriteOptions": "protocol.options",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
