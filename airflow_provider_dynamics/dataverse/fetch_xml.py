"""FetchXML documents: checked before they are sent, paged by their cookie, and read for the columns they return.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/overview
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_dynamics.dataverse import errors, odata
from airflow_provider_dynamics.dataverse.errors import BadFetchXml
from airflow_provider_dynamics.dataverse.pages import Next, Page, walk
from airflow_provider_dynamics.dataverse.query import LARGEST_PAGE, FetchXml
from airflow_provider_dynamics.dataverse.reading import LABELS
from airflow_provider_dynamics.dataverse.tables import Tables
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport import Request, Sender

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["SIMPLE_PAGING", "Document", "read"]

# https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/page-results#simple-paging
SIMPLE_PAGING = 50_000  # rows that can be reached without a cookie

_PAGING = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords"


@dataclass(frozen=True)
class Document:
    """A well-formed document: one `fetch` element with one `entity`."""

    root: Element
    entity: Element
    table: str

    @classmethod
    def parsed(cls, text: str) -> Document:
        """Return the document a text holds; raises BadFetchXml with line and column, also for a DOCTYPE or entities."""
        root = _without_indents(_root(text))
        if root.tag != "fetch":
            raise BadFetchXml(f"The document's outermost element is <{root.tag}>; it must be <fetch>")
        entities = root.findall("entity")
        if len(entities) != 1:
            raise BadFetchXml(
                f"<fetch> holds {len(entities)} <entity> elements; it must hold one, with the table's logical name"
            )
        name = (entities[0].get("name") or "").strip()
        if not name:
            raise BadFetchXml("<entity> has no name; it must be the table's logical name")
        made = cls(root, entities[0], name)
        made._check_paging()
        _name_links(entities[0], name)
        return made

    @property
    def aggregates(self) -> bool:
        return _is_true(self.root, "aggregate")

    @property
    def distinct(self) -> bool:
        return _is_true(self.root, "distinct")

    @property
    def top(self) -> int | None:
        return self._number("top")

    def size(self, wanted: int | None) -> int | None:
        """Return how many rows a page shall have; None where the document is one page, or says nothing of pages."""
        if self.top is not None or (self.aggregates and self._number("count") is None):
            return None
        return min(wanted or self._number("count") or LARGEST_PAGE, LARGEST_PAGE)

    def text(self, page: int, size: int | None, cookie: str | None) -> str:
        """Return the document that asks for this page."""
        from xml.etree.ElementTree import Element, tostring

        paged = size is not None or page > 1
        paging = {"count": str(size or LARGEST_PAGE), "page": str(page)} if paged else {}
        if cookie:
            paging["paging-cookie"] = cookie
        root = Element("fetch", {**self.root.attrib, **paging})
        root.extend(self.root)
        return tostring(root, encoding="unicode")

    def _check_paging(self) -> None:
        if self.root.get("paging-cookie") or (self._number("page") or 1) > 1:
            raise BadFetchXml(
                "The document asks for a later page by itself",
                remedy="Take page and paging-cookie out of <fetch>: all pages are read, one after the other.",
            )

    def _number(self, name: str) -> int | None:
        value = self.root.get(name)
        if value is None:
            return None
        if not value.strip().isdecimal() or int(value) < 1:
            raise BadFetchXml(f"<fetch {name}={value!r}> is not a whole number from 1 up")
        return int(value)


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
        wrapped = _root(annotation).get("pagingcookie")
    except BadFetchXml:
        raise errors.BadResponse("The service sent a paging cookie that is no XML", retryable=False) from None
    return unquote(unquote(wrapped)) if wrapped else None


def _root(text: str) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    text = text.lstrip("\ufeff")
    if text.lstrip().startswith(
        "<?xml"
    ):  # has to come first; else leading lines count in what is said of errors
        text = text.lstrip()
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except ParseError as error:
        line, column = error.position
        reason = str(error).partition(":")[0]
        raise BadFetchXml(
            f"The FetchXML document is not well-formed at line {line}, column {column + 1}: {reason}"
        ) from None
    except DefusedXmlException:
        raise BadFetchXml(
            "The FetchXML document has a DOCTYPE or entities, which are not read",
            remedy="Take the DOCTYPE out; write &amp;, &lt;, &gt;, &quot; and &apos; only.",
        ) from None
    return root


def _without_indents(root: Element) -> Element:
    """Take out the white space between elements, which would be three characters each in an address."""
    for element in root.iter():
        if len(element) and not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip():
            element.tail = None
    return root


def _name_links(entity: Element, table: str) -> None:
    """Give linked tables that return columns a name where they have none: the table's, with a number where that is taken.

    The service would make one up, under which the columns come back.
    https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/reference/link-entity
    """
    links = list(entity.iter("link-entity"))
    taken = {table, *(link.get("alias") or "" for link in links)}
    for link in links:
        returns = link.find("attribute") is not None or link.find("all-attributes") is not None
        if returns and not link.get("alias"):
            name = link.get("name") or ""
            free = (
                one for one in (name, *(f"{name}{n}" for n in range(1, len(links) + 2))) if one not in taken
            )
            link.set("alias", next(free))
            taken.add(link.get("alias") or "")


def _is_true(element: Element, name: str) -> bool:
    return (element.get(name) or "").strip().lower() in {"true", "1"}
