"""solution.xml: what a solution is called, whose it is, what it holds and what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from airflow_provider_dynamics.emulator.customizing.workshop import ENTITY, OPTION_SET
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.schema.settings import REFERENCE_CODE
from airflow_provider_dynamics.emulator.schema.solutions import COMPONENT_TYPES
from airflow_provider_dynamics.emulator.solutions.package import Component, Missing, Package, Publisher
from airflow_provider_dynamics.emulator.solutions.xml import (
    add,
    flag,
    is_true,
    label,
    labels,
    need,
    parsed,
    text,
    whole,
    written,
)

VARIABLE, VALUE = 380, 381
_VERSION = "9.2.24.4"
# What root components may be; the others are in files that are not read here.
_KNOWN = frozenset({ENTITY, 2, OPTION_SET, 10, 14, VARIABLE, VALUE, REFERENCE_CODE})


def manifest_of(package: Package) -> str:
    """The file's text."""
    root = Element(
        "ImportExportXml", {"version": _VERSION, "SolutionPackageVersion": "9.2", "languagecode": "1033"}
    )
    one = add(root, "SolutionManifest")
    add(one, "UniqueName", package.name)
    labels(one, "LocalizedNames", "LocalizedName", package.label)
    labels(one, "Descriptions", "Description", package.description)
    add(one, "Version", package.version)
    add(one, "Managed", flag(package.managed))
    _publisher(one, package.publisher)
    roots = add(one, "RootComponents")
    for component in _roots(package):
        add(
            roots,
            "RootComponent",
            type=str(component.kind),
            schemaName=component.name,
            behavior=component.label,
        )
    add_missing(one, package.missing)
    return written(root)


def _publisher(parent: Element, publisher: Publisher) -> None:
    one = add(parent, "Publisher")
    add(one, "UniqueName", publisher.name)
    labels(one, "LocalizedNames", "LocalizedName", publisher.label)
    add(one, "Descriptions")
    add(one, "CustomizationPrefix", publisher.prefix)
    add(one, "CustomizationOptionValuePrefix", publisher.option_prefix)
    add(one, "Addresses")


def _roots(package: Package) -> Iterator[Component]:
    for table in package.tables:
        yield Component(ENTITY, table.name, "0" if table.name in package.whole else "1")
    for choice in package.choices:
        yield Component(OPTION_SET, choice.name, "0")
    for variable in package.variables:
        yield Component(VARIABLE, variable.name, "0")


def add_missing(parent: Element, missing: tuple[Missing, ...]) -> Element:
    """The element that lists what is needed and not held."""
    holder = add(parent, "MissingDependencies")
    for number, one in enumerate(missing):
        entry = add(holder, "MissingDependency")
        _component(entry, "Required", one.required, 2 * number, solution=one.solution)
        _component(entry, "Dependent", one.dependent, 2 * number + 1)
    return holder


def _component(parent: Element, name: str, one: Component, key: int, solution: str | None = None) -> None:
    add(
        parent,
        name,
        key=str(key),
        type=str(one.kind),
        schemaName=one.name,
        displayName=one.label or one.name,
        parentSchemaName=one.parent,
        parentDisplayName=one.parent,
        solution=solution,
        id=f"{{{one.object_id}}}" if one.object_id else None,
    )


def read_manifest(content: str) -> Package:
    """A package of what the file says; the components are in the other one."""
    root = parsed(content, "ImportExportXml")
    one = root.find("SolutionManifest")
    if one is None:
        need(root, "SolutionManifest")
    manifest = one if one is not None else root
    for component in manifest.findall("RootComponents/RootComponent"):
        kind = whole(component.get("type"))
        if kind not in _KNOWN:
            raise NotEmulated(
                f"solutions with components of the type {kind} ({COMPONENT_TYPES.get(kind, '?')})"
            )
    publisher = Publisher(
        need(manifest, "Publisher/UniqueName"),
        label(manifest, "Publisher/LocalizedNames/LocalizedName") or need(manifest, "Publisher/UniqueName"),
        need(manifest, "Publisher/CustomizationPrefix"),
        whole(text(manifest, "Publisher/CustomizationOptionValuePrefix"), 10_000),
    )
    name = need(manifest, "UniqueName")
    return Package(
        name=name,
        label=label(manifest, "LocalizedNames/LocalizedName") or name,
        version=need(manifest, "Version"),
        managed=is_true(text(manifest, "Managed")),
        publisher=publisher,
        description=label(manifest, "Descriptions/Description"),
        missing=tuple(_missing(manifest)),
        whole=frozenset(_whole(manifest)),
    )


def _whole(manifest: Element) -> Iterator[str]:
    for component in manifest.findall("RootComponents/RootComponent"):
        if component.get("type") == str(ENTITY) and component.get("behavior", "0") == "0":
            yield (component.get("schemaName") or "").lower()


def _missing(manifest: Element) -> Iterator[Missing]:
    for entry in manifest.findall("MissingDependencies/MissingDependency"):
        required, dependent = entry.find("Required"), entry.find("Dependent")
        if required is not None and dependent is not None:
            yield Missing(_read(required), _read(dependent), required.get("solution") or "Active")


def _read(element: Element) -> Component:
    kind = element.get("type") or "0"
    return Component(
        int(kind) if kind.isdigit() else 0,
        element.get("schemaName") or element.get("displayName") or "",
        element.get("displayName") or "",
        element.get("parentSchemaName"),
        (element.get("id") or "").strip("{}") or None,
    )
