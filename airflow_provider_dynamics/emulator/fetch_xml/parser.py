"""FetchXML read: its elements and attributes known, its limits kept.

Attributes that Microsoft documents and that change no row (``latematerialize``, ``no-lock``, ``options`` …) are taken
and forgotten.
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/reference/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from airflow_provider_dynamics.emulator.fetch_xml.document import (
    Attribute,
    Condition,
    Entity,
    Fetch,
    Filter,
    Link,
    Order,
    Part,
    invalid,
)
from airflow_provider_dynamics.emulator.literals import count_literal
from airflow_provider_dynamics.emulator.messages import NotEmulated

MAX_LINKS = 15
MAX_CONDITIONS = 500
MAX_TOP = 5000
_ALIAS = re.compile("[A-Za-z_][A-Za-z0-9_.]*")
JOINS = frozenset({"inner", "outer", "exists", "in", "matchfirstrowusingcrossapply"})
TESTS = frozenset({"any", "not any", "all", "not all"})
# Taken and forgotten: hints for the database, and what old documents carry.
_FORGOTTEN: Mapping[str, frozenset[str]] = {
    "fetch": frozenset({"latematerialize", "mapping", "no-lock", "options", "output-format", "version"}),
    "attribute": frozenset({"usertimezone"}),
    "filter": frozenset({"hint"}),
    "condition": frozenset({"uiname", "uitype"}),
    "value": frozenset({"uiname", "uitype"}),
    "link-entity": frozenset({"intersect"}),
}
_KNOWN: Mapping[str, frozenset[str]] = {
    "fetch": frozenset(
        {
            "aggregate",
            "aggregatelimit",
            "count",
            "distinct",
            "page",
            "paging-cookie",
            "returntotalrecordcount",
        }
        | {"top", "useraworderby"}
    ),
    "entity": frozenset({"name"}),
    "attribute": frozenset(
        {"name", "alias", "aggregate", "groupby", "dategrouping", "distinct", "rowaggregate"}
    ),
    "all-attributes": frozenset(),
    "order": frozenset({"attribute", "alias", "descending", "entityname"}),
    "filter": frozenset({"type"}),
    "condition": frozenset({"attribute", "operator", "value", "valueof", "entityname"}),
    "value": frozenset(),
    "link-entity": frozenset({"name", "from", "to", "alias", "link-type"}),
}


def parse_fetch(text: str) -> Fetch:
    """Read a document; raises ``Fault`` when it is no FetchXML or goes beyond a limit."""
    try:
        root = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as error:
        raise invalid(f"Invalid XML. {error}") from error
    if root.tag != "fetch":
        raise invalid(f"Invalid XML. The root element is fetch, not {root.tag}.")
    _check_size(root)
    given = _attributes(root)
    entities = [child for child in root if child.tag == "entity"]
    if len(entities) != 1 or len(root) != 1:
        raise invalid("Invalid Child Node of fetch: exactly one entity is expected.")
    fetch = Fetch(
        entity=_entity(entities[0], _attributes(entities[0])),
        aggregate=_flag(given, "aggregate"),
        aggregate_limit=_number(given, "aggregatelimit"),
        count=_number(given, "count"),
        page=_number(given, "page"),
        cookie=given.get("paging-cookie") or None,
        distinct=_flag(given, "distinct"),
        total=_flag(given, "returntotalrecordcount"),
        top=_number(given, "top"),
        raw_order=_flag(given, "useraworderby"),
    )
    _check_top(fetch)
    return fetch


def _check_size(root: Any) -> None:
    links = sum(1 for _ in root.iter("link-entity"))
    if links > MAX_LINKS:
        raise invalid("Number of link entities in query exceeded maximum limit.", "0x8004430d")
    if links + sum(1 for _ in root.iter("condition")) > MAX_CONDITIONS:
        raise invalid("Number of conditions in query exceeded maximum limit.", "0x8004430c")


def _check_top(fetch: Fetch) -> None:
    if fetch.top is None:
        return
    if fetch.page is not None or fetch.count is not None or fetch.cookie or fetch.total:
        raise invalid(
            "The top attribute can't be specified with paging attributes or returntotalrecordcount.",
            "0x80040203",
        )
    if fetch.top > MAX_TOP:
        raise invalid(f"The top attribute can't exceed {MAX_TOP}.", "0x80040203")


def _attributes(element: Any) -> dict[str, str]:
    """Return the attributes that matter; refuses those that are not known."""
    tag = str(element.tag)
    if tag not in _KNOWN:
        raise invalid(f"Invalid Child Node. NodeName = {tag}")
    forgotten = _FORGOTTEN.get(tag, frozenset())
    for name, value in element.attrib.items():
        if name not in _KNOWN[tag] | forgotten:
            raise NotEmulated(f"the attribute {name} of the FetchXML element {tag}")
        if name == "mapping" and value != "logical":
            raise NotEmulated(f"FetchXML with mapping='{value}'")
    return {name: value for name, value in element.attrib.items() if name not in forgotten}


def _flag(given: Mapping[str, str], name: str) -> bool:
    value = given.get(name, "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise invalid(f"Invalid value for the attribute {name}: '{value}' is no boolean.")
    return value in {"true", "1"}


def _number(given: Mapping[str, str], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    found = count_literal(value)
    if not found:
        raise invalid(
            f"The value of the attribute {name} must be greater than zero: '{value[:100]}'.", "0x8004110c"
        )
    return found


def _needed(given: Mapping[str, str], name: str, tag: str) -> str:
    value = given.get(name)
    if not value:
        raise invalid(f"Missing attribute {name} of the element {tag}.")
    return value


def _entity(element: Any, given: Mapping[str, str]) -> Entity:
    children: dict[str, list[Any]] = {}
    for child in element:
        children.setdefault(str(child.tag), []).append(child)
    unknown = children.keys() - {"attribute", "all-attributes", "order", "filter", "link-entity"}
    if unknown:
        raise invalid(
            "Invalid Child Node, valid nodes are filter, order, link-entity, attribute, all-attributes. "
            f"NodeName = {min(unknown)}"
        )
    return Entity(
        name=_needed(given, "name", element.tag),
        all_attributes="all-attributes" in children,
        attributes=tuple(_attribute(child) for child in children.get("attribute", ())),
        orders=tuple(_order(child) for child in children.get("order", ())),
        filters=tuple(_filter(child) for child in children.get("filter", ())),
        links=tuple(_link(child, JOINS) for child in children.get("link-entity", ())),
    )


def _attribute(element: Any) -> Attribute:
    given = _attributes(element)
    return Attribute(
        name=_needed(given, "name", "attribute"),
        alias=_alias(given),
        aggregate=given.get("aggregate"),
        group_by=_flag(given, "groupby"),
        date_grouping=given.get("dategrouping"),
        distinct=_flag(given, "distinct"),
        row_aggregate=given.get("rowaggregate"),
    )


def _order(element: Any) -> Order:
    given = _attributes(element)
    return Order(
        given.get("attribute"), given.get("alias"), _flag(given, "descending"), given.get("entityname")
    )


def _filter(element: Any) -> Filter:
    kind = _attributes(element).get("type", "and").lower()
    if kind not in {"and", "or"}:
        raise invalid(f"Invalid value for the attribute type of a filter: '{kind}'.")
    return Filter(tuple(_part(child) for child in element), either=kind == "or")


def _part(element: Any) -> Part:
    if element.tag == "condition":
        return _condition(element)
    if element.tag == "filter":
        return _filter(element)
    if element.tag == "link-entity":
        return _link(element, TESTS)
    raise invalid(
        f"Invalid Child Node, valid nodes are condition, filter, link-entity. NodeName = {element.tag}"
    )


def _condition(element: Any) -> Condition:
    given = _attributes(element)
    listed = []
    for child in element:
        if child.tag != "value":
            raise invalid(f"Invalid Child Node, valid nodes are value. NodeName = {child.tag}")
        _attributes(child)
        listed.append(child.text or "")
    alone = (given["value"],) if "value" in given else ()
    return Condition(
        attribute=_needed(given, "attribute", "condition"),
        operator=_needed(given, "operator", "condition").lower(),
        values=(*alone, *listed),
        value_of=given.get("valueof"),
        entity_name=given.get("entityname"),
    )


def _link(element: Any, kinds: frozenset[str]) -> Link:
    given = _attributes(element)
    kind = given.get("link-type", "inner").lower()
    if kind not in kinds:
        where = "inside a filter" if kinds is TESTS else "outside a filter"
        raise NotEmulated(f"a link-entity with link-type='{kind}' {where}")
    if not given.get("from") or not given.get("to"):
        raise NotEmulated("a link-entity without from and to")
    return Link(_entity(element, given), given["from"], given["to"], _alias(given), kind)


def _alias(given: Mapping[str, str]) -> str | None:
    # The service takes a point as well, though its message does not say so.
    alias = given.get("alias")
    if alias is not None and not _ALIAS.fullmatch(alias):
        raise invalid(
            f"Invalid character specified for alias: {alias[:100]}. Only characters within the ranges [A-Z], [a-z] or "
            "[0-9] or _ are allowed.  The first character may only be in the ranges [A-Z], [a-z] or _.",
            "0x80041109",
        )
    return alias
