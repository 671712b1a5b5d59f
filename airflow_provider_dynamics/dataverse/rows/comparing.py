"""What a write would change: the values of a row to be sent held against the row as it is stored.

Values are compared as Dataverse stores them: empty text is null, times end at seconds, lookups are ids.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS, NUMBERS, Row

__all__ = ["TARGET", "comparable", "compared_columns", "differences", "readable", "reference_id", "restored"]

BIND = "@odata.bind"
TARGET = "Microsoft.Dynamics.CRM.lookuplogicalname"
_ID = re.compile(r"\(\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?\)$")
_FRACTION = re.compile(r"\.\d+")


def compared_columns(table: Table, names: Iterable[str]) -> dict[str, Column]:
    """Return of each name of a row to be sent the column that holds its value; names that have none are left out."""
    by_navigation = _by_navigation(table)
    found = {name: by_navigation.get(name.removesuffix(BIND)) or table.find(name) for name in names}
    return {name: column for name, column in found.items() if column is not None and column.valid_for_read}


def readable(table: Table, names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns to read so that rows of these names can be compared, the primary id among them."""
    columns = compared_columns(table, names).values()
    return tuple(dict.fromkeys([table.primary_id, *(column.name for column in columns)]))


def differences(columns: Mapping[str, Column], sent: Row, stored: Row) -> tuple[str, ...]:
    """Return the names of the values in `sent` that differ from the stored row.

    `columns` is what `compared_columns` said of the names. What cannot be compared, such as rows inside the
    row or a lookup bound by a key, counts as different.
    """
    return tuple(
        name
        for name, value in sent.items()
        if (column := columns.get(name)) is None or not _same(column, value, stored.get(column.wire_name))
    )


def comparable(column: Column, value: Any) -> bool:
    """Say whether a value to be sent can be held against a stored one: a lookup bound by a key cannot."""
    try:
        _folding(column)(value)
    except (ValueError, TypeError, InvalidOperation):
        return False
    return True


def reference_id(column: Column, row: Row) -> str | None:
    """Return the id of the row that a lookup is bound to in a row to be sent; None where it is bound by a key, or not."""
    for name in dict.fromkeys([column.name, *column.navigation.values()]):
        value = row.get(f"{name}{BIND}", row.get(name))
        if found := _ID.search(_bracketed(value)):
            return found[1].lower()
    return None


def restored(table: Table, stored: Row, names: Iterable[str], entity_set: Callable[[str], str]) -> Row:
    """Return the row that gives columns their stored values again, lookups bound.

    `names` are names of a row that was sent; `entity_set` gives the name in URLs of the table that a lookup
    pointed to. A row read without annotations does not tell where a lookup of several tables pointed to: it
    is left out.
    """
    row: Row = {}
    for column in compared_columns(table, names).values():
        value = stored.get(column.wire_name)
        if column.type not in LOOKUPS:
            row[column.name] = value
        elif value is None:
            row[next(iter(column.navigation.values()), column.name)] = None
        elif target := stored.get(f"{column.wire_name}@{TARGET}") or _only(column):
            row[f"{column.navigation.get(target, column.name)}{BIND}"] = f"/{entity_set(target)}({value})"
    return row


def _only(column: Column) -> str | None:
    return next(iter(column.navigation)) if len(column.navigation) == 1 else None


def _by_navigation(table: Table) -> dict[str, Column]:
    return {name: column for column in table.columns.values() for name in column.navigation.values()}


def _same(column: Column, sent: Any, stored: Any) -> bool:
    fold = _folding(column)
    try:
        return bool(fold(sent) == fold(stored))
    except (ValueError, TypeError, InvalidOperation):
        return False


def _folding(column: Column) -> Callable[[Any], Any]:
    if column.type in LOOKUPS or column.type == "Uniqueidentifier":
        return _id
    if column.type in NUMBERS:
        return _number
    return _FOLDS.get(column.type, _text)


def _text(value: Any) -> Any:
    return None if value == "" else value


def _id(value: Any) -> str | None:
    """Return the id in a reference or an id; raises ValueError for a reference by a key."""
    if value is None or value == "":
        return None
    found = _ID.search(_bracketed(value))
    if found is None:
        raise ValueError("not a reference by id")
    return found[1].lower()


def _bracketed(value: Any) -> str:
    return str(value) if "(" in str(value) else f"({value})"


def _number(value: Any) -> Decimal | None:
    if value is None or value == "":
        return None
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _truth(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _choices(value: Any) -> Any:
    return frozenset(str(value).replace(" ", "").split(",")) if value else None


def _moment(value: Any) -> Any:
    """Return a time without its fraction of a second, which Dataverse drops, or a date."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc).replace(microsecond=0)
    if isinstance(value, date) or not value:
        return value.isoformat() if value else None
    text = _FRACTION.sub("", str(value)).replace("Z", "+00:00").replace("z", "+00:00")
    return text if "T" not in text else _moment(datetime.fromisoformat(text))


_FOLDS: Mapping[str, Callable[[Any], Any]] = {
    "Boolean": _truth,
    "MultiSelectPicklist": _choices,
    "DateTime": _moment,
}
