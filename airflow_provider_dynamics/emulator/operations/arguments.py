"""Parameters as they come, from a body or from a URL, into checked values.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-functions
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.address import Segment, json_like, literal, reference, row_key
from airflow_provider_dynamics.emulator.address import Text as Quoted
from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.literals import (
    GUID,
    day_text,
    moment_text,
    number_literal,
    payload_fault,
)
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import (
    Operation,
    Parameter,
    Rooms,
    RowArgument,
    missing,
)
from airflow_provider_dynamics.emulator.operations.types import COMPLEX, ENUMS, FLAGS, OPEN
from airflow_provider_dynamics.emulator.querying.query import no_segment
from airflow_provider_dynamics.emulator.schema import BY_SET, TABLES, Table

NAMESPACE = "Microsoft.Dynamics.CRM"
_COLLECTION = re.compile(r"Collection\((.+)\)")
_ENUM = re.compile(rf"{re.escape(NAMESPACE)}\.(\w+)'([^']*)'")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_OPENING, _CLOSING = "([{", ")]}"
_INT32 = 2**31
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ERROR = (
    "Error identified in Payload provided by the user for Entity :'', For more information on this error please follow "
    "this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : "
    "Microsoft.OData.ODataException: "
)


def fault(reason: str) -> Fault:
    """0x80048d19: the parameters do not fit the operation."""
    return Fault(400, "0x80048d19", _ERROR + reason)


def of_action(call: Call, operation: Operation, rooms: Rooms) -> dict[str, Any]:
    """The parameters of an action, from the body; raises ``Fault`` on unknown, missing and ill-typed ones."""
    body = call.json() if call.body.strip() else {}
    given = {name: value for name, value in body.items() if not name.startswith("@")}
    for name in given:
        if name not in operation.by_name:
            raise fault(
                f"The parameter '{name}' in the request payload is not a valid parameter for the operation "
                f"'{operation.name}'."
            )
    return _read(operation, given, rooms)


def of_function(call: Call, operation: Operation, segment: Segment, rooms: Rooms) -> dict[str, Any]:
    """The parameters of a function, from the URL: ``Name(P1='x',P2=@p)?@p=…``."""
    given = {}
    for part in filter(None, (piece.strip() for piece in _pieces(segment.inside or ""))):
        name, mark, text = part.partition("=")
        if not mark or name.strip() not in operation.by_name:
            raise no_segment(segment.name)
        given[name.strip()] = _of_url(call.aliases.get(text.strip(), text.strip()))
    if any(not one.nullable and one.name not in given for one in operation.parameters):
        raise no_segment(segment.name)
    return _read(operation, given, rooms)


def _pieces(text: str) -> list[str]:
    """Split at commas outside quotes and brackets of any kind."""
    pieces, depth, quote, start = [], 0, "", 0
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _OPENING or character in _CLOSING:
            depth += 1 if character in _OPENING else -1
        elif character == "," and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
    return [*pieces, text[start:]]


def _of_url(text: str) -> Any:
    """A literal of the URL as the JSON value it stands for."""
    if text[:1] in {"{", "["}:
        return _json_of_url(text)
    if match := _ENUM.fullmatch(text):
        return match[2]
    value = literal(text)
    if isinstance(value, Quoted):
        return value.value
    if text in {"true", "false", "null"}:
        return json.loads(text)
    number = number_literal(text) if _NUMBER.fullmatch(text) else None
    if number is None:
        return text
    return number if "." in text else int(number)


def _json_of_url(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, InvalidOperation):
        pass
    try:  # Microsoft's own samples quote with apostrophes
        return _DECODER.decode(text.replace("'", '"'))
    except (msgspec.DecodeError, InvalidOperation) as error:
        raise Fault(400, "0x80060888", f"The value '{text[:100]}' cannot be read.") from error


def _read(operation: Operation, given: Mapping[str, Any], rooms: Rooms) -> dict[str, Any]:
    found = {}
    for one in operation.parameters:
        value = given.get(one.name)
        if value is None:
            if not one.nullable:
                raise missing(one.name)
            continue
        found[one.name] = value_of(one, value, rooms)
    return found


def value_of(parameter: Parameter, value: Any, rooms: Rooms) -> Any:
    """One value of the type a parameter wants; raises ``Fault`` on any other."""
    if match := _COLLECTION.fullmatch(parameter.type):
        if not isinstance(value, list):
            raise fault(
                f"The value of '{parameter.name}' is no collection: a 'StartArray' node was expected."
            )
        inner = Parameter(parameter.name, match[1], nullable=False)
        return [value_of(inner, one, rooms) for one in value]
    known, _, name = parameter.type.partition(".")
    if known == "Edm":
        return _simple(parameter.type, value)
    if name in ENUMS:
        return _member(name, value)
    if name in OPEN:
        return value
    if name in COMPLEX:
        return _complex(name, value, rooms)
    return _row(name, value, rooms)


def _simple(type_: str, value: Any) -> Any:
    if not _SIMPLE[type_](value):
        shown = json.dumps(value) if isinstance(value, (bool, dict, list)) else str(value)
        raise fault(f"Cannot convert the literal '{shown[:100]}' to the expected type '{type_}'.")
    return value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -most <= value < most


def _binary(value: Any) -> bool:
    try:
        return isinstance(value, str) and base64.b64decode(value, validate=True) is not None
    except ValueError:  # binascii's own, and what is not ASCII
        return False


_SIMPLE: Mapping[str, Callable[[Any], bool]] = {
    "Edm.String": lambda value: isinstance(value, str),
    "Edm.Boolean": lambda value: isinstance(value, bool),
    "Edm.Int32": lambda value: _whole(value, _INT32),
    "Edm.Int64": lambda value: _whole(value, 2**63),
    "Edm.Decimal": _number,
    "Edm.Double": _number,
    "Edm.Guid": lambda value: isinstance(value, str) and GUID.fullmatch(value) is not None,
    "Edm.Date": lambda value: day_text(value) is not None,
    "Edm.DateTimeOffset": lambda value: moment_text(value) is not None,
    "Edm.Binary": _binary,
}


def _member(name: str, value: Any) -> str:
    """Members of an enumeration by name, or by number; one that takes several has them with commas between."""
    members = ENUMS[name]
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise fault(f"The value '{str(value)[:100]}' is no member of the enumeration '{NAMESPACE}.{name}'.")
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    named = [
        next((known for known, number in members.items() if part in {known, number, str(number)}), None)
        for part in parts
    ]
    if None in named or (len(named) > 1 and name not in FLAGS):
        raise fault(f"The value '{str(value)[:100]}' is no member of the enumeration '{NAMESPACE}.{name}'.")
    return ",".join(str(one) for one in named)


def _complex(name: str, value: Any, rooms: Rooms) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise fault(f"A value of the complex type '{NAMESPACE}.{name}' is an object.")
    members = {one.name: one for one in COMPLEX[name]}
    found = {}
    for member, inner in value.items():
        if member.startswith("@"):
            continue
        if member not in members:
            raise fault(f"The property '{member}' does not exist on type '{NAMESPACE}.{name}'.")
        found[member] = None if inner is None else value_of(members[member], inner, rooms)
    absent = [one.name for one in COMPLEX[name] if not one.nullable and found.get(one.name) is None]
    if absent:
        raise missing(absent[0])
    return found


def _row(name: str, value: Any, rooms: Rooms) -> RowArgument:
    """A row by ``@odata.id``, or by ``@odata.type`` and its key beside other columns."""
    if not isinstance(value, dict):
        raise fault("An entity was expected: a 'StartObject' node.")
    link = value.get("@odata.id")
    if link is not None:
        return _linked(name, link, rooms)
    table = _table(name, value)
    body = {member: inner for member, inner in value.items() if member != "@odata.type"}
    row_id = body.pop(table.primary_id, None)
    if table.is_principal and row_id is None:
        row_id = body.pop("ownerid", None)
    if row_id is not None and not (isinstance(row_id, str) and GUID.fullmatch(row_id)):
        raise payload_fault(table, f"Cannot convert the literal '{row_id}' to the expected type 'Edm.Guid'.")
    return RowArgument(table, row_id.lower() if row_id else None, body)


def _table(wanted: str, value: Mapping[str, Any]) -> Table:
    given = value.get("@odata.type", wanted)
    name = str(given).removeprefix("#").removeprefix(f"{NAMESPACE}.")
    table = TABLES.get(name)
    if table is None:
        member = next((one for one in value if "@" not in one), "value")
        raise fault(
            f"The property '{member}' does not exist on type '{NAMESPACE}.{name}'. "
            "Make sure to only use property names that are defined by the type."
        )
    if not _suits(table, wanted):
        raise fault(
            f"A value of type '{NAMESPACE}.{table.name}' was found where '{NAMESPACE}.{wanted}' was expected."
        )
    return table


def _suits(table: Table, wanted: str) -> bool:
    return wanted in {table.name, "crmbaseentity"} or (
        (wanted == "principal" and table.is_principal) or (wanted == "activitypointer" and table.is_activity)
    )


def _linked(wanted: str, link: Any, rooms: Rooms) -> RowArgument:
    segment = reference(str(link))
    table = BY_SET.get(segment.name)
    if table is None or not _suits(table, wanted):
        raise fault(f"'{str(link)[:200]}' is no row of the type '{NAMESPACE}.{wanted}'.")
    key = row_key(segment.inside or "", {})
    return RowArgument(
        table,
        rooms.writer.keys.find(table, {name: json_like(value) for name, value in key.items()})
        if isinstance(key, dict)
        else key,
        {},
    )
