"""The body of a create or update into stored values: columns, ``@odata.bind`` and nested rows.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dynamics.emulator.address import reference
from airflow_provider_dynamics.emulator.literals import payload_fault, stored_value, unknown_property
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.schema import (
    BY_SET,
    TABLES,
    Column,
    Navigation,
    Table,
    navigation_of,
)

Find = Callable[[Table, str], str]


@dataclass
class Body:
    """What a body asks for: values by storage column, rows to make first, rows to make or to join afterwards."""

    values: dict[str, Any]
    before: list[tuple[Navigation, dict[str, Any]]] = field(default_factory=list)
    after: list[tuple[Navigation, list[dict[str, Any]]]] = field(default_factory=list)
    links: list[tuple[Navigation, list[Any]]] = field(default_factory=list)


class BodyReader:
    """Reads bodies. ``find`` turns a table and the text in a key's brackets into the id of an existing row."""

    def __init__(self, find: Find) -> None:
        self._find = find

    def read(self, table: Table, body: Mapping[str, Any], *, creating: bool) -> Body:
        """Values and nested rows; raises ``Fault`` on anything that does not fit the table.

        Columns that may not be set are left out without a word, as the service does.
        """
        found = Body({})
        for name, value in body.items():
            column = table.by_name.get(name)
            if column is not None and not column.is_lookup:
                self._column(table, column, value, found, creating=creating)
            elif "@" in name:
                self._annotation(table, name, value, found, creating=creating)
            else:
                self._navigation(table, name, value, found, creating=creating)
        return found

    def _column(self, table: Table, column: Column, value: Any, found: Body, *, creating: bool) -> None:
        stored = stored_value(table, column, value)
        if column.create if creating else column.update:
            found.values[column.name] = stored

    def _annotation(self, table: Table, name: str, value: Any, found: Body, *, creating: bool) -> None:
        member, _, annotation = name.partition("@")
        if annotation != "odata.bind" or not member:
            return
        navigation = table.navigations.get(member)
        if navigation is None:
            collection = navigation_of(table, member)
            if collection is not None:
                if not creating:
                    raise NotEmulated(f"{name}: binding rows to a collection of a row that is there")
                if not isinstance(value, list):
                    raise payload_fault(table, f"The value of '{name}' must be a collection of references.")
                found.links.append((collection, value))
                return
            raise payload_fault(
                table,
                f"An undeclared property '{member}' which only has property annotations in the payload but no "
                "property value was found in the payload. In OData, only declared navigation properties and "
                "declared named streams can be represented as properties without values.",
            )
        self.bind(table, navigation, value, found.values)

    def linked(self, table: Table, navigation: Navigation, link: Any) -> str:
        """The id of the row that a link in a collection names."""
        segment = reference(link) if isinstance(link, str) else None
        other = TABLES[navigation.table or ""]
        if segment is None or BY_SET.get(segment.name) is not other:
            raise payload_fault(table, f"'{str(link)[:100]}' is no row that '{navigation.name}' may hold.")
        return self._find(other, segment.inside or "")

    def bind(self, table: Table, navigation: Navigation, link: Any, values: dict[str, Any]) -> None:
        """Point a lookup at the row a link names; None clears it."""
        column = navigation.column
        if link is None:
            point(values, column, None, None)
            return
        if not isinstance(link, str):
            raise payload_fault(table, f"The value of '{navigation.name}@odata.bind' is no reference.")
        segment = reference(link)
        target = BY_SET.get(segment.name)
        allowed = {item.table for item in column.targets if item.navigation == navigation.name}
        if target is None or target.name not in allowed:
            raise payload_fault(
                table, f"'{segment.name}' is no entity set that '{navigation.name}' may refer to."
            )
        point(values, column, target, self._find(target, segment.inside or ""))

    def _navigation(self, table: Table, name: str, value: Any, found: Body, *, creating: bool) -> None:
        column = table.by_wire.get(name)
        if column is not None:
            raise Fault(
                400,
                "0x80048d19",
                "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead.",
            )
        navigation = table.navigations.get(name)
        if navigation is not None:
            self._single(table, navigation, value, found, creating=creating)
            return
        collection = navigation_of(table, name)
        if collection is None:
            raise unknown_property(table, name)
        if not creating or not isinstance(value, list):
            raise NotEmulated(f"writing the collection {name} of an existing row")
        if not all(isinstance(one, dict) for one in value):
            raise payload_fault(
                table, f"The rows of '{name}' must be objects: a 'StartObject' node was expected."
            )
        found.after.append((collection, value))

    def _single(
        self, table: Table, navigation: Navigation, value: Any, found: Body, *, creating: bool
    ) -> None:
        if value is None:
            point(found.values, navigation.column, None, None)
        elif not isinstance(value, dict):
            raise payload_fault(
                table,
                "An unexpected 'PrimitiveValue' node was found when reading from the JSON reader. "
                "A 'StartObject' node was expected.",
            )
        elif not creating or navigation.table is None:
            raise NotEmulated(f"a nested row under {navigation.name}")
        else:
            found.before.append((navigation, value))


def point(values: dict[str, Any], column: Column, target: Table | None, row_id: str | None) -> None:
    """Set a lookup in stored values, with the table it points to where several are possible."""
    values[column.name] = row_id
    if column.is_polymorphic:
        values[column.type_column] = target.name if target else None


def target_of(navigation: Navigation) -> Table:
    """The table a single-valued navigation property with one target leads to."""
    return TABLES[navigation.table or ""]
