"""Definitions of columns as JSON, read into columns and the companions that come with them.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-column-definitions-using-web-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.customizing.options import options_of
from airflow_provider_dynamics.emulator.customizing.reading import (
    Body,
    kind_of,
    label_of,
    level_of,
    number_of,
    refuse_members,
    schema_name_of,
    value_of,
)
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.operations.model import missing
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.columns import file, flag, image, money
from airflow_provider_dynamics.emulator.schema.current import Schema, standard

_INT32 = 2**31
_TYPE = "__type"  # the store keeps beside a lookup's column one that says which table it points to
_EXACT = 100_000_000_000
_MONEY = 922_337_203_685_477
_TEXT_FORMATS = frozenset(
    {
        "Email",
        "Json",
        "Phone",
        "PhoneticGuide",
        "RichText",
        "Text",
        "TextArea",
        "TickerSymbol",
        "Url",
        "VersionNumber",
    }
)
_WHOLE_FORMATS = frozenset({"None", "Duration", "TimeZone", "Language", "Locale"})
Made = tuple[Column, ...]


def columns_of(body: Body, schema: Schema) -> Made:
    """The column a definition describes, and its companions; raises ``Fault`` on what cannot be."""
    kind = kind_of(body)
    read = _READERS.get(kind)
    if read is None:
        raise NotEmulated(f"making a column from {kind}")
    refuse_members(body, "a column", "AutoNumberFormat", "FormulaDefinition", "IsSecured", "SourceType")
    name = schema_name_of(body)
    column, *companions = read(body, Column(name.lower(), name, "", ""), schema)
    common: dict[str, Any] = {"required": level_of(body), "custom": True}
    label, description = label_of(body, "DisplayName", needed=True), label_of(body, "Description")
    column = replace(column, **common, label=label or "", description=description)
    return (column, *(replace(one, custom=True) for one in companions))


def changed(column: Column, body: Body) -> Column:
    """A column as a PUT of its whole definition leaves it; its type and its names stay."""
    described: dict[str, Any] = {
        "label": label_of(body, "DisplayName") or column.label,
        "description": label_of(body, "Description") or column.description,
        "required": column.required if "RequiredLevel" not in body else _level(column, body),
    }
    return replace(column, **described, **_new_limits(column, body))


def _new_limits(column: Column, body: Body) -> dict[str, Any]:
    """The limits a PUT sets, read as a new column's are."""
    now = {name: getattr(column, member) for name, member in _CHANGEABLE.items()}
    wanted = {name: body.get(name) for name, value in now.items() if value is not None}
    reader = _READERS.get(f"{column.kind}AttributeMetadata")
    if reader is None or all(value is None for value in wanted.values()):
        return {}
    given = {name: now[name] if value is None else value for name, value in wanted.items()}
    if given.get("Precision") != now["Precision"]:
        raise NotEmulated("changing the precision of a column")
    read = reader(given, column, standard())[0]
    return {_CHANGEABLE[name]: getattr(read, _CHANGEABLE[name]) for name in given if name != "Precision"}


_CHANGEABLE = {
    "MaxLength": "max_length",
    "MinValue": "minimum",
    "MaxValue": "maximum",
    "Precision": "precision",
}


def _level(column: Column, body: Body) -> str:
    given = value_of(body, "RequiredLevel")
    return column.required if given == column.required else level_of(body)


# -- kinds ----------------------------------------------------------------------------------------------


def _string(body: Body, head: Column, _: Schema) -> Made:
    form = value_of(body, "FormatName") or body.get("Format") or "Text"
    if form not in _TEXT_FORMATS:
        raise Fault(400, "0x80040203", f"{form} is no format of a text column.")
    length = int(number_of(body, "MaxLength", 100, 1, 4000))
    return (replace(head, kind="String", max_length=length, format=form),)


def _memo(body: Body, head: Column, _: Schema) -> Made:
    length = int(number_of(body, "MaxLength", 2000, 1, 1_048_576))
    form = value_of(body, "FormatName") or body.get("Format") or "TextArea"
    return (replace(head, kind="Memo", max_length=length, format=form),)


def _integer(body: Body, head: Column, _: Schema) -> Made:
    form = body.get("Format") or "None"
    if form not in _WHOLE_FORMATS:
        raise Fault(400, "0x80040203", f"{form} is no format of a whole number.")
    return (replace(head, kind="Integer", **_limits(body, -_INT32, _INT32 - 1)),)


def _limits(body: Body, least: float, most: float, default: float | None = None) -> dict[str, Any]:
    minimum = number_of(body, "MinValue", least if default is None else default, least, most)
    maximum = number_of(body, "MaxValue", most, least, most)
    if minimum > maximum:
        raise Fault(400, "0x80040203", "MinValue is greater than MaxValue.")
    return {"minimum": float(minimum), "maximum": float(maximum)}


def _big(_: Body, head: Column, __: Schema) -> Made:
    return (replace(head, kind="BigInt"),)


def _decimal(body: Body, head: Column, _: Schema) -> Made:
    digits = int(number_of(body, "Precision", 2, 0, 10))
    return (replace(head, kind="Decimal", precision=digits, **_limits(body, -_EXACT, _EXACT)),)


