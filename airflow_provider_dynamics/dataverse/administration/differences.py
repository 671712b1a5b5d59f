"""In what a definition that is there differs from one that is wanted; what the wanted one leaves open is never different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_dynamics.dataverse.administration.definitions import (
    NewChoice,
    NewColumn,
    NewKey,
    NewTable,
)
from airflow_provider_dynamics.dataverse.administration.labels import label_of

__all__ = ["of_choice", "of_column", "of_key", "of_options", "of_table", "type_of"]


def of_table(found: Mapping[str, Any], wanted: NewTable, language: int) -> Iterator[str]:
    """Yield what differs, each as a part of a sentence."""
    yield from _labels(
        found, wanted, language, {"DisplayName": "display_name", "DisplayCollectionName": "plural_name"}
    )
    pairs = {
        "ownership": ("OwnershipType", wanted.owned()),
        "its primary column": ("PrimaryNameAttribute", wanted.primary.logical_name),
        "change_tracking": ("ChangeTrackingEnabled", wanted.change_tracking),
        "notes": ("HasNotes", wanted.notes),
        "activities": ("HasActivities", wanted.activities),
    }
    for name, (wire, value) in pairs.items():
        yield from _said(name, found.get(wire), value)


def of_column(found: Mapping[str, Any], wanted: NewColumn, language: int) -> Iterator[str]:
    """Yield what differs; `found` has the members of the column's own type, too, where it is of the wanted one."""
    if type_of(found) != wanted.type:
        yield f"type is {type_of(found)!r}, not {wanted.type!r}"
        return
    yield from _labels(found, wanted, language, {"DisplayName": "display_name"})
    yield from _said("required", (found.get("RequiredLevel") or {}).get("Value"), wanted.required_level())
    for name, member in wanted.kind.members.items():
        if member.wire:
            yield from _said(name, member.read(found), getattr(wanted, name))
    if wanted.targets is not None and wanted.targets not in (found.get("Targets") or ()):
        yield f"targets is {', '.join(found.get('Targets') or ()) or 'nothing'}, not {wanted.targets}"
    if wanted.choice is not None:
        yield from _said("choice", (found.get("GlobalOptionSet") or {}).get("Name"), wanted.choice)
    elif wanted.options is not None:
        yield from of_options(found.get("OptionSet") or {}, wanted.options, language)


def of_key(found: Mapping[str, Any], wanted: NewKey) -> Iterator[str]:
    """Yield what differs: the columns, whose order counts for nothing."""
    columns = found.get("KeyAttributes") or ()
    if set(columns) != set(wanted.columns):
        yield f"columns are {', '.join(columns)}, not {', '.join(wanted.columns)}"


def of_choice(found: Mapping[str, Any], wanted: NewChoice, language: int) -> Iterator[str]:
    """Yield what differs; options beside those that are wanted do not count: somebody has added them."""
    yield from _labels(found, wanted, language, {"DisplayName": "display_name"})
    yield from of_options(found, wanted.options, language)


def of_options(found: Mapping[str, Any], wanted: Mapping[int, str], language: int) -> Iterator[str]:
    """Yield which options are not there, or called otherwise in this language."""
    listed = found.get("Options") or [found.get("FalseOption"), found.get("TrueOption")]
    there = {one["Value"]: label_of(one.get("Label"), language) for one in listed if one}
    for value, text in wanted.items():
        if value not in there:
            yield f"option {value} ({text!r}) is not there"
        elif there[value] not in {text, None}:
            yield f"option {value} is called {there[value]!r}, not {text!r}"


def type_of(found: Mapping[str, Any]) -> str:
    """Return a column's type as `Column.type` calls it."""
    kind = str(found.get("AttributeType") or "")
    if kind == "Virtual":
        return str((found.get("AttributeTypeName") or {}).get("Value") or kind).removesuffix("Type")
    return kind


def _labels(
    found: Mapping[str, Any],
    wanted: NewTable | NewColumn | NewChoice,
    language: int,
    names: Mapping[str, str],
) -> Iterator[str]:
    for wire, name in {**names, "Description": "description"}.items():
        text = getattr(wanted, name)
        if text is not None and (there := label_of(found.get(wire), language)) not in {text, None}:
            yield f"{name} is {there!r}, not {text!r}"


def _said(name: str, found: Any, wanted: Any) -> Iterator[str]:
    if wanted is not None and not _equal(found, wanted):
        yield f"{name} is {found!r}, not {wanted!r}"


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or found is None or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, (int, float, Decimal)):
        try:
            return Decimal(str(found)) == Decimal(str(wanted))
        except InvalidOperation:
            return False
    return bool(found == wanted)
