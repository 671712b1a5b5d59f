"""How NDJSON and CSV spell a value, so that nothing of it is lost and every reader understands it.

UTF-8, one header (CSV) of the columns' names, null is an empty field (CSV) or null (NDJSON), true and false, digits
of decimals as the service sent them, timestamps in UTC ending in Z except columns without a time zone. Rows of an
expanded collection are a list of objects, in CSV as JSON text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_dynamics.formats.fields import Field
from airflow_provider_dynamics.formats.values import encode, rows_converter, text_of


def json_converter(field: Field) -> Callable[[Any], Any] | None:
    """Return what turns a wire value other than None into NDJSON's; None where it stays as it is."""
    if field.kind == "list":
        return rows_converter(field, json_converter)
    return _without_zone if field.kind == "timestamp" else None


def csv_converter(field: Field) -> Callable[[Any], Any] | None:
    """Return what turns a wire value other than None into CSV's; None where it stays as it is."""
    if field.kind == "list":
        rows_of = rows_converter(field, json_converter)
        return lambda value: encode(rows_of(value)).decode()
    return _TO_CSV.get(field.kind)


def csv_lines(lines: Iterable[Sequence[Any]]) -> bytes:
    """Return lines of CSV as RFC 4180 says: https://www.rfc-editor.org/rfc/rfc4180."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def _without_zone(value: str) -> str:
    # a column that was a time on the wall and became a day keeps its type
    return value.removesuffix("Z") if "T" in value else f"{value}T00:00:00"


def _csv_boolean(value: bool) -> str:
    return "true" if value else "false"


def _csv_decimal(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


_TO_CSV: Mapping[str, Callable[[Any], Any]] = {
    "string": text_of,
    "timestamp": _without_zone,
    "bool": _csv_boolean,
    "decimal": _csv_decimal,
}
