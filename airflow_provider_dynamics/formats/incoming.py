"""What becomes of a file's values for a column: converted and checked many at a time, before anything is sent.

Most values of most columns are right as they are, and are let through as a list; only where one of them may
not be, each is looked at, so that a wrong one is named.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.protocol.odata import IDS, LOOKUPS, guid
from airflow_provider_dynamics.formats.at_once import ARRAYS, ID, LISTS, units
from airflow_provider_dynamics.formats.fields import FormatError, file_field
from airflow_provider_dynamics.formats.values import (
    is_missing,
    plain_value,
    wire_converter,
    written,
)

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.columns import Column

__all__ = ["Converted", "Incoming"]

REMEMBERED = 4_096
"""Values whose meaning is kept, of a column whose values repeat."""
SHOWN = 80  # characters of a value in a message
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
NOTHING: Mapping[int, str] = {}
NoneType = type(None)
REPEATING = frozenset({str, int, bool})
_UNKNOWN = object()

Converted: TypeAlias = tuple[Sequence[Any], Mapping[int, str]]
"""The values, and by place what is wrong with those that the column cannot hold."""


class Incoming:
    """One column's way in: ``many`` for a list of a file's values, ``arrow`` for an array of them, ``one`` for one.

    Missing values (null, "", NaN) become None. Without a column, values are passed on as JSON can hold them.
    `labels` turns what a choice is called into its number. Safe to use from several threads.
    """

    def __init__(self, column: Column | None, labels: Callable[[Any], Any] | None = None) -> None:
        self._column = column
        self._kind = "" if column is None or labels is not None else _kind(column)
        self._convert = labels or (plain_value if column is None else wire_converter(file_field(column)))
        self._checks = [] if column is None else list(_checks(column))
        self._quick = LISTS.get(self._kind)
        self._quick_array = ARRAYS.get(self._kind)
        self._known: dict[Any, Any] = {}

    def one(self, value: Any) -> Any:
        """Return what is sent for a value.

        :raises ValueError: the column cannot hold it
        """
        if is_missing(value):
            return None
        made = self._convert(value)
        if isinstance(made, str) and not made.isascii():
            _check_characters(made)
        for check in self._checks:
            check(made)
        return made

    def many(self, values: Sequence[Any]) -> Converted:
        """Return what is sent for a list of values; for a wrong one that is None, and the reason beside it."""
        made = None if self._quick is None else self._quick(values, self._column)
        if made is None:
            made = self._repeated(values)
        return self._each(values) if made is None else (made, NOTHING)

    def arrow(self, array: Any) -> Converted:
        """Return what is sent for an Arrow array of values."""
        if self._quick_array is not None:
            made = self._quick_array(array, self._column)
            if made is not None:
                return made, NOTHING
        return self.many(python_values(array))

    def _repeated(self, values: Sequence[Any]) -> Sequence[Any] | None:
        """Convert few different values once each; None where they are many, of several types, or one is wrong."""
        kinds = set(map(type, values)) - {NoneType}
        if len(kinds) > 1 or not kinds <= REPEATING:
            return None
        different = list(set(values))
        if len(different) * 4 > len(values):
            return None
        made, wrong = self._each(different)
        if wrong:
            return None
        meaning = dict(zip(different, made, strict=True))
        return [meaning[value] for value in values]

    def _each(self, values: Sequence[Any]) -> Converted:
        made: list[Any] = []
        wrong: dict[int, str] = {}
        for place, value in enumerate(values):
            try:
                made.append(self._one_known(value))
            except (ValueError, ArithmeticError) as error:  # noqa: PERF203 - each value has its own
                made.append(None)
                wrong[place] = str(error) or f"{str(value)[:SHOWN]!r} cannot be read"
        return made, wrong

    def _one_known(self, value: Any) -> Any:
        if not isinstance(value, (str, int)):
            return self.one(value)
        key: Hashable = (type(value), value)
        found = self._known.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            found = self.one(value)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found


def python_values(array: Any) -> list[Any]:
    """Return an Arrow array's values; timestamps to the microsecond: Python holds no finer ones.

    Single precision is spelled as short as it can be: 0.1 is 0.1, not 0.10000000149011612. Bytes that are not UTF-8
    stay in their text as halves of characters.
    """
    import pyarrow as pa

    if pa.types.is_float32(array.type):
        return [None if text is None else float(text) for text in array.cast(pa.string()).to_pylist()]
    if not pa.types.is_timestamp(array.type):
        return _listed(array)
    array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    if array.type.tz not in {None, "UTC"}:
        return list(array.to_pylist())
    # Arrow's own way imports pandas where that is installed, at a cost of 40 MB
    first = EPOCH if array.type.tz else EPOCH.replace(tzinfo=None)
    numbers = array.cast(pa.int64()).to_pylist()
    try:
        return [None if one is None else first + datetime.timedelta(microseconds=one) for one in numbers]
    except OverflowError:  # before the year 1 or after 9999: a text that is no date to anybody
        return list(array.cast(pa.string()).to_pylist())


def _kind(column: Column) -> str:
    return ID if column.type in IDS else file_field(column).kind


def _listed(array: Any) -> list[Any]:
    import pyarrow as pa

    try:
        found: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_nested(array.type):
            raise FormatError("it has a list or a structure with text that is not UTF-8") from None
        binary = array.cast(pa.large_binary()).to_pylist()
        return [None if one is None else one.decode("utf-8", "surrogateescape") for one in binary]
    return found


# --- what a column of one type does not take ---


def _checks(column: Column) -> list[Callable[[Any], None]]:
    found: list[Callable[[Any], None]] = []
    if column.type in IDS:
        found.append(_check_reference if column.type in LOOKUPS else _check_id)
    if column.max_length is not None:
        longest = column.max_length
        found.append(lambda value: _check_length(value, longest))
    if column.minimum is not None or column.maximum is not None:
        found.append(lambda value: _check_range(value, column.minimum, column.maximum))
    if column.places is not None:
        places = column.places
        found.append(lambda value: _check_places(value, places))
    return found


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        what = f"the byte 0x{half - 0xDC00:02X}" if 0xDC80 <= half <= 0xDCFF else f"U+{half:04X}"
        raise ValueError(f"the text is not Unicode: it has {what} at character {error.start + 1}") from None


def _check_id(value: Any) -> None:
    try:
        guid(value)
    except BadRequest:
        raise ValueError(
            f"{str(value)[:SHOWN]!r} is not a row id (a GUID); what is looked up by other columns goes into lookups"
        ) from None


def _check_reference(value: Any) -> None:
    if not (isinstance(value, str) and "(" in value):  # what binds it, /contacts(<row id>)
        _check_id(value)


def _check_length(text: Any, longest: int) -> None:
    if isinstance(text, str) and (length := units(text)) > longest:
        raise ValueError(f"the text has {length:,} characters, and the column takes {longest:,}")


def _check_range(value: Any, minimum: Decimal | None, maximum: Decimal | None) -> None:
    low = minimum is not None and value < minimum
    if low or (maximum is not None and value > maximum):
        side, limit = ("below", minimum) if low else ("above", maximum)
        which = "least" if low else "most"
        raise ValueError(f"{_number(value)} is {side} {_number(limit)}, the {which} that the column takes")


def _check_places(value: Any, places: int) -> None:
    if isinstance(value, Decimal) and (found := _places(value)) > places:
        raise ValueError(
            f"{_number(value)} has {found} decimal places, and the column keeps {places}: Dataverse would round it"
        )


def _places(value: Decimal) -> int:
    """Return how many decimal places a number needs; by its digits, because arithmetic rounds to 28 of them."""
    _, digits, exponent = value.as_tuple()
    needed = -int(exponent)
    for digit in reversed(digits):
        if digit or needed <= 0:
            break
        needed -= 1
    return max(needed, 0) if value else 0


def _number(value: Any) -> str:
    return (written(value) if isinstance(value, Decimal) else str(value))[:SHOWN]
