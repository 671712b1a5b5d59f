"""The columns a FetchXML document returns, under the names the Web API gives them.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/select-columns
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_dynamics.dataverse.errors import BadFetchXml
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.queries.fetch_document import Document
from airflow_provider_dynamics.dataverse.queries.query import FetchXml
from airflow_provider_dynamics.dataverse.reading.results import (
    NOT_READ,
    ResultColumn,
    aggregate,
    labelled,
    plain,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["of_fetch_xml"]

# links that are conditions only: nothing of theirs comes back
# https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/join-tables#link-type-options
_CONDITIONS = frozenset({"exists", "in", "any", "not any", "all", "not all"})


def of_fetch_xml(source: FetchXml, tables: Tables) -> tuple[ResultColumn, ...]:
    """Return what the rows of a FetchXML document consist of; raises BadFetchXml, UnknownTable, UnknownColumn."""
    document = Document.parsed(source.document)
    table = tables.whole(document.table)
    columns = list(_own(document, table))
    if not (document.aggregates or document.distinct or any(c.name == table.primary_id for c in columns)):
        columns.insert(0, plain(table.columns[table.primary_id]))
    columns.extend(_linked(document.entity, tables))
    return labelled(columns, table) if source.labels else tuple(columns)


def _own(document: Document, table: Table) -> Iterator[ResultColumn]:
    attributes = document.entity.findall("attribute")
    if document.entity.find("all-attributes") is not None or not attributes:
        if not document.aggregates:
            yield from (plain(c) for c in _readable(table))
        return
    for attribute in attributes:
        column = _column(attribute, table)
        alias = attribute.get("alias")
        if alias:
            yield _aliased(attribute, alias, column)
        else:
            yield plain(column)


def _linked(element: Element, tables: Tables) -> Iterator[ResultColumn]:
    for link in element.findall("link-entity"):
        name = (link.get("name") or "").strip()
        if not name:
            raise BadFetchXml("A <link-entity> has no name; it must be a table's logical name")
        if link.get("link-type") not in _CONDITIONS:
            yield from _of_link(link, link.get("alias") or name, tables.whole(name))
            yield from _linked(link, tables)


def _of_link(link: Element, alias: str, table: Table) -> Iterator[ResultColumn]:
    if link.find("all-attributes") is not None:
        for column in _readable(table):
            name = f"{alias}.{column.name}"
            yield ResultColumn(name, (name,), column.type, column)
    for attribute in link.findall("attribute"):
        column = _column(attribute, table)
        yield _aliased(attribute, attribute.get("alias") or f"{alias}.{column.name}", column)


def _aliased(attribute: Element, alias: str, column: Column) -> ResultColumn:
    """Return a column under a name of its own, which then stands for the value of a lookup too."""
    method = attribute.get("aggregate")
    if method:
        return aggregate(alias, method, column)
    if attribute.get("rowaggregate"):
        return ResultColumn(alias, (alias,), "BigInt")
    if attribute.get("dategrouping"):
        return ResultColumn(alias, (alias,), "Integer")
    return ResultColumn(alias, (alias,), column.type, column)


def _column(attribute: Element, table: Table) -> Column:
    name = (attribute.get("name") or "").strip()
    if not name:
        raise BadFetchXml(
            f"An <attribute> of {table.logical_name} has no name; it must be a column's logical name"
        )
    return table.column(name)


def _readable(table: Table) -> Iterator[Column]:
    return (c for c in table.columns.values() if c.valid_for_read and c.type not in NOT_READ)
