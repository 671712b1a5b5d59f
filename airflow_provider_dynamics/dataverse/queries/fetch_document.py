"""A FetchXML document as a value: checked before anything is sent, and written anew for each page.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/overview
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_dynamics.dataverse.errors import BadFetchXml
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Document", "parsed"]


@dataclass(frozen=True)
class Document:
    """A well-formed document: one `fetch` element with one `entity`."""

    root: Element
    entity: Element
    table: str

    @classmethod
    def parsed(cls, text: str) -> Document:
        """Return the document a text holds; raises BadFetchXml with line and column, also for a DOCTYPE or entities."""
        root = _without_indents(parsed(text))
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


def parsed(text: str) -> Element:
    """Return the outermost element of well-formed XML without DOCTYPE or entities; raises BadFetchXml with line and column."""
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