def _double(body: Body, head: Column, _: Schema) -> Made:
    digits = int(number_of(body, "Precision", 2, 0, 5))
    return (replace(head, kind="Double", precision=digits, **_limits(body, -_EXACT, _EXACT, default=0)),)


def _money(body: Body, head: Column, _: Schema) -> Made:
    digits = int(number_of(body, "Precision", 2, 0, 4))
    source = int(number_of(body, "PrecisionSource", 2, 0, 2))
    if source == 1:
        raise NotEmulated("the organization's pricing precision (PrecisionSource 1)")
    return money(
        head.schema_name, "", precision=digits, source=source, custom=True, **_limits(body, -_MONEY, _MONEY)
    )


def _boolean(body: Body, head: Column, _: Schema) -> Made:
    options = body.get("OptionSet") or {}
    labels = tuple(
        (label_of(options.get(name) or {}, "Label") or text)
        for name, text in (("FalseOption", "No"), ("TrueOption", "Yes"))
    )
    return (flag(head.schema_name, "", bool(body.get("DefaultValue", False)), (labels[0], labels[1])),)


def _date(body: Body, head: Column, _: Schema) -> Made:
    form = body.get("Format") or "DateAndTime"
    behavior = value_of(body, "DateTimeBehavior") or "UserLocal"
    if form not in {"DateOnly", "DateAndTime"} or behavior not in {
        "UserLocal",
        "DateOnly",
        "TimeZoneIndependent",
    }:
        raise Fault(400, "0x80040203", f"{form} with {behavior} is no kind of date.")
    form = "DateOnly" if behavior == "DateOnly" else form
    return (replace(head, kind="DateTime", format=form, behavior=behavior),)


def _picklist(body: Body, head: Column, schema: Schema) -> Made:
    return (_choosing(body, replace(head, kind="Picklist"), schema),)


def _several(body: Body, head: Column, schema: Schema) -> Made:
    return (_choosing(body, replace(head, kind="MultiSelectPicklist"), schema),)


def _choosing(body: Body, head: Column, schema: Schema) -> Column:
    options, shared = options_of(body, schema)
    default = body.get("DefaultFormValue", -1)
    if default not in {None, -1} and default not in {option.value for option in options}:
        raise Fault(400, "0x80040203", f"The default value {default} is none of the options.")
    default = None if default in {None, -1} or head.kind == "MultiSelectPicklist" else int(default)
    return replace(head, options=options, global_choice=shared, default=default)


def _file(body: Body, head: Column, _: Schema) -> Made:
    return file(head.schema_name, "", int(number_of(body, "MaxSizeInKB", 32_768, 1, 10_485_760)))


def _image(body: Body, head: Column, _: Schema) -> Made:
    column, *companions = image(head.schema_name, "", int(number_of(body, "MaxSizeInKB", 10_240, 1, 30_720)))
    full, primary = bool(body.get("CanStoreFullImage")), bool(body.get("IsPrimaryImage"))
    return (replace(column, full_image=full, primary_image=primary), *companions)


_READERS: Mapping[str, Callable[[Body, Column, Schema], Made]] = {
    "StringAttributeMetadata": _string,
    "MemoAttributeMetadata": _memo,
    "IntegerAttributeMetadata": _integer,
    "BigIntAttributeMetadata": _big,
    "DecimalAttributeMetadata": _decimal,
    "DoubleAttributeMetadata": _double,
    "MoneyAttributeMetadata": _money,
    "BooleanAttributeMetadata": _boolean,
    "DateTimeAttributeMetadata": _date,
    "PicklistAttributeMetadata": _picklist,
    "MultiSelectPicklistAttributeMetadata": _several,
    "FileAttributeMetadata": _file,
    "ImageAttributeMetadata": _image,
}


def check_new(table: Table, column: Column) -> None:
    """Refuse a column whose name is taken."""
    if column.name.endswith(_TYPE):
        raise NotEmulated(f"a column whose name ends with {_TYPE}")
    if table.has(column.name):
        raise Fault(
            400,
            "0x80047013",
            f"An attribute with the specified name {column.name} already exists for entity {table.name}.",
        )


def needed_name(body: Body) -> Body:
    """The definition of a table's primary name among its columns.

    Raises ``Fault`` when there is none, several, or one that is no text.
    """
    given = body.get("Attributes")
    found = [one for one in given or () if isinstance(one, dict) and one.get("IsPrimaryName")]
    if not found:
        raise missing("PrimaryAttribute")
    if len(found) > 1:
        names = [str(one.get("SchemaName")) for one in found]
        raise Fault(
            400,
            "0x8004701e",
            f"The new {names[1]} attribute is set as the primary name attribute. The entity already has the {names[0]} "
            "attribute set as the primary name attribute. An entity can only have one primary name attribute.",
        )
    if kind_of(found[0]) != "StringAttributeMetadata":
        raise Fault(400, "0x8004700e", "Primary UI Attribute has to be of type String")
    return found[0]
