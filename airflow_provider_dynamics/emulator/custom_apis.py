"""Custom APIs: actions and functions of an environment's own, answered by a callable or a fixed answer.

https://learn.microsoft.com/power-apps/developer/data-platform/custom-api
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations import Invocation, Operation, Parameter, RowArgument
from airflow_provider_dynamics.emulator.operations.model import CUSTOM
from airflow_provider_dynamics.emulator.operations.types import COMPLEX, ENUMS, OPEN
from airflow_provider_dynamics.emulator.privileges import privilege_named
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.storage import JSON_COLUMN

Answer: TypeAlias = "Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any] | None] | None"

_NAME = re.compile(r"[A-Za-z]\w*_\w+", re.ASCII)  # a publisher's prefix comes first
_MEMBER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TYPE = re.compile(r"(?P<many>Collection\()?(?:(?P<simple>Edm\.\w+)|mscrm\.(?P<name>\w+))(?(many)\))")
_SIMPLE = frozenset(
    f"Edm.{name}"
    for name in ("Boolean", "DateTimeOffset", "Decimal", "Double", "Guid", "Int32", "Int64", "String")
)
_ROWS = frozenset({"crmbaseentity", "principal", "activitypointer"})


def custom_api(
    name: str,
    answer: Answer = None,
    *,
    parameters: Mapping[str, str] | None = None,
    optional: Sequence[str] = (),
    result: Mapping[str, str] | None = None,
    bound_to: str | None = None,
    collection: bool = False,
    is_function: bool = False,
    privilege: str | None = None,
) -> Operation:
    """Describe a custom API; ValueError when the service would not take it.

    ``parameters`` and ``result`` give types by name ("Edm.String", "mscrm.account", "Collection(Edm.Guid)"),
    ``optional`` names the parameters that may be left out. ``bound_to`` is a table; with ``collection`` the API is
    bound to its entity set. ``privilege`` is what a caller needs. ``answer`` is what comes back, or is called with
    the parameters by name (rows as dicts; the row it is bound to as "Target"); what it raises becomes a plug-in's
    refusal, 0x80040265, a ``Fault`` comes back as it is. It runs inside the service, which waits for it: it must not ask
    the emulator itself.
    """
    given = {**(parameters or {}), **(result or {})}
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a custom API is named with its publisher's prefix, like contoso_Ship, not {name!r}"
        )
    for member, type_ in given.items():
        _check_type(member, type_)
    unknown = set(optional) - set(parameters or {})
    if unknown:
        raise ValueError(f"optional names no parameter: {', '.join(sorted(unknown))}")
    if bound_to is not None and bound_to not in TABLES:
        raise ValueError(f"there is no table {bound_to!r}")
    if (collection and bound_to is None) or (is_function and not result):
        raise ValueError("a collection is one of a table's, and a function returns something")
    return Operation(
        name,
        tuple(Parameter(one, type_, one in optional) for one, type_ in (parameters or {}).items()),
        tuple(Parameter(one, type_) for one, type_ in (result or {}).items()),
        bound_to=bound_to,
        collection=collection,
        is_function=is_function,
        privilege=privilege_named(privilege) if privilege else None,
        run=_run(name, answer),
        kind=CUSTOM,
    )


def _check_type(member: str, type_: str) -> None:
    if not _MEMBER.fullmatch(member):
        raise ValueError(f"{member!r} is no name of a parameter: letters, digits and underscores make one")
    match = _TYPE.fullmatch(type_)
    name = match["name"] if match else None
    if not match or (match["simple"] not in _SIMPLE if match["simple"] else not _is_known(name or "")):
        known = ", ".join(sorted(_SIMPLE))
        raise ValueError(f"{member}: {type_!r} is no type; there are {known}, mscrm.account and the like")


def _is_known(name: str) -> bool:
    return name in TABLES or name in COMPLEX or name in ENUMS or name in OPEN or name in _ROWS


def _run(name: str, answer: Answer) -> Callable[[Invocation], Any]:
    def run(invocation: Invocation) -> Any:
        if not callable(answer):
            return None if answer is None else dict(answer)
        try:
            return answer(_plain(invocation))
        except Fault:
            raise
        except Exception as error:
            raise Fault(400, "0x80040265", f"An error occurred in {name}: {error}"[:1000]) from error

    return run


def _plain(invocation: Invocation) -> dict[str, Any]:
    given = {name: _value(value) for name, value in invocation.parameters.items()}
    if invocation.row_id is not None and invocation.table is not None:
        stored = invocation.rooms.store.row(invocation.table, invocation.row_id) or {}
        given["Target"] = msgspec.json.decode(stored[JSON_COLUMN])
    return given


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, RowArgument):
        key = {value.table.primary_id: value.row_id} if value.row_id else {}
        return {"@odata.type": f"Microsoft.Dynamics.CRM.{value.table.name}", **key, **value.body}
    return value
