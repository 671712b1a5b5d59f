"""From a source to pages: names become wire names, limits become Dataverse's, related rows come whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import Page, walk
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.queries.conditions import Condition
from airflow_provider_dynamics.dataverse.queries.query import Expand, Query
from airflow_provider_dynamics.dataverse.reading import expanding, inner
from airflow_provider_dynamics.dataverse.reading.results import LABEL, TARGET
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["LABELS", "expand_text", "filter_text", "query_request", "read"]

LABELS = f"{LABEL[1:]},{TARGET[1:]}"
"""The annotations that hold labels, and the names and tables of lookups."""


def query_request(query: Query, table: Table, tables: Tables | None = None) -> Request:
    """Return the request for the first page; raises UnknownColumn for a column that is not the table's.

    `tables` is needed for conditions and expands that are values.
    """
    where = filter_text(query.filter, table, tables)
    options = {
        "$apply": _apply(query.apply, where),
        "$select": ",".join(table.wire_names(query.select)),
        "$filter": None if query.apply else where,
        "$expand": expand_text(query.expand, table, tables),
        "$orderby": _order(query, table),
        "$top": str(query.top) if query.fits_one_page else None,
        "$count": "true" if query.count else None,
    }
    return Request("GET", f"{table.entity_set}{odata.options(options)}", _headers(query))


def read(
    transport: Sender, query: Query, tables: Tables, *, stop: Stop, ahead: bool, after: str | None = None
) -> Iterator[Page]:
    """Yield the query's pages, at most `top` rows of them; `after` is the position of the last page that was used."""
    if after is None:
        first, left = query_request(query, tables.outline(query.table), tables), query.top
    else:
        link, left = _place(after, query, tables.entity_set(query.table))
        first = Request("GET", link, _headers(query))
    pages: Iterator[Page] = walk(transport, first, stop=stop, ahead=ahead and not query.fits_one_page)
    if query.expand:
        pages = inner.completed(transport, pages, first, stop=stop)
    return pages if left is None else _first(pages, left)


def filter_text(where: str | Condition | None, table: Table, tables: Tables | None) -> str | None:
    """Return a condition as OData's text, spelled as the table's columns want it; raises UnknownColumn."""
    if isinstance(where, Condition):
        return where.render(table, tables)
    return where


def _headers(query: Query) -> dict[str, Any]:
    annotations: bool | str = query.annotations or (LABELS if query.labels else False)
    return odata.prefer(page_size=_page_size(query), annotations=annotations)


def _apply(apply: str | None, where: str | None) -> str | None:
    return f"filter({where})/{apply}" if apply and where else apply


def expand_text(expand: str | Sequence[Expand] | None, table: Table, tables: Tables | None) -> str | None:
    """Return expands as OData's text; raises UnknownColumn, BadRequest for what Dataverse would not take."""
    if not expand:
        return None
    if isinstance(expand, str):
        return expand
    if tables is None:
        raise TypeError("expands that are values need the environment's tables")
    return expanding.text(expand, table, tables)


def _order(query: Query, table: Table) -> str | None:
    """Return the order, made definite by the primary key where pages follow each other.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results#ordering-and-paging
    """
    if not query.order_by or query.fits_one_page:
        return query.order_by
    parts = [part.strip() for part in query.order_by.split(",") if part.strip()]
    if table.primary_id not in {part.split()[0] for part in parts}:
        parts.append(table.primary_id)
    return ",".join(parts)


def _page_size(query: Query) -> int | None:
    if query.fits_one_page or query.apply is not None:  # whether groups come in pages is written nowhere
        return None
    if query.page_size is None and query.top is None:
        return None
    return min(query.page_size or LARGEST_PAGE, LARGEST_PAGE)


def _place(after: str, query: Query, entity_set: str) -> tuple[str, int | None]:
    """Return the next link, and how many rows may still come, of a position; raises BadRequest for another table's."""
    try:
        place: dict[str, Any] = {"link": after, "left": 0} if query.top is None else json.loads(after)
        link, left = str(place["link"]), int(place["left"])
        if urlsplit(link).path.rpartition("/")[2] == entity_set:
            return link, None if query.top is None else left
    except (ValueError, TypeError, KeyError):
        pass
    raise errors.BadRequest(
        "The position to go on from does not belong to this query",
        remedy="Read from the beginning, or go on with the query it came from.",
    )


def _first(pages: Iterator[Page], top: int) -> Iterator[Page]:
    """Yield at most `top` rows; a page's position says how many are left behind it."""
    left = top
    for page in pages:
        if len(page.rows) >= left:
            yield Page(page.rows[:left], count=page.count)
            return
        left -= len(page.rows)
        if page.next_link is not None:
            page.position = json.dumps({"link": page.next_link, "left": left})
        yield page
