"""customizations.xml and the files beside it: tables, choices, relationships, variables and connection references."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Column, Intersect, Key, Option, Table, Target
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import Choice
from airflow_provider_dynamics.emulator.solutions.column_xml import (
    add_attribute,
    add_option_set,
    read_attribute,
    read_options,
)
from airflow_provider_dynamics.emulator.solutions.package import CUSTOMIZATIONS, Package, Reference, Variable
from airflow_provider_dynamics.emulator.solutions.xml import (
    add,
    flag,
    is_true,
    label,
    labels,
    named,
    need,
    parsed,
    text,
    whole,
    written,
)

_FOLDER = "environmentvariabledefinitions"
_DEFINITION, _VALUES = "environmentvariabledefinition.xml", "environmentvariablevalues.json"
_NONE_OF = ("Roles", "Workflows", "FieldSecurityProfiles", "Templates", "EntityMaps")


def files_of(package: Package) -> dict[str, str]:
    """Every file of a package but its manifest."""
    root = Element("ImportExportXml")
    entities = add(root, "Entities")
    for table in package.tables:
        _add_table(entities, table, whole=table.name in package.whole)
    for name in _NONE_OF:
        add(root, name)
    relationships = add(root, "EntityRelationships")
    for table in package.tables:
        for column in table.lookups:
            for target in column.targets:
                _add_one_to_many(relationships, table, column, target)
    for one in package.intersects:
        _add_many_to_many(relationships, one)
    add(root, "OrganizationSettings")
    choices = add(root, "optionsets")
    for choice in package.choices:
        made = add_option_set(choices, choice.name, "picklist", choice.options, choice.label)
        labels(made, "Descriptions", "Description", choice.description)
    _add_references(root, package)
    add(add(root, "Languages"), "Language", "1033")
    return {CUSTOMIZATIONS: written(root), **_variable_files(package)}


def _add_table(parent: Element, table: Table, *, whole: bool) -> None:
    holder = add(parent, "Entity")
    add(holder, "Name", table.schema_name, LocalizedName=table.label, OriginalName=table.label)
    if whole:
        add(holder, "ObjectTypeCode", table.type_code)
    one = add(add(holder, "EntityInfo"), "entity", Name=table.schema_name, unmodified=None if whole else "1")
    if whole:
        labels(one, "LocalizedNames", "LocalizedName", table.label)
        labels(one, "LocalizedCollectionNames", "LocalizedCollectionName", table.plural)
        labels(one, "Descriptions", "Description", table.description)
    attributes = add(one, "attributes")
    for column in table.columns:
        if not column.part_of and not column.base_of:
            add_attribute(attributes, table.name, column, primary=column.name == table.primary_name)
    if whole:
        add(one, "EntitySetName", table.set_name)
        add(one, "OwnershipTypeMask", {"OrganizationOwned": "OrgOwned"}.get(table.ownership, table.ownership))
        add(one, "ChangeTrackingEnabled", flag(table.change_tracking))
    _add_keys(one, table)


def _add_keys(parent: Element, table: Table) -> None:
    if not table.keys:
        return
    holder = add(parent, "EntityKeys")
    for key in table.keys:
        one = add(holder, "EntityKey")
        add(one, "Name", key.name)
        add(one, "LogicalName", key.name)
        labels(one, "displaynames", "displayname", key.label)
        names = add(one, "EntityKeyAttributes")
        for name in key.columns:
            add(names, "AttributeName", name)


def _add_one_to_many(parent: Element, table: Table, column: Column, target: Target) -> None:
    one = add(parent, "EntityRelationship", Name=target.relationship)
    add(one, "EntityRelationshipType", "OneToMany")
    add(one, "ReferencingEntityName", table.schema_name)
    add(one, "ReferencedEntityName", target.table)
    add(one, "CascadeDelete", target.on_delete)
    add(one, "ReferencingAttributeName", column.schema_name)
    add(one, "ReferencingEntityNavigationPropertyName", target.navigation)
    add(one, "ReferencedEntityNavigationPropertyName", target.collection)


def _add_many_to_many(parent: Element, intersect: Intersect) -> None:
    one = add(parent, "EntityRelationship", Name=intersect.relationship)
    add(one, "EntityRelationshipType", "ManyToMany")
    add(one, "FirstEntityName", intersect.first)
    add(one, "SecondEntityName", intersect.second)
    add(one, "IntersectEntityName", intersect.name)


def _add_references(root: Element, package: Package) -> None:
    holder = add(root, "connectionreferences")
    for reference in package.references:
        one = add(holder, "connectionreference", connectionreferencelogicalname=reference.name)
        add(one, "connectionreferencedisplayname", reference.label)
        add(one, "connectorid", reference.connector)
        add(one, "description", reference.description)
        add(one, "iscustomizable", "1")
        add(one, "statecode", "0")
        add(one, "statuscode", "1")


def _variable_files(package: Package) -> dict[str, str]:
    found = {}
    for variable in package.variables:
        one = Element("environmentvariabledefinition", {"schemaname": variable.name})
        add(one, "defaultvalue", variable.default)
        described = add(one, "displayname", default=variable.label)
        add(described, "label", description=variable.label, languagecode="1033")
        add(one, "description", default=variable.description or "")
        add(one, "introducedversion", "1.0.0.0")
        add(one, "iscustomizable", "1")
        add(one, "isrequired", flag(variable.required))
        add(one, "secretstore", variable.secret_store)
        add(one, "type", variable.kind)
        found[f"{_FOLDER}/{variable.name}/{_DEFINITION}"] = written(one)
        if variable.value is not None:
            value = {"environmentvariablevalue": {"iscustomizable": "1", "value": variable.value}}
            found[f"{_FOLDER}/{variable.name}/{_VALUES}"] = json.dumps({"environmentvariablevalues": value})
    return found


# -- reading --------------------------------------------------------------------------------------------


def with_contents(package: Package, files: Mapping[str, str], schema: Schema) -> Package:
    """A package with what its files hold; global choices that it lacks are the environment's."""
    root = parsed(files[CUSTOMIZATIONS], "ImportExportXml")
    choices = tuple(_choices(root))
    options = {name: choice.options for name, choice in schema.choices.items()}
    options |= {choice.name: choice.options for choice in choices}
    tables = [_table(one, options) for one in root.findall("Entities/Entity")]
    pairs = []
    for one in root.findall("EntityRelationships/EntityRelationship"):
        if text(one, "EntityRelationshipType") == "ManyToMany":
            pairs.append(_pair(one))
        else:
            tables = [_with_target(table, one) for table in tables]
    return replace(
        package,
        tables=tuple(tables),
        intersects=tuple(pairs),
        choices=choices,
        references=tuple(_references(root)),
        variables=tuple(_variables(files)),
    )


