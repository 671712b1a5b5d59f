"""How a table's definition is asked for and read; what of it the Web API does not show is left out.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Key, Table
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS

__all__ = ["COLLECTIONS", "DEFINITION", "DEFINITION_ON_PREMISES", "collections_of", "table_of"]

_ATTRIBUTES = (
    "Attributes($select=LogicalName,AttributeType,AttributeTypeName,AttributeOf,"
    "IsValidForCreate,IsValidForUpdate,IsValidForRead)"
)
_KEYS = "Keys($select=LogicalName,KeyAttributes,EntityKeyIndexStatus)"
_LOOKUP_TARGETS = "ManyToOneRelationships($select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName)"
DEFINITION = {
    "$select": "LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,ChangeTrackingEnabled,TableType",
    "$expand": f"{_ATTRIBUTES},{_KEYS},{_LOOKUP_TARGETS}",
}
DEFINITION_ON_PREMISES = {**DEFINITION, "$select": DEFINITION["$select"].removesuffix(",TableType")}

COLLECTIONS = {
    "$select": "LogicalName",
    "$expand": (
        "OneToManyRelationships($select=ReferencedEntityNavigationPropertyName,ReferencingEntity),"
        "ManyToManyRelationships($select=Entity1LogicalName,Entity1NavigationPropertyName,"
        "Entity2LogicalName,Entity2NavigationPropertyName)"
    ),
}


def table_of(wire: Mapping[str, Any]) -> Table:
    """Return the table of an answer to `DEFINITION`."""
    primary_id = wire["PrimaryIdAttribute"]
    relationships = wire["ManyToOneRelationships"]
    columns = [
        _column(found, relationships, wire["LogicalName"]) for found in wire["Attributes"] if _visible(found)
    ]
    return Table(
        logical_name=wire["LogicalName"],
        entity_set=wire["EntitySetName"],
        primary_id=primary_id,
        primary_name=wire.get("PrimaryNameAttribute"),
        columns={column.name: column for column in columns},
        keys=tuple(
            Key(key["LogicalName"], tuple(key["KeyAttributes"]), key["EntityKeyIndexStatus"])
            for key in wire["Keys"]
        ),
        change_tracking=bool(wire.get("ChangeTrackingEnabled")),
        elastic=wire.get("TableType") == "Elastic",
    )


def collections_of(name: str, wire: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield navigation properties to many rows, each with the table that it leads to, of an answer to `COLLECTIONS`."""
    for found in wire.get("OneToManyRelationships") or ():
        if navigation := found.get("ReferencedEntityNavigationPropertyName"):
            yield navigation, found["ReferencingEntity"]
    for found in wire.get("ManyToManyRelationships") or ():
        first, second = (
            (found[f"Entity{i}LogicalName"], found.get(f"Entity{i}NavigationPropertyName")) for i in (1, 2)
        )
        if first[0] == name and first[1]:
            yield first[1], second[0]
        if second[0] == name and second[1]:
            yield second[1], first[0]


def _visible(wire: Mapping[str, Any]) -> bool:
    """Say whether a column is the Web API's too: the virtual companions of lookups and choices are not."""
    name, owner = wire["LogicalName"], wire.get("AttributeOf")
    return not owner or name not in {f"{owner}name", f"{owner}yominame", f"{owner}type"}


def _column(wire: Mapping[str, Any], relationships: Iterable[Mapping[str, Any]], table: str) -> Column:
    name, kind = wire["LogicalName"], wire["AttributeType"]
    if kind == "Virtual":
        kind = ((wire.get("AttributeTypeName") or {}).get("Value") or kind).removesuffix("Type")
    navigation: dict[str, str] = {}
    if kind in LOOKUPS:
        navigation = {
            found["ReferencedEntity"]: found["ReferencingEntityNavigationPropertyName"]
            for found in relationships
            if found["ReferencingAttribute"] == name
        }
    return Column(
        name=name,
        type=kind,
        wire_name=f"_{name}_value" if kind in LOOKUPS else name,
        valid_for_create=bool(wire.get("IsValidForCreate")),
        valid_for_update=bool(wire.get("IsValidForUpdate")),
        valid_for_read=bool(wire.get("IsValidForRead")),
        targets=tuple(navigation),
        navigation=navigation,
        table=table,
    )
