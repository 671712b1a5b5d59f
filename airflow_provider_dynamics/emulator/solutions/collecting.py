"""A solution of the environment as a package: what is published of its components, and what they need beside.

https://learn.microsoft.com/power-platform/alm/solution-async
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    OPTION_SET,
    RELATIONSHIP,
    Workshop,
)
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.schema import TABLES, Intersect, Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import Choice, stable_id
from airflow_provider_dynamics.emulator.schema.settings import REFERENCE_CODE
from airflow_provider_dynamics.emulator.solutions.needs import needs_of
from airflow_provider_dynamics.emulator.solutions.package import (
    Component,
    Missing,
    Package,
    Publisher,
    Reference,
    Variable,
)
from airflow_provider_dynamics.emulator.solutions.registry import Member, Registry

_VARIABLE, _VALUE = 380, 381
_PUBLISHER, _REFERENCE = TABLES["publisher"], TABLES["connectionreference"]
_DEFINITION, _ROW = TABLES["environmentvariabledefinition"], TABLES["environmentvariablevalue"]


class Collecting:
    """Puts packages together."""

    def __init__(self, workshop: Workshop, registry: Registry) -> None:
        self._workshop = workshop
        self._registry = registry
        self._store = workshop.rooms.store

    def package(self, solution: dict[str, Any], *, managed: bool) -> Package:
        """A solution with all that belongs to it now."""
        members = self._registry.members(solution["solutionid"])
        parts = _Parts(self._workshop.published, members)
        found = Package(
            name=solution["uniquename"],
            label=solution["friendlyname"],
            version=solution["version"],
            managed=managed,
            publisher=self._publisher(solution["publisherid"]),
            description=solution["description"],
            tables=tuple(parts.tables.values()),
            whole=frozenset(parts.whole),
            intersects=tuple(parts.intersects),
            choices=tuple(parts.choices),
            variables=tuple(self._variables(members)),
            references=tuple(self._references(members)),
        )
        return replace(found, missing=tuple(self._missing(found)))

    def _publisher(self, row_id: str) -> Publisher:
        row = self._store.row(_PUBLISHER, row_id) or {}
        return Publisher(
            row["uniquename"],
            row["friendlyname"],
            row["customizationprefix"],
            row["customizationoptionvalueprefix"] or 10_000,
        )

    def _missing(self, package: Package) -> Iterator[Missing]:
        """What is needed of others: what the platform brings is everywhere."""
        schema = self._workshop.published
        for one in needs_of(package):
            named = _known(schema, one.required)
            if named is None:
                continue
            component, kind_id = named
            managed = self._registry.managing(*kind_id)
            solution = f"{managed[0]['uniquename']} ({managed[0]['version']})" if managed else "Active"
            yield replace(one, required=component, solution=solution)

    def _variables(self, members: Sequence[Member]) -> Iterator[Variable]:
        values = {member.object_id for member in members if member.kind == _VALUE}
        for member in members:
            row = self._store.row(_DEFINITION, member.object_id) if member.kind == _VARIABLE else None
            if row is None:
                continue
            ids = self._store.matching_all(_ROW, {"environmentvariabledefinitionid": member.object_id})
            kept = [self._store.row(_ROW, one) or {} for one in ids if one in values]
            yield Variable(
                row["schemaname"],
                row["displayname"] or row["schemaname"],
                row["type"],
                row["defaultvalue"],
                row["description"],
                kept[0]["value"] if kept else None,
                row["secretstore"] or 0,
                bool(row["isrequired"]),
            )

    def _references(self, members: Sequence[Member]) -> Iterator[Reference]:
        for member in members:
            row = self._store.row(_REFERENCE, member.object_id) if member.kind == REFERENCE_CODE else None
            if row is not None:
                name = row["connectionreferencelogicalname"]
                label = row["connectionreferencedisplayname"] or name
                yield Reference(name, label, row["connectorid"], row["description"])


class _Parts:
    """The metadata of a solution, sorted by table."""

    def __init__(self, schema: Schema, members: Sequence[Member]) -> None:
        self._schema = schema
        self.tables: dict[str, Table] = {}
        self.whole: set[str] = set()
        self.intersects: list[Intersect] = []
        self.choices: list[Choice] = []
        wanted = {(member.kind, member.object_id): member for member in members}
        tables = list(schema.tables.values())
        for table in tables:
            root = wanted.get((ENTITY, table.metadata_id))
            self._take(table, wanted, whole=root is not None and root.whole, root=root is not None)
        for one in schema.intersects:
            if (RELATIONSHIP, stable_id("relationship", one.name)) in wanted:
                self.intersects.append(one)
        self.choices += [one for one in schema.choices.values() if (OPTION_SET, one.metadata_id) in wanted]

    def _take(self, table: Table, wanted: dict[tuple[int, str], Member], *, whole: bool, root: bool) -> None:
        columns = tuple(
            column
            for column in table.columns
            if column.custom and (whole or (ATTRIBUTE, table.column_metadata_id(column.name)) in wanted)
        )
        keys = tuple(
            key
            for key in table.keys
            if (whole and table.custom) or (KEY, stable_id("key", table.name, key.name)) in wanted
        )
        if not (columns or keys or root):
            return
        self.tables[table.name] = replace(table, columns=columns, keys=keys)
        if whole and table.custom:
            self.whole.add(table.name)


def _known(schema: Schema, required: Component) -> tuple[Component, tuple[int, str]] | None:
    """A custom component with its names and its id; None for what comes with the platform."""
    if required.kind == ENTITY:
        table = schema.tables[required.name]
        component = replace(required, label=table.label, object_id=table.metadata_id)
        return (component, (ENTITY, table.metadata_id)) if table.custom else None
    if required.kind == OPTION_SET:
        choice = schema.choices[required.name]
        return replace(required, label=choice.label), (OPTION_SET, choice.metadata_id)
    if required.kind == ATTRIBUTE:
        table = schema.tables[required.parent or ""]
        column = table.by_name[required.name]
        one = replace(required, label=column.label)
        return (one, (ATTRIBUTE, table.column_metadata_id(column.name))) if column.custom else None
    raise NotEmulated(f"dependencies on components of the type {required.kind}")
