"""Relationships: a lookup made with its one-to-many relationship, and pairs of two tables' rows.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-relationships-using-web-api
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing import shapes
from airflow_provider_dynamics.emulator.customizing.columns import check_new
from airflow_provider_dynamics.emulator.customizing.options import table_named
from airflow_provider_dynamics.emulator.customizing.reading import (
    Body,
    kind_of,
    label_of,
    level_of,
    not_unique,
    property_name,
    schema_name_of,
)
from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    RELATIONSHIP,
    Workshop,
    customizable,
    replaced,
)
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.operations.model import (
    Invocation,
    Operation,
    Parameter,
    missing,
    need,
)
from airflow_provider_dynamics.emulator.schema import Column, Intersect, Table, Target
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import stable_id

_DELETES = frozenset({"RemoveLink", "Restrict", "Cascade"})


class Relationships:
    """Makes, changes and deletes relationships."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def operations(self) -> Sequence[Operation]:
        """The action that makes a lookup to accounts and contacts."""
        parameters = (
            need("Lookup", "mscrm.ComplexLookupAttributeMetadata"),
            need("OneToManyRelationships", "Collection(mscrm.ComplexOneToManyRelationshipMetadata)"),
            Parameter("SolutionUniqueName", "Edm.String"),
        )
        result = (Parameter("RelationshipIds", "Collection(Edm.Guid)"), need("AttributeId", "Edm.Guid"))
        return (Operation("CreateCustomerRelationships", parameters, result, run=self._customer),)

    def create(self, call: Call, body: Body) -> str:
        """A new relationship. Returns its MetadataId."""
        self._workshop.start(call, "prvCreateRelationship")
        self._workshop.check_solution(call)
        makers = {
            "OneToManyRelationshipMetadata": self._one_to_many,
            "ManyToManyRelationshipMetadata": self._many_to_many,
        }
        kind = kind_of(body)
        if kind not in makers:
            raise Fault(400, "0x8004700f", "The specified relationship type is not valid for this operation")
        relationship_id = makers[kind](call, body)
        self._workshop.belongs(call, RELATIONSHIP, relationship_id)
        return relationship_id

    def _one_to_many(self, call: Call, body: Body) -> str:
        schema, described = self._workshop.working, body.get("Lookup")
        if not isinstance(described, dict):
            raise missing("Lookup")
        table = customizable(table_named(schema, str(body.get("ReferencingEntity") or "")))
        head = _lookup(described, "Lookup")
        check_new(table, head)
        target = _target(schema, table, body, head)
        column = replace(head, targets=(target,))
        self._add(call, table, column)
        return stable_id("relationship", table.name, column.name, target.relationship, target.table)

    def _add(self, call: Call, table: Table, column: Column) -> None:
        def edit(schema: Schema) -> Schema:
            here = schema.tables[table.name]
            return schema.with_tables(replace(here, columns=(*here.columns, column)))

        self._workshop.change(edit)
        self._workshop.belongs(call, ATTRIBUTE, table.column_metadata_id(column.name))

    def _customer(self, invocation: Invocation) -> Mapping[str, Any]:
        call, given = invocation.call, invocation.parameters
        self._workshop.start(call, "prvCreateRelationship")
        self._workshop.check_solution(call)
        schema = self._workshop.working
        described = shapes.shaped(given["Lookup"], shapes.COLUMN)
        wanted = [shapes.shaped(one, shapes.RELATIONSHIP) for one in given["OneToManyRelationships"]]
        if {str(one.get("ReferencedEntity")) for one in wanted} != {"account", "contact"}:
            raise Fault(
                400, "0x80040203", "A customer column has a relationship to account and one to contact."
            )
        names = {str(one.get("ReferencingEntity")) for one in wanted}
        table = customizable(table_named(schema, names.pop()))
        head = _lookup(described, "Customer")
        check_new(table, head)
        targets = tuple(
            replace(
                _target(schema, table, one, head), navigation=f"{head.schema_name}_{one['ReferencedEntity']}"
            )
            for one in wanted
        )
        self._add(call, table, replace(head, targets=targets))
        ids = [
            stable_id("relationship", table.name, head.name, one.relationship, one.table) for one in targets
        ]
        for one in ids:
            self._workshop.belongs(call, RELATIONSHIP, one)
        return {"RelationshipIds": ids, "AttributeId": table.column_metadata_id(head.name)}

    def _many_to_many(self, _: Call, body: Body) -> str:
        schema, name = self._workshop.working, schema_name_of(body)
        _check_name(schema, name)
        first, second = (
            customizable(table_named(schema, str(body.get(f"Entity{number}LogicalName") or "")))
            for number in (1, 2)
        )
        if first is second:
            raise NotEmulated("a many-to-many relationship of a table with itself")
        for number in (1, 2):
            if body.get(f"Entity{number}NavigationPropertyName") not in {None, name}:
                raise NotEmulated(
                    "navigation properties of a many-to-many relationship with names of their own"
                )
        table_name = str(body.get("IntersectEntityName") or name).lower()
        if table_name in schema.pairs or table_name in schema.tables:
            raise not_unique(table_name)
        made = Intersect(table_name, name, first.name, second.name, custom=True)
        self._workshop.change(lambda one: one.with_intersects((*one.intersects, made)))
        return stable_id("relationship", made.name)

    def delete(self, call: Call, wanted: str) -> None:
        """Delete a custom relationship by its MetadataId or its name; a one-to-many one takes its lookup with it."""
        self._workshop.start(call, "prvDeleteRelationship")
        schema = self._workshop.working
        self._workshop.refuse_managed(RELATIONSHIP, relationship_id_of(schema, wanted))
        for one in schema.intersects:
            if wanted in {one.relationship, stable_id("relationship", one.name)}:
                _check_custom(one.relationship, custom=one.custom)
                self.drop(one)
                return
        table, column, target = lookup_of(schema, wanted)
        _check_custom(target.relationship, custom=column.custom)
        self._remove(table, column, target)

    def drop(self, intersect: Intersect) -> None:
        """Take a many-to-many relationship out with its pairs."""
        self._workshop.change(
            lambda now: now.with_intersects([pair for pair in now.intersects if pair.name != intersect.name])
        )
        self._workshop.gone(RELATIONSHIP, stable_id("relationship", intersect.name))

    def _remove(self, table: Table, column: Column, target: Target) -> None:
        kept = tuple(one for one in column.targets if one is not target)

        def edit(schema: Schema) -> Schema:
            here = schema.tables[table.name]
            old = here.by_name[column.name]
            columns = (
                replaced(here.columns, old, replace(old, targets=kept))
                if kept
                else tuple(one for one in here.columns if one is not old)
            )
            return schema.with_tables(replace(here, columns=columns))

        self._workshop.change(edit)
        one_id = stable_id("relationship", table.name, column.name, target.relationship, target.table)
        self._workshop.gone(RELATIONSHIP, one_id)
        if not kept:
            self._workshop.gone(ATTRIBUTE, table.column_metadata_id(column.name))

    def update(self, call: Call, wanted: str, body: Body) -> str:
        """Change what becomes of rows when the row they point to is deleted; seen when it is published. Returns `wanted`."""
        self._workshop.start(call, "prvWriteRelationship")
        table, column, target = lookup_of(self._workshop.working, wanted)
        new = replace(target, on_delete=_on_delete(body, target.on_delete))
        after = replace(column, targets=replaced(column.targets, target, new))
        changed = replace(table, columns=replaced(table.columns, column, after))
        self._workshop.change(lambda schema: schema.with_tables(changed), at_once=False)
        return wanted


