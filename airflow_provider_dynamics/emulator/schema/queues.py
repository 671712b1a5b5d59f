"""Queues and what waits in them.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/queue and …/queueitem
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    ident,
    lookup,
    memo,
    moment,
    state,
    text,
    to,
)
from airflow_provider_dynamics.emulator.schema.common import audit, currency, owner
from airflow_provider_dynamics.emulator.schema.model import Table

QUEUE = Table(
    name="queue",
    schema_name="Queue",
    set_name="queues",
    label="Queue",
    plural="Queues",
    primary_id="queueid",
    primary_name="name",
    type_code=2020,
    columns=(
        ident("QueueId", "Queue"),
        text("Name", "Name", 200, required="ApplicationRequired"),
        memo("Description", "Description"),
        text("EMailAddress", "Incoming Email", 100, format="Email"),
        choice("QueueViewType", "Type", {0: "Public", 1: "Private"}, 0),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        *currency("TransactionCurrency_Queue"),
        *owner("queue_owner", "user_queue", "queue_team", "business_unit_queues"),
        *audit("lk_queuebase_createdby", "lk_queuebase_modifiedby", "lk_queue"),
    ),
)

# Tables whose rows may stand in a queue, and the collection of queue items each of them has.
QUEUED = {"email": "Email_QueueItem", "incident": "Incident_QueueItem", "task": "Task_QueueItem"}

QUEUEITEM = Table(
    name="queueitem",
    schema_name="QueueItem",
    set_name="queueitems",
    label="Queue Item",
    plural="Queue Items",
    primary_id="queueitemid",
    primary_name="title",
    type_code=2029,
    columns=(
        ident("QueueItemId", "Queue Item"),
        text("Title", "Title", 300, create=False, update=False),
        moment("EnteredOn", "Entered Queue", create=False, update=False),
        moment("WorkerIdModifiedOn", "Worked By Modified On", create=False, update=False),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        lookup(
            "QueueId",
            "Queue",
            to("queue", "queueid", "queue_entries", "Cascade"),
            required="SystemRequired",
        ),
        lookup(
            "ObjectId",
            "Object",
            *(
                to(table, f"objectid_{table}", relationship, "Cascade")
                for table, relationship in QUEUED.items()
            ),
            required="SystemRequired",
            update=False,
        ),
        lookup(
            "WorkerId",
            "Worked By",
            to("systemuser", "workerid_systemuser", "systemuser_queueitem_workerid"),
            to("team", "workerid_team", "team_queueitem_workerid"),
        ),
        *currency("TransactionCurrency_QueueItem"),
        *owner("owner_queueitems", "user_queueitem", "team_queueitem", "business_unit_queueitems"),
        *audit("lk_queueitembase_createdby", "lk_queueitembase_modifiedby", "lk_queueitem"),
    ),
)
