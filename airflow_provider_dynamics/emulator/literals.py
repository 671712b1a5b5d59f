"""JSON values and OData literals into stored values, refusing what the column cannot hold.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema.model import Column, Table

GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")
_LOWEST_YEAR = 1753
_INT32 = 2**31
_COUNT = re.compile("[0-9]{1,10}")
_MOST_DIGITS = 400  # before the point; a double holds 309
_HELP = (
    "For more information on this error please follow this help link "
    "https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : Microsoft.OData.ODataException: "
)


def payload_fault(table: Table, reason: str) -> Fault:
    """0x80048d19: the body does not fit the model."""
    return Fault(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{table.set_name}', {_HELP}{reason}",
    )


def unknown_property(table: Table, name: str) -> Fault:
    """A member of the body that is no column and no navigation property of the table."""
    return payload_fault(
        table,
        f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{table.name}'. "
        "Make sure to only use property names that are defined by the type.",
    )


def _validation(code: str, text: str) -> Fault:
    return Fault(400, code, f"A validation error occurred.  {text}")


def _wrong_type(table: Table, column: Column, value: object) -> Fault:
    if column.edm in {"Edm.Decimal", "Edm.Int64"} and isinstance(value, str):
        reason = (
            f"Cannot convert a value to target type '{column.edm}' because of conflict between input format "
            "string/number and parameter 'IEEE754Compatible' false/true."
        )
    else:
        reason = f"Cannot convert the literal '{_as_text(value)}' to the expected type '{column.edm}'."
    return payload_fault(table, reason)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:100]


def stored_value(table: Table, column: Column, value: Any) -> Any:
    """A JSON value as it is stored; raises ``Fault`` in Dataverse's words when it does not fit."""
    if value is None:
        return None
    return _CONVERTERS[column.kind](table, column, value)


def _text(table: Table, column: Column, value: Any) -> Any:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    if column.max_length is not None and _length(value) > column.max_length:
        raise _validation(
            "0x80044331",
            f"The length of the '{column.name}' attribute of the '{table.name}' entity exceeded the maximum "
            f"allowed length of '{column.max_length}'.",
        )
    return value or None


def _length(value: str) -> int:
    # .NET counts UTF-16 code units; most text has no character that needs two.
    return len(value) if value.isascii() else len(value.encode("utf-16-le")) // 2


def _whole(table: Table, column: Column, value: Any) -> Any:
    if isinstance(value, Decimal) and value.adjusted() < _MOST_DIGITS and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(table, column, value)
    if column.edm == "Edm.Int32" and not -_INT32 <= value < _INT32:
        raise _wrong_type(table, column, value)
    _within(table, column, value, "0x8004432f")
    return value


def _within(table: Table, column: Column, value: Any, code: str) -> None:
    low, high = column.minimum, column.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise _validation(
            code, f"The value of '{column.name}' on record of type '{table.name}' is outside the valid range."
        )


def _choice(table: Table, column: Column, value: Any) -> Any:
    number = _whole(table, column, value)
    if all(option.value != number for option in column.options):
        raise _out_of_range(table, column, number)
    return number


def _out_of_range(table: Table, column: Column, value: object) -> Fault:
    accepted = ",".join(str(option.value) for option in column.options)
    return _validation(
        "0x8004431a",
        f"The value {value} of '{column.name}' on record of type '{table.name}' is outside the valid range. "
        f"Accepted Values: {accepted}",
    )


def _several(table: Table, column: Column, value: Any) -> Any:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    known = {option.value for option in column.options}
    numbers = set()
    for part in filter(None, (piece.strip() for piece in value.split(","))):
        number = next((value for value in known if str(value) == part), None)
        if number is None:
            raise _out_of_range(table, column, part)
        numbers.add(number)
    return ",".join(str(number) for number in sorted(numbers)) or None


def _exact(table: Table, column: Column, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _wrong_type(table, column, value)
    _within(table, column, value, "0x80044330")
    digits = column.precision if column.precision is not None else 2
    return scaled(Decimal(str(value)), digits, column.scale)


def scaled(value: Decimal, digits: int, scale: int) -> int:
    """``value`` rounded to ``digits`` places, as an integer number of 10^-scale."""
    rounded = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return int(rounded.scaleb(scale))


def _double(table: Table, column: Column, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _wrong_type(table, column, value)
    _within(table, column, value, "0x80044330")
    return round(float(value), column.precision)


def _flag(table: Table, column: Column, value: Any) -> Any:
    if not isinstance(value, bool):
        raise _wrong_type(table, column, value)
    return int(value)


def _guid(table: Table, column: Column, value: Any) -> Any:
    if not isinstance(value, str) or not GUID.fullmatch(value):
        raise _wrong_type(table, column, value)
    return value.lower()


def _picture(table: Table, column: Column, value: Any) -> Any:
    if isinstance(value, str):
        try:
            base64.b64decode(value, validate=True)
        except ValueError:  # binascii's own, and what is not ASCII
            pass
        else:
            return value
    raise _wrong_type(table, column, value)


def _when(table: Table, column: Column, value: Any) -> Any:
    text = day_text(value) if column.is_date_only else moment_text(value)
    if text is None:
        raise _wrong_type(table, column, value)
    if int(text[:4]) < _LOWEST_YEAR:
        raise Fault(
            400,
            "0x80040203",
            "DateTime is less than minimum value supported by CrmDateTime. Actual value: "
            f"{value}, Minimum value supported: 01/01/1753 00:00:00",
        )
    return text


def day_text(value: object) -> str | None:
    """A calendar date as stored, or None when it is none."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return None
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        return None


def moment_text(value: object) -> str | None:
    """A date and time as stored (UTC, whole seconds), or None when it is none; a bare date is its midnight."""
    if not isinstance(value, str):
        return None
    if day := day_text(value):
        return f"{day}T00:00:00Z"
    match = _MOMENT.fullmatch(value)
    if match is None:
        return None
    zone = (match[3] or "+00:00").replace("Z", "+00:00")
    try:
        return utc_text(datetime.fromisoformat(f"{match[1]}{match[2] or ':00'}{zone}"))
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=64)
def utc_text(when: datetime) -> str:
    """A moment as stored: ``2024-01-31T08:00:00Z``."""
    return when.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def count_literal(text: str) -> int | None:
    """How many, of something: a whole number from 0 up to what 32 bits hold, or None."""
    found = int(text) if _COUNT.fullmatch(text.strip()) else None
    return found if found is not None and found < 2**31 else None


def number_literal(text: str) -> Decimal | None:
    """A number of the URL, or None; neither INF nor NaN, nor more than any column holds."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() <= _MOST_DIGITS else None


_CONVERTERS: Mapping[str, Callable[[Table, Column, Any], Any]] = {
    "String": _text,
    "Memo": _text,
    "EntityName": _text,
    "Integer": _whole,
    "BigInt": _whole,
    "Picklist": _choice,
    "State": _choice,
    "Status": _choice,
    "MultiSelectPicklist": _several,
    "Decimal": _exact,
    "Money": _exact,
    "Double": _double,
    "Boolean": _flag,
    "Uniqueidentifier": _guid,
    "Lookup": _guid,
    "Customer": _guid,
    "Owner": _guid,
    "DateTime": _when,
    "File": _guid,
    "Image": _picture,
}
