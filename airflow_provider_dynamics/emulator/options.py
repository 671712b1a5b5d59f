"""``$select``, ``$expand`` and ``$orderby`` as values, checked against the schema.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_dynamics.emulator.address import query_syntax, split_outside
from airflow_provider_dynamics.emulator.literals import count_literal
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.schema import Column, Navigation, Table, navigation_of

MAX_EXPANDS = 15
_LATER = {
    "fetchxml": "FetchXML (?fetchXml=) at this place",
    "savedquery": "saved queries (?savedQuery=) at this place",
    "userquery": "user queries (?userQuery=) at this place",
    "sql": "SQL queries (?sql=)",
    "$apply": "aggregation ($apply) at this place",
}
_KNOWN = {"$select", "$filter", "$orderby", "$top", "$expand", "$count", "$skiptoken", "$deltatoken"}
_ALIAS = re.compile(r"@\w")
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_ITEM = re.compile(r"\s*(?P<name>\w+)(?P<ref>/\$ref)?\s*(?:\((?P<inside>.*)\))?\s*", re.DOTALL)


def odata_fault(message: str) -> Fault:
    """0x80060888, the code of everything OData itself refuses."""
    return Fault(400, "0x80060888", message)


def no_property(table: Table, name: str) -> Fault:
    """A column or navigation property the table does not have."""
    return odata_fault(
        f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table.name}'."
    )


def check_options(options: Mapping[str, str]) -> None:
    """Refuse what the service refuses, and say so about what is left to later."""
    for name in options:
        later = _LATER.get(name.lower())
        if later:
            raise NotEmulated(later)
        if name.startswith("$") and name not in _KNOWN:
            raise odata_fault(f"The query parameter {name} is not supported.")


@dataclass(frozen=True)
class Order:
    """One part of ``$orderby``; ``via`` is the lookup path in front of the column."""

    column: Column
    descending: bool = False
    via: tuple[Navigation, ...] = ()


@dataclass(frozen=True)
class Expand:
    """One expanded navigation property with the options inside its brackets."""

    navigation: Navigation
    ref: bool = False
    select: tuple[Column, ...] | None = None
    expand: tuple[Expand, ...] = ()
    filter: str | None = None
    order_by: str | None = None
    top: int | None = None
    raw: tuple[tuple[str, str], ...] = ()
    raw_select: str | None = None

    @property
    def context(self) -> str:
        """How the property shows in ``@odata.context``."""
        if self.ref:
            return f"{self.navigation.name}/$ref()"
        names = [part for part in (self.raw_select, *(item.context for item in self.expand)) if part]
        return f"{self.navigation.name}({','.join(names)})"


def parse_select(table: Table, text: str | None) -> tuple[Column, ...] | None:
    """The selected columns, None for all of them; raises ``Fault`` on a column the table does not have."""
    if text is None or text.strip() in {"", "*"}:
        return None
    columns = []
    for name in (part.strip() for part in text.split(",")):
        if table.is_principal and name == "ownerid":
            continue
        column = table.by_wire.get(name)
        if column is None:
            navigation = table.navigations.get(name)
            if navigation is None:
                raise no_property(table, name)
            column = navigation.column
        if column not in columns:
            columns.append(column)
    return tuple(columns)


def find_navigation(table: Table, name: str) -> Navigation:
    """A navigation property by its exact name; raises ``Fault`` when there is none."""
    found = navigation_of(table, name)
    if found is None:
        raise no_property(table, name)
    return found


def parse_expand(table: Table, text: str | None, tables: Mapping[str, Table]) -> tuple[Expand, ...]:
    """The expanded properties; at most 15 in one query, nested ones counted."""
    found = _expands(table, text, tables)
    if len(list(_all(found))) > MAX_EXPANDS:
        raise odata_fault(f"The number of expand options exceeds the maximum allowed: {MAX_EXPANDS}.")
    nested = any(item.expand for item in found)
    if nested:
        _check_nested(found)
    _check_many_to_many(found, nested=nested)
    return found


def _check_many_to_many(items: tuple[Expand, ...], *, nested: bool) -> None:
    """Microsoft's table says what is not supported beside many-to-many, and not what the service then answers."""
    through = [item.navigation.through is not None for item in _all(items)]
    if any(through) and (nested or not all(through)):
        raise NotEmulated(
            "$expand of a many-to-many relationship nested or beside others, which is unsupported"
        )


