"""One value at a time: what a row holds, what a file holds, and the way between them in both directions.

The fast paths never come here; this is for rows without their page's bytes, for text files, and for loading,
where every wrong value must be named.
"""

from __future__ import annotations

import base64
import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import msgspec

from airflow_provider_dynamics.formats.fields import Field
from airflow_provider_dynamics.formats.shapes import DECIMAL_DIGITS

EARLIEST = 1753
"""The first year Dataverse stores in any date column."""
INT_BITS = {"int32": 31, "int64": 63}
LONGEST_NUMBER = 100  # digits
TRUTHS = {"true": True, "1": True, "false": False, "0": False}

_INSTANT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hour>\d{2})(?:(?P<minute>:\d{2})(?P<second>:\d{2})?(?:\.(?P<fraction>\d{1,9}))?)?"
    r"\s?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?)?"
)


def parse_instant(text: str) -> datetime.datetime:
    """Return ISO 8601 `text` as a datetime, with a zone only if it names one; digits past microseconds are cut.

    :raises ValueError: if `text` is not a date and time
    """
    found = _INSTANT.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a date and time such as 2024-01-31T10:00:00Z")
    zone = re.sub(r"(\d\d)(\d\d)$", r"\1:\2", (found["zone"] or "").upper().replace("Z", "+00:00"))
    fraction = (found["fraction"] or "0")[:6].ljust(6, "0")
    clock = f"{found['hour'] or '00'}{found['minute'] or ':00'}{found['second'] or ':00'}.{fraction}"
    try:
        return datetime.datetime.fromisoformat(f"{found['day']}T{clock}{zone}")
    except ValueError as error:
        raise ValueError(f"{text!r} is no date and time that there is: {error}") from error


# --- from Dataverse: wire values to Python's ---


def python_converter(field: Field) -> Callable[[Any], Any]:
    """Return what turns a wire value other than None into Python's type for the field's kind.

    The converter raises ValueError, saying why, for a value that does not fit.
    """
    if field.kind in INT_BITS:
        return partial(_integer, bits=INT_BITS[field.kind])
    if field.kind == "decimal":
        return partial(_exact, scale=field.scale)
    if field.kind == "list":
        return rows_converter(field, python_converter)
    return _TO_PYTHON[field.kind]


