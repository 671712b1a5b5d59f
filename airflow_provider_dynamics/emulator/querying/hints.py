"""How rows within dates or versions are found: by their own index when few, in the order of the keys when many.

Left alone SQLite would read a million rows in the order of their keys to find the few of one day, or sort a
million rows of three years anew for every page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import BooleanClauseList, UnaryExpression
from sqlalchemy.sql.operators import and_, custom_op

from airflow_provider_dynamics.emulator.querying.paging import Sorted
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

INDEXED = ("createdon", "modifiedon", "versionnumber")
MANY = 100_000  # from so many rows on the order of the keys is the quicker way


def planned(
    store: Store, table: Table, order: Sequence[Sorted], conditions: Sequence[Any], *, many: int = MANY
) -> tuple[Sequence[Sorted], Sequence[Any]]:
    """The same order and conditions, written so that SQLite takes the better index; ``many`` rows are many.

    A unary plus keeps an index from being used: https://sqlite.org/optoverview.html#uplus
    """
    found = list(_flat(conditions))
    if order[0].column.name in INDEXED or not any(_is_indexed(condition) for condition in found):
        return order, conditions
    some = sa.select(sa.literal(1).label("one")).select_from(SQL[table.name]).where(*found).limit(many)
    counted = store.one(sa.select(sa.func.count()).select_from(some.subquery()))
    if counted and counted[0] >= many:
        return order, [_without_index(one) if _is_indexed(one) else one for one in found]
    return [replace(item, value=_plus(item.value), shown=item.kept) for item in order], conditions


def _flat(conditions: Iterable[Any]) -> Iterator[Any]:
    for condition in conditions:
        if isinstance(condition, BooleanClauseList) and condition.operator is and_:
            yield from _flat(condition.clauses)
        else:
            yield condition


def _is_indexed(condition: Any) -> bool:
    """Whether it compares one of the columns that have an index for it with a value."""
    return getattr(getattr(condition, "left", None), "name", None) in INDEXED


def _without_index(condition: Any) -> Any:
    changed = copy(condition)  # called anew, the operators of several values would want them in another form
    changed.left = _plus(condition.left)
    return changed


def _plus(value: Any) -> Any:
    return UnaryExpression(value, operator=custom_op("+"), type_=value.type)