def _all(items: tuple[Expand, ...]) -> Iterator[Expand]:
    for item in items:
        yield item
        yield from _all(item.expand)


def _check_nested(items: tuple[Expand, ...]) -> None:
    for item in items:
        if item.top is not None or item.order_by is not None:
            raise odata_fault(
                "Only $select and $filter clause can be provided while doing $expand on many-to-one "
                "relationship or nested one-to-many relationship."
            )
        _check_nested(item.expand)


def _expands(table: Table, text: str | None, tables: Mapping[str, Table]) -> tuple[Expand, ...]:
    if text is None or not text.strip():
        return ()
    return tuple(_expand(table, part, tables) for part in split_outside(text, ","))


def _expand(table: Table, text: str, tables: Mapping[str, Table]) -> Expand:
    match = _ITEM.fullmatch(text)
    if match is None:
        raise query_syntax()
    navigation = find_navigation(table, match["name"])
    if match["ref"]:
        if navigation.is_collection:
            raise odata_fault("Expand with $ref is only supported on lookup type navigation property.")
        return Expand(navigation, ref=True)
    raw = _inner_options(match["inside"])
    inner = dict(raw)
    if navigation.table is None:
        if set(inner) - {"$select"}:
            raise NotEmulated(f"options other than $select inside $expand={navigation.name}")
        return Expand(navigation, raw=raw, raw_select=inner.get("$select"))
    target = tables[navigation.table]
    if not navigation.is_collection and {"$top", "$orderby"} & set(inner):
        raise odata_fault(
            "Only $select and $filter clause can be provided while doing $expand on many-to-one "
            "relationship or nested one-to-many relationship."
        )
    return Expand(
        navigation,
        select=parse_select(target, inner.get("$select")),
        expand=_expands(target, inner.get("$expand"), tables),
        filter=inner.get("$filter"),
        order_by=inner.get("$orderby"),
        top=parse_top(inner.get("$top")),
        raw=raw,
        raw_select=inner.get("$select"),
    )


def _inner_options(inside: str | None) -> tuple[tuple[str, str], ...]:
    found = []
    for part in filter(None, (piece.strip() for piece in split_outside(inside or "", ";"))):
        name, _, value = part.partition("=")
        if name not in {"$select", "$filter", "$orderby", "$top", "$expand"}:
            raise odata_fault(f"The query parameter {name} is not supported inside $expand.")
        if _ALIAS.search(_QUOTED.sub("", value)):
            raise NotEmulated(f"a parameter alias inside $expand, in {name}: it is unsupported there")
        found.append((name, value))
    return tuple(found)


def parse_top(text: str | None) -> int | None:
    """``$top`` as a number; raises ``Fault`` when it is none."""
    if text is None:
        return None
    found = count_literal(text)
    if found is None:
        raise odata_fault(
            f"Invalid value '{text[:100]}' for $top query option found. The $top query option requires a non-negative integer value."
        )
    return found


def parse_order(
    table: Table, text: str | None, tables: Mapping[str, Table], aliases: Mapping[str, str]
) -> tuple[Order, ...]:
    """``$orderby``, aliases replaced; a lookup path may have one step."""
    if text is None or not text.strip():
        return ()
    orders = []
    for part in text.split(","):
        name, _, direction = part.strip().partition(" ")
        name = aliases.get(name, name).strip("'")
        if direction.strip() not in {"", "asc", "desc"}:
            raise query_syntax()
        via, column = resolve_path(table, name.split("/"), tables)
        orders.append(Order(column, direction.strip() == "desc", via))
    return tuple(orders)


def resolve_path(
    table: Table, parts: list[str], tables: Mapping[str, Table]
) -> tuple[tuple[Navigation, ...], Column]:
    """``primarycontactid/fullname`` as the lookups to follow and the column at the end."""
    via: list[Navigation] = []
    for name in parts[:-1]:
        navigation = table.navigations.get(name)
        if navigation is None or navigation.table is None:
            raise no_property(table, name)
        via.append(navigation)
        table = tables[navigation.table]
    column = table.by_wire.get(parts[-1])
    if column is None:
        raise no_property(table, parts[-1])
    return tuple(via), column
