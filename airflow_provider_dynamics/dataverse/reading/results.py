"""What the rows of a source consist of: known from metadata and the source's own words before a row is read.

So an empty result has columns too, and a column has one type however its first rows look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS, Row
from airflow_provider_dynamics.dataverse.queries.query import Expand, Query
from airflow_provider_dynamics.dataverse.reading import expanding

__all__ = [
    "LABEL",
    "NOT_READ",
    "TARGET",
    "ResultColumn",
    "aggregate",
    "labelled",
    "named",
    "of_query",
    "plain",
]

LABEL = "@OData.Community.Display.V1.FormattedValue"
TARGET = "@Microsoft.Dynamics.CRM.lookuplogicalname"
WITH_LABELS = frozenset({"Boolean", "Picklist", "State", "Status", "MultiSelectPicklist"})
NOT_READ = frozenset({"CalendarRules", "ManagedProperty", "PartyList", "Virtual"})
"""Column types that a plain read does not return as one value."""
_NAMED = re.compile(r"(?P<what>.+?)\s+as\s+(?P<alias>\w+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column of a source's rows.

    `wire_path` are the members to follow in a row as the service sends it; a member that is missing means
    null. `type` is Dataverse's AttributeType: "BigInt" for counts, "String" for labels and names of tables,
    "Collection" for related rows, whose columns are `inner`. `column` is the metadata that gives precision
    and the behaviour of dates.
    """

    name: str
    wire_path: tuple[str, ...]
    type: str
    column: Column | None = None
    inner: tuple[ResultColumn, ...] = ()

    def value(self, row: Row) -> Any:
        """Return the column's value in a row, None where it is missing."""
        found: Any = row
        for member in self.wire_path:
            found = found.get(member) if isinstance(found, dict) else None
        if self.type == "Collection" and found is not None:
            return [named(one, self.inner) for one in found]
        return found


def named(row: Row, columns: Iterable[ResultColumn]) -> Row:
    """Return a row's values by the columns' names, in their order."""
    return {column.name: column.value(row) for column in columns}


def of_query(query: Query, tables: Tables) -> tuple[ResultColumn, ...]:
    """Return what the rows of a query consist of; raises UnknownColumn, BadRequest for text that cannot be read."""
    table = tables.whole(query.table)
    if query.apply is not None:
        return (
            labelled(_of_apply(query.apply, table, tables), table)
            if query.labels
            else tuple(_of_apply(query.apply, table, tables))
        )
    expands = expanding.parsed(query.expand) if isinstance(query.expand, str) else query.expand or ()
    own = list(_selected(table, query.select))
    if table.primary_id not in {column.name for column in own}:
        own.insert(0, plain(table.columns[table.primary_id]))
    return _with_expands(own, table, tables, expands, labels=query.labels)


def plain(column: Column) -> ResultColumn:
    """Return a table's column as it stands in rows."""
    return ResultColumn(column.name, (column.wire_name,), column.type, column)


def labelled(columns: Iterable[ResultColumn], table: Table | None = None) -> tuple[ResultColumn, ...]:
    """Return the columns, each choice followed by its label, each lookup by its name and, of several kinds, its table."""
    columns = list(columns)
    taken = {column.name for column in columns} | set(table.columns if table else ())
    made: list[ResultColumn] = []
    for column in columns:
        made.append(column)
        made.extend(_companions(column, taken))
    return tuple(made)


def _companions(column: ResultColumn, taken: set[str]) -> Iterator[ResultColumn]:
    kind = column.column.type if column.column is not None else column.type
    if column.type == "Collection" or kind != column.type or kind not in WITH_LABELS | LOOKUPS:
        return
    *above, last = column.wire_path
    yield ResultColumn(_free(f"{column.name}name", "label", taken), (*above, last + LABEL), "String")
    if kind in {"Customer", "Owner"} or (column.column is not None and len(column.column.targets) > 1):
        yield ResultColumn(_free(f"{column.name}type", "table", taken), (*above, last + TARGET), "String")


def _free(name: str, kind: str, taken: set[str]) -> str:
    """Return the name unless the table has a column of its own that is called so."""
    return name if name not in taken else f"{name}_{kind}"


