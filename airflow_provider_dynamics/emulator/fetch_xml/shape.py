"""A FetchXML query over the tables: which are joined, under which names, on which conditions.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/join-tables and
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/filter-rows
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.fetch_xml.conditions import Asker, Test, test_sql
from airflow_provider_dynamics.emulator.fetch_xml.document import Condition, Entity, Filter, Link, invalid
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.querying.comparisons import COMPARISONS, compare
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Intersect, Table
from airflow_provider_dynamics.emulator.schema.current import current
from airflow_provider_dynamics.emulator.storage import PAIRS, SQL


@dataclass(frozen=True)
class Place:
    """One table of a query as SQL knows it. ``alias`` is what conditions, orders and results call it."""

    table: Table
    sql: Any
    alias: str
    entity: Entity
    link: Link | None = None
    intersect: Intersect | None = None
    outer: bool = False

    def column(self, name: str) -> tuple[Column, Any]:
        """A column with its SQL value; raises ``Fault`` when the table has none of that name."""
        column = self._find(name)
        if column is None:
            if any(name == f"{known.name}name" for known in self.table.columns):
                raise NotEmulated(f"the virtual column {name} in FetchXML")
            raise no_attribute(self.entity.name, name)
        return column, self.sql.c[column.name]

    def _find(self, name: str) -> Column | None:
        if self.intersect is None:
            return self.table.by_name.get(name)
        ids = [TABLES[one] for one in self.intersect.tables]
        return next((table.by_name[name] for table in ids if table.primary_id == name), None)

    @property
    def keys(self) -> list[tuple[Column, Any]]:
        """What tells its rows apart."""
        if self.intersect is None:
            return [self.column(self.table.primary_id)]
        return [self.column(TABLES[one].primary_id) for one in self.intersect.tables]


def no_attribute(table: str, name: str) -> Fault:
    """0x80041103."""
    return invalid(
        f"'{table}' entity doesn't contain attribute with Name = '{name}' and NameMapping = 'Logical'.",
        "0x80041103",
    )


def no_entity(name: str) -> Fault:
    """0x80041102."""
    return invalid(
        f"The entity with a name = '{name}' with namemapping = 'Logical' was not found in the MetadataCache.",
        "0x80041102",
    )


@dataclass
class Shape:
    """The ``joined`` tables below the root, their SQL ``source`` and the conditions on them.

    ``tested`` are tables that only decide whether a row is returned.
    """

    asker: Asker
    root: Place
    source: Any
    conditions: list[Any] = field(default_factory=list)
    joined: list[Place] = field(default_factory=list)
    tested: list[Place] = field(default_factory=list)

    def named(self, name: str) -> Place:
        """The place an ``entityname`` means: an alias, or the name of a table linked once without one."""
        found = [place for place in self.joined if place.alias == name]
        found = found or [place for place in self.joined if place.entity.name == name]
        if len(found) != 1:
            raise invalid(f"Link entity with name or alias {name} is not found.", "0x8004110a")
        return found[0]

    def tables(self) -> list[Table]:
        """Every linked table that is read."""
        return [place.table for place in (*self.joined, *self.tested) if place.intersect is None]


def shape(entity: Entity, root: Table, asker: Asker) -> Shape:
    """Join everything a query links, the root under its own SQL name."""
    first = Place(root, SQL[root.name], root.name, entity)
    made = Shape(asker, first, first.sql)
    _Joiner(made).join(first)
    aliases = [place.alias for place in made.joined]
    if len(set(aliases)) != len(aliases):
        raise NotEmulated("two link-entities under one name in FetchXML")
    for one in entity.filters:
        made.conditions.append(_Conditions(made).filter(one, first))
    return made


class _Joiner:
    def __init__(self, made: Shape) -> None:
        self._shape = made
        self._numbers = 0

    def join(self, parent: Place) -> None:
        for link in parent.entity.links:
            if parent.outer and link.kind != "outer":
                raise NotEmulated(f"link-type='{link.kind}' inside an outer link-entity")
            if link.kind in {"exists", "in"}:
                self._shape.conditions.append(_Conditions(self._shape).exists(parent, link, []))
                continue
            self._join(parent, link)

    def _join(self, parent: Place, link: Link) -> None:
        self._numbers += 1
        place = _place(link, self._name(link), f"l{self._numbers}")
        shape, outer = self._shape, link.kind == "outer"
        shape.joined.append(place)
        if link.kind == "matchfirstrowusingcrossapply":
            if link.entity.links:
                raise NotEmulated("a link-entity inside matchfirstrowusingcrossapply")
            on = _first_match(shape, parent, place, link)
        else:
            on = sa.and_(_matches(parent, place, link), *_Conditions(shape).all(link.entity.filters, place))
        shape.source = shape.source.join(place.sql, on, isouter=outer)
        self.join(place)

    def _name(self, link: Link) -> str:
        if link.alias is not None:
            return link.alias
        table = TABLES.get(link.entity.name)
        if table is not None and link.start == table.primary_id:
            return table.name
        same = sum(1 for place in self._shape.joined if place.entity.name == link.entity.name)
        return f"{link.entity.name}{same + 1}"


def _place(link: Link, alias: str, sql_name: str) -> Place:
    name = link.entity.name
    pairs = current().pairs.get(name)
    if pairs is not None:
        first = TABLES[pairs.first]
        return Place(
            first, PAIRS[name].alias(sql_name), alias, link.entity, link, pairs, link.kind == "outer"
        )
    table = TABLES.get(name)
    if table is None:
        raise no_entity(name)
    return Place(table, SQL[name].alias(sql_name), alias, link.entity, link, outer=link.kind == "outer")


def _matches(parent: Place, place: Place, link: Link) -> Any:
    there, left = place.column(link.start)
    here, right = parent.column(link.end)
    if "MultiSelectPicklist" in {there.kind, here.kind}:
        raise NotEmulated("a link-entity over a multi-select choice column")
    if there.edm != here.edm:
        raise NotEmulated(f"a link-entity from {there.edm} to {here.edm}")
    return left == right


def _first_match(shape: Shape, parent: Place, place: Place, link: Link) -> Any:
    """Join one matching row only: the one whose key comes first."""
    if place.intersect is not None:
        raise NotEmulated("matchfirstrowusingcrossapply of an intersect table")
    inner = _place(link, place.alias, f"{place.sql.name}m")
    key = inner.sql.c[inner.table.primary_id]
    conditions = _Conditions(shape).all(link.entity.filters, inner)
    best = (
        sa.select(key)
        .where(_matches(parent, inner, link), *conditions)
        .order_by(key)
        .limit(1)
        .correlate(parent.sql)
        .scalar_subquery()
    )
    return place.sql.c[place.table.primary_id] == best


class _Conditions:
    """Filters as SQL."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def all(self, filters: Sequence[Filter], place: Place) -> list[Any]:
        return [self.filter(one, place) for one in filters]

    def filter(self, found: Filter, place: Place) -> Any:
        parts = list(self._parts(found, place))
        if not parts:
            return sa.true()
        return sa.or_(*parts) if found.either else sa.and_(*parts)

    def _parts(self, found: Filter, place: Place) -> Iterator[Any]:
        for part in found.parts:
            if isinstance(part, Condition):
                yield self._condition(part, place)
            elif isinstance(part, Filter):
                yield self.filter(part, place)
            else:
                yield self._related(place, part)

    def _condition(self, one: Condition, place: Place) -> Any:
        if one.entity_name is not None:
            named = self._shape.named(one.entity_name)
            if place is not self._shape.root and named is not place:
                raise NotEmulated("entityname of another table in the filter of a link-entity")
            place = named
        column, value = place.column(one.attribute)
        if one.value_of is not None:
            return self._columns(one, place, column, value)
        test = Test(self._shape.asker, place.table, column, value, one.operator, one.values)
        return test_sql(test)

    def _columns(self, one: Condition, place: Place, column: Column, value: Any) -> Any:
        alias, _, name = (one.value_of or "").rpartition(".")
        other, other_value = (self._shape.named(alias) if alias else place).column(name)
        if one.operator not in COMPARISONS or one.values:
            raise NotEmulated(f"valueof with the operator {one.operator} or a value")
        if (other.kind, other.scale) != (column.kind, column.scale):
            raise invalid(
                f"The columns {column.name} and {other.name} of valueof are not of the same type.",
                "0x80041106",
            )
        return compare(one.operator, value, other_value)

    def _related(self, parent: Place, link: Link) -> Any:
        """A test of related rows inside a filter; "all" means none, as Microsoft's page explains."""
        if link.kind in {"any", "not all"}:
            return self.exists(parent, link, link.entity.filters)
        none = ~self.exists(parent, link, link.entity.filters)
        return none if link.kind == "not any" else sa.and_(self.exists(parent, link, []), none)

    def exists(self, parent: Place, link: Link, filters: Sequence[Filter]) -> Any:
        """EXISTS over a linked table and what it links by inner joins."""
        if link.entity.attributes or link.entity.all_attributes or link.entity.orders:
            raise NotEmulated(f"columns or orders of a link-entity with link-type='{link.kind}'")
        place = self._apart(link)
        wanted = link.entity.filters if link.kind in {"exists", "in"} else filters
        source, conditions = self._inner(place, place.sql)
        matched = [_matches(parent, place, link), *self.all(wanted, place), *conditions]
        return sa.exists(sa.select(1).select_from(source).where(*matched).correlate(parent.sql))

    def _apart(self, link: Link) -> Place:
        place = _place(link, link.alias or link.entity.name, f"x{len(self._shape.tested)}")
        self._shape.tested.append(place)
        return place

    def _inner(self, place: Place, source: Any) -> tuple[Any, list[Any]]:
        conditions: list[Any] = []
        for link in place.entity.links:
            if link.kind in {"exists", "in"}:
                conditions.append(self.exists(place, link, []))
                continue
            if link.kind != "inner":
                raise NotEmulated(f"link-type='{link.kind}' inside a test of related rows")
            inner = self._apart(link)
            on = sa.and_(_matches(place, inner, link), *self.all(link.entity.filters, inner))
            source, more = self._inner(inner, source.join(inner.sql, on))
            conditions += more
        return source, conditions