def _choices(root: Element) -> Iterator[Choice]:
    for one in root.findall("optionsets/optionset"):
        name = named(one.get("Name"))
        described = label(one, "Descriptions/Description")
        yield Choice(name.lower(), one.get("localizedName") or name, read_options(one), described)


def _table(element: Element, options: Mapping[str, tuple[Option, ...]]) -> Table:
    schema_name = named(need(element, "Name"))
    one = element.find("EntityInfo/entity")
    if one is None:
        raise Fault(400, "0x8004801a", f"The import file is invalid. XSD validation failed: {schema_name}.")
    attributes = one.findall("attributes/attribute")
    columns = tuple(column for found in attributes for column in read_attribute(found, options))
    primary = next(
        (
            need(found, "LogicalName")
            for found in attributes
            if "PrimaryName" in (text(found, "DisplayMask") or "").split("|")
        ),
        "",
    )
    ownership = text(one, "OwnershipTypeMask", "UserOwned") or "UserOwned"
    shown = label(one, "LocalizedNames/LocalizedName") or element.find("Name").get("LocalizedName")  # type: ignore[union-attr]  # it was there
    return Table(
        name=schema_name.lower(),
        schema_name=schema_name,
        set_name=_given(one, "EntitySetName", "").lower(),
        label=shown or schema_name,
        plural=label(one, "LocalizedCollectionNames/LocalizedCollectionName") or schema_name,
        primary_id=f"{schema_name.lower()}id",
        primary_name=primary,
        type_code=0,
        columns=columns,
        keys=tuple(_keys(one)),
        change_tracking=is_true(text(one, "ChangeTrackingEnabled")),
        ownership={"OrgOwned": "OrganizationOwned"}.get(ownership, ownership),
        custom=True,
        description=label(one, "Descriptions/Description"),
    )


def _keys(element: Element) -> Iterator[Key]:
    for one in element.findall("EntityKeys/EntityKey"):
        names = tuple((name.text or "").strip() for name in one.findall("EntityKeyAttributes/AttributeName"))
        name = named(need(one, "LogicalName")).lower()
        yield Key(name, label(one, "displaynames/displayname") or name, names)


def _pair(element: Element) -> Intersect:
    first, second = need(element, "FirstEntityName").lower(), need(element, "SecondEntityName").lower()
    name = named(element.get("Name"))
    return Intersect(
        named(text(element, "IntersectEntityName") or name).lower(), name, first, second, custom=True
    )


def _with_target(table: Table, element: Element) -> Table:
    if need(element, "ReferencingEntityName").lower() != table.name:
        return table
    lookup = named(need(element, "ReferencingAttributeName"))
    name = named(element.get("Name"))
    target = Target(
        need(element, "ReferencedEntityName").lower(),
        _given(element, "ReferencingEntityNavigationPropertyName", lookup),
        name,
        _given(element, "ReferencedEntityNavigationPropertyName", name),
        text(element, "CascadeDelete") or "RemoveLink",
    )
    columns = tuple(
        replace(one, targets=(*one.targets, target)) if one.name == lookup.lower() and one.is_lookup else one
        for one in table.columns
    )
    return replace(table, columns=columns)


def _given(element: Element, path: str, default: str) -> str:
    found = text(element, path)
    return default if found is None else named(found)


def _references(root: Element) -> Iterator[Reference]:
    for one in root.findall("connectionreferences/connectionreference"):
        name = one.get("connectionreferencelogicalname") or ""
        yield Reference(
            name,
            text(one, "connectionreferencedisplayname") or name,
            text(one, "connectorid"),
            text(one, "description"),
        )


def _variables(files: Mapping[str, str]) -> Iterator[Variable]:
    for path in sorted(files):
        if not path.startswith(f"{_FOLDER}/") or not path.endswith(_DEFINITION):
            continue
        one = parsed(files[path], "environmentvariabledefinition")
        name = one.get("schemaname") or path.split("/")[1]
        shown, described = one.find("displayname"), one.find("description")
        yield Variable(
            name,
            (shown.get("default") if shown is not None else None) or name,
            whole(text(one, "type"), 100000000),
            one.findtext("defaultvalue"),
            (described.get("default") or None) if described is not None else None,
            _value(files.get(path.replace(_DEFINITION, _VALUES))),
            whole(text(one, "secretstore")),
            is_true(text(one, "isrequired")),
        )


def _value(content: str | None) -> str | None:
    if content is None:
        return None
    try:
        found: Any = json.loads(content)["environmentvariablevalues"]["environmentvariablevalue"]["value"]
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(
            400, "0x8004801e", "The import failed: an environment variable's value cannot be read."
        ) from error
    return str(found)
