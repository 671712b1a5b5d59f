"""Rollup columns: what accounts count and sum of their opportunities, calculated when it is asked for.

In the service a job does so every hour too; here only CalculateRollupField does.
https://learn.microsoft.com/power-apps/developer/data-platform/calculated-rollup-attributes and
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/calculaterollupfield
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.literals import scaled, utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import ANY_ROW, Invocation, Operation, Rooms, need
from airflow_provider_dynamics.emulator.render import RowRenderer
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.storage import JSON_COLUMN
from airflow_provider_dynamics.emulator.store import Store

ROLLUP = 2  # SourceType of such a column
_CALCULATED = 1
_OPEN = 0
_RATE_DIGITS, _MONEY_DIGITS = 10, 4
Values = Mapping[str, Any]


class Rollups:
    """Calculates rollup columns."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def operations(self) -> Sequence[Operation]:
        """The function that calculates one column of one row; it writes all the same."""
        parameters = (need("Target", ANY_ROW), need("FieldName", "Edm.String"))
        return (
            Operation(
                "CalculateRollupField", parameters, returns=ANY_ROW, is_function=True, run=self._answer
            ),
        )

    def _answer(self, invocation: Invocation) -> Values:
        call, given = invocation.call, invocation.row("Target")
        table, row_id, name = (
            given.table,
            given.existing(self._rooms),
            invocation.parameters["FieldName"].lower(),
        )
        if not table.has(name) or table.by_name[name].source_type != ROLLUP:
            raise Fault(400, "0x80060554", f"Recalculate is not supported on the non-rollup field {name}.")
        self._need_to_write(call, table)
        with self._rooms.store.transaction():
            self._calculate(call, table, row_id, name)
        stored = self._rooms.store.row(table, row_id) or {}
        shown = msgspec.json.decode(stored[JSON_COLUMN])
        told = (table.primary_id, name, f"{name}_base", f"{name}_date", f"{name}_state")
        context = call.context(f"{table.set_name}/$entity")
        return {"@odata.context": context, **{one: shown[one] for one in told if one in shown}}

    def _need_to_write(self, call: Call, table: Table) -> None:
        try:
            self._rooms.privileges.need(call, table, "Write")
        except Fault as fault:
            raise Fault(
                403,
                "0x8004e027",
                f"You do not have write access to recalculate a rollup field: {fault.message}",
            ) from fault

    def _calculate(self, call: Call, table: Table, row_id: str, name: str) -> None:
        """Write what comes out; who changed the row last, and when, stays."""
        store = self._rooms.store
        row = store.row(table, row_id) or {}
        values = _FORMULAS[table.name, name](store, row)
        values |= {f"{name}_date": utc_text(call.now), f"{name}_state": _CALCULATED}
        row |= {**values, "versionnumber": store.next_version()}
        row[JSON_COLUMN] = RowRenderer(table).json(row)
        store.update(table, row, (*values, "versionnumber", JSON_COLUMN))


def _family(store: Store, account_id: str) -> list[str]:
    """An account and those below it."""
    found, table = [account_id], TABLES["account"]
    for one in found:
        found += [
            child for child in store.matching_all(table, {"parentaccountid": one}) if child not in found
        ]
    return found


def _deals(store: Store, account_id: str) -> list[dict[str, Any]]:
    """The open opportunities of an account and those below it."""
    table = TABLES["opportunity"]
    ids = {
        one
        for account in _family(store, account_id)
        for name in ("parentaccountid", "customerid")
        for one in store.matching_all(table, {name: account, "statecode": _OPEN})
    }
    return [store.row(table, one) or {} for one in ids]


def _open_deals(store: Store, row: Values) -> dict[str, Any]:
    return {"opendeals": len(_deals(store, row["accountid"]))}


def _open_revenue(store: Store, row: Values) -> dict[str, Any]:
    """The sum in the base currency, and in the account's own."""
    base = sum(one["estimatedvalue_base"] or 0 for one in _deals(store, row["accountid"]))
    rate = Decimal(row["exchangerate"] or 10**_RATE_DIGITS).scaleb(-_RATE_DIGITS)
    amount = Decimal(base).scaleb(-_MONEY_DIGITS) * rate
    return {"openrevenue": scaled(amount, _MONEY_DIGITS, _MONEY_DIGITS), "openrevenue_base": base}


_FORMULAS: Mapping[tuple[str, str], Callable[[Store, Values], dict[str, Any]]] = {
    ("account", "opendeals"): _open_deals,
    ("account", "openrevenue"): _open_revenue,
}
