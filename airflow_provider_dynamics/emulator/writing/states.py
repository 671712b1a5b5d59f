"""Changes of state that one message alone may make: an opportunity is won or lost, a case is resolved.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api and
https://learn.microsoft.com/dynamics365/customerengagement/on-premises/developer/sales-entities-lead-opportunity-competitor-quote-order-invoice
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.messages import Fault

# By table and state: the code, what the state is called, and which message makes it. Microsoft lists a code for the
# opportunity only.
_MESSAGES: Mapping[tuple[str, int], tuple[str, str, str]] = {
    ("opportunity", 1): ("0x80100005", "won", "won"),
    ("opportunity", 2): ("0x80100005", "lost", "lost"),
    ("incident", 1): ("0x80040203", "Resolved", "CloseIncidentRequest"),
}
CLOSED_BY_MESSAGE = ("incident", "opportunity")


def guarded(table: str) -> Callable[[Call, Mapping[str, Any], dict[str, Any]], dict[str, Any]]:
    """A check of changes to one table's rows: the change as it is, or a ``Fault`` when it takes another message."""

    def check(_: Call, row: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        wanted = values.get("statecode")
        if wanted is not None and wanted != row["statecode"] and (table, wanted) in _MESSAGES:
            raise _refusal(table, *_MESSAGES[table, wanted])
        return values

    return check


def _refusal(table: str, code: str, state: str, message: str) -> Fault:
    return Fault(
        400,
        code,
        f"This message can not be used to set the state of {table} to {state}. In order to set state of {table} to "
        f"{state}, use the {message} message instead.",
    )
