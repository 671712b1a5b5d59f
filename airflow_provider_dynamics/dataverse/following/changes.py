"""Follows a table's changes: everything the first time, what is new, changed or gone ever after.

https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import Deleted, Page, walk
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.reading.reading import LABELS
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["first_request", "follow", "since_request"]

_ENTRY = "/$deletedEntity"  # how the context of every deletion among a page's rows ends
_DELETION = b"$deletedEntity"  # what most pages lack, so they need no second look


class _Mark(msgspec.Struct):
    """What tells a deletion from a row; a row's columns are passed over."""

    context: str = msgspec.field(default="", name="@odata.context")
    id: Any = None
    reason: str = "deleted"


class _Marks(msgspec.Struct):
    value: list[_Mark]


_marks_decoder = msgspec.json.Decoder(_Marks)


def first_request(
    table: Table, select: Iterable[str], page_size: int | None, *, labels: bool = False
) -> Request:
    """Return the request that starts keeping track; raises ChangeTrackingOff, UnknownColumn."""
    if not table.change_tracking:
        raise errors.ChangeTrackingOff(f"The table {table.logical_name} does not keep track of changes")
    options = odata.options({"$select": ",".join(table.wire_names(select))})
    return Request("GET", f"{table.entity_set}{options}", _headers(page_size, labels=labels))


def since_request(delta_link: str, page_size: int | None, *, labels: bool = False) -> Request:
    """Return the request for what changed since; the link is sent as it was received."""
    return Request("GET", delta_link, _headers(page_size, labels=labels))


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
    try:
        marks = _marks_decoder.decode(page.body).value
    except msgspec.ValidationError:
        return page.holding(page.rows)  # raises what a page without a list of rows deserves
    deleted = [Deleted(str(mark.id), mark.reason) for mark in marks if mark.context.endswith(_ENTRY)]
    if not deleted:
        return page
    return page.holding(lambda: [row for row in page.rows if not _is_deletion(row)], deleted, body=page.body)


def _is_deletion(row: odata.Row) -> bool:
    return str(row.get("@odata.context", "")).endswith(_ENTRY)


def _headers(page_size: int | None, *, labels: bool) -> odata.Row:
    ceiling = page_size and min(page_size, LARGEST_PAGE)
    return odata.prefer(track_changes=True, page_size=ceiling, annotations=LABELS if labels else False)
