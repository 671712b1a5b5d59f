"""Columns as the attributes of customizations.xml.

https://learn.microsoft.com/power-platform/alm/solution-layers-alm (what a solution's file holds) and the schemas at
https://learn.microsoft.com/power-apps/developer/data-platform/customization-solutions-file-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element

from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.schema import Column, Option
from airflow_provider_dynamics.emulator.schema.columns import file, flag, image, money
from airflow_provider_dynamics.emulator.schema.model import OPTION_KINDS
from airflow_provider_dynamics.emulator.solutions.xml import (
    add,
    label,
    labels,
    named,
    need,
    number,
    text,
    whole,
)

_TYPES: Mapping[str, str] = {
    "String": "nvarchar",
    "Memo": "ntext",
    "Integer": "int",
    "BigInt": "bigint",
    "Decimal": "decimal",
    "Double": "float",
    "Money": "money",
    "Boolean": "bit",
    "DateTime": "datetime",
    "Picklist": "picklist",
    "MultiSelectPicklist": "multiselectpicklist",
    "Lookup": "lookup",
    "Customer": "customer",
    "File": "file",
    "Image": "image",
    "State": "state",
    "Status": "status",
}
_KINDS = {name: kind for kind, name in _TYPES.items()}
_LEVELS = {
    "None": "none",
    "Recommended": "recommended",
    "ApplicationRequired": "required",
    "SystemRequired": "systemrequired",
}
_REQUIRED = {name: level for level, name in _LEVELS.items()}
_BEHAVIORS = {"UserLocal": "1", "DateOnly": "2", "TimeZoneIndependent": "3"}
_NUMBERS = {"MinValue": "minimum", "MaxValue": "maximum"}
_WHOLE = {
    "MaxLength": "max_length",
    "Accuracy": "precision",
    "AccuracySource": "precision_source",
    "MaxSizeInKB": "max_kilobytes",
}


def add_attribute(parent: Element, table: str, column: Column, *, primary: bool) -> None:
    """One column below ``attributes``."""
    one = add(parent, "attribute", PhysicalName=column.schema_name)
    add(one, "Type", _TYPES[column.kind])
    add(one, "Name", column.name)
    add(one, "LogicalName", column.name)
    add(one, "RequiredLevel", _LEVELS[column.required])
    add(one, "DisplayMask", "PrimaryName|ValidForAdvancedFind" if primary else "ValidForAdvancedFind")
    add(one, "IsCustomField", "1")
    for name, member in {**_WHOLE, **_NUMBERS}.items():
        value = getattr(column, member)
        if value is not None:
            add(one, name, value)
    if column.format:
        add(one, "Format", column.format.lower() if column.kind != "String" else column.format)
    if column.behavior:
        add(one, "Behavior", _BEHAVIORS[column.behavior])
    if column.default is not None:
        add(
            one,
            "AppDefaultValue",
            int(column.default) if isinstance(column.default, (bool, int)) else column.default,
        )
    _add_options(one, table, column)
    if column.kind == "Image":
        add(one, "CanStoreFullImage", int(column.full_image))
        add(one, "IsPrimaryImage", int(column.primary_image))
    labels(one, "displaynames", "displayname", column.label)
    labels(one, "Descriptions", "Description", column.description)


def _add_options(parent: Element, table: str, column: Column) -> None:
    if column.global_choice:
        add(parent, "OptionSetName", column.global_choice)
    elif column.kind == "Boolean":
        options = tuple(Option(value, name) for value, name in enumerate(column.labels))
        add_option_set(parent, f"{table}_{column.name}", "bit", options)
    elif column.kind in OPTION_KINDS:
        add_option_set(parent, f"{table}_{column.name}", _TYPES[column.kind], column.options)


def add_option_set(
    parent: Element, name: str, kind: str, options: tuple[Option, ...], heading: str | None = None
) -> Element:
    """A choice, local or global."""
    one = add(parent, "optionset", Name=name, localizedName=heading)
    add(one, "OptionSetType", kind)
    add(one, "IsGlobal", "1" if heading else "0")
    holder = add(one, "options")
    for option in options:
        state = None if option.state is None else str(option.state)
        entry = add(holder, "option", value=str(option.value), state=state)
        labels(entry, "labels", "label", option.label)
    return one


def read_attribute(element: Element, choices: Mapping[str, tuple[Option, ...]]) -> tuple[Column, ...]:
    """A column and its companions; ``choices`` are the options of global ones by name."""
    kind = need(element, "Type")
    if kind not in _KINDS:
        raise NotEmulated(f"solutions with columns of the type {kind}")
    schema_name = named(element.get("PhysicalName") or need(element, "LogicalName"))
    column, *companions = _of_kind(_KINDS[kind], schema_name, element)
    column = replace(
        column,
        label=label(element, "displaynames/displayname") or schema_name,
        description=label(element, "Descriptions/Description"),
        required=_REQUIRED.get(text(element, "RequiredLevel", "none") or "none", "None"),
        custom=True,
        **_options(element, choices),
    )
    return (column, *(replace(one, custom=True) for one in companions))


def _of_kind(kind: str, schema_name: str, element: Element) -> tuple[Column, ...]:
    found: dict[str, Any] = {
        member: whole(value) for name, member in _WHOLE.items() if (value := text(element, name)) is not None
    }
    found |= {
        member: number(value)
        for name, member in _NUMBERS.items()
        if (value := text(element, name)) is not None
    }
    if kind == "Money":
        source = found.pop("precision_source", 2)
        return money(schema_name, "", precision=found.pop("precision", 2), source=source, **found)
    if kind == "File":
        return file(schema_name, "", found.get("max_kilobytes", 32_768))
    if kind == "Image":
        one, *rest = image(schema_name, "", found.get("max_kilobytes", 10_240))
        full, primary = (text(element, name) == "1" for name in ("CanStoreFullImage", "IsPrimaryImage"))
        return (replace(one, full_image=full, primary_image=primary), *rest)
    if kind == "Boolean":
        return (flag(schema_name, "", text(element, "AppDefaultValue") == "1"),)
    behavior = {number: name for name, number in _BEHAVIORS.items()}.get(text(element, "Behavior") or "")
    form = _FORMATS.get(text(element, "Format") or "", text(element, "Format"))
    given = text(element, "AppDefaultValue")
    default = whole(given) if given is not None and kind in OPTION_KINDS else None
    return (
        Column(
            schema_name.lower(),
            schema_name,
            kind,
            "",
            behavior=behavior,
            format=form,
            default=default,
            **found,
        ),
    )


_FORMATS = {"dateonly": "DateOnly", "dateandtime": "DateAndTime", "textarea": "TextArea", "none": "None"}


def _options(element: Element, choices: Mapping[str, tuple[Option, ...]]) -> dict[str, Any]:
    shared = text(element, "OptionSetName")
    if shared is not None:
        return {"global_choice": shared.lower(), "options": choices.get(shared.lower(), ())}
    own = element.find("optionset")
    if own is None:
        return {}
    options = read_options(own)
    if need(element, "Type") == "bit":
        by_value = {option.value: option.label for option in options}
        return {"labels": (by_value.get(0, "No"), by_value.get(1, "Yes"))}
    return {"options": options}


def read_options(element: Element) -> tuple[Option, ...]:
    """The options of a choice."""
    return tuple(
        Option(
            whole(one.get("value")),
            label(one, "labels/label") or "",
            whole(state) if (state := one.get("state")) else None,
        )
        for one in element.findall("options/option")
    )
