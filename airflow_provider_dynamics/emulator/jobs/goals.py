"""Recalculate: goals that are added up from the goals below them.

What a goal collects from other tables, by metrics and rollup queries, is not emulated.
https://learn.microsoft.com/dynamics365/customer-engagement/web-api/recalculate
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, Rooms
from airflow_provider_dynamics.emulator.schema import TABLES

_SUMMED = ("actualinteger", "inprogressinteger")
_HUNDREDTHS = 100


class Goals:
    """Adds goals up."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def operations(self) -> Sequence[Operation]:
        """The action, bound to a goal."""
        return (Operation("Recalculate", bound_to="goal", run=self._recalculate),)

    def _recalculate(self, invocation: Invocation) -> None:
        table, row_id = invocation.bound()
        self._rooms.privileges.need(invocation.call, table, "Write")
        self._add_up(invocation, row_id)

    def _add_up(self, invocation: Invocation, row_id: str) -> dict[str, Any]:
        """Add up the goals below one first, then itself. Returns its row."""
        table, store = TABLES["goal"], self._rooms.store
        below = [self._add_up(invocation, one) for one in store.matching_all(table, {"parentgoalid": row_id})]
        row = self._rooms.writer.existing(table, row_id)
        if row["isoverride"] or (not below and row["rolluponlyfromchildgoals"]):
            return row
        if not row["rolluponlyfromchildgoals"]:
            if row["metricid"]:
                raise NotEmulated("goals that collect from other tables (only rolluponlyfromchildgoals is)")
            return row
        values: dict[str, Any] = {name: sum(one[name] or 0 for one in below) for name in _SUMMED}
        if row["targetinteger"]:
            share = values["actualinteger"] * _HUNDREDTHS * _HUNDREDTHS / row["targetinteger"]
            values["percentage"] = round(share)
        values["lastrolledupdate"] = utc_text(invocation.call.now)
        self._rooms.writer.change(invocation.call, table, row, values)
        return row
