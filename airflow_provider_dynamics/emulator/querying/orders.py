"""What rows are sorted by: ``$orderby``, and what it has in common with FetchXML's orders.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/order-rows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.options import Order, parse_order
from airflow_provider_dynamics.emulator.querying.paging import Sorted, points_to, primary_order
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Navigation, Table
from airflow_provider_dynamics.emulator.storage import SQL


def order_of(call: Call, table: Table) -> list[Sorted]:
    """What the rows are ordered by: ``$orderby``, then always the primary key."""
    orders = parse_order(table, call.options.get("$orderby"), TABLES, call.aliases)
    found = [sorted_by(table, order) for order in orders]
    if not found:
        found = [primary_order(table, SQL[table.name])]
    for name in (table.primary_id, *(("partitionid",) if table.elastic else ())):
        if all(item.name != name for item in found):
            found.append(Sorted(name, table.by_name[name], SQL[table.name].c[name]))
    return found


def sorted_by(table: Table, order: Order) -> Sorted:
    """One part of ``$orderby`` in SQL: choices sort by their numbers here, lookups by names as everywhere."""
    name = ".".join([*(step.name for step in order.via), order.column.name])
    if order.column.is_lookup:
        if order.via:
            raise NotEmulated(f"$orderby={name.replace('.', '/')}, a lookup behind a lookup")
        return name_order(name, order.column, SQL[table.name], descending=order.descending)
    value = _value(SQL[table.name], order.via, order.column.name)
    is_text = bool(order.via) and order.column.edm == "Edm.String"
    return Sorted(name, order.column, value.collate("NOCASE") if is_text else value, order.descending)


def _value(sql: Any, via: Sequence[Navigation], name: str) -> Any:
    """Look a column up along lookups; SQLite forgets on the way how it compares text."""
    if not via:
        return sql.c[name]
    target = TABLES[via[0].table or ""]
    joined = SQL[target.name].alias(f"o{len(via)}")
    inner = _value(joined, via[1:], name)
    return sa.select(inner).where(points_to(sql, via[0].column, joined, target)).scalar_subquery()


def as_text(column: Column) -> Column:
    """A column as a text of its own name: what sorts by label or by name keeps those in cookies."""
    return replace(column, kind="String", targets=(), options=())


def name_order(name: str, column: Column, sql: Any, *, descending: bool) -> Sorted:
    """The order by a lookup of ``sql``: by the primary name of the row it points to."""
    found = []
    for target in dict.fromkeys(target.table for target in column.targets):
        table = TABLES[target]
        other = SQL[target].alias(f"n{sql.name}{column.name}{target}")
        where = points_to(sql, column, other, table)
        names = sa.select(other.c[table.primary_name]).where(where).correlate(sql)
        found.append(names.scalar_subquery())
    value = (sa.func.coalesce(*found) if len(found) > 1 else found[0]).collate("NOCASE")
    return Sorted(name, as_text(column), value, descending)