def row_converter(
    fields: Iterable[Field], converter: Callable[[Field], Callable[[Any], Any] | None]
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return what turns a row into one under the file's names, each value but None turned by its field's converter.

    A row has its values under their wire names or, where it was made by hand, under the file's.
    """
    plan = [(field.name, field.wire_name, field.wire_path[1:], converter(field)) for field in fields]

    def convert_row(row: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, member, deeper, convert in plan:
            value = row.get(member)
            if value is None:
                value = None if member in row else _by_hand(row, name)
            elif deeper:
                value = _deeper(value, deeper)
            found[name] = value if value is None or convert is None else convert(value)
        return found

    return convert_row


def rows_converter(
    field: Field, converter: Callable[[Field], Callable[[Any], Any] | None]
) -> Callable[[Any], list[dict[str, Any]]]:
    """Return what turns the rows of an expanded collection into rows under the file's names."""
    convert_row = row_converter(field.inner, converter)

    def convert_rows(rows: Any) -> list[dict[str, Any]]:
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
            raise ValueError(f"{str(rows)[:80]!r} is not a list of rows")
        return [convert_row(row) for row in rows]

    return convert_rows


def _by_hand(row: Mapping[str, Any], name: str) -> Any:
    """Return the value under a file's name; a row under that name is what a lookup of the name was expanded to."""
    value = row.get(name)
    return None if isinstance(value, Mapping) else value


def _deeper(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text_of(value: Any) -> str:
    """Return text as it is, and the rare value that is none (a list, an object) as JSON."""
    return value if isinstance(value, str) else encode(value).decode()


encode = msgspec.json.Encoder(decimal_format="number").encode


def _integer(value: Any, bits: int) -> int:
    number = _decimal(value)
    if number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    if not -(2**bits) <= number < 2**bits:
        raise ValueError(f"{value!r} is outside the range of {bits + 1} bits that the column holds")
    return int(number)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")  # noqa: TRY004 - one kind of error for every wrong value
    if isinstance(value, str) and "_" in value:  # Python's own way to group digits, and nobody else's
        raise ValueError(f"{value!r} is not a number")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise ValueError(f"{value!r} is not a number") from error
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a number")
    return number


def _exact(value: Any, scale: int) -> Decimal:
    number = _decimal(value)
    if number and number.adjusted() >= DECIMAL_DIGITS - scale:
        raise ValueError(
            f"{str(number)[:80]} has {number.adjusted() + 1} digits before the decimal point, "
            f"and the column's type holds {DECIMAL_DIGITS - scale}"
        )
    sign, digits, exponent = number.as_tuple()
    excess = -int(exponent) - scale
    if excess <= 0:
        return number
    # by its digits: arithmetic would round to the context's 28
    if any(digits[-excess:]):
        raise ValueError(
            f"{str(number)[:80]} has {excess + scale} decimal places, and the column's type holds {scale}"
        )
    return Decimal((sign, digits[:-excess] or (0,), -scale))


def _double(value: Any) -> float:
    found = float(_decimal(value))
    if math.isinf(found):
        raise ValueError(f"{str(value)[:80]} is more than a floating point number holds")
    return found


def written(number: Decimal) -> str:
    """Return a number without an exponent, unless that would make it very long."""
    return format(number, "f") if abs(number.adjusted()) < LONGEST_NUMBER else str(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return TRUTHS[str(value).strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is not true or false") from None


def _instant(value: Any) -> datetime.datetime:
    moment = _moment(value)
    return moment.replace(tzinfo=datetime.timezone.utc) if moment.tzinfo is None else moment


def _timestamp(value: Any) -> datetime.datetime:
    moment = _moment(value)
    if moment.utcoffset():
        raise ValueError(f"{value} has an offset, and the column has no time zone: give it without one")
    return moment.replace(tzinfo=None)


def _date(value: Any) -> datetime.date:
    moment = _moment(value)
    if moment.time() != datetime.time():
        raise ValueError(f"{value} has a time of day, and the column holds dates only")
    return moment.date()


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time())
    if isinstance(value, str):
        return parse_instant(value)
    raise ValueError(f"{value!r} is not a date")


_TO_PYTHON: Mapping[str, Callable[[Any], Any]] = {
    "string": text_of,
    "float64": _double,
    "bool": _boolean,
    "instant": _instant,
    "timestamp": _timestamp,
    "date": _date,
}


# --- to Dataverse: what a file holds to wire values ---


def wire_converter(field: Field) -> Callable[[Any], Any]:
    """Return what turns a file's value into a JSON value that Dataverse takes for the field.

    NaN, NaT and "" become None. The converter raises ValueError, saying why, when the column cannot hold a
    value.
    """
    ready = _READY.get(field.kind)
    convert = _TO_WIRE.get(field.kind) or python_converter(field)

    def to_wire(value: Any) -> Any:
        if type(value) is ready and value != "":
            return value
        return None if is_missing(value) else convert(value)

    return to_wire


def is_missing(value: Any) -> bool:
    """Tell whether a file's value stands for no value: Dataverse stores the empty text as null too."""
    if value is None or (isinstance(value, str) and not value):
        return True
    return (isinstance(value, float) and math.isnan(value)) or (isinstance(value, Decimal) and value.is_nan())


def plain_value(value: Any) -> Any:
    """Return a value JSON can hold: numbers, text and lists as they are, bytes by name, the rest as text."""
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}  # what nobody takes for a text
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        return None if is_missing(value) else str(value)  # infinity is not nothing
    if value is None or isinstance(value, (str, int, float, Decimal)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _wire_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return written(_decimal(value))
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    raise ValueError(f"a {type(value).__name__} is not text")


def _wire_instant(value: Any) -> str:
    moment = _instant(value)
    try:
        return _iso(moment.astimezone(datetime.timezone.utc))
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is before the year 1 or after 9999 in UTC") from None


def _wire_timestamp(value: Any) -> str:
    return _iso(_timestamp(value))


def _wire_date(value: Any) -> str:
    day = _date(value)
    _check_storable(day)
    return day.isoformat()


def _iso(moment: datetime.datetime) -> str:
    _check_storable(moment)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _check_storable(day: datetime.date) -> None:
    if day.year < EARLIEST:
        raise ValueError(
            f"{day.isoformat()} is before {EARLIEST}-01-01, the earliest date that Dataverse stores"
        )


_READY: Mapping[str, type] = {"string": str, "bool": bool}
"""Values of these kinds and types go through unseen."""
_TO_WIRE: Mapping[str, Callable[[Any], Any]] = {
    "string": _wire_text,
    "decimal": _decimal,
    "instant": _wire_instant,
    "timestamp": _wire_timestamp,
    "date": _wire_date,
}
