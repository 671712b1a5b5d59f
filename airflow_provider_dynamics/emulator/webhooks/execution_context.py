"""RemoteExecutionContext as JSON: what a webhook is posted.

Microsoft prints one example, of an asynchronous step at Update; the members and the shapes of values are taken from it.
What it does not show (amounts, choices, a bulk message's rows) follows the classes of the same names.
https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks#request-body and
https://learn.microsoft.com/dotnet/api/microsoft.xrm.sdk.remoteexecutioncontext
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.call import Caller
from airflow_provider_dynamics.emulator.render import exact_text
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS
from airflow_provider_dynamics.emulator.writing.happenings import MULTIPLE, Happening

MOST_BYTES = 256 * 1024
LEFT_OUT_OF_BIG_ONES = ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages")
NO_ID = "00000000-0000-0000-0000-000000000000"
_CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"
_MAIN_OPERATION = 30
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NEVER_TOLD = frozenset({"versionnumber"})


@dataclass(frozen=True)
class Registered:
    """A step, as far as a context tells of it."""

    step_id: str
    name: str
    message: str
    stage: int
    mode: int
    run_as: str | None = None

    @property
    def asynchronous(self) -> bool:
        """Whether it runs after the answer, in a system job."""
        return self.mode == 1


@dataclass(frozen=True)
class Occasion:
    """One request as contexts tell of it: who asked, when, in which organization (its id and its name)."""

    caller: Caller
    when: datetime
    correlation_id: str
    organization: Sequence[str]
    request_id: str


def context(
    step: Registered, occasion: Occasion, happenings: Sequence[Happening], operation_id: str
) -> dict[str, Any]:
    """The context of one step: of one row, or of all rows of a bulk message."""
    first = happenings[0]
    made = _frame(step, occasion, first.table, operation_id)
    single = step.message not in MULTIPLE.values()
    before = step.stage < _MAIN_OPERATION
    made["PrimaryEntityId"] = first.row_id if single else NO_ID
    made["InputParameters"] = _inputs(happenings, single=single, whole=not before)
    if not before:
        made["OutputParameters"] = _outputs(happenings, single=single)
    if step.asynchronous and step.message == "Update":
        made["PostEntityImages"] = [_name_image(first)]
    parent = _frame(step, occasion, first.table, operation_id)
    parent |= {
        "PrimaryEntityId": made["PrimaryEntityId"],
        "Stage": _MAIN_OPERATION,
        "InputParameters": [
            *_inputs(happenings, single=single, whole=False),
            {"key": "SuppressDuplicateDetection", "value": False},
        ],
    }
    made["ParentContext"] = parent
    return dict(sorted(made.items()))


def encoded(content: Mapping[str, Any]) -> bytes:
    """JSON as .NET writes it, slashes escaped."""
    return _ENCODER.encode(content).replace(b"/", b"\\/")


def shortened(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the members that are left out of a context of more than 256 KB."""
    return {name: value for name, value in content.items() if name not in LEFT_OUT_OF_BIG_ONES}


def _frame(step: Registered, occasion: Occasion, table: Table, operation_id: str) -> dict[str, Any]:
    caller = occasion.caller
    return {
        "BusinessUnitId": caller.business_unit_id,
        "CorrelationId": occasion.correlation_id,
        "Depth": 1,
        "InitiatingUserId": caller.on_behalf_of or caller.user_id,
        "InputParameters": [],
        "IsExecutingOffline": False,
        "IsInTransaction": not step.asynchronous,
        "IsOfflinePlayback": False,
        "IsolationMode": 1,
        "MessageName": step.message,
        "Mode": step.mode,
        "OperationCreatedOn": f"/Date({_milliseconds(occasion.when)}+0000)/",
        "OperationId": operation_id,
        "OrganizationId": occasion.organization[0],
        "OrganizationName": occasion.organization[1],
        "OutputParameters": [],
        "OwningExtension": _link("sdkmessageprocessingstep", step.step_id, typed=False),
        "ParentContext": None,
        "PostEntityImages": [],
        "PreEntityImages": [],
        "PrimaryEntityId": NO_ID,
        "PrimaryEntityName": table.name,
        "RequestId": None if step.asynchronous else occasion.request_id,
        "SecondaryEntityName": "none",
        "SharedVariables": [],
        "Stage": step.stage,
        "UserId": step.run_as or caller.user_id,
    }


