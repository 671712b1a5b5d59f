"""Alternate keys: finding rows by them, and the errors when they are wrong or taken.

https://learn.microsoft.com/power-apps/developer/data-platform/use-alternate-key-reference-record
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from airflow_provider_dynamics.emulator.literals import stored_value
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.options import odata_fault
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.store import Store


class KeyFinder:
    """Looks rows up by named key values."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def values(self, table: Table, named: Mapping[str, Any]) -> dict[str, Any]:
        """Named key values as stored ones; raises ``Fault`` when they are no key of the table."""
        columns = {}
        for name, value in named.items():
            column = table.by_wire.get(name)
            if column is None:
                raise _not_a_key(table)
            columns[column.name] = stored_value(table, column, value)
        names = set(columns)
        is_primary = names == {table.primary_id} and not table.is_principal
        if (
            not is_primary
            and all(names != set(key.columns) for key in table.keys if key.active)
            and not self._is_lookup(table, names)
        ):
            raise _not_a_key(table)
        return columns

    @staticmethod
    def _is_lookup(table: Table, names: set[str]) -> bool:
        # Microsoft shows accounts(_primarycontactid_value=…): a lookup serves as a key of its own.
        return len(names) == 1 and table.by_name[next(iter(names))].is_lookup

    def look(self, table: Table, values: Mapping[str, Any]) -> str | None:
        """The row with these stored key values, or None; two of them are a fault."""
        found = self._store.matching(table, values)
        if len(found) > 1:
            raise Fault(
                400,
                "0x8006089d",
                f"More than one record exists for the specified key values in {table.name} entity",
            )
        return found[0] if found else None

    def find(self, table: Table, named: Mapping[str, Any]) -> str:
        """The id of the row a key names; 404 0x80060891 when there is none."""
        row_id = self.look(table, self.values(table, named))
        if row_id is None:
            raise no_row_of_key(table)
        return row_id

    def duplicate(self, table: Table, error: sqlite3.IntegrityError) -> Fault:
        """The fault behind a violated unique index."""
        columns = {part.rpartition(".")[2] for part in str(error).partition(": ")[2].split(", ")}
        for key in table.keys:
            if set(key.columns) == columns:
                labels = ", ".join(table.by_name[name].label for name in key.columns)
                return Fault(
                    412,
                    "0x80060892",
                    f"A record that has the attribute values {labels} already exists. The entity key {key.label} "
                    "requires that this set of attributes contains unique values. Select unique values and try again.",
                )
        return duplicate_record()


def no_row_of_key(table: Table) -> Fault:
    """0x80060891: no row has these key values."""
    return Fault(
        404,
        "0x80060891",
        f"A record with the specified key values does not exist in {table.name} entity",
    )


def duplicate_record() -> Fault:
    """0x80040237: the primary key is taken."""
    return Fault(412, "0x80040237", "A record with matching key values already exists.")


def _not_a_key(table: Table) -> Fault:
    return odata_fault(
        f"The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.{table.name}'. Ensure that "
        "the names and number of key properties match the declared or alternate key properties for the resource "
        f"'Microsoft.Dynamics.CRM.{table.name}'."
    )
