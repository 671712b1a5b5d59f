"""Rows of a FetchXML query: columns under their names or aliases, with annotations, and nothing where nothing is.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/select-columns
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Prefer
from airflow_provider_dynamics.emulator.fetch_xml.conditions import PARENTS
from airflow_provider_dynamics.emulator.fetch_xml.document import Attribute, Fetch, invalid
from airflow_provider_dynamics.emulator.fetch_xml.shape import Place, Shape
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.querying.projection import (
    FORMATTED,
    LOOKUP_TABLE,
    NAVIGATION,
    Row,
    names_of,
)
from airflow_provider_dynamics.emulator.render import formatter, renderer
from airflow_provider_dynamics.emulator.schema import TABLES, Column
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

ATTRIBUTE_NAME = "OData.Community.Display.V1.AttributeName"
Values = tuple[Any, ...]


@dataclass(frozen=True)
class Shown:
    """One column of the answer. ``aliased`` ones are told apart from the root's own, which are named as OData does.

    ``kind`` says which table a polymorphic lookup points to, ``currency`` which an amount is in: SQL values.
    """

    name: str
    column: Column
    value: Any
    aliased: bool
    kind: Any = None
    currency: Any = None


def shown_at(place: Place, name: str, alias: str | None, *, plain: bool) -> Shown:
    """A column of a place; without an alias it is named by its table's, or by itself where ``plain``."""
    column, value = place.column(name)
    kind = place.sql.c[column.type_column] if column.is_polymorphic else None
    currency = None
    if column.kind == "Money" and column.base_of is None and place.table.has("transactioncurrencyid"):
        currency = place.sql.c.transactioncurrencyid
    own = plain and alias is None
    shown = alias or (column.wire if plain else f"{place.alias}.{column.name}")
    return Shown(shown, column, value, aliased=not own, kind=kind, currency=currency)


def wanted(fetch: Fetch, shape: Shape) -> list[Shown]:
    """What a query returns: the root's columns with what comes along, then aliased ones and those of linked tables."""
    own = _own(fetch, shape.root)
    found = [one for one in own if not one.aliased]
    if not fetch.distinct:
        found = _with_companions(shape.root, found, own)
    found += [one for one in own if one.aliased]
    for place in shape.joined:
        found += _linked(place)
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(f"The alias or column name '{twice}' is used more than once.", "0x80041130")
    return found


def _own(fetch: Fetch, root: Place) -> list[Shown]:
    entity = fetch.entity
    if entity.all_attributes or not entity.attributes:
        given = [Attribute(column.name) for column in root.table.whole]
    else:
        given = list(dict.fromkeys(entity.attributes))
    return [
        _children(root, one) if one.row_aggregate else shown_at(root, one.name, one.alias, plain=True)
        for one in given
    ]


def _children(root: Place, one: Attribute) -> Shown:
    """How many rows of a hierarchy lie directly below a row, under an alias."""
    parent = PARENTS.get(root.table.name)
    if one.row_aggregate != "CountChildren" or parent is None or one.name != root.table.primary_id:
        raise NotEmulated(f"rowaggregate='{one.row_aggregate}' of {root.table.name}.{one.name}")
    if not one.alias:
        raise invalid(f"An alias is needed for the row aggregate of {one.name}.", "0x8004110b")
    column, key = root.column(one.name)
    below = SQL[root.table.name].alias("below")
    counted = sa.select(sa.func.count()).where(below.c[parent] == key).correlate(root.sql)
    return Shown(one.alias, replace(column, kind="Integer"), counted.scalar_subquery(), aliased=True)


def _with_companions(root: Place, found: list[Shown], own: Sequence[Shown]) -> list[Shown]:
    names = {one.column.name for one in found}
    added = []
    if any(one.column.kind == "Money" for one in own) and root.table.has("transactioncurrencyid"):
        added.append("transactioncurrencyid")
    added.append(root.table.primary_id)
    return [*found, *(shown_at(root, name, None, plain=True) for name in added if name not in names)]


def _linked(place: Place) -> list[Shown]:
    entity = place.entity
    if entity.all_attributes:
        if place.intersect is not None:
            raise NotEmulated("all-attributes of an intersect table")
        given = [Attribute(column.name) for column in place.table.whole]
    else:
        given = list(entity.attributes)
    if any(one.row_aggregate for one in given):
        raise NotEmulated("rowaggregate of a linked table")
    if place.link is None or place.link.kind != "matchfirstrowusingcrossapply":
        return [shown_at(place, one.name, one.alias, plain=False) for one in given]
    # Microsoft: here the schema names are used, without the alias of the table.
    return [
        shown_at(place, one.name, one.alias or place.column(one.name)[0].schema_name, plain=False)
        for one in given
    ]