def _inputs(happenings: Sequence[Happening], *, single: bool, whole: bool) -> list[dict[str, Any]]:
    first = happenings[0]
    if first.message == "Delete":
        return [{"key": "Target", "value": _link(first.table.name, first.row_id)}]
    if single:
        return [{"key": "Target", "value": _target(first, whole=whole)}]
    entities = {
        "__type": f"EntityCollection:{_CONTRACTS}",
        "Entities": [_target(one, whole=whole) for one in happenings],
        "EntityName": first.table.name,
        "MinActiveRowVersion": None,
        "MoreRecords": False,
        "PagingCookie": None,
        "TotalRecordCount": 0,
        "TotalRecordCountLimitExceeded": False,
    }
    return [{"key": "Targets", "value": entities}]


def _outputs(happenings: Sequence[Happening], *, single: bool) -> list[dict[str, Any]]:
    if happenings[0].message != "Create":
        return []
    if single:
        return [{"key": "id", "value": happenings[0].row_id}]
    return [{"key": "Ids", "value": [one.row_id for one in happenings]}]


def _target(happening: Happening, *, whole: bool) -> dict[str, Any]:
    """What was asked for, and with ``whole`` what the service set beside it."""
    values = {**happening.given, **(happening.filled if whole else {})}
    if happening.message == "Update" or whole:
        values[happening.table.primary_id] = happening.row_id
    return {"__type": f"Entity:{_CONTRACTS}", **_entity(happening, values)}


def _name_image(happening: Happening) -> dict[str, Any]:
    names = (happening.table.primary_name, happening.table.primary_id)
    values = {name: happening.row[name] for name in dict.fromkeys(names)}
    return {"key": "AsynchronousStepPrimaryName", "value": _entity(happening, values)}


def _entity(happening: Happening, values: Mapping[str, Any]) -> dict[str, Any]:
    table = happening.table
    return {
        "Attributes": [
            {"key": str(name), "value": _value(table.by_name[name], value, happening.row)}
            for name, value in values.items()
            if name in table.by_name and name not in _NEVER_TOLD and not table.by_name[name].is_binary
        ],
        "EntityState": None,
        "FormattedValues": [],
        "Id": happening.row_id,
        "KeyAttributes": [],
        "LogicalName": table.name,
        "RelatedEntities": [],
        "RowVersion": None,
    }


def _value(column: Column, stored: Any, row: Mapping[str, Any]) -> Any:
    if stored is None:
        return None
    if column.is_lookup:
        table = row.get(column.type_column) if column.is_polymorphic else column.targets[0].table
        return _link(str(table), stored)
    if column.kind in EXACT_KINDS:
        number = msgspec.Raw(exact_text(stored, column.scale).encode())
        return {"__type": f"Money:{_CONTRACTS}", "Value": number} if column.kind == "Money" else number
    return _SHAPES[column.kind](stored) if column.kind in _SHAPES else stored


def _option(value: int) -> dict[str, Any]:
    return {"__type": f"OptionSetValue:{_CONTRACTS}", "Value": value}


def _link(table: str, row_id: str, *, typed: bool = True) -> dict[str, Any]:
    kind = {"__type": f"EntityReference:{_CONTRACTS}"} if typed else {}
    return {
        **kind,
        "Id": row_id,
        "KeyAttributes": [],
        "LogicalName": table,
        "Name": None,
        "RowVersion": None,
    }


def _moment(stored: str) -> datetime:
    read = datetime.fromisoformat(stored.removesuffix("Z"))
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp()) * 1000


_SHAPES: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("Picklist", "State", "Status"), _option),
    "MultiSelectPicklist": lambda stored: [_option(int(one)) for one in stored.split(",")],
    "Boolean": bool,
    "DateTime": lambda stored: f"/Date({_milliseconds(_moment(stored))})/",
}
