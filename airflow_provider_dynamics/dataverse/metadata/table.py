"""A table as it is known: its columns and keys, how a row of it is named, and what a mistyped name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.protocol import odata

__all__ = ["Key", "Table", "did_you_mean"]


@dataclass(frozen=True, slots=True)
class Key:
    """An alternate key; only one whose `status` is "Active" can be used."""

    name: str
    columns: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its logical name, with all columns the Web API knows."""

    logical_name: str
    entity_set: str
    primary_id: str
    primary_name: str | None
    columns: Mapping[str, Column] = field(repr=False)
    keys: tuple[Key, ...] = ()
    change_tracking: bool = False
    elastic: bool = False

    def find(self, name: str) -> Column | None:
        """Return the column by its logical or its wire name, None where there is none."""
        found = self.columns.get(name)
        if found is None and name.startswith("_") and name.endswith("_value"):
            found = self.columns.get(name[1:-6])
        return found

    def column(self, name: str) -> Column:
        """Return the column by its logical or its wire name; raises UnknownColumn naming the nearest."""
        found = self.find(name)
        if found is None:
            raise self._unknown(name)
        return found

    def wire_names(self, select: Iterable[str]) -> list[str]:
        """Return the names to select columns by, each once; raises UnknownColumn."""
        return list(dict.fromkeys(self.column(name).wire_name for name in select))

    def key(self, columns: Iterable[str]) -> Key:
        """Return the usable alternate key of exactly these columns; raises UnknownKey."""
        wanted = frozenset(columns)
        for key in self.keys:
            if frozenset(key.columns) == wanted:
                if key.status != "Active":
                    raise errors.UnknownKey(
                        f"The alternate key {key.name} of {self.logical_name} is not ready: its index is {key.status}",
                        remedy="Wait until its status is Active, or reactivate it if it failed.",
                    )
                return key
        known = "; ".join(",".join(key.columns) for key in self.keys) or "none"
        raise errors.UnknownKey(
            f"{self.logical_name} has no alternate key on {', '.join(sorted(wanted)) or 'no columns'}",
            remedy=f"Its alternate keys: {known}.",
        )

    def predicate(self, row: str | Any, *, in_path: bool = True) -> str:
        """Return the part of a URL that names one row, by id or by a dict of an alternate key's columns.

        Raises BadRequest for a value that cannot be a key, UnknownKey for columns that are not one.
        """
        if not isinstance(row, Mapping):
            return f"({odata.guid(row)})"
        named = {self.column(name).name: value for name, value in row.items()}
        if set(named) == {self.primary_id}:
            return f"({odata.guid(named[self.primary_id])})"
        columns = [self.columns[name] for name in self.key(named).columns]
        parts = [(column.wire_name, column.type, named[column.name]) for column in columns]
        return odata.key_predicate(parts, in_path=in_path)

    def nearest(self, name: str, links: Iterable[str] = ()) -> str:
        """Return the advice for a mistyped column, or one of its `links`; "" where none is near."""
        label_of = next((name[: -len(end)] for end in ("yominame", "name") if name.endswith(end)), "")
        if label_of in self.columns:
            return (
                f"It is the label of {label_of!r}: select that, and set labels to get it as a column beside it "
                f"(in rows it is '{self.columns[label_of].wire_name}@OData.Community.Display.V1.FormattedValue')."
            )
        return did_you_mean(name, [*self.columns, *links])

    def _unknown(self, name: str) -> errors.UnknownColumn:
        remedy = self.nearest(name) or "Use the column's logical name."
        return errors.UnknownColumn(f"The table {self.logical_name} has no column {name!r}", remedy=remedy)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question for a mistyped name, "" where none of the known ones is near."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return f"Did you mean {by_lower[near[0]]!r}?" if near else ""
