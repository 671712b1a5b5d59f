"""Aggregates in FetchXML: groups, parts of dates, and what is added up in each.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/aggregate-data
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Prefer
from airflow_provider_dynamics.emulator.fetch_xml.document import Attribute, Fetch, invalid
from airflow_provider_dynamics.emulator.fetch_xml.rows import ATTRIBUTE_NAME, RowMaker, shown_at
from airflow_provider_dynamics.emulator.fetch_xml.shape import Place, Shape
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.querying.aggregates import QueryLimits, Summary, counted
from airflow_provider_dynamics.emulator.querying.projection import FORMATTED, Row
from airflow_provider_dynamics.emulator.schema import Column
from airflow_provider_dynamics.emulator.store import Store

_METHODS = frozenset({"count", "countcolumn", "sum", "avg", "min", "max"})
_FISCAL = frozenset({"fiscal-period", "fiscal-year"})


@dataclass(frozen=True)
class _Group:
    alias: str
    place: Place
    attribute: Attribute
    column: Column
    values: tuple[Any, ...]  # the key, and for a lookup to several tables which one


@dataclass(frozen=True)
class Aggregated:
    """The rows of one page, and whether more follow."""

    rows: list[Row]
    more: bool


class Aggregator:
    """Answers queries with ``aggregate='true'``."""

    def __init__(self, store: Store, limits: QueryLimits) -> None:
        self._store = store
        self._limits = limits

    def read(self, fetch: Fetch, shape: Shape, prefer: Prefer, size: int) -> Aggregated:
        """Group and add up; pages are cut by number, there is no cookie."""
        groups, summaries = _wanted(shape)
        statement = _statement(shape, groups, summaries)
        skip = ((fetch.page or 1) - 1) * size
        limit = min(fetch.aggregate_limit or self._limits.aggregate, self._limits.aggregate)
        rows = counted(self._store, shape.source, shape.conditions, limit)
        if not groups and all(summary.method == "count" for _, summary in summaries):
            found: list[tuple[Any, ...]] = [tuple(value for _ in summaries for value in (rows, None))]
            found = found if skip == 0 else []
            return Aggregated(self._rows(groups, summaries, found, prefer), more=False)
        found = self._store.fetch(statement.limit(size + 1).offset(skip))
        return Aggregated(self._rows(groups, summaries, found[:size], prefer), more=len(found) > size)

    def _rows(
        self,
        groups: Sequence[_Group],
        summaries: Sequence[tuple[Attribute, Summary]],
        found: Sequence[tuple[Any, ...]],
        prefer: Prefer,
    ) -> list[Row]:
        rows: list[Row] = [{} for _ in found]
        start = 0
        for group in groups:
            for row, members in zip(rows, self._members(group, found, start, prefer), strict=True):
                row.update(members)
            start += len(group.values)
        formatted, named = prefer.wants(FORMATTED), prefer.wants(ATTRIBUTE_NAME)
        for attribute, summary in summaries:
            for row, one in zip(rows, found, strict=True):
                members = summary.members(one[start], one[start + 1], formatted=formatted)
                if members and named:
                    row[f"{summary.alias}@{ATTRIBUTE_NAME}"] = attribute.name
                row.update(members)
            start += 2
        return rows

    def _members(
        self, group: _Group, found: Sequence[tuple[Any, ...]], start: int, prefer: Prefer
    ) -> list[Row]:
        if group.attribute.date_grouping:
            return [_part_members(group, one[start], prefer) for one in found]
        shown = shown_at(group.place, group.attribute.name, group.alias, plain=False)
        maker = RowMaker(self._store, prefer, [shown], currencies=False)
        return maker.rows([one[start : start + len(group.values)] for one in found])


def _part_members(group: _Group, value: Any, prefer: Prefer) -> Row:
    if value is None:
        return {}
    notes = {ATTRIBUTE_NAME: group.attribute.name, FORMATTED: f"{value:,}"}
    shown: Row = {f"{group.alias}@{name}": text for name, text in notes.items() if prefer.wants(name)}
    return {**shown, group.alias: value}


def _wanted(shape: Shape) -> tuple[list[_Group], list[tuple[Attribute, Summary]]]:
    groups: list[_Group] = []
    summaries: list[tuple[Attribute, Summary]] = []
    aliases: set[str] = set()
    for place, one in _attributes(shape):
        alias = _alias(one, aliases)
        if one.group_by:
            groups.append(_group(place, one, alias))
        else:
            summaries.append((one, _summary(place, one, alias)))
    if not groups and not summaries:
        raise invalid("An aggregate query needs attributes with aggregate or groupby.", "0x8004112f")
    return groups, summaries


def _attributes(shape: Shape) -> Iterator[tuple[Place, Attribute]]:
    for place in (shape.root, *shape.joined):
        if place.entity.all_attributes:
            raise invalid(
                "Attributes can not be returned when aggregate operation is specified.", "0x80041107"
            )
        for one in place.entity.attributes:
            if one.row_aggregate:
                raise NotEmulated("rowaggregate in an aggregate query")
            yield place, one


def _alias(one: Attribute, known: set[str]) -> str:
    if one.group_by and one.aggregate:
        raise invalid("An attribute can either be an aggregate or a group by but not both.", "0x80041137")
    if not one.group_by and not one.aggregate:
        raise invalid("Attributes can not be returned when aggregate operation is specified.", "0x80041107")
    if not one.alias:
        raise invalid(f"An alias is needed for the attribute {one.name} of an aggregate query.", "0x8004110b")
    if one.alias in known:
        raise invalid(f"The alias '{one.alias}' is used more than once.", "0x80041130")
    known.add(one.alias)
    return one.alias


def _summary(place: Place, one: Attribute, alias: str) -> Summary:
    column, value = place.column(one.name)
    method = (one.aggregate or "").lower()
    if method not in _METHODS:
        raise invalid(f"'{one.aggregate}' is no valid aggregate operation.", "0x8004111a")
    made = Summary(method, alias, column, value, distinct=one.distinct)
    made.check()
    return made


def _group(place: Place, one: Attribute, alias: str) -> _Group:
    column, value = place.column(one.name)
    if one.date_grouping is not None:
        return _Group(alias, place, one, column, (_part(column, value, one.date_grouping.lower()),))
    if column.kind == "DateTime":
        raise NotEmulated("groupby of a date without dategrouping")
    kind = (place.sql.c[column.type_column],) if column.is_polymorphic else ()
    return _Group(alias, place, one, column, (value, *kind))


def _part(column: Column, value: Any, part: str) -> Any:
    """Build a part of a date as a number, in UTC: the time zone of every user here."""
    if column.kind != "DateTime":
        raise invalid("dategrouping needs a date column.", "0x80041135")
    if part in _FISCAL:
        raise NotEmulated(f"dategrouping='{part}'")
    formats: Mapping[str, str] = {"day": "%d", "month": "%m", "year": "%Y"}
    if part in formats:
        return sa.cast(sa.func.strftime(formats[part], value), sa.Integer)
    if part == "quarter":
        return (sa.cast(sa.func.strftime("%m", value), sa.Integer) + 2) // 3
    if part == "week":
        # SQL Server's weeks: the first one holds 1 January, each begins on a Sunday.
        day = sa.cast(sa.func.strftime("%j", value), sa.Integer)
        new_year = sa.cast(sa.func.strftime("%w", value, "start of year"), sa.Integer)
        return (day + new_year - 1) // 7 + 1
    raise invalid(f"'{part}' is no valid dategrouping.", "0x80041135")


def _statement(shape: Shape, groups: Sequence[_Group], summaries: Sequence[tuple[Attribute, Summary]]) -> Any:
    keys = [value for group in groups for value in group.values]
    values = [*keys, *(value for _, summary in summaries for value in summary.sql())]
    shown = [value.label(f"v{index}") for index, value in enumerate(values)]
    statement = sa.select(*shown).select_from(shape.source).where(*shape.conditions)
    if keys:
        statement = statement.group_by(*keys)
    places = {group.alias: group.values[0] for group in groups}
    places |= {summary.alias: _sortable(summary) for _, summary in summaries}
    for order in _orders(shape):
        if not order.alias:
            raise invalid(
                "An attribute cannot be used to order an aggregate query: an alias is.", "0x80041131"
            )
        if order.alias not in places:
            raise invalid(f"The alias '{order.alias}' to order by does not exist.", "0x8004110a")
        value = places[order.alias]
        statement = statement.order_by(value.desc() if order.descending else value.asc())
    return statement.order_by(*keys)


def _orders(shape: Shape) -> Iterator[Any]:
    for place in (shape.root, *shape.joined):
        yield from place.entity.orders


def _sortable(summary: Summary) -> Any:
    if summary.method == "avg":
        return sa.func.avg(summary.value)
    return sa.func.coalesce(summary.sql()[0], 0) if summary.method == "sum" else summary.sql()[0]
