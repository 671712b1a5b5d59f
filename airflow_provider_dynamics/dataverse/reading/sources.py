"""One door for everything that can be read: a query, a FetchXML document, a view."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Sender
from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.dataverse.queries.query import Query, SavedQuery, Source
from airflow_provider_dynamics.dataverse.reading import fetch_columns, fetch_xml, reading, results, saved
from airflow_provider_dynamics.dataverse.reading.results import ResultColumn
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["columns", "nearest_named", "read"]


def read(
    transport: Sender, source: Source, tables: Tables, *, stop: Stop, ahead: bool, after: str | None = None
) -> Iterator[Page]:
    """Yield the source's pages, from behind the position `after`."""
    with nearest_named(tables):
        yield from _pages(transport, source, tables, stop=stop, ahead=ahead, after=after)


@contextmanager
def nearest_named(tables: Tables) -> Iterator[None]:
    """Put the nearest right name to what the service says of a wrong one."""
    try:
        yield
    except (errors.UnknownColumn, errors.UnknownTable) as error:
        if error.code:
            error.remedy = _nearest(error.message, tables) or error.remedy
        raise


def _pages(
    transport: Sender, source: Source, tables: Tables, *, stop: Stop, ahead: bool, after: str | None
) -> Iterator[Page]:
    if isinstance(source, Query):
        return reading.read(transport, source, tables, stop=stop, ahead=ahead, after=after)
    if isinstance(source, SavedQuery):
        source = saved.document(transport, source, tables, stop=stop)
    return fetch_xml.read(transport, source, tables, stop=stop, ahead=ahead, after=after)


_COLUMN_OF_TYPE = re.compile(r"'(?P<column>\w+)'[^']*'Microsoft\.Dynamics\.CRM\.(?P<table>\w+)'")
_COLUMN_OF_ENTITY = re.compile(
    r"'(?P<table>\w+)' entity doesn't contain attribute with Name = '(?P<column>\w+)'"
)
_TABLE = re.compile(r"entity with a name = '(?P<table>\w+)'")


def _nearest(message: str, tables: Tables) -> str:
    """Return the question for the name that a message of the service does not know, "" where it names none or none is near."""
    found = _COLUMN_OF_TYPE.search(message) or _COLUMN_OF_ENTITY.search(message)
    try:
        if found:
            return tables.nearest(found["table"], found["column"])
        found = _TABLE.search(message)
        return tables.similar(found["table"]) if found else ""
    except errors.DataverseError:
        return ""


def columns(transport: Sender, source: Source, tables: Tables) -> tuple[ResultColumn, ...]:
    """Return what the source's rows consist of."""
    if isinstance(source, Query):
        return results.of_query(source, tables)
    if isinstance(source, SavedQuery):
        source = saved.document(transport, source, tables)
    return fetch_columns.of_fetch_xml(source, tables)
