"""QueryExpression as JSON into FetchXML and back, since one reader of queries is enough.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/queryexpression
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from airflow_provider_dynamics.emulator.fetch_xml.document import Condition, Entity, Filter, Link, Order
from airflow_provider_dynamics.emulator.fetch_xml.parser import parse_fetch
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
# The others are the same words with dashes: OnOrBefore is on-or-before.
_OPERATORS: Mapping[str, str] = {
    "Equal": "eq",
    "NotEqual": "ne",
    "GreaterThan": "gt",
    "LessThan": "lt",
    "GreaterEqual": "ge",
    "LessEqual": "le",
    "DoesNotBeginWith": "not-begin-with",
    "DoesNotEndWith": "not-end-with",
    "DoesNotContainValues": "not-contain-values",
    "EqualUserId": "eq-userid",
    "NotEqualUserId": "ne-userid",
    "EqualBusinessId": "eq-businessid",
    "NotEqualBusinessId": "ne-businessid",
    "EqualUserTeams": "eq-userteams",
    "EqualUserOrUserTeams": "eq-useroruserteams",
    "EqualUserLanguage": "eq-userlanguage",
    "Last7Days": "last-seven-days",
    "Next7Days": "next-seven-days",
    "UnderOrEqual": "eq-or-under",
    "AboveOrEqual": "eq-or-above",
}
_NAMES = {fetch: name for name, fetch in _OPERATORS.items()}
_JOINS: Mapping[str, str] = {
    "Inner": "inner",
    "LeftOuter": "outer",
    "Exists": "exists",
    "In": "in",
    "MatchFirstRowUsingCrossApply": "matchfirstrowusingcrossapply",
}
_JOIN_NAMES = {fetch: name for name, fetch in _JOINS.items()}


def document(query: object, primary_id: str | None = None) -> str:
    """The FetchXML of a QueryExpression, of ``primary_id`` alone where one is given. Raises ``Fault``."""
    given = _members(query, "QueryExpression")
    if given.get("DataSource"):
        raise NotEmulated(f"the data source {given['DataSource']} of a query")
    root = Element("fetch")
    if given.get("TopCount"):
        root.set("top", str(given["TopCount"]))
    entity = SubElement(root, "entity", name=_text(given, "EntityName"))
    if primary_id is not None:
        SubElement(entity, "attribute", name=primary_id)
    else:
        _columns(entity, given.get("ColumnSet"))
    _criteria(entity, given.get("Criteria"))
    _links(entity, given.get("LinkEntities"))
    for order in given.get("Orders") or () if primary_id is None else ():
        descending = order.get("OrderType") in {"Descending", 1}
        SubElement(
            entity, "order", attribute=_text(order, "AttributeName"), descending=str(descending).lower()
        )
    return tostring(root, encoding="unicode")


def entity_of(query: object) -> str:
    """The table a QueryExpression is about."""
    return _text(_members(query, "QueryExpression"), "EntityName")


def _columns(element: Element, given: object) -> None:
    columns = _members(given or {"AllColumns": False}, "ColumnSet")
    if columns.get("AllColumns"):
        SubElement(element, "all-attributes")
    for name in columns.get("Columns") or ():
        SubElement(element, "attribute", name=str(name))


def _criteria(element: Element, given: object) -> None:
    if given is None:
        return
    criteria = _members(given, "FilterExpression")
    either = criteria.get("FilterOperator") in {"Or", 1}
    made = SubElement(element, "filter", type="or" if either else "and")
    for condition in criteria.get("Conditions") or ():
        _condition(made, _members(condition, "ConditionExpression"))
    for inner in criteria.get("Filters") or ():
        _criteria(made, inner)
    if len(made) == 0:
        element.remove(made)


def _condition(element: Element, given: Mapping[str, Any]) -> None:
    if given.get("CompareColumns"):
        raise NotEmulated("CompareColumns of a condition")
    operator = _operator(_text(given, "Operator"))
    made = SubElement(element, "condition", attribute=_text(given, "AttributeName"), operator=operator)
    if given.get("EntityName"):
        made.set("entityname", str(given["EntityName"]))
    values = [_value(one) for one in given.get("Values") or ()]
    if len(values) == 1 and operator not in {"in", "not-in"}:
        made.set("value", values[0])
        return
    for value in values:
        SubElement(made, "value").text = value


def _operator(name: str) -> str:
    dashed = _CAPITAL.sub("-", name).lower().replace("older-than", "olderthan")
    return _OPERATORS.get(name, dashed)


def _value(given: object) -> str:
    value = given.get("Value") if isinstance(given, Mapping) else given
    return str(value).lower() if isinstance(value, bool) else str(value)


def _links(element: Element, given: Sequence[Any] | None) -> None:
    for one in given or ():
        link = _members(one, "LinkEntity")
        join = str(link.get("JoinOperator") or "Inner")
        if join not in _JOINS:
            raise NotEmulated(f"the join operator {join}")
        attributes = {
            "name": _text(link, "LinkToEntityName"),
            "from": _text(link, "LinkToAttributeName"),
            "to": _text(link, "LinkFromAttributeName"),
            "link-type": _JOINS[join],
        }
        if link.get("EntityAlias"):
            attributes["alias"] = str(link["EntityAlias"])
        made = SubElement(element, "link-entity", attributes)
        _criteria(made, link.get("LinkCriteria"))
        _links(made, link.get("LinkEntities"))


def _members(given: object, kind: str) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    raise Fault(400, "0x80048d19", f"Error identified in Payload: a {kind} was expected.")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if isinstance(value, str) and value:
        return value
    raise Fault(400, "0x80040203", f"The member {name} of the query is missing or no text.")


# -- and back -------------------------------------------------------------------------------------------


def expression(text: str) -> dict[str, Any]:
    """The QueryExpression of a FetchXML document; raises ``Fault`` where the document is not valid."""
    fetch = parse_fetch(text)
    if fetch.aggregate:
        raise Fault(400, "0x80040203", "Aggregates cannot be converted to a QueryExpression.")
    entity = fetch.entity
    return {
        "Distinct": fetch.distinct,
        "NoLock": False,
        "TopCount": fetch.top,
        "EntityName": entity.name,
        "PageInfo": {
            "PageNumber": fetch.page or 0,
            "Count": fetch.count or 0,
            "ReturnTotalRecordCount": fetch.total,
            "PagingCookie": fetch.cookie,
        },
        "ColumnSet": _column_set(entity),
        "Criteria": _filter_expression(entity.filters),
        "Orders": [_order_expression(one) for one in entity.orders],
        "LinkEntities": [_link_entity(entity.name, one) for one in entity.links],
    }


def _column_set(entity: Entity) -> dict[str, Any]:
    return {
        "AllColumns": entity.all_attributes,
        "Columns": [one.name for one in entity.attributes],
        "AttributeExpressions": [],
    }


def _filter_expression(filters: Sequence[Filter]) -> dict[str, Any]:
    one = filters[0] if len(filters) == 1 else Filter(tuple(filters))
    return _one_filter(one)


def _one_filter(one: Filter) -> dict[str, Any]:
    return {
        "FilterOperator": "Or" if one.either else "And",
        "FilterHint": None,
        "IsQuickFindFilter": False,
        "Conditions": [_condition_expression(part) for part in one.parts if isinstance(part, Condition)],
        "Filters": [_one_filter(part) for part in _filters(one)],
    }


def _filters(one: Filter) -> list[Filter]:
    if any(isinstance(part, Link) for part in one.parts):
        raise NotEmulated("tests of related rows as a QueryExpression")
    return [part for part in one.parts if isinstance(part, Filter)]


def _condition_expression(one: Condition) -> dict[str, Any]:
    if one.value_of is not None:
        raise NotEmulated("valueof as a QueryExpression")
    words = one.operator.replace("olderthan", "older-than").split("-")
    name = _NAMES.get(one.operator) or "".join(word.capitalize() for word in words)
    return {
        "EntityName": one.entity_name,
        "AttributeName": one.attribute,
        "Operator": name,
        "CompareColumns": False,
        "Values": [{"Value": value, "Type": "System.String"} for value in one.values],
    }


def _order_expression(one: Order) -> dict[str, Any]:
    return {
        "AttributeName": one.attribute,
        "Alias": one.alias,
        "EntityName": one.entity_name,
        "OrderType": "Descending" if one.descending else "Ascending",
    }


def _link_entity(parent: str, one: Link) -> dict[str, Any]:
    return {
        "LinkFromEntityName": parent,
        "LinkFromAttributeName": one.end,
        "LinkToEntityName": one.entity.name,
        "LinkToAttributeName": one.start,
        "JoinOperator": _JOIN_NAMES[one.kind],
        "EntityAlias": one.alias,
        "Columns": _column_set(one.entity),
        "LinkCriteria": _filter_expression(one.entity.filters),
        "Orders": [_order_expression(order) for order in one.entity.orders],
        "LinkEntities": [_link_entity(one.entity.name, inner) for inner in one.entity.links],
    }
