"""Merge: two rows become one, what points to the second points to the first, and the second is put out of use.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/merge-entity-using-web-api
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import (
    ANY_ROW,
    Invocation,
    Operation,
    Parameter,
    need,
)
from airflow_provider_dynamics.emulator.schema import (
    INTERSECTS,
    TABLES,
    Navigation,
    Table,
    collections_of,
)
from airflow_provider_dynamics.emulator.storage import PAIRS
from airflow_provider_dynamics.emulator.writing.body import point

# What a merged row is in the end: statecode, statuscode.
_DONE = {"account": (1, 2), "contact": (1, 2), "lead": (2, 7), "incident": (2, 2000)}
_PARENTS = {"account": "parentaccountid", "contact": "parentcustomerid", "incident": "parentcaseid"}
_KEPT = frozenset({"masterid", "createdby", "modifiedby"})


def _merge(invocation: Invocation) -> None:
    call, rooms = invocation.call, invocation.rooms
    target, subordinate = invocation.row("Target"), invocation.row("Subordinate")
    table = target.table
    if table.name not in _DONE or subordinate.table is not table:
        raise Fault(400, "0x80040203", f"Rows of {table.name} and {subordinate.table.name} cannot be merged.")
    rooms.privileges.need(call, table, "Write")
    rooms.privileges.need_to_assign(call, table)
    rooms.privileges.need_named(call, "prvMerge")
    first, second = target.existing(rooms), subordinate.existing(rooms)
    _check(invocation, table, first, second)
    update = invocation.parameters.get("UpdateContent")
    if update is not None and update.body and table.name != "incident":  # cases take no UpdateContent
        rooms.writer.update(call, table, first, update.body)
    _move(invocation, table, first, second)
    state, status = _DONE[table.name]
    values: dict[str, Any] = {"statecode": state, "statuscode": status, "merged": 1, "masterid": first}
    rooms.writer.change(call, table, rooms.store.row(table, second) or {}, values)


def _check(invocation: Invocation, table: Table, first: str, second: str) -> None:
    if first == second:
        raise Fault(400, "0x80045305", "Merge cannot be performed on two entities that are the same record.")
    rows = [invocation.rooms.store.row(table, row_id) or {} for row_id in (first, second)]
    if any(row["statecode"] == _DONE[table.name][0] for row in rows):
        raise Fault(400, "0x80045304", "Merge cannot be performed on entities that are inactive.")
    parent = _PARENTS.get(table.name)
    if invocation.parameters["PerformParentingChecks"] and parent and rows[0][parent] != rows[1][parent]:
        raise Fault(400, "0x80045316", "Merge warning: the records have different parents.")


def _move(invocation: Invocation, table: Table, first: str, second: str) -> None:
    """Let everything that points to the second row point to the first."""
    for navigation in collections_of(table.name).values():
        if navigation.column.update and navigation.column.name not in _KEPT:
            _move_children(invocation, navigation, table, first, second)
    store = invocation.rooms.store
    for intersect in INTERSECTS:
        if table.name in intersect.tables:
            pairs = PAIRS[intersect.name]
            column = pairs.c[table.primary_id]
            other = pairs.c[TABLES[intersect.other(table.name)].primary_id]
            have = sa.select(other).where(column == first)
            store.run(sa.delete(pairs).where(column == second, other.in_(have)))
            store.run(sa.update(pairs).where(column == second).values({column.name: first}))


def _move_children(
    invocation: Invocation, navigation: Navigation, table: Table, first: str, second: str
) -> None:
    rooms, child = invocation.rooms, TABLES[navigation.table or ""]
    for row_id in rooms.store.pointing(child, navigation.column, table.name, second):
        if (child.name, row_id) == (table.name, first):
            continue  # the target was a child of the row that goes: it does not become its own
        values: dict[str, Any] = {}
        point(values, navigation.column, table, first)
        rooms.writer.change(invocation.call, child, rooms.store.row(child, row_id) or {}, values)


MERGING = (
    Operation(
        "Merge",
        (
            need("Target", ANY_ROW),
            need("Subordinate", ANY_ROW),
            Parameter("UpdateContent", ANY_ROW),
            need("PerformParentingChecks", "Edm.Boolean"),
        ),
        run=_merge,
    ),
)