def lookup_of(schema: Schema, wanted: str) -> tuple[Table, Column, Target]:
    """The lookup of a one-to-many relationship, by the relationship's MetadataId or name."""
    for table in schema.tables.values():
        for column in table.lookups:
            for target in column.targets:
                one_id = stable_id("relationship", table.name, column.name, target.relationship, target.table)
                if wanted in {one_id, target.relationship}:
                    return table, column, target
    raise Fault(404, "0x80040217", f"Relationship With Id = {wanted} Does Not Exist")


def relationship_id_of(schema: Schema, wanted: str) -> str:
    """The MetadataId of a relationship that is named."""
    for one in schema.intersects:
        if wanted == one.relationship:
            return stable_id("relationship", one.name)
    for table in schema.tables.values():
        for column in table.lookups:
            for target in column.targets:
                if wanted == target.relationship:
                    return stable_id("relationship", table.name, column.name, wanted, target.table)
    return wanted


def _lookup(body: Body, kind: str) -> Column:
    name = schema_name_of(body)
    label = label_of(body, "DisplayName", needed=True) or ""
    description = label_of(body, "Description")
    return Column(
        name.lower(), name, kind, label, required=level_of(body), custom=True, description=description
    )


def _target(schema: Schema, table: Table, body: Body, head: Column) -> Target:
    name = schema_name_of(body)
    _check_name(schema, name)
    referenced = table_named(schema, str(body.get("ReferencedEntity") or ""))
    to_one = property_name(body.get("ReferencingEntityNavigationPropertyName") or head.schema_name)
    to_many = property_name(body.get("ReferencedEntityNavigationPropertyName") or name)
    for one, owner in ((to_one, table), (to_many, referenced)):
        if one in _properties(schema, owner):
            raise not_unique(one)
    return Target(referenced.name, to_one, name, to_many, _on_delete(body, "RemoveLink"))


def _properties(schema: Schema, table: Table) -> set[str]:
    """What rows of a table have already: columns, lookups, and the collections of rows that point to them."""
    collections = {
        target.collection
        for other in schema.tables.values()
        for column in other.lookups
        for target in column.targets
        if target.table == table.name
    }
    pairs = {one.relationship for one in schema.intersects if table.name in one.tables}
    return {*table.by_wire, *table.navigations, *collections, *pairs}


def _on_delete(body: Body, default: str) -> str:
    given = (body.get("CascadeConfiguration") or {}).get("Delete", default)
    if given not in _DELETES:
        raise Fault(400, "0x80047003", f"The specified relationship cannot be created: Delete is {given}.")
    return str(given)


def _check_name(schema: Schema, name: str) -> None:
    taken = {one.relationship.lower() for one in schema.intersects} | {
        target.relationship.lower()
        for table in schema.tables.values()
        for column in table.lookups
        for target in column.targets
    }
    if name.lower() in taken:
        raise not_unique(name)


def _check_custom(name: str, *, custom: bool) -> None:
    if not custom:
        raise Fault(400, "0x8004700a", f"The specified relationship is not a custom relationship: {name}")
