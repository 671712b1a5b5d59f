"""``$metadata``: the whole service as CSDL, tables and operations.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-service-documents and the pages on entity
types, properties, navigation properties, actions, functions, complex and enumeration types beside it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.sax.saxutils import quoteattr

from airflow_provider_dynamics.emulator.operations.model import Operation, Parameter
from airflow_provider_dynamics.emulator.operations.types import COMPLEX, ENUMS
from airflow_provider_dynamics.emulator.schema import (
    TABLES,
    Column,
    Key,
    Navigation,
    Table,
    collections_of,
    many_to_many,
)

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_VOCABULARIES = (
    ("http://vocabularies.odata.org/OData.Community.Keys.V1", "OData.Community.Keys.V1"),
    (
        "http://docs.oasis-open.org/odata/odata/v4.0/os/vocabularies/Org.OData.Core.V1.xml",
        "Org.OData.Core.V1",
    ),
)
_READ_ONLY = (
    '<Annotation Term="Org.OData.Core.V1.Computed" Bool="true"/>'
    '<Annotation Term="Org.OData.Core.V1.Permissions">'
    "<EnumMember>Org.OData.Core.V1.PermissionType/Read</EnumMember></Annotation>"
)
_ABSTRACT = (
    '<EntityType Name="crmbaseentity" Abstract="true"/>'
    '<EntityType Name="expando" BaseType="mscrm.crmbaseentity" OpenType="true"/>'
    '<EntityType Name="crmmodelbaseentity" Abstract="true"/>'
)
_ABSTRACT_ROWS = frozenset({"crmbaseentity", "principal", "activitypointer"})
# Types that parameters name and that have no table here.
_WITHOUT_A_TABLE = {"activityparty": "activitypartyid", "dependency": "dependencyid"}


def document(operations: Sequence[Operation], *, annotations: bool = False) -> str:
    """The document; ``annotations`` adds what is left out by default, such as which columns are read only."""
    references = "".join(
        f'<edmx:Reference Uri="{uri}"><edmx:Include Namespace="{name}" Alias="{name.split(".")[-2]}"/></edmx:Reference>'
        for uri, name in _VOCABULARIES
    )
    inside = "".join(
        (
            _ABSTRACT,
            _principal(),
            _activity_pointer(),
            *(_entity_type(table, annotations=annotations) for table in TABLES.values()),
            *(_stub(name, key) for name, key in _WITHOUT_A_TABLE.items()),
            *(_complex(name, members) for name, members in COMPLEX.items()),
            *(_enum(name, members) for name, members in ENUMS.items()),
            *(_complex(name, members) for name, members in _results(operations).items()),
            *(_operation(one) for one in operations),
            _container(operations),
        )
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="4.0" xmlns:edmx="{_EDMX}">{references}'
        f'<edmx:DataServices><Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="{_EDM}">'
        f"{inside}</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _element(name: str, inside: str = "", **attributes: str | None) -> str:
    written = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items() if value is not None)
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def _nullable(nullable: bool) -> str | None:
    return None if nullable else "false"


# -- tables ---------------------------------------------------------------------------------------------


def _base(table: Table) -> str:
    if table.is_principal:
        return "mscrm.principal"
    return "mscrm.activitypointer" if table.is_activity else "mscrm.crmbaseentity"


def _key(name: str) -> str:
    return _element("Key", _element("PropertyRef", Name=name))


def _principal() -> str:
    """Users and teams alike: what they own is theirs as principals.

    https://learn.microsoft.com/previous-versions/dynamicscrm-2016/developers-guide/mt608068(v=crm.8)
    """
    owned = "".join(
        _element(
            "NavigationProperty",
            Name=_other_end(one),
            Type=f"Collection(mscrm.{table.name})",
            Partner=one.name,
        )
        for table in TABLES.values()
        for one in table.navigations.values()
        if one.table is None
    )
    inside = _key("ownerid") + _element("Property", Name="ownerid", Type="Edm.Guid") + owned
    return _element("EntityType", inside, Name="principal", BaseType="mscrm.crmbaseentity")


def _other_end(one: Navigation) -> str:
    """The collection at the other end of a lookup."""
    return next(found.collection for found in one.column.targets if found.navigation == one.name)


def _is_inherited(one: Navigation, table: Table) -> bool:
    """Whether a collection of users or teams is one of every principal."""
    back = None if one.through else TABLES[one.table or ""].navigations[_partner(one, table)]
    return table.is_principal and back is not None and back.table is None


def _shared_by_activities() -> Mapping[str, Column]:
    """The columns every activity has: they belong to activitypointer, from which activities inherit."""
    activities = [table for table in TABLES.values() if table.is_activity]
    first, *others = activities
    return {
        column.name: column
        for column in first.columns
        if all(column.name in one.by_name and one.by_name[column.name].edm == column.edm for one in others)
    }


def _activity_pointer() -> str:
    shared = _shared_by_activities().values()
    properties = "".join(_property(column, annotations=False) for column in shared)
    inside = _key("activityid") + properties
    return _element("EntityType", inside, Name="activitypointer", BaseType="mscrm.crmbaseentity")


def _entity_type(table: Table, *, annotations: bool) -> str:
    inherited = _shared_by_activities() if table.is_activity else {}
    parts = [] if table.is_activity or table.is_principal else [_key(table.primary_id)]
    parts += [
        _property(column, annotations=annotations) for column in table.columns if column.name not in inherited
    ]
    parts += _navigations(table)
    if keys := [key for key in table.keys if key.active]:
        parts.append(_alternate_keys(keys))
    if annotations:
        parts.append(_element("Annotation", Term="Org.OData.Core.V1.Description", String=table.label))
    return _element("EntityType", "".join(parts), Name=table.name, BaseType=_base(table))


def _stub(name: str, key: str) -> str:
    inside = _key(key) + _element("Property", Name=key, Type="Edm.Guid")
    return _element("EntityType", inside, Name=name, BaseType="mscrm.crmbaseentity")


def _property(column: Column, *, annotations: bool) -> str:
    inside = ""
    if annotations:
        inside = _element("Annotation", Term="Org.OData.Core.V1.Description", String=column.label)
        if column.is_lookup or not (column.create or column.update):
            inside += _READ_ONLY
    return _element(
        "Property",
        inside,
        Name=column.wire,
        Type=column.edm,
        Unicode="false" if column.edm == "Edm.String" else None,
        Scale="Variable" if column.edm == "Edm.Decimal" else None,
    )


def _navigations(table: Table) -> Iterator[str]:
    for one in table.navigations.values():
        yield _single(one)
    for one in (*collections_of(table.name).values(), *many_to_many(table.name).values()):
        if _is_inherited(one, table):
            continue
        yield _element(
            "NavigationProperty",
            Name=one.name,
            Type=f"Collection(mscrm.{one.table})",
            Partner=one.name if one.through else _partner(one, table),
        )


def _single(one: Navigation) -> str:
    """A lookup; one that may lead to users and teams alike leads to a principal."""
    target = TABLES[one.table] if one.table else None
    constraint = _element(
        "ReferentialConstraint",
        Property=one.column.wire,
        ReferencedProperty=target.primary_id if target else "ownerid",
    )
    return _element(
        "NavigationProperty",
        constraint,
        Name=one.name,
        Type=f"mscrm.{target.name if target else 'principal'}",
        Nullable="false",
        Partner=_other_end(one),
    )


def _partner(one: Navigation, table: Table) -> str:
    return next(
        target.navigation
        for target in one.column.targets
        if target.table == table.name and target.collection == one.name
    )


def _alternate_keys(keys: Iterable[Key]) -> str:
    records = []
    for key in keys:
        parts = "".join(
            '<Record Type="OData.Community.Keys.V1.PropertyRef">'
            f'<PropertyValue Property="Alias" String="{name}"/><PropertyValue Property="Name" PropertyPath="{name}"/>'
            "</Record>"
            for name in key.columns
        )
        records.append(
            '<Record Type="OData.Community.Keys.V1.AlternateKey"><PropertyValue Property="Key">'
            f"<Collection>{parts}</Collection></PropertyValue></Record>"
        )
    inside = f"<Collection>{''.join(records)}</Collection>"
    return _element("Annotation", inside, Term="OData.Community.Keys.V1.AlternateKeys")


# -- operations and their types -------------------------------------------------------------------------


def _complex(name: str, members: Iterable[Parameter]) -> str:
    """A complex type; what is a row is reached by a navigation property, as OData has it."""
    inside = "".join(
        _element(
            "NavigationProperty" if _is_row(one.type) else "Property",
            Name=one.name,
            Type=one.type,
            Nullable=_nullable(one.nullable),
        )
        for one in members
    )
    return _element("ComplexType", inside, Name=name)


def _is_row(type_: str) -> bool:
    name = type_.removeprefix("Collection(").removesuffix(")").removeprefix("mscrm.")
    return name in TABLES or name in _ABSTRACT_ROWS


def _enum(name: str, members: Mapping[str, int]) -> str:
    inside = "".join(_element("Member", Name=member, Value=str(value)) for member, value in members.items())
    return _element("EnumType", inside, Name=name)


def _operation(one: Operation) -> str:
    """The operation; a bound one has what it is bound to as its first parameter."""
    parameters = [one.binding] if one.binding else []
    inside = "".join(
        _element("Parameter", Name=part.name, Type=part.type, Nullable=_nullable(part.nullable))
        for part in (*parameters, *one.parameters)
    )
    if one.return_type:
        inside += _element("ReturnType", Type=one.return_type, Nullable="false")
    return _element(
        "Function" if one.is_function else "Action",
        inside,
        Name=one.name,
        IsBound="true" if one.bound_to else None,
    )


def _results(operations: Iterable[Operation]) -> Mapping[str, Sequence[Parameter]]:
    """The complex types that operations return; those of one name share theirs."""
    return {f"{one.name}Response": one.result for one in operations if one.result and not one.returns}


def _container(operations: Iterable[Operation]) -> str:
    sets = "".join(
        _element("EntitySet", Name=table.set_name, EntityType=f"mscrm.{table.name}")
        for table in TABLES.values()
    )
    imports = []
    for one in operations:
        kind = "Function" if one.is_function else "Action"
        if one.bound_to is None:
            imports.append(_element(f"{kind}Import", **{"Name": one.name, kind: f"mscrm.{one.name}"}))
    return _element("EntityContainer", sets + "".join(imports), Name="System")
