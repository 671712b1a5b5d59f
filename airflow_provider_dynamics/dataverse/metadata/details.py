"""What columns of one type have and others do not: limits, precision, targets, options.

Metadata gives them only to who asks for the columns of that type, so they cost a request a type.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column, Option
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS

__all__ = ["CURRENCIES", "FOR_WRITING", "Detail", "detail_of", "money_places", "with_details"]

Get: TypeAlias = "Callable[[str], Any]"
"""Sends a GET and returns the answer's JSON."""

_AT_ONCE = 8  # requests for single column types: they wait for each other's way there and back else
CURRENCIES = 2
"""The precision source of most money."""
_MONEY_PLACES = {
    1: ("organizations", "pricingdecimalprecision"),
    CURRENCIES: ("transactioncurrencies", "currencyprecision"),
}
_MOST_MONEY_PLACES = 4  # that storage keeps


@dataclass(frozen=True, slots=True)
class Detail:
    """The type to cast columns to, and what to ask for of them."""

    cast: str
    members: str
    expand: str = ""

    def target(self, table: str) -> str:
        """Return the request's target for a table's columns of this type."""
        path = f"EntityDefinitions(LogicalName='{table}')/Attributes/Microsoft.Dynamics.CRM.{self.cast}"
        more = f"&$expand={self.expand}" if self.expand else ""
        members = f",{self.members}" if self.members else ""
        return f"{path}?$select=LogicalName{members}{more}"


def _options(cast: str, members: str = "Options") -> Detail:
    # a column has options of its own or shares those of a global choice
    return Detail(cast, "", f"OptionSet($select={members}),GlobalOptionSet($select={members})")


ALWAYS: Mapping[str, Detail] = {
    "String": Detail("StringAttributeMetadata", "MaxLength"),
    "Memo": Detail("MemoAttributeMetadata", "MaxLength"),
    "Decimal": Detail("DecimalAttributeMetadata", "Precision,MinValue,MaxValue"),
    "Money": Detail("MoneyAttributeMetadata", "Precision,PrecisionSource,MinValue,MaxValue"),
    "Double": Detail("DoubleAttributeMetadata", "Precision,MinValue,MaxValue"),
    "DateTime": Detail("DateTimeAttributeMetadata", "DateTimeBehavior"),
    "Lookup": Detail("LookupAttributeMetadata", "Targets"),
}
"""By column type, what belongs to a table whenever it is read whole."""
FOR_WRITING: Mapping[str, Detail] = {
    "Integer": Detail("IntegerAttributeMetadata", "MinValue,MaxValue"),
    "Boolean": _options("BooleanAttributeMetadata", "TrueOption,FalseOption"),
    "MultiSelectPicklist": _options("MultiSelectPicklistAttributeMetadata"),
    "Picklist": _options("PicklistAttributeMetadata"),
    "State": _options("StateAttributeMetadata"),
    "Status": _options("StatusAttributeMetadata"),
}
"""By column type, what only values on their way in are checked by."""


def detail_of(kind: str) -> Detail | None:
    """Return what is asked for of each column of a type whenever its table is read whole; None for nothing."""
    return ALWAYS.get("Lookup" if kind in LOOKUPS else kind)


def with_details(
    get: Get, table: str, columns: Mapping[str, Column], details: Iterable[Detail]
) -> dict[str, Column]:
    """Return a table's columns with what only some types have, each type asked for once, some at a time."""
    found = dict(columns)
    targets = [detail.target(table) for detail in sorted(set(details), key=lambda detail: detail.cast)]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dynamics-metadata") as pool:
        answers = list(pool.map(get, targets))
    for answer in answers:
        for one in answer["value"]:
            if column := found.get(one["LogicalName"]):
                found[column.name] = _detailed(column, one)
    return found


def money_places(get: Get, source: int) -> int | None:
    """Return the decimal places of money whose column leaves them to the organization or a currency; None: it does not.

    Of several currencies the most places count.
    https://learn.microsoft.com/dotnet/api/microsoft.xrm.sdk.metadata.moneyattributemetadata.precisionsource
    """
    if source not in _MONEY_PLACES:
        return None
    rows, name = _MONEY_PLACES[source]
    try:
        listed = get(f"{rows}?$select={name}")["value"]
    except (errors.Forbidden, errors.NotFound):  # not allowed to look
        listed = []
    known = [row[name] for row in listed if row.get(name) is not None]
    return min(max(known, default=_MOST_MONEY_PLACES), _MOST_MONEY_PLACES)


def _detailed(column: Column, found: Mapping[str, Any]) -> Column:
    """Return the column with the members that an answer has of it."""
    changes = {name: read(found[member]) for member, (name, read) in _MEMBERS.items() if member in found}
    if "OptionSet" in found or "GlobalOptionSet" in found:
        changes["options"] = tuple(
            _found_options(found.get("OptionSet") or found.get("GlobalOptionSet") or {})
        )
    return replace(column, **changes)


def _number(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None


def _as_it_is(value: Any) -> Any:
    return value


_MEMBERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "MaxLength": ("max_length", _as_it_is),
    "Precision": ("precision", _as_it_is),
    "PrecisionSource": ("precision_source", _as_it_is),
    "MinValue": ("minimum", _number),
    "MaxValue": ("maximum", _number),
    "DateTimeBehavior": ("date_behavior", lambda value: (value or {}).get("Value")),
    "Targets": ("targets", lambda value: tuple(value or ())),
}


def _found_options(found: Mapping[str, Any]) -> Iterable[Option]:
    listed = found.get("Options") or [found.get("FalseOption"), found.get("TrueOption")]
    for option in listed:
        if option:
            yield Option(option["Value"], tuple(_labels(option.get("Label") or {})))


def _labels(label: Mapping[str, Any]) -> Iterable[str]:
    """Return a label's texts, each once, the one in the user's language first."""
    texts = [label.get("UserLocalizedLabel"), *(label.get("LocalizedLabels") or ())]
    return dict.fromkeys(text["Label"] for text in texts if text and text.get("Label"))