def _selected(table: Table, select: Sequence[str]) -> Iterator[ResultColumn]:
    if not select:
        yield from (plain(c) for c in table.columns.values() if c.valid_for_read and c.type not in NOT_READ)
        return
    for name in dict.fromkeys(table.column(name).name for name in select):
        yield plain(table.columns[name])


def _with_expands(
    own: Iterable[ResultColumn], table: Table, tables: Tables, expands: Sequence[Expand], *, labels: bool
) -> tuple[ResultColumn, ...]:
    columns = list(labelled(own, table) if labels else own)
    for expand in expands:
        columns.extend(_expanded(expand, table, tables, labels=labels))
    return tuple(columns)


def _expanded(expand: Expand, table: Table, tables: Tables, *, labels: bool) -> Iterator[ResultColumn]:
    navigation, ref, _ = expand.navigation.partition("/$ref")
    if ref:
        yield ResultColumn(f"{navigation}.@odata.id", (navigation, "@odata.id"), "String")
        return
    name, collection = tables.follow(table, navigation)
    target = tables.whole(name)
    inner = _with_expands(_selected(target, expand.select), target, tables, expand.expand, labels=labels)
    if collection:
        yield ResultColumn(navigation, (navigation,), "Collection", inner=inner)
        return
    for column in inner:
        path = (navigation, *column.wire_path)
        yield replace(column, name=f"{navigation}.{column.name}", wire_path=path)


def _of_apply(text: str, table: Table, tables: Tables) -> Iterator[ResultColumn]:
    """Yield the columns of the last grouping or aggregation of `$apply`.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/aggregate-data
    """
    steps = [step for step in expanding.split(text, "/") if step.startswith(("groupby", "aggregate"))]
    if not steps:
        raise errors.BadRequest(
            "apply holds neither groupby(…) nor aggregate(…)",
            remedy="For example groupby((statecode),aggregate($count as n)).",
        )
    for part in expanding.split(_inside(steps[-1]), ",") if steps[-1].startswith("groupby") else [steps[-1]]:
        items = expanding.split(_inside(part), ",")
        if part.startswith("aggregate"):
            yield from (_aggregated(item, table, tables) for item in items)
        else:
            yield from (_key(item, table, tables) for item in items)


def _inside(text: str) -> str:
    opening = text.find("(")
    if opening < 0 or not text.endswith(")"):
        raise errors.BadRequest(f"apply cannot be read at {text[:80]!r}", remedy="Check its brackets.")
    return text[opening + 1 : -1]


def _key(path: str, table: Table, tables: Tables) -> ResultColumn:
    column, owner = _at(path, table, tables)
    if owner is table:
        return plain(column)
    name = f"{owner.logical_name}_{column.name}"
    return ResultColumn(name, (name,), column.type, column)


def _aggregated(item: str, table: Table, tables: Tables) -> ResultColumn:
    found = _NAMED.fullmatch(item)
    if found is None:
        raise errors.BadRequest(
            f"apply gives no name to {item!r}", remedy="Write for example revenue with sum as total."
        )
    what, alias = found["what"].strip(), found["alias"]
    path, _, method = (part.strip() for part in what.partition(" with "))
    if path == "$count" or method in {"countdistinct", "count"}:
        return ResultColumn(alias, (alias,), "BigInt")
    return aggregate(alias, method, _at(path, table, tables)[0])


def aggregate(alias: str, method: str, column: Column) -> ResultColumn:
    """Return the column that an aggregate of another one makes: a sum may outgrow it, an average has more decimals."""
    kind = column.type
    if method in {"count", "countcolumn", "countdistinct"}:
        return ResultColumn(alias, (alias,), "BigInt")
    if method == "sum" and kind == "Integer":
        return ResultColumn(alias, (alias,), "BigInt")
    if method in {"average", "avg"} and kind != "Double":
        return ResultColumn(alias, (alias,), "Decimal")
    return ResultColumn(alias, (alias,), kind, column)


def _at(path: str, table: Table, tables: Tables) -> tuple[Column, Table]:
    *above, last = path.split("/")
    for navigation in above:
        table = tables.whole(tables.follow(table, navigation)[0])
    return table.column(last), table
