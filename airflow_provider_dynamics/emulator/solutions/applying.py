"""An environment made like a package: what is new is added, what is there is changed as layers allow, rows follow.

https://learn.microsoft.com/power-platform/alm/solution-layers-alm and
https://learn.microsoft.com/power-platform/alm/how-managed-solutions-merged
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.keys import Keys
from airflow_provider_dynamics.emulator.customizing.tables import Tables, completed, with_columns
from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    OPTION_SET,
    RELATIONSHIP,
    Workshop,
    with_choice,
)
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Column, Option, Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import OPTION_KINDS, stable_id
from airflow_provider_dynamics.emulator.solutions.package import Package
from airflow_provider_dynamics.emulator.solutions.registry import Member, Registry

_NAMES = {
    ENTITY: "Entity",
    ATTRIBUTE: "Attribute",
    OPTION_SET: "OptionSet",
    RELATIONSHIP: "EntityRelationship",
}


@dataclass(frozen=True)
class Part:
    """One component of a package and how it is called in the log."""

    member: Member
    name: str
    label: str


def parts_of(package: Package) -> Iterator[Part]:
    """Every component of the metadata in a package."""
    for table in package.tables:
        if table.name in package.whole:
            yield Part(Member(ENTITY, table.metadata_id), table.name, table.label)
        for column in table.columns:
            if not column.part_of and not column.base_of:
                member = Member(ATTRIBUTE, table.column_metadata_id(column.name))
                yield Part(member, f"{table.name}.{column.name}", column.label)
            for target in column.targets:
                ids = stable_id("relationship", table.name, column.name, target.relationship, target.table)
                yield Part(Member(RELATIONSHIP, ids), target.relationship, target.relationship)
        for key in table.keys:
            yield Part(
                Member(KEY, stable_id("key", table.name, key.name)), f"{table.name}.{key.name}", key.label
            )
    for pair in package.intersects:
        yield Part(
            Member(RELATIONSHIP, stable_id("relationship", pair.name)), pair.relationship, pair.relationship
        )
    for choice in package.choices:
        yield Part(Member(OPTION_SET, choice.metadata_id), choice.name, choice.label)


class Applying:
    """Brings the metadata of packages into the environment."""

    def __init__(self, workshop: Workshop, registry: Registry) -> None:
        self._workshop = workshop
        self._registry = registry
        self._tables = Tables(workshop)
        self._keys = Keys(workshop)

    def refuse_unmanaged_base(self, package: Package) -> None:
        """Refuse a managed solution that brings what was made here without one."""
        if not package.managed:
            return
        for part in parts_of(package):
            kind, object_id = part.member.kind, part.member.object_id
            if not self._exists(package, part) or self._registry.managing(kind, object_id):
                continue
            raise Fault(
                400,
                "0x8004f016",
                f"A managed solution cannot overwrite the {_NAMES.get(kind, 'EntityKey')} component {part.name} with "
                f"Id={object_id} which has an unmanaged base instance. The most likely scenario for this error is that "
                "an unmanaged solution has installed a new unmanaged component on the target system, and now a managed "
                "solution from the same publisher is trying to install that same component as managed. This will "
                "cause an invalid layering of solutions on the target system and is not allowed.",
            )

    def _exists(self, package: Package, part: Part) -> bool:
        schema, kind = self._workshop.working, part.member.kind
        table, _, name = part.name.partition(".")
        known = schema.tables.get(table)
        if kind == ENTITY:
            return known is not None
        if kind == OPTION_SET:
            return part.name in schema.choices
        if kind == ATTRIBUTE:
            return known is not None and known.has(name)
        if kind == KEY:
            return known is not None and any(key.name == name for key in known.keys)
        return part.name in {one.relationship for one in schema.intersects}

    def apply(self, call: Call, package: Package, *, overwrite: bool) -> None:
        """Add what is new at once, and change what is there: at once by a managed solution, else when published."""
        keep = frozenset() if overwrite or not package.managed else self._changed_here(package)
        new = [table for table in package.tables if table.name not in self._workshop.working.tables]
        self._workshop.change(lambda schema: _added(schema, package))
        for table in new:
            self._tables.serve(table)
        self._workshop.change(lambda schema: _changed(schema, package, keep), at_once=package.managed)
        for table in package.tables:
            known = {key.name for key in self._workshop.working.tables[table.name].keys}
            for key in table.keys:
                if key.name not in known:
                    self._keys.index(call, table, replace(key, job_id=None))

    def _changed_here(self, package: Package) -> frozenset[str]:
        """The components of a package that were changed here without a managed solution: their layer is on top."""
        return frozenset(
            part.name
            for part in parts_of(package)
            if self._registry.is_changed(part.member.kind, part.member.object_id)
        )


def _added(schema: Schema, package: Package) -> Schema:
    """The schema with what a package has and it has not."""
    missing = {one.name: one for one in package.choices if one.name not in schema.choices}
    schema = schema.with_choices({**schema.choices, **missing})
    for table in package.tables:
        schema = schema.with_tables(_table(schema, table))
    known = {one.name for one in schema.intersects}
    pairs = [one for one in package.intersects if one.name not in known]
    return schema.with_intersects((*schema.intersects, *pairs)) if pairs else schema


def _table(schema: Schema, wanted: Table) -> Table:
    found = schema.tables.get(wanted.name)
    columns = wanted.columns
    if found is None:
        primary = next((one for one in columns if one.name == wanted.primary_name), None)
        if primary is None:
            raise Fault(400, "0x80044355", f"Primary name attribute not found for Entity: {wanted.name}")
        found = completed(replace(wanted, columns=(), keys=()), (primary,), schema)
    for column in (one for one in columns if not one.part_of and not one.base_of):
        if not found.has(column.name):
            companions = (one for one in columns if column.name in {one.part_of, one.base_of})
            found = with_columns(found, (_resolved(schema, column), *companions))
        elif found.by_name[column.name].kind != column.kind:
            raise Fault(
                400,
                "0x8004801e",
                f"The import failed: the attribute {column.name} of {wanted.name} is of the type "
                f"{found.by_name[column.name].kind} here, and of the type {column.kind} in the solution.",
            )
    return found


def _resolved(schema: Schema, column: Column) -> Column:
    """A column with the options of its global choice."""
    if column.global_choice:
        return replace(column, options=schema.choices[column.global_choice].options)
    return column


def _changed(schema: Schema, package: Package, keep: frozenset[str]) -> Schema:
    """The schema with the labels, limits and options of a package, but for the components to keep."""
    for choice in package.choices:
        if choice.name not in keep:
            known = schema.choices[choice.name]
            described = replace(known, label=choice.label, description=choice.description)
            schema = with_choice(schema, replace(described, options=_merged(choice.options, known.options)))
    for table in package.tables:
        here = schema.tables[table.name]
        wanted = {
            column.name: column for column in table.columns if f"{table.name}.{column.name}" not in keep
        }
        columns = tuple(_like(one, wanted[one.name]) if one.name in wanted else one for one in here.columns)
        here = replace(here, columns=columns)
        if table.name in package.whole and table.name not in keep:
            here = replace(
                here,
                label=table.label,
                plural=table.plural,
                description=table.description,
                change_tracking=table.change_tracking,
            )
        schema = schema.with_tables(here)
    return schema


def _like(here: Column, wanted: Column) -> Column:
    options = here.options
    if here.kind in OPTION_KINDS and not here.global_choice:
        options = _merged(wanted.options, here.options)
    targets = {one.relationship: one for one in wanted.targets}
    return replace(
        here,
        label=wanted.label,
        description=wanted.description,
        required=wanted.required,
        max_length=wanted.max_length,
        minimum=wanted.minimum,
        maximum=wanted.maximum,
        options=options,
        labels=wanted.labels,
        default=wanted.default,
        targets=tuple(targets.get(one.relationship, one) for one in here.targets),
    )


def _merged(wanted: Sequence[Option], here: Sequence[Option]) -> tuple[Option, ...]:
    """Options of two layers: those of the upper one, and what only the lower one has."""
    values = {option.value for option in wanted}
    return (*wanted, *(option for option in here if option.value not in values))
