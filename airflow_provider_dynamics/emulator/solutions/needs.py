"""What a solution needs that it does not hold, and whether an environment has it.

https://learn.microsoft.com/power-platform/alm/dependency-tracking-solution-components
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    OPTION_SET,
    RELATIONSHIP,
)
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.settings import REFERENCE_CODE
from airflow_provider_dynamics.emulator.solutions.package import Component, Missing, Package
from airflow_provider_dynamics.emulator.store import Store


def needs_of(package: Package) -> Iterator[Missing]:
    """Every component that something in a package uses and that is not in it."""
    choices = {choice.name for choice in package.choices}
    for table in package.tables:
        if table.name not in package.whole:
            yield from _of_table(table, Component(ENTITY, table.name, table.label))
        for column in table.columns:
            here = Component(ATTRIBUTE, column.name, column.label, table.name)
            if column.global_choice and column.global_choice not in choices:
                yield Missing(Component(OPTION_SET, column.global_choice), here)
            for target in column.targets:
                if target.table not in package.whole:
                    yield Missing(
                        Component(ENTITY, target.table), Component(RELATIONSHIP, target.relationship)
                    )
        yield from _of_keys(package, table)
    for pair in package.intersects:
        for name in pair.tables:
            if name not in package.whole:
                yield Missing(Component(ENTITY, name), Component(RELATIONSHIP, pair.relationship))


def _of_table(table: Table, required: Component) -> Iterator[Missing]:
    for column in table.columns[:1]:
        yield Missing(required, Component(ATTRIBUTE, column.name, column.label, table.name))
    for key in table.keys[:1]:
        yield Missing(required, Component(KEY, key.name, key.label, table.name))


def _of_keys(package: Package, table: Table) -> Iterator[Missing]:
    known = {column.name for column in table.columns}
    for key in table.keys:
        for name in key.columns:
            if name not in known and table.name not in package.whole:
                yield Missing(
                    Component(ATTRIBUTE, name, name, table.name),
                    Component(KEY, key.name, key.label, table.name),
                )


def has(schema: Schema, store: Store, one: Component) -> bool:
    """Whether an environment has a component."""
    name = one.name.lower()
    if one.kind == ENTITY:
        return name in schema.tables
    if one.kind == OPTION_SET:
        return name in schema.choices
    if one.kind in {ATTRIBUTE, KEY}:
        table = schema.tables.get((one.parent or "").lower())
        found = (
            {}
            if table is None
            else {column.name for column in table.columns} | {key.name for key in table.keys}
        )
        return name in found
    if one.kind == RELATIONSHIP:
        return name in set(_relationships(schema))
    tables = {380: ("environmentvariabledefinition", "schemaname")}
    tables[REFERENCE_CODE] = ("connectionreference", "connectionreferencelogicalname")
    table_name, column = tables.get(one.kind, ("", ""))
    known = TABLES.get(table_name)
    return known is not None and bool(store.matching(known, {column: one.name}))


def _relationships(schema: Schema) -> Iterator[str]:
    for pair in schema.intersects:
        yield pair.relationship.lower()
    for table in schema.tables.values():
        for column in table.lookups:
            for target in column.targets:
                yield target.relationship.lower()


def missing_from(package: Package, schema: Schema, store: Store) -> tuple[Missing, ...]:
    """What an environment lacks for a package: what its file lists, and what its contents use."""
    found: dict[tuple[int, str, str | None], Missing] = {}
    for one in (*package.missing, *needs_of(package)):
        required = one.required
        if not has(schema, store, required) and not _holds(package, required):
            found.setdefault((required.kind, required.name.lower(), required.parent), one)
    return tuple(found.values())


def _holds(package: Package, one: Component) -> bool:
    name = one.name.lower()
    if one.kind == ENTITY:
        return name in package.whole
    if one.kind == OPTION_SET:
        return any(choice.name == name for choice in package.choices)
    table = package.table((one.parent or "").lower())
    return table is not None and any(column.name == name for column in table.columns)
