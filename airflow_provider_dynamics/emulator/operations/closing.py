"""Winning and losing opportunities, resolving cases: an activity is written and the row is closed.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-actions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, need
from airflow_provider_dynamics.emulator.schema import TABLES, Table

_OPEN = 0
_COMPLETED = {"statecode": 1, "statuscode": 2}
_DEFAULT_STATUS = -1


def _close(invocation: Invocation, name: str, closed: str, lookup: str, state: int) -> dict[str, Any]:
    """Write the record of the closing and close its row, which must be open; returns the closed row."""
    call, rooms = invocation.call, invocation.rooms
    record, table = invocation.row(name), TABLES[closed]
    rooms.privileges.need(call, record.table, "Create")
    rooms.privileges.need(call, table, "Write")
    made = rooms.writer.create(call, record.table, record.body, dict(_COMPLETED))
    row_id = (rooms.store.row(record.table, made) or {}).get(lookup)
    if row_id is None:
        raise Fault(400, "0x80040203", f"The {lookup} of the {record.table.name} is missing.")
    row = rooms.store.row(table, row_id)
    if row is None or row["statecode"] != _OPEN:
        raise Fault(400, *_CLOSED[closed])
    values: dict[str, Any] = {"statecode": state}
    if invocation.parameters["Status"] != _DEFAULT_STATUS:
        values["statuscode"] = status_of(table, invocation.parameters["Status"])
    if closed == "opportunity":
        values |= _outcome(invocation, rooms.store.row(record.table, made) or {}, row)
    rooms.writer.change(call, table, row, values)
    return row


# https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
_CLOSED = {
    "opportunity": ("0x80040515", "The opportunity has already been closed."),
    "incident": (
        "0x8004f456",
        "This case has already been resolved. Close and reopen the case record to see the updates.",
    ),
}


def status_of(table: Table, status: int) -> int:
    """The status an action was given; raises ``Fault`` 0x80048408 when the table has no such one."""
    if all(option.value != status for option in table.by_name["statuscode"].options):
        raise Fault(400, "0x80048408", f"{status} is not a valid status code on {table.name}.")
    return status


def _outcome(invocation: Invocation, record: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """What an opportunity brought and when: as its record says, else as it was estimated, and now."""
    ended = record.get("actualend") or utc_text(invocation.call.now)
    revenue = record.get("actualrevenue")
    return {
        "actualclosedate": ended[:10],
        "actualvalue": row["estimatedvalue"] if revenue is None else revenue,
    }


def _closing(closed: str, name: str, lookup: str, state: int) -> Callable[[Invocation], None]:
    def run(invocation: Invocation) -> None:
        _close(invocation, name, closed, lookup, state)

    return run


def _operation(action: str, name: str, record: str, closed: str, state: int) -> Operation:
    return Operation(
        action,
        (need(name, f"mscrm.{record}"), need("Status", "Edm.Int32")),
        run=_closing(closed, name, f"{closed}id", state),
    )


CLOSING = (
    _operation("WinOpportunity", "OpportunityClose", "opportunityclose", "opportunity", 1),
    _operation("LoseOpportunity", "OpportunityClose", "opportunityclose", "opportunity", 2),
    _operation("CloseIncident", "IncidentResolution", "incidentresolution", "incident", 1),
)
