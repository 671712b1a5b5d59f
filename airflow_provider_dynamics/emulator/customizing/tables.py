"""Tables: made from a definition with the columns every table has, changed by a whole definition, deleted.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-definitions-using-web-api
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.columns import check_new, columns_of, needed_name
from airflow_provider_dynamics.emulator.customizing.dependencies import in_use, refuse_in_use
from airflow_provider_dynamics.emulator.customizing.options import table_named
from airflow_provider_dynamics.emulator.customizing.reading import (
    Body,
    label_of,
    not_unique,
    property_name,
    refuse_members,
    schema_name_of,
)
from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    RELATIONSHIP,
    Workshop,
)
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.columns import ident, lookup, state, to
from airflow_provider_dynamics.emulator.schema.common import audit, currency, owner
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed.platform import message_filters, put_rows
from airflow_provider_dynamics.emulator.store import Store

FIRST_TYPE_CODE = 10_400
_OWNERSHIP = frozenset({"UserOwned", "OrganizationOwned"})
_KEPT = re.compile(r"[^aeiou]y$")
_STEPS_OF = (
    'FROM "sdkmessageprocessingstep" WHERE sdkmessagefilterid IN '
    '(SELECT sdkmessagefilterid FROM "sdkmessagefilter" WHERE primaryobjecttypecode = ?)'
)
# Members of a definition that are kept as they were set: nothing that rows do depends on them.
_SHOWN = (
    "AutoRouteToOwnerQueue",
    "EntityColor",
    "HasActivities",
    "HasNotes",
    "IsAvailableOffline",
    "IsDocumentManagementEnabled",
    "IsKnowledgeManagementEnabled",
    "IsAuditEnabled",
    "IsConnectionsEnabled",
    "IsDuplicateDetectionEnabled",
    "IsMailMergeEnabled",
    "IsQuickCreateEnabled",
    "IsValidForQueue",
)


class Tables:
    """Makes, changes and deletes tables."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def create(self, call: Call, body: Body) -> str:
        """A new table with its columns. Returns its MetadataId."""
        self._workshop.start(call, "prvCreateEntity")
        self._workshop.check_solution(call)
        table = _made(body, self._workshop.working)
        self._workshop.change(lambda schema: schema.with_tables(table))
        self.serve(table)
        self._workshop.belongs(call, ENTITY, table.metadata_id)
        return table.metadata_id

    def serve(self, table: Table) -> None:
        """Say which messages there are for a new table."""
        put_rows(self._workshop.rooms.store, "sdkmessagefilter", message_filters(table))

    def update(self, call: Call, table: Table, body: Body) -> None:
        """Replace what of a definition may change; it is seen when it is published."""
        self._workshop.start(call, "prvWriteEntity")
        before = table_named(self._workshop.working, table.name)
        after = _changed(before, body)
        self._workshop.change(lambda schema: schema.with_tables(after), at_once=False)
        self._workshop.belongs(call, ENTITY, table.metadata_id)

    def delete(self, call: Call, table: Table) -> None:
        """Delete a custom table with its rows, columns, keys and relationships."""
        self._workshop.start(call, "prvDeleteEntity")
        if not table.custom:
            raise Fault(
                400, "0x80045900", f"Supplied entity found, but it is not a custom entity: {table.name}."
            )
        self._workshop.refuse_managed(ENTITY, table.metadata_id)
        refuse_in_use(self._workshop.working, table)
        _refuse_steps(self._workshop.rooms.store, table)
        self.drop(table)

    def drop(self, table: Table) -> None:
        """Take a table out, whoever uses it."""
        _forget_rows(self._workshop.rooms.store, table)
        self._workshop.change(lambda schema: schema.without_table(table.name))
        self._workshop.gone(ENTITY, table.metadata_id)
        self._workshop.gone(ATTRIBUTE, *(table.column_metadata_id(column.name) for column in table.columns))
        self._workshop.gone(KEY, *(stable_id("key", table.name, key.name) for key in table.keys))
        self._workshop.gone(RELATIONSHIP, *relationship_ids(table))


def relationship_ids(table: Table) -> Iterator[str]:
    """The MetadataIds of a table's lookups as relationships."""
    for column in table.lookups:
        for target in column.targets:
            yield stable_id("relationship", table.name, column.name, target.relationship, target.table)


def _refuse_steps(store: Store, table: Table) -> None:
    """Refuse the deletion of a table at which steps are registered."""
    found = store.read(f"SELECT count(*) {_STEPS_OF}", (table.name,))
    if found[0][0]:
        raise in_use("Entity", table.metadata_id, found[0][0])


