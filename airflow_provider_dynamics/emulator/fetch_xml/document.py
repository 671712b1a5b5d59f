"""FetchXML as values: what a document says, element by element, and how it is refused.

`parser` makes them of a text, `shape` finds what they mean for the tables.
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/reference/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from airflow_provider_dynamics.emulator.messages import Fault


@dataclass(frozen=True)
class Condition:
    """One condition; ``values`` are texts as written, ``value_of`` another column instead."""

    attribute: str
    operator: str
    values: tuple[str, ...] = ()
    value_of: str | None = None
    entity_name: str | None = None


@dataclass(frozen=True)
class Filter:
    """Conditions, further filters and tests of related rows; ``either`` is an "or"."""

    parts: tuple[Part, ...]
    either: bool = False


@dataclass(frozen=True)
class Attribute:
    """One column to return."""

    name: str
    alias: str | None = None
    aggregate: str | None = None
    group_by: bool = False
    date_grouping: str | None = None
    distinct: bool = False
    row_aggregate: str | None = None


@dataclass(frozen=True)
class Order:
    """One thing to sort by: a column, or in aggregates an alias."""

    attribute: str | None
    alias: str | None
    descending: bool
    entity_name: str | None


@dataclass(frozen=True)
class Entity:
    """A table with what is wanted of it."""

    name: str
    all_attributes: bool
    attributes: tuple[Attribute, ...]
    orders: tuple[Order, ...]
    filters: tuple[Filter, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Link:
    """A linked table: ``entity``'s column ``start`` equals the parent's column ``end``."""

    entity: Entity
    start: str
    end: str
    alias: str | None
    kind: str


Part: TypeAlias = "Condition | Filter | Link"


@dataclass(frozen=True)
class Fetch:
    """A whole query."""

    entity: Entity
    aggregate: bool = False
    aggregate_limit: int | None = None
    count: int | None = None
    page: int | None = None
    cookie: str | None = None
    distinct: bool = False
    total: bool = False
    top: int | None = None
    raw_order: bool = False


def invalid(message: str, code: str = "0x80040303") -> Fault:
    """InvalidFetchXml, or one of the codes that say more."""
    return Fault(400, code, message)
