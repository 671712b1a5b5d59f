"""``$apply``: filter, groupby and aggregate, as far as Dataverse knows them.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/aggregate-data
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.address import query_syntax, split_outside
from airflow_provider_dynamics.emulator.call import MAX_PAGE, Call, reply
from airflow_provider_dynamics.emulator.messages import NotEmulated, Response
from airflow_provider_dynamics.emulator.options import check_options, no_property, odata_fault
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.aggregates import QueryLimits, Summary, counted
from airflow_provider_dynamics.emulator.querying.filters import Asked, compile_filter
from airflow_provider_dynamics.emulator.querying.paging import points_to
from airflow_provider_dynamics.emulator.querying.projection import (
    FORMATTED,
    LOOKUP_TABLE,
    NAVIGATION,
    names_of,
)
from airflow_provider_dynamics.emulator.querying.query import Source
from airflow_provider_dynamics.emulator.render import formatter, renderer
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

_STEP = re.compile(r"\s*(?P<name>\w+)\s*\((?P<inside>.*)\)\s*", re.DOTALL)
_COUNT = re.compile(r"\s*\$count\s+as\s+(?P<alias>[^\W\d]\w*)\s*")
_VALUE = re.compile(r"\s*(?P<path>[\w/]+)\s+with\s+(?P<method>[\w.]+)\s+as\s+(?P<alias>[^\W\d]\w*)\s*")
_METHODS: Mapping[str, str] = {"sum": "sum", "average": "avg", "min": "min", "max": "max"}


@dataclass(frozen=True)
class Step:
    """One transformation as written: its name and what stands in its brackets."""

    name: str
    inside: str


@dataclass(frozen=True)
class Group:
    """One thing rows are grouped by: its name in the answer, its column and SQL value."""

    name: str
    table: Table
    column: Column
    value: Any


@dataclass(frozen=True)
class Applied:
    """A parsed ``$apply``: filters in front, then groups, then aggregates; at least one of the last two."""

    filters: tuple[str, ...]
    groups: tuple[str, ...]
    aggregates: tuple[str, ...]


def parse_apply(text: str) -> Applied:
    """Read ``filter(…)/groupby((…),aggregate(…))``; raises ``Fault`` on what cannot be read or is not emulated."""
    steps = [_step(part) for part in split_outside(text, "/")]
    filters = []
    while steps and steps[0].name == "filter":
        filters.append(steps.pop(0).inside)
    if not steps:
        raise NotEmulated("$apply without groupby or aggregate")
    if len(steps) > 1:
        raise NotEmulated(f"{steps[1].name} after {steps[0].name} in $apply")
    last = steps[0]
    if last.name == "aggregate":
        return Applied(tuple(filters), (), _listed(last.inside))
    if last.name != "groupby":
        raise NotEmulated(f"the transformation {last.name} in $apply")
    return Applied(tuple(filters), *_groupby(last.inside))


def _step(text: str) -> Step:
    match = _STEP.fullmatch(text)
    if match is None:
        raise query_syntax()
    return Step(match["name"], match["inside"])


def _listed(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in split_outside(text, ","))
    if not all(found):
        raise query_syntax()
    return found


def _groupby(inside: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = _listed(inside)
    names = parts[0]
    if not (names.startswith("(") and names.endswith(")")) or len(parts) > 2:
        raise query_syntax()
    if len(parts) == 1:
        return _listed(names[1:-1]), ()
    step = _step(parts[1])
    if step.name != "aggregate":
        raise NotEmulated(f"{step.name} inside groupby in $apply")
    return _listed(names[1:-1]), _listed(step.inside)


class Applier:
    """Answers collections with ``$apply``."""

    def __init__(self, store: Store, privileges: Privileges, limits: QueryLimits) -> None:
        self._store = store
        self._privileges = privileges
        self._limits = limits

    def collection(self, call: Call, source: Source) -> Response:
        """The groups, or the one row of aggregates."""
        applied = parse_apply(call.options["$apply"])
        _check_others(call, applied)
        reading = _Reading(source.table)
        groups = [reading.group(name) for name in applied.groups]
        summaries = [reading.summary(text) for text in applied.aggregates]
        _check_names(groups, summaries)
        for table in reading.joined:
            self._privileges.need(call, table, "Read")
        conditions = [] if source.condition is None else [source.condition]
        asked = Asked(call.now, call.caller, call.aliases)
        conditions += [compile_filter(text, source.table, asked) for text in applied.filters]
        rows = counted(self._store, reading.source, conditions, self._limits.aggregate)
        if not groups and all(summary.method == "count" for summary in summaries):
            found: list[tuple[Any, ...]] = [tuple(value for _ in summaries for value in (rows, None))]
        else:
            found = self._store.fetch(_statement(reading, groups, summaries, conditions))
        if len(found) > MAX_PAGE:
            raise NotEmulated(f"more than {MAX_PAGE} groups in $apply")
        body = {
            "@odata.context": call.context(source.table.set_name),
            "value": self._rows(call, groups, summaries, found),
        }
        return reply(200, body, *call.applied())

    def _rows(
        self, call: Call, groups: Sequence[Group], summaries: Sequence[Summary], found: Sequence[Any]
    ) -> list[dict[str, Any]]:
        formatted = call.prefer.wants(FORMATTED)
        rows: list[dict[str, Any]] = [{} for _ in found]
        for at, group in enumerate(groups):
            values = [one[at] for one in found]
            for row, members in zip(rows, self._members(call, group, values), strict=True):
                row.update(members)
        for at, summary in enumerate(summaries):
            place = len(groups) + 2 * at
            for row, one in zip(rows, found, strict=True):
                row.update(summary.members(one[place], one[place + 1], formatted=formatted))
        return rows

    def _members(self, call: Call, group: Group, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Build what a group's key adds to each row: nothing where it is null."""
        texts = self._texts(group, values) if call.prefer.wants(FORMATTED) else {}
        fixed = {}
        if group.column.is_lookup:
            target = group.column.targets[0]
            fixed = {NAVIGATION: target.navigation, LOOKUP_TABLE: target.table}
        fixed = {f"{group.name}@{name}": text for name, text in fixed.items() if call.prefer.wants(name)}
        render = renderer(group.column)
        return [
            {}
            if value is None
            else {
                **({f"{group.name}@{FORMATTED}": texts[value]} if texts.get(value) else {}),
                **fixed,
                group.name: value if render is None else render(value),
            }
            for value in values
        ]

    def _texts(self, group: Group, values: Sequence[Any]) -> Mapping[Any, str | None]:
        known = {value for value in values if value is not None}
        if group.column.is_lookup:
            return names_of(self._store, TABLES[group.column.targets[0].table], known)
        show = formatter(group.column)
        return {value: show(value) for value in known} if show else {}


