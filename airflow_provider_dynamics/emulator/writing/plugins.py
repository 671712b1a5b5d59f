"""Plug-ins that refuse, crash or hang, and the headers that let a request pass by them.

https://learn.microsoft.com/power-apps/developer/data-platform/bypass-custom-business-logic and
https://learn.microsoft.com/troubleshoot/power-platform/dataverse/plug-in-execution/dataverse-plug-ins-errors
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.literals import GUID
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.switches import Plugin

_LOGIC = "mscrm.bypassbusinesslogicexecution"
_STEPS = "mscrm.bypassbusinesslogicexecutionstepids"
_PLUGINS = "mscrm.bypasscustompluginexecution"
_MOST_STEPS = 3
_KINDS = frozenset({"CustomSync", "CustomAsync"})
# The code is Microsoft's; that it comes with 500 is a guess, the pages leave the status out.
_CRASHED = Fault(
    500,
    "0x8004418d",
    "The plug-in execution failed because the Sandbox Worker process crashed. "
    "This is typically due to an error in the plug-in code.",
)
_HUNG = Fault(
    500,
    "0x80081111",
    "The plug-in execution failed because it did not finish within the time the Sandbox allows (2 minutes).",
)


def check_bypass(call: Call, privileges: Privileges) -> None:
    """Refuse what the bypass headers ask for when they say what they cannot, or the caller may not.

    Microsoft documents the values, the number of steps and the privileges, but not the codes of a wrong value.
    """
    kinds = _parts(call, _LOGIC)
    if not _KINDS.issuperset(kinds):
        raise Fault(400, "0x80040203", "BypassBusinessLogicExecution takes CustomSync and CustomAsync.")
    steps = _parts(call, _STEPS)
    if len(steps) > _MOST_STEPS or not all(GUID.fullmatch(step) for step in steps):
        raise Fault(
            400,
            "0x80040203",
            f"BypassBusinessLogicExecutionStepIds takes at most {_MOST_STEPS} ids of steps.",
        )
    if kinds or steps:
        privileges.need_named(call, "prvBypassCustomBusinessLogic")
    if _bypasses_plugins(call):
        privileges.need_named(call, "prvBypassCustomPlugins")


def _parts(call: Call, header: str) -> list[str]:
    text = call.headers.get(header, "").strip().strip('"')
    return [part.strip() for part in text.split(",") if part.strip()]


def _bypasses_plugins(call: Call) -> bool:
    return [part.lower() for part in _parts(call, _PLUGINS)] == ["true"]


def passes_by(call: Call, step: str | None, *, asynchronous: bool = False) -> bool:
    """Whether a request bypasses a step, which is named by the id of its registration."""
    if ("CustomAsync" if asynchronous else "CustomSync") in _parts(call, _LOGIC):
        return True
    if not asynchronous and _bypasses_plugins(call):
        return True
    return step is not None and step.lower() in map(str.lower, _parts(call, _STEPS))


@dataclass
class Plugins:
    """Runs the plug-ins of an environment; those that fire by chance do so in the same order every time.

    The order begins anew with every new list of plug-ins, as there is one after a reset.
    """

    chances: dict[Plugin, random.Random] = field(default_factory=dict)
    listed: list[Plugin] | None = None

    def run(
        self, registered: list[Plugin], call: Call, table: Table, message: str, shown: Mapping[str, Any]
    ) -> None:
        """Raise the ``Fault`` of the first plug-in that fires on this row."""
        if registered is not self.listed:
            self.listed = registered
            self.chances.clear()
        for plugin in registered:
            if self._fires(plugin, table, message, shown) and not passes_by(call, plugin.step):
                raise _fault(plugin)

    def _fires(self, plugin: Plugin, table: Table, message: str, shown: Mapping[str, Any]) -> bool:
        if plugin.table not in {None, table.name} or plugin.message not in {None, message}:
            return False
        if plugin.table is None and not table.creatable:
            return False  # what the service writes down by itself, such as how its jobs go
        if plugin.column is not None and not is_shown(shown.get(plugin.column), plugin.value):
            return False
        if plugin.probability >= 1:
            return True
        chance = self.chances.setdefault(plugin, random.Random(plugin.seed))
        return chance.random() < plugin.probability


def _fault(plugin: Plugin) -> Fault:
    if plugin.how != "refuse":
        return _CRASHED if plugin.how == "crash" else _HUNG
    details = {
        "ErrorDetails.OperationStatus": plugin.operation_status,
        "ErrorDetails.SubErrorCode": plugin.sub_error_code,
        "TraceText": plugin.trace,
    }
    return Fault(400, "0x80040265", plugin.text, details)


def is_shown(shown: Any, value: Any) -> bool:
    """Whether a column of a row has this value; exact numbers are compared as such."""
    if isinstance(shown, msgspec.Raw):
        return Decimal(bytes(shown).decode()) == Decimal(str(value))
    return bool(shown == value) and shown is not None
