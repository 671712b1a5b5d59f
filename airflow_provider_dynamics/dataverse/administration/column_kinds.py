"""The types a column can be of, and which of a definition's members each has on the wire.

https://learn.microsoft.com/power-apps/developer/data-platform/entity-attribute-metadata
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from airflow_provider_dynamics.dataverse.administration.labels import CRM, label, labelled

__all__ = ["KINDS", "ColumnKind", "Member"]


def _as_it_is(value: Any) -> Any:
    return value


def _number(value: Any) -> float | int:
    """Return a bound as JSON has it; the wire knows no text for numbers."""
    exact = Decimal(str(value))
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _named(value: Any) -> dict[str, Any]:
    return {"Value": value}


@dataclass(frozen=True, slots=True)
class Member:
    """A member on the wire: how a value is written, and what stands there where a definition does not say."""

    wire: str
    default: Any = None
    write: Callable[[Any], Any] = _as_it_is

    def read(self, found: Mapping[str, Any]) -> Any:
        """Return what an existing column has there, without the wire's wrapping."""
        value = found.get(self.wire)
        return value.get("Value") if isinstance(value, Mapping) else value


class Wanted(Protocol):
    """What is read here of a column that is to be, besides the members that its kind names."""

    @property
    def type(self) -> str: ...

    @property
    def precision(self) -> int | None: ...

    @property
    def behavior(self) -> str | None: ...

    @property
    def format(self) -> str | None: ...

    @property
    def options(self) -> Mapping[int, str] | None: ...

    @property
    def choice(self) -> str | None: ...


@dataclass(frozen=True)
class ColumnKind:
    """A type of columns; `extra` is what every document of it has besides."""

    metadata: str
    attribute_type: str
    type_name: str
    members: Mapping[str, Member] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    chooses: bool = False

    def document(self, column: Wanted, language: int) -> dict[str, Any]:
        """Return what only columns of this type have, for one that is to be."""
        made = dict(self.extra)
        for name, member in self.members.items():
            value = getattr(column, name)
            value = member.default if value is None else value
            if value is not None and member.wire:
                made[member.wire] = member.write(value)
        return {**made, **_special(column, language)}


def _special(column: Wanted, language: int) -> dict[str, Any]:
    """Return what does not follow from one member: options, yes and no, money's places, a date without time."""
    if column.type in {"Picklist", "MultiSelectPicklist"}:
        return _options(column, language)
    if column.type == "Boolean":
        return {"OptionSet": _yes_and_no(column, language)}
    if column.type == "Money":  # the column's own places, where it names some; the currency's else
        return {"PrecisionSource": 2 if column.precision is None else 0}
    if column.type == "DateTime":
        alone = column.behavior == "DateOnly"
        return {"Format": column.format or ("DateOnly" if alone else "DateAndTime")}
    return {}


def _options(column: Wanted, language: int) -> dict[str, Any]:
    if column.options is None:
        return {"GlobalOptionSet@odata.bind": f"/GlobalOptionSetDefinitions(Name='{column.choice}')"}
    return {
        "OptionSet": {
            "@odata.type": f"{CRM}.OptionSetMetadata",
            "IsGlobal": False,
            "OptionSetType": "Picklist",
            "Options": labelled(column.options, language),
        }
    }


def _yes_and_no(column: Wanted, language: int) -> dict[str, Any]:
    words = {0: "No", 1: "Yes", **(column.options or {})}
    return {
        "@odata.type": f"{CRM}.BooleanOptionSetMetadata",
        "OptionSetType": "Boolean",
        "FalseOption": {"Value": 0, "Label": label(words[0], language)},
        "TrueOption": {"Value": 1, "Label": label(words[1], language)},
    }


_HUGE = 100_000_000_000
_CHOOSING = {"options": Member(""), "choice": Member("")}

KINDS: Mapping[str, ColumnKind] = {
    "String": ColumnKind(
        *("StringAttributeMetadata", "String", "StringType"),
        {"max_length": Member("MaxLength", 100), "format": Member("FormatName", "Text", _named)},
    ),
    "Memo": ColumnKind(
        *("MemoAttributeMetadata", "Memo", "MemoType"),
        {"max_length": Member("MaxLength", 2000)},
        {"Format": "TextArea"},
    ),
    "Integer": ColumnKind(
        *("IntegerAttributeMetadata", "Integer", "IntegerType"),
        {
            "minimum": Member("MinValue", -(2**31), _number),
            "maximum": Member("MaxValue", 2**31 - 1, _number),
            "format": Member("Format", "None"),
        },
    ),
    "BigInt": ColumnKind("BigIntAttributeMetadata", "BigInt", "BigIntType"),
    "Decimal": ColumnKind(
        *("DecimalAttributeMetadata", "Decimal", "DecimalType"),
        {
            "minimum": Member("MinValue", -_HUGE, _number),
            "maximum": Member("MaxValue", _HUGE, _number),
            "precision": Member("Precision", 2),
        },
    ),
    "Double": ColumnKind(
        *("DoubleAttributeMetadata", "Double", "DoubleType"),
        {
            "minimum": Member("MinValue", -_HUGE, _number),
            "maximum": Member("MaxValue", _HUGE, _number),
            "precision": Member("Precision", 2),
        },
    ),
    "Money": ColumnKind(
        *("MoneyAttributeMetadata", "Money", "MoneyType"),
        {
            "minimum": Member("MinValue", None, _number),
            "maximum": Member("MaxValue", None, _number),
            "precision": Member("Precision", 2),
        },
    ),
    "DateTime": ColumnKind(
        *("DateTimeAttributeMetadata", "DateTime", "DateTimeType"),
        {"behavior": Member("DateTimeBehavior", "UserLocal", _named), "format": Member("Format")},
    ),
    "Boolean": ColumnKind(
        *("BooleanAttributeMetadata", "Boolean", "BooleanType"),
        {"default": Member("DefaultValue", False), "options": Member("")},
    ),
    "Picklist": ColumnKind(
        *("PicklistAttributeMetadata", "Picklist", "PicklistType"),
        _CHOOSING,
        {"SourceTypeMask": 0},
        chooses=True,
    ),
    "MultiSelectPicklist": ColumnKind(
        *("MultiSelectPicklistAttributeMetadata", "Virtual", "MultiSelectPicklistType"),
        _CHOOSING,
        {"SourceTypeMask": 0},
        chooses=True,
    ),
    "Lookup": ColumnKind(
        *("LookupAttributeMetadata", "Lookup", "LookupType"),
        {"targets": Member(""), "on_delete": Member("")},
    ),
    "File": ColumnKind(
        *("FileAttributeMetadata", "Virtual", "FileType"), {"max_size_kb": Member("MaxSizeInKB", 32768)}
    ),
    "Image": ColumnKind(
        *("ImageAttributeMetadata", "Virtual", "ImageType"),
        {"max_size_kb": Member("MaxSizeInKB", 10240)},
        {"CanStoreFullImage": True},
    ),
}
"""By the type as `Column.type` calls it."""
