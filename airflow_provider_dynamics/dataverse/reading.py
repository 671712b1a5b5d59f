"""From a query to pages: names become wire names, limits become Dataverse's."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_dynamics.dataverse import odata
from airflow_provider_dynamics.dataverse.pages import Page, walk
from airflow_provider_dynamics.dataverse.query import LARGEST_PAGE, Query
from airflow_provider_dynamics.dataverse.tables import Table
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport import Request, Sender

__all__ = ["query_request", "read"]


def query_request(query: Query, table: Table) -> Request:
    """Return the request for the first page; raises UnknownColumn for a column that is not the table's."""
    options = odata.options(
        {
            "$select": ",".join(table.wire_names(query.select)),
            "$filter": query.filter,
            "$expand": query.expand,
            "$orderby": _order(query, table),
            "$top": str(query.top) if query.fits_one_page else None,
            "$count": "true" if query.count else None,
        }
    )
    headers = odata.prefer(page_size=_page_size(query), annotations=query.annotations)
    return Request("GET", f"{table.entity_set}{options}", headers)


def read(transport: Sender, query: Query, table: Table, *, stop: Stop, ahead: bool) -> Iterator[Page]:
    """Yield the query's pages, at most `top` rows of them."""
    pages = walk(transport, query_request(query, table), stop=stop, ahead=ahead and not query.fits_one_page)
    return pages if query.top is None else _first(pages, query.top)


def _order(query: Query, table: Table) -> str | None:
    """Return the order, made definite by the primary key where pages follow each other.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results#ordering-and-paging
    """
    if not query.order_by or query.fits_one_page:
        return query.order_by
    ordered_by = {part.split()[0] for part in query.order_by.split(",") if part.strip()}
    return query.order_by if table.primary_id in ordered_by else f"{query.order_by},{table.primary_id}"


def _page_size(query: Query) -> int | None:
    if query.fits_one_page:
        return None
    if query.page_size is None and query.top is None:
        return None
    return min(query.page_size or LARGEST_PAGE, LARGEST_PAGE)


def _first(pages: Iterator[Page], top: int) -> Iterator[Page]:
    left = top
    for page in pages:
        if len(page.rows) >= left:
            yield Page(page.rows[:left], count=page.count)
            return
        left -= len(page.rows)
        yield page
