"""Follows a table's changes: everything the first time, what is new, changed or gone ever after.

https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider_dynamics.dataverse import errors, odata
from airflow_provider_dynamics.dataverse.pages import Deleted, Page, walk
from airflow_provider_dynamics.dataverse.query import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.tables import Table
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport import Request, Sender

__all__ = ["first_request", "follow", "since_request"]

_DELETION = b"$deletedEntity"  # marks every deletion among a page's rows, so most pages need no second look


def first_request(table: Table, select: Iterable[str], page_size: int | None) -> Request:
    """Return the request that starts keeping track; raises ChangeTrackingOff, UnknownColumn."""
    if not table.change_tracking:
        raise errors.ChangeTrackingOff(f"The table {table.logical_name} does not keep track of changes")
    options = odata.options({"$select": ",".join(table.wire_names(select))})
    headers = odata.prefer(track_changes=True, page_size=_ceiling(page_size))
    return Request("GET", f"{table.entity_set}{options}", headers)


def since_request(delta_link: str, page_size: int | None) -> Request:
    """Return the request for what changed since; the link is sent as it was received."""
    return Request("GET", delta_link, odata.prefer(track_changes=True, page_size=_ceiling(page_size)))


def follow(transport: Sender, first: Request, *, stop: Stop, ahead: bool) -> Iterator[Page]:
    """Yield pages with deletions apart from rows; the last one has the delta link to go on from."""
    for page in walk(transport, first, stop=stop, ahead=ahead):
        if page.next_link is None and page.delta_link is None:
            raise errors.BadResponse(
                "The last page of changes came without a delta link", asked=first.asked, retryable=False
            )
        yield _sorted(page)


def _sorted(page: Page) -> Page:
    if _DELETION not in page.body:
        return page
    deleted = [Deleted(row["id"], row.get("reason", "deleted")) for row in page.rows if _is_deletion(row)]
    if not deleted:
        return page
    return page.holding([row for row in page.rows if not _is_deletion(row)], deleted)


def _is_deletion(row: odata.Row) -> bool:
    return str(row.get("@odata.context", "")).endswith("/$deletedEntity")


def _ceiling(page_size: int | None) -> int | None:
    return page_size and min(page_size, LARGEST_PAGE)
