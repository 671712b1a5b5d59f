"""Queues: rows are put in, picked by someone, and taken out.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-actions
"""

from __future__ import annotations

from typing import Any

from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import (
    ANY_ROW,
    Invocation,
    Operation,
    Parameter,
    need,
)
from airflow_provider_dynamics.emulator.schema.queues import QUEUED, QUEUEITEM
from airflow_provider_dynamics.emulator.writing.body import point


def _add(invocation: Invocation) -> dict[str, Any]:
    queue, queue_id = invocation.bound()
    call, rooms, target = invocation.call, invocation.rooms, invocation.row("Target")
    rooms.privileges.need(call, QUEUEITEM, "Create")
    if target.table.name not in QUEUED:
        raise Fault(400, "0x800404ea", f"Rows of {target.table.name} cannot be put into a queue.")
    if (rooms.store.row(queue, queue_id) or {})["statecode"] != 0:
        raise Fault(400, "0x80040522", "You cannot add items to an inactive queue.")
    row_id = target.existing(rooms)
    waiting = rooms.store.matching(QUEUEITEM, {"objectid": row_id, "statecode": 0})
    if waiting:
        _move(invocation, waiting[0], queue_id)
        return {"QueueItemId": waiting[0]}
    return {"QueueItemId": _new(invocation, queue_id, row_id)}


def _move(invocation: Invocation, item_id: str, queue_id: str) -> None:
    source, rooms = invocation.parameters.get("SourceQueue"), invocation.rooms
    item = rooms.store.row(QUEUEITEM, item_id) or {}
    if source is not None and source.existing(rooms) != item["queueid"]:
        raise Fault(404, "0x80040524", "The queue item was not found in the source queue.")
    values = {"queueid": queue_id, "enteredon": utc_text(invocation.call.now)}
    rooms.writer.change(invocation.call, QUEUEITEM, item, values)


def _new(invocation: Invocation, queue_id: str, row_id: str) -> str:
    rooms, table = invocation.rooms, invocation.row("Target").table
    given = invocation.parameters.get("QueueItemProperties")
    stored = rooms.store.row(table, row_id) or {}
    fixed: dict[str, Any] = {
        "queueid": queue_id,
        "enteredon": utc_text(invocation.call.now),
        "title": stored.get(table.primary_name),
    }
    point(fixed, QUEUEITEM.by_name["objectid"], table, row_id)
    return rooms.writer.create(invocation.call, QUEUEITEM, given.body if given else {}, fixed)


def _pick(invocation: Invocation) -> None:
    table, item_id = invocation.bound()
    rooms, user = invocation.rooms, invocation.row("SystemUser")
    rooms.privileges.need(invocation.call, table, "Write")
    if invocation.parameters["RemoveQueueItem"]:
        rooms.writer.delete(invocation.call, table, item_id)
        return
    values: dict[str, Any] = {"workeridmodifiedon": utc_text(invocation.call.now)}
    point(values, table.by_name["workerid"], user.table, user.existing(rooms))
    rooms.writer.change(invocation.call, table, rooms.store.row(table, item_id) or {}, values)


def _remove(invocation: Invocation) -> None:
    table, item_id = invocation.bound()
    invocation.rooms.privileges.need(invocation.call, table, "Delete")
    invocation.rooms.writer.delete(invocation.call, table, item_id)


QUEUEING = (
    Operation(
        "AddToQueue",
        (
            need("Target", ANY_ROW),
            Parameter("SourceQueue", "mscrm.queue"),
            Parameter("QueueItemProperties", "mscrm.queueitem"),
        ),
        (need("QueueItemId", "Edm.Guid"),),
        bound_to="queue",
        run=_add,
    ),
    Operation(
        "PickFromQueue",
        (need("RemoveQueueItem", "Edm.Boolean"), Parameter("SystemUser", "mscrm.systemuser")),
        bound_to="queueitem",
        run=_pick,
    ),
    Operation("RemoveFromQueue", bound_to="queueitem", run=_remove),
)
