"""Values that are right as they are: whole lists and arrays of them are let through, or made so, all at once.

None says that something among them may be wrong: then each is looked at, so that it can be named.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.formats.values import EARLIEST, INT_BITS

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.columns import Column

__all__ = ["ARRAYS", "ID", "LISTS", "units"]

NoneType = type(None)
TEXT = frozenset({str, NoneType})
WHOLE = frozenset({int, NoneType})
TRUTH = frozenset({bool, NoneType})
FLOATS = frozenset({float, NoneType})
DECIMALS = frozenset({Decimal, int, NoneType})
_GUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _texts(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    if not TEXT.issuperset(map(type, values)):
        return None
    if not _whole_characters(values):
        return None
    longest = column.max_length
    # half of it fits, whatever characters it is made of
    if longest is not None and max(map(len, filter(None, values)), default=0) * 2 > longest:
        fits = all(units(value) <= longest for value in values if value)
        if not fits:
            return None
    return [value or None for value in values] if "" in values else values


def _whole_characters(values: Sequence[str | None]) -> bool:
    """Say whether no text has half a character, which JSON cannot carry."""
    text = "".join(filter(None, values))
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _grouped(values: Sequence[str | None]) -> bool:
    """Say whether digits are grouped as in ``1_000``, which only Python reads as one number."""
    return "_" in "".join(filter(None, values))


def _ids(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    """Let through ids as Dataverse writes them itself."""
    del column
    return _read_as(values, lambda text: _GUID.fullmatch(text) is not None)


def _truths(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    del column
    return values if TRUTH.issuperset(map(type, values)) else None


def _wholes(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    kinds = set(map(type, values))
    if kinds <= TEXT:
        if _grouped(values):
            return None
        try:
            values = [int(value) if value else None for value in values]
        except ValueError:
            return None
    elif not kinds <= WHOLE:
        return None
    known = [value for value in values if value is not None]
    bits = INT_BITS["int64" if column.type == "BigInt" else "int32"]
    if known and not (-(2**bits) <= min(known) and max(known) < 2**bits):
        return None
    return values if _within(known, column) else None


def _floats(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    kinds = set(map(type, values))
    if kinds <= TEXT or kinds <= DECIMALS:
        if kinds <= TEXT and _grouped(values):
            return None
        try:
            values = [None if value is None or value == "" else float(value) for value in values]
        except (ValueError, OverflowError):
            return None
    elif not kinds <= FLOATS:
        return None
    known = [value for value in values if value is not None]
    return values if all(map(math.isfinite, known)) and _within(known, column) else None


def _decimals(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    kinds = set(map(type, values))
    try:
        if kinds <= TEXT:
            if _grouped(values):
                return None
            values = [Decimal(value) if value else None for value in values]
        elif kinds <= FLOATS:
            values = [None if value is None or value != value else Decimal(repr(value)) for value in values]  # noqa: PLR0124 - NaN
        elif kinds <= DECIMALS:
            values = [Decimal(value) if type(value) is int else value for value in values]
        else:
            return None
        known = [value for value in values if value is not None]
        if not all(map(Decimal.is_finite, known)) or not _within(known, column):
            return None
        if column.places is not None:
            step = Decimal(1).scaleb(-column.places)
            if any(value != value.quantize(step) for value in known):
                return None
    except ArithmeticError:  # more digits than arithmetic keeps
        return None
    return values


def _instants(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    """Let through times as Dataverse writes them itself, 2024-01-31T10:00:00Z."""
    del column
    return _read_as(values, lambda text: _is_day(text[:10]) and text[10:11] == "T" and _is_time(text[11:]))


def _days(values: Sequence[Any], column: Column) -> Sequence[Any] | None:
    del column
    return _read_as(values, _is_day)


def _read_as(values: Sequence[Any], right: Callable[[str], bool]) -> Sequence[Any] | None:
    if not TEXT.issuperset(map(type, values)):
        return None
    try:
        if not all(right(value) for value in values if value):
            return None
    except ValueError:
        return None
    return [value or None for value in values] if "" in values else values


def _is_day(text: str) -> bool:
    # later Pythons read weeks and days without dashes, too
    return len(text) == 10 and text[7] == "-" and datetime.date.fromisoformat(text).year >= EARLIEST


def _is_time(text: str) -> bool:
    plain = len(text) == 9 and text[2] == text[5] == ":" and text[8] == "Z" and text < "24"
    return plain and datetime.time.fromisoformat(text[:8]) is not None


def _within(known: Sequence[Any], column: Column) -> bool:
    if not known:
        return True
    above = column.minimum is None or min(known) >= column.minimum
    return above and (column.maximum is None or max(known) <= column.maximum)


ID = "id"
"""The kind of columns that hold row ids, lookups among them."""
LISTS: Mapping[str, Callable[[Sequence[Any], Any], Sequence[Any] | None]] = {
    "string": _texts,
    ID: _ids,
    "bool": _truths,
    "int32": _wholes,
    "int64": _wholes,
    "float64": _floats,
    "decimal": _decimals,
    "instant": _instants,
    "timestamp": _instants,
    "date": _days,
}


# --- arrays that are right as they are ---


def _decimal_array(array: Any, column: Column) -> Sequence[Any] | None:
    import pyarrow as pa

    if not pa.types.is_decimal(array.type):
        return None
    texts = array.cast(pa.string()).to_pylist()  # three times as fast as Arrow's own way to Decimals
    return _decimals(texts, column)


def _instant_array(array: Any, column: Column) -> Sequence[Any] | None:
    """Return whole seconds in Dataverse's spelling; what has no time zone counts as UTC."""
    import pyarrow as pa

    if not pa.types.is_timestamp(array.type):
        return None
    wall = column.date_behavior == "TimeZoneIndependent"
    if wall and array.type.tz not in {None, "UTC"}:
        return None
    try:
        # through the number: a cast from one type of time to another may ask for time zones
        seconds = array.cast(pa.int64()).cast(pa.timestamp(array.type.unit)).cast(pa.timestamp("s"))
    except pa.ArrowInvalid:  # parts of a second
        return None
    spelled = seconds.cast(pa.string()).to_pylist()
    return _instants([None if one is None else f"{one[:10]}T{one[11:]}Z" for one in spelled], column)


def _day_array(array: Any, column: Column) -> Sequence[Any] | None:
    import pyarrow as pa

    if not pa.types.is_date(array.type):
        return None
    return _days(array.cast(pa.string()).to_pylist(), column)


ARRAYS: Mapping[str, Callable[[Any, Any], Sequence[Any] | None]] = {
    "decimal": _decimal_array,
    "instant": _instant_array,
    "timestamp": _instant_array,
    "date": _day_array,
}


def units(text: str) -> int:
    """Return how long a text is where it is stored: in units of UTF-16, two for each character beyond them."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
