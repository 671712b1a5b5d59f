"""Stored values as JSON shows them, and as Dataverse formats them for people.

Formatted values follow the en-US user settings of Microsoft's own samples ("$5,000,000.00", "9/28/2016 10:57
PM").
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#formatted-values
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.schema.model import (
    EXACT_KINDS,
    OPTION_KINDS,
    Column,
    Table,
)

Renderer = Callable[[Any], Any]
Formatter = Callable[[Any], "str | None"]
_encode = msgspec.json.encode


def exact_text(value: int, scale: int) -> str:
    """A scaled integer as a decimal number with all its digits: ``exact_text(50000, 4) == "5.0000"``."""
    if scale == 0:
        return str(value)
    digits = str(abs(value)).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def renderer(column: Column) -> Renderer | None:
    """How a stored value becomes a JSON value; None when it is one already."""
    if not column.read:
        return lambda _: None
    if column.kind == "Boolean":
        return lambda value: None if value is None else bool(value)
    if column.kind in EXACT_KINDS:
        scale = column.scale
        return lambda value: None if value is None else msgspec.Raw(exact_text(value, scale).encode())
    return None


class RowRenderer:
    """Turns stored rows of one table into the JSON Dataverse sends when nothing is selected."""

    def __init__(self, table: Table) -> None:
        self._renderers = [(column.name, column.wire, renderer(column)) for column in table.whole]
        self._by_name = {name: (wire, render) for name, wire, render in self._renderers}
        self._principal = table.primary_id if table.is_principal else None

    def plain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with wire names and JSON values; exact numbers are still raw JSON."""
        shown: dict[str, Any] = {"@odata.etag": etag(row["versionnumber"])}
        for name, wire, render in self._renderers:
            value = row[name]
            shown[wire] = value if render is None else render(value)
        if self._principal:
            shown["ownerid"] = row[self._principal]
        return shown

    def change(self, shown: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of ``shown`` with some stored values replaced: what makes a thousand creates cheap."""
        result = shown.copy()
        for name, value in changed.items():
            known = self._by_name.get(name)
            if known is not None:
                wire, render = known
                result[wire] = value if render is None else render(value)
        result["@odata.etag"] = etag(changed["versionnumber"])
        if self._principal:
            result["ownerid"] = changed[self._principal]
        return result

    def json(self, row: Mapping[str, Any]) -> bytes:
        """The whole row as JSON text."""
        return _encode(self.plain(row))


def etag(version: int) -> str:
    """The row's version as an entity tag."""
    return f'W/"{version}"'


def _labels(column: Column) -> Mapping[Any, str]:
    return {option.value: option.label for option in column.options}


def formatter(column: Column, symbol: str = "$") -> Formatter | None:
    """How a stored value is formatted for people; None for kinds that have no formatted value (text, GUIDs).

    Lookups are left to the caller: their formatted value is the name of another row.
    """
    if column.kind == "Money":
        return lambda value: _amount(value, column.precision or 2, symbol)
    make = _FORMATTERS.get(column.kind)
    return make(column) if make else None


def _option_formatter(column: Column) -> Formatter:
    labels = _labels(column)
    if column.kind == "MultiSelectPicklist":
        return lambda value: "; ".join(labels.get(int(number), number) for number in value.split(","))
    return labels.get


def _grouped(value: int, scale: int, digits: int) -> str:
    text = exact_text(value, scale)
    whole, _, fraction = text.partition(".")
    fraction = fraction[:digits] if digits < scale else fraction
    sign = "-" if whole.startswith("-") else ""
    grouped = f"{sign}{int(whole.lstrip('-')):,}"
    return f"{grouped}.{fraction}" if fraction else grouped


def _amount(value: int, digits: int, symbol: str) -> str:
    text = _grouped(value, 4, digits)
    return f"({symbol}{text[1:]})" if text.startswith("-") else f"{symbol}{text}"


def _date_formatter(column: Column) -> Formatter:
    if column.is_date_only:
        return lambda value: "{1}/{2}/{0}".format(*(int(part) for part in value.split("-")))

    def with_time(value: str) -> str:
        when = datetime.fromisoformat(value.removesuffix("Z"))
        text = f"{when.month}/{when.day}/{when.year}"
        if column.format == "DateOnly":
            return text
        return f"{text} {when.hour % 12 or 12}:{when.minute:02d} {'AM' if when.hour < 12 else 'PM'}"

    return with_time


_FORMATTERS: Mapping[str, Callable[[Column], Formatter]] = {
    **dict.fromkeys(OPTION_KINDS, _option_formatter),
    **dict.fromkeys(("Integer", "BigInt"), lambda _: lambda value: f"{value:,}"),
    "Boolean": lambda column: lambda value: column.labels[int(value)],
    "Decimal": lambda column: lambda value: _grouped(value, column.scale, column.scale),
    "Double": lambda column: lambda value: f"{value:,.{column.precision}f}",
    "DateTime": _date_formatter,
}
