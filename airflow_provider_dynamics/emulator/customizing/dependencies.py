"""What uses what: a component that others need cannot be deleted.

https://learn.microsoft.com/power-platform/alm/dependency-tracking-solution-components
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.current import Schema


def users_of_table(schema: Schema, table: Table) -> Iterator[str]:
    """The lookups of other tables that point to one, and its many-to-many relationships, by name."""
    for other in schema.tables.values():
        for column in other.lookups:
            if other is not table and any(target.table == table.name for target in column.targets):
                yield f"{other.name}.{column.name}"
    for one in schema.intersects:
        if table.name in one.tables:
            yield one.relationship


def refuse_in_use(schema: Schema, table: Table) -> None:
    """Refuse the deletion of a table that others point to."""
    users = list(users_of_table(schema, table))
    if users:
        raise in_use("Entity", table.metadata_id, len(users))


def refuse_column_in_use(table: Table, column: Column) -> None:
    """Refuse the deletion of a column that a key is made of, and of one that is none of its maker's."""
    if not column.custom or column.part_of or column.base_of:
        raise Fault(400, "0x80047009", f"The specified attribute is not a custom attribute: {column.name}")
    if column.name == table.primary_name:
        raise Fault(400, "0x80047002", "The Primary UI Attribute is not valid for deletion")
    users = [key for key in table.keys if column.name in key.columns]
    if users:
        raise in_use("Attribute", table.column_metadata_id(column.name), len(users))


def in_use(kind: str, object_id: str, count: int) -> Fault:
    """0x8004f01f: others need it."""
    return Fault(
        400,
        "0x8004f01f",
        f"The {kind}({object_id}) component cannot be deleted because it is referenced by {count} other components. "
        "For a list of referenced components, use the RetrieveDependenciesForDeleteRequest.",
    )
