"""The order of a FetchXML query, and the cookie that says where its next page begins.

Choices sort by label and lookups by name; the primary key always comes last, so that pages are cut exactly.
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/order-rows and
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/page-results
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from airflow_provider_dynamics.emulator.fetch_xml.document import Fetch, Order, invalid
from airflow_provider_dynamics.emulator.fetch_xml.shape import Place, Shape
from airflow_provider_dynamics.emulator.literals import count_literal
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.querying.orders import as_text, name_order
from airflow_provider_dynamics.emulator.querying.paging import (
    Sorted,
    kept_value,
    primary_order,
    quoted,
    write_cookie,
)

_CHOICES = frozenset({"Picklist", "State", "Status"})


@dataclass(frozen=True)
class Ordering:
    """What rows are sorted by. ``linked`` says that a linked table decides, and no cookie is given then."""

    items: tuple[Sorted, ...]
    linked: bool


@dataclass(frozen=True)
class Cookie:
    """A cookie read back: the page it came with, and the sort keys of that page's last row."""

    page: int
    last: tuple[Any, ...]


def ordering(fetch: Fetch, shape: Shape) -> Ordering:
    """The orders of the root before those of linked tables, as the service applies them, then the keys."""
    found = [(shape.root, order) for order in fetch.entity.orders]
    found += [(place, order) for place in shape.joined for order in place.entity.orders]
    linked = False
    items: list[Sorted] = []
    for owner, order in found:
        if order.alias or not order.attribute:
            raise invalid("An alias cannot be used to order a query that is no aggregate.", "0x80041132")
        place = shape.named(order.entity_name) if order.entity_name else owner
        linked = linked or place is not shape.root
        items.append(_sorted(place, shape.root, order, order.attribute, raw=fetch.raw_order))
    if not fetch.distinct:
        items += _keys(shape, {item.name for item in items})
    return Ordering(tuple(items), linked)


def _keys(shape: Shape, known: set[str]) -> Iterator[Sorted]:
    if shape.root.table.primary_id not in known:
        yield primary_order(shape.root.table, shape.root.sql)
    for place in shape.joined:
        # A link to a primary key adds at most one row to each, the others may add many.
        if place.link and place.intersect is None and place.link.start == place.table.primary_id:
            continue
        for column, value in place.keys:
            name = f"{place.alias}.{column.name}"
            if name not in known:
                yield Sorted(name, column, value)


def _sorted(place: Place, root: Place, order: Order, name: str, *, raw: bool) -> Sorted:
    column, value = place.column(name)
    shown = column.name if place is root else f"{place.alias}.{column.name}"
    if column.kind == "MultiSelectPicklist":
        raise NotEmulated("a FetchXML order by a multi-select choice column")
    if column.kind == "Uniqueidentifier" and column.name == root.table.primary_id and place is root:
        return replace(primary_order(root.table, root.sql), descending=order.descending)
    if column.kind in _CHOICES and not raw:
        labels = sa.case(*((value == option.value, option.label) for option in column.options), else_=None)
        return Sorted(shown, as_text(column), labels.collate("NOCASE"), order.descending)
    if column.is_lookup:
        return name_order(shown, column, place.sql, descending=order.descending)
    return Sorted(shown, column, value, order.descending)


# -- cookies --------------------------------------------------------------------------------------------


def cookie_of(page: int, order: Sequence[Sorted], first: Sequence[Any], last: Sequence[Any]) -> str:
    """The annotation of a page: which page comes next, and the cookie, encoded twice as the service does it.

    Microsoft's page shows the number 2 on the second page too, while its own SDK asks for the page of that number.
    """
    cookie = quoted(quoted(write_cookie(page, order, first, last)))
    return f'<cookie pagenumber="{page + 1}" pagingcookie="{cookie}" istracking="False" />'


def read_cookie(text: str, order: Sequence[Sorted]) -> Cookie:
    """A ``paging-cookie`` as it was given out; raises ``Fault`` when it was not made for this query."""
    try:
        return _cookie(fromstring(text, forbid_dtd=True), order)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise invalid("Malformed XML in the Paging Cookie.", "0x8004112a") from error


def _cookie(root: Any, order: Sequence[Sorted]) -> Cookie:
    page = count_literal(root.get("page", ""))
    parts = {str(part.tag): part for part in root}
    if root.tag != "cookie" or not page or set(parts) != {item.name for item in order}:
        raise ValueError("the cookie of another query")
    return Cookie(page, tuple(_last(parts[item.name], item) for item in order))


def _last(part: Any, item: Sorted) -> Any:
    text = part.get("last")
    if text is None and part.get("lastnull") != "1":
        raise ValueError(f"no last key of {item.name}")
    return None if text is None else kept_value(item, text)