class _Reading:
    """The table and the lookups that groups and aggregates lead through, joined once each."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._joined: dict[str, tuple[Table, Any]] = {}
        self.source: Any = SQL[table.name]

    @property
    def joined(self) -> list[Table]:
        """The tables that lookups lead to."""
        return [table for table, _ in self._joined.values()]

    def group(self, path: str) -> Group:
        table, column, value = self._follow(path)
        if column.kind == "DateTime":
            raise odata_fault("groupby with datetime values is not supported.")
        if column.is_polymorphic:
            raise NotEmulated(f"groupby of the lookup {path}, which leads to several tables")
        name = path if "/" not in path else f"{table.name}_{column.name}"
        return Group(name, table, column, value)

    def summary(self, text: str) -> Summary:
        if match := _COUNT.fullmatch(text):
            return Summary("count", match["alias"])
        match = _VALUE.fullmatch(text)
        if match is None:
            raise query_syntax()
        method = _METHODS.get(match["method"])
        if method is None:
            raise NotEmulated(f"the aggregate {match['method']} in $apply")
        _, column, value = self._follow(match["path"])
        made = Summary(method, match["alias"], column, value)
        made.check()
        return made

    def _follow(self, path: str) -> tuple[Table, Column, Any]:
        *lookups, name = path.split("/")
        if len(lookups) > 1:
            raise NotEmulated(f"the path {path} in $apply")
        table, sql = self._join(lookups[0]) if lookups else (self._table, SQL[self._table.name])
        column = table.by_wire.get(name)
        if column is None:
            raise no_property(table, name)
        return table, column, sql.c[column.name]

    def _join(self, name: str) -> tuple[Table, Any]:
        if name not in self._joined:
            navigation = self._table.navigations.get(name)
            if navigation is None or navigation.table is None:
                raise no_property(self._table, name)
            target = TABLES[navigation.table]
            sql = SQL[target.name].alias(f"j{len(self._joined)}")
            on = points_to(SQL[self._table.name], navigation.column, sql, target)
            self.source = self.source.outerjoin(sql, on)
            self._joined[name] = (target, sql)
        return self._joined[name]


def _check_names(groups: Sequence[Group], summaries: Sequence[Summary]) -> None:
    """Nothing may overwrite anything else in a row; what the service says to it is not documented."""
    names = [*(group.name for group in groups), *(summary.alias for summary in summaries)]
    if len(set(names)) != len(names):
        raise NotEmulated("one name for two values in $apply")


def _check_others(call: Call, applied: Applied) -> None:
    """Refuse options beside ``$apply``; an order by an aggregate is refused in the service's own words."""
    others = {name: value for name, value in call.options.items() if name != "$apply"}
    check_options(others)
    aliases = {text.split()[-1] for text in applied.aggregates}
    order = others.get("$orderby", "")
    if any(part.split()[:1] and part.split()[0] in aliases for part in order.split(",")):
        raise odata_fault("The query node SingleValueOpenPropertyAccess is not supported")
    for name in others:
        if name.startswith("$"):
            raise NotEmulated(f"{name} together with $apply")


def _statement(
    reading: _Reading, groups: Sequence[Group], summaries: Sequence[Summary], conditions: Sequence[Any]
) -> Any:
    keys = [group.value for group in groups]
    values = [*keys, *(value for summary in summaries for value in summary.sql())]
    shown = [value.label(f"v{index}") for index, value in enumerate(values)]
    statement = sa.select(*shown).select_from(reading.source).where(*conditions)
    return statement.group_by(*keys).order_by(*keys).limit(MAX_PAGE + 1) if keys else statement