class RowMaker:
    """``values`` go into a SELECT, ``rows`` turns its result into rows."""

    def __init__(
        self, store: Store, prefer: Prefer, shown: Sequence[Shown], *, currencies: bool = True
    ) -> None:
        self._store = store
        self._prefer = prefer
        self._shown = shown
        self.values: list[Any] = [one.value for one in shown]
        self._helpers: dict[str, int] = {}
        for one in shown:
            helper = one.currency if one.kind is None and currencies else one.kind
            if helper is not None:
                self._helpers[one.name] = len(self.values)
                self.values.append(helper)

    def rows(self, fetched: Sequence[Values], start: int = 0) -> list[Row]:
        """Rows from fetched tuples, in which ``values`` begin at ``start``."""
        makers = [self._maker(one, at, fetched, start) for at, one in enumerate(self._shown, start)]
        result: list[Row] = []
        for values in fetched:
            row: Row = {}
            for make in makers:
                make(row, values)
            result.append(row)
        return result

    def _maker(
        self, one: Shown, at: int, fetched: Sequence[Values], start: int
    ) -> Callable[[Row, Values], None]:
        notes = self._notes(one, at, fetched, start)
        render, name = renderer(one.column), one.name

        def make(row: Row, values: Values) -> None:
            value = values[at]
            if value is None:
                return
            for note in notes:
                note(row, values)
            row[name] = value if render is None else render(value)

        return make

    def _notes(
        self, one: Shown, at: int, fetched: Sequence[Values], start: int
    ) -> list[Callable[[Row, Values], None]]:
        if not self._prefer.annotations:
            return []
        notes: list[Callable[[Row, Values], None]] = []
        if one.aliased and self._prefer.wants(ATTRIBUTE_NAME):
            notes.append(_fixed(f"{one.name}@{ATTRIBUTE_NAME}", one.column.name))
        helper = start + self._helpers[one.name] if one.name in self._helpers else None
        if one.column.is_lookup:
            return notes + self._lookup(one, at, fetched, helper)
        if self._prefer.wants(FORMATTED):
            notes += self._formatted(one, at, helper)
        return notes

    def _formatted(self, one: Shown, at: int, currency_at: int | None) -> list[Callable[[Row, Values], None]]:
        member = f"{one.name}@{FORMATTED}"
        if currency_at is not None:
            return [_amount(member, one.column, at, currency_at, self._symbols())]
        show = formatter(one.column)
        if show is None:
            return []

        def note(row: Row, values: Values) -> None:
            row[member] = show(values[at])

        return [note]

    def _symbols(self) -> Mapping[str, str]:
        sql = SQL["transactioncurrency"]
        return dict(self._store.fetch(sa.select(sql.c.transactioncurrencyid, sql.c.currencysymbol)))

    def _lookup(
        self, one: Shown, at: int, fetched: Sequence[Values], kind_at: int | None
    ) -> list[Callable[[Row, Values], None]]:
        only = one.column.targets[0].table
        navigation = {target.table: target.navigation for target in one.column.targets}

        def kind(values: Values) -> str:
            return only if kind_at is None else str(values[kind_at])

        ids: dict[str, set[str]] = {}
        for values in fetched:
            if values[at] is not None:
                ids.setdefault(kind(values), set()).add(values[at])
        names: dict[str, str | None] = {}
        if self._prefer.wants(FORMATTED):
            for table, some in ids.items():
                names.update(names_of(self._store, TABLES[table], some))
        makers: Mapping[str, Callable[[Values], str | None]] = {
            FORMATTED: lambda values: names.get(values[at]),
            NAVIGATION: lambda values: None if one.aliased else navigation.get(kind(values)),
            LOOKUP_TABLE: kind,
        }
        wanted = {f"{one.name}@{name}": make for name, make in makers.items() if self._prefer.wants(name)}

        def note(row: Row, values: Values) -> None:
            row.update({member: text for member, make in wanted.items() if (text := make(values))})

        return [note]


def _fixed(member: str, text: str) -> Callable[[Row, Values], None]:
    def note(row: Row, _: Values) -> None:
        row[member] = text

    return note


def _amount(
    member: str, column: Column, at: int, currency_at: int, symbols: Mapping[str, str]
) -> Callable[[Row, Values], None]:
    def note(row: Row, values: Values) -> None:
        show = formatter(column, symbols.get(values[currency_at], "$"))
        if show is not None:
            row[member] = show(values[at])

    return note