def _forget_rows(store: Store, table: Table) -> None:
    store.execute(f"DELETE {_STEPS_OF}", (table.name,))
    store.execute('DELETE FROM "sdkmessagefilter" WHERE primaryobjecttypecode = ?', (table.name,))
    store.execute('DELETE FROM "_deleted" WHERE table_name = ?', (table.name,))
    store.execute('DELETE FROM "_files" WHERE table_name = ?', (table.name,))


def _made(body: Body, schema: Schema) -> Table:
    refuse_members(body, "a table", "IsActivity", "DataProviderId", "DataSourceId", "ExternalName")
    if body.get("TableType") not in {None, "Standard"}:
        raise NotEmulated(f"making a table of the type {body['TableType']}")
    schema_name = schema_name_of(body)
    name = schema_name.lower()
    set_name = property_name(body.get("EntitySetName") or plural_of(name)).lower()
    if name in schema.tables or set_name in schema.by_set:
        raise not_unique(schema_name)
    ownership = body.get("OwnershipType")
    if ownership not in _OWNERSHIP:
        raise Fault(400, "0x8004700d", "The specified ownership type mask is not valid for this operation")
    label = label_of(body, "DisplayName", needed=True) or ""
    made = {one["SchemaName"]: columns_of(one, schema) for one in _definitions(body)}
    primary = made.pop(str(needed_name(body)["SchemaName"]))
    described = Table(
        name=name,
        schema_name=schema_name,
        set_name=set_name,
        label=label,
        plural=label_of(body, "DisplayCollectionName", needed=True) or "",
        primary_id=f"{name}id",
        primary_name=primary[0].name,
        type_code=0,
        columns=(),
        change_tracking=bool(body.get("ChangeTrackingEnabled", False)),
        ownership=ownership,
        custom=True,
        description=label_of(body, "Description"),
        shown=_shown(body),
    )
    table = completed(described, primary, schema)
    for columns in made.values():
        table = with_columns(table, columns)
    return table


def completed(table: Table, primary: tuple[Column, ...], schema: Schema) -> Table:
    """A new custom table with the columns every table has, its primary name among them, and a type code of its own."""
    columns = _columns(table.schema_name, table.label, primary, table.ownership)
    code = max(FIRST_TYPE_CODE, *(one.type_code + 1 for one in schema.tables.values()))
    return replace(table, columns=columns, type_code=code, set_name=table.set_name or plural_of(table.name))


def _definitions(body: Body) -> list[Mapping[str, Any]]:
    given = body.get("Attributes") or ()
    for one in given:
        schema_name_of(one)
    return list(given)


def _columns(schema_name: str, label: str, primary: tuple[Column, ...], ownership: str) -> tuple[Column, ...]:
    name = schema_name.lower()
    owned = (
        owner(f"owner_{name}", f"user_{name}", f"team_{name}", f"business_unit_{name}")
        if ownership == "UserOwned"
        else (
            lookup(
                "OrganizationId",
                "Organization Id",
                to("organization", "organizationid", f"organization_{name}"),
                create=False,
                update=False,
            ),
        )
    )
    return (
        ident(f"{schema_name}Id", label),
        *primary,
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        *owned,
        *audit(f"lk_{name}_createdby", f"lk_{name}_modifiedby", f"lk_{name}"),
    )


def with_columns(table: Table, columns: tuple[Column, ...]) -> Table:
    """A table with more columns at its end; an amount brings the currency with it."""
    for column in columns:
        check_new(table, column)
    if columns[0].kind == "Money" and not table.has("transactioncurrencyid"):
        columns = (*columns, *currency(f"TransactionCurrency_{table.name}"))
    return replace(table, columns=(*table.columns, *columns))


def _changed(table: Table, body: Body) -> Table:
    tracking = body.get("ChangeTrackingEnabled")
    return replace(
        table,
        label=label_of(body, "DisplayName") or table.label,
        plural=label_of(body, "DisplayCollectionName") or table.plural,
        description=label_of(body, "Description") or table.description,
        change_tracking=table.change_tracking if tracking is None else bool(tracking),
        shown={**table.shown, **_shown(body)},
    )


def _shown(body: Body) -> Mapping[str, Any]:
    return {name: body[name] for name in _SHOWN if body.get(name) is not None}


def plural_of(name: str) -> str:
    """The entity set's name that the service makes of a logical name."""
    if _KEPT.search(name):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "z", "ch", "sh")) else f"{name}s"
