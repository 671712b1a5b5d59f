"""Reads what a FetchXML document asks for, page by page, led on by the service's paging cookie.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/overview
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import BadFetchXml
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import Next, Page, walk
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE, SIMPLE_PAGING
from airflow_provider_dynamics.dataverse.queries.fetch_document import Document, parsed
from airflow_provider_dynamics.dataverse.queries.query import FetchXml
from airflow_provider_dynamics.dataverse.reading.reading import LABELS
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["cookie_of", "read"]

_PAGING = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords"


@dataclass(frozen=True)
class Place:
    """Where to go on: the page's number and the cookie that leads to it, None where the service gave none."""

    page: int = 1
    cookie: str | None = None

    @classmethod
    def behind(cls, position: str | None) -> Place:
        """Return the place a position means; raises BadRequest for one that is not a FetchXML document's."""
        if position is None:
            return cls()
        try:
            found = json.loads(position)
            return cls(int(found["page"]), found["cookie"])
        except (ValueError, TypeError, KeyError):
            raise errors.BadRequest(
                "The position to go on from does not belong to a FetchXML document",
                remedy="Read from the beginning, or go on with the query it came from.",
            ) from None

    @property
    def position(self) -> str:
        return json.dumps({"page": self.page, "cookie": self.cookie})


def read(
    transport: Sender,
    source: FetchXml,
    tables: Tables,
    *,
    stop: Stop,
    ahead: bool,
    after: str | None = None,
) -> Iterator[Page]:
    """Yield the document's pages; raises BadFetchXml before anything is sent, UnknownTable."""
    document = Document.parsed(source.document)
    reading = _Reading(
        document, tables.entity_set(document.table), document.size(source.page_size), source.labels
    )
    return reading.pages(transport, Place.behind(after), stop=stop, ahead=ahead)


@dataclass(frozen=True)
class _Reading:
    document: Document
    entity_set: str
    size: int | None
    labels: bool

    def pages(self, transport: Sender, place: Place, *, stop: Stop, ahead: bool) -> Iterator[Page]:
        number = [place.page]
        return walk(
            *(transport, self.request(place)),
            stop=stop,
            ahead=ahead and self.document.top is None,
            onward=partial(self._onward, number),
        )

    def request(self, place: Place) -> Request:
        text = self.document.text(place.page, self.size, place.cookie)
        wanted = f"{_PAGING},{LABELS}" if self.labels else _PAGING
        target = f"{self.entity_set}{odata.options({'fetchXml': text})}"
        return Request("GET", target, odata.prefer(annotations=wanted))

    def _onward(self, number: list[int], page: Page) -> Next | None:
        """Return how the next page is asked for; pages are counted here, as the cookie's own number cannot be relied on.

        https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/page-results#paging-cookies
        """
        if not page.more_rows or self.document.top is not None:
            return None
        number[0] += 1
        place = Place(number[0], cookie_of(page.paging_cookie))
        if place.cookie is None:
            self._check_reach(place)
        page.position = place.position
        return Next(self.request(place), place.cookie or place.position)

    def _check_reach(self, place: Place) -> None:
        if (place.page - 1) * (self.size or LARGEST_PAGE) >= SIMPLE_PAGING:
            raise errors.BadRequest(
                f"The service gives no paging cookie for this query of {self.document.table}, and without one only "
                f"the first {SIMPLE_PAGING:,} rows can be read",
                remedy="Take out the order by a linked table's column, or divide the rows by a condition.",
            )


def cookie_of(annotation: str | None) -> str | None:
    """Return the paging cookie inside the annotation's XML, decoded of its two percent-encodings; None where there is none."""
    if not annotation:
        return None
    try:
        wrapped = parsed(annotation).get("pagingcookie")
    except BadFetchXml:
        raise errors.BadResponse("The service sent a paging cookie that is no XML", retryable=False) from None
    return unquote(unquote(wrapped)) if wrapped else None
