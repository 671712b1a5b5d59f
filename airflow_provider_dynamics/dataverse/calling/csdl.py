"""The service's own description of its actions and functions, read out of `$metadata` and kept small.

The document of an environment has several megabytes; what is kept is what a call can be checked against.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-service-documents#csdl-metadata-document
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_dynamics.dataverse import errors

__all__ = ["NAMESPACE", "Kind", "Operation", "Parameter", "Schema", "element_of", "read"]

NAMESPACE = "Microsoft.Dynamics.CRM"

Kind = Literal["action", "function"]

_COLLECTION = re.compile(r"Collection\((.+)\)")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; `type` is a primitive's ("Edm.Guid") or the name of a table or another type, perhaps `Collection(…)`."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """An action or a function. `binding` is the type it is called on, None for one that stands alone; `returns` None for nothing."""

    kind: Kind
    name: str
    parameters: tuple[Parameter, ...] = ()
    binding: str | None = None
    returns: str | None = None

    @property
    def called_on(self) -> str:
        """What it is called on, in words and as the argument that says so."""
        if self.binding is None:
            return "stands alone (no bound_to)"
        element = element_of(self.binding)
        if element is not None:
            return f"is called on the table {element} (bound_to={element!r})"
        return f"is called on a row of {self.binding} (bound_to=({self.binding!r}, row id))"


@dataclass(frozen=True, slots=True)
class Schema:
    """What `$metadata` says of operations and of the types of their parameters, by name without its namespace."""

    operations: dict[str, tuple[Operation, ...]] = field(default_factory=dict)
    bases: dict[str, str | None] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    members: dict[str, dict[str, str]] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def is_a(self, name: str | None, base: str) -> bool:
        """Say whether an entity type is, or derives from, another one."""
        while name is not None:
            if name == base:
                return True
            name = self.bases.get(name)
        return False

    def key_of(self, name: str | None) -> str | None:
        """Return the key property of an entity type, its own or the one it inherits (`activityid`, a user's `ownerid`)."""
        while name is not None:
            if name in self.keys:
                return self.keys[name]
            name = self.bases.get(name)
        return None


def element_of(name: str) -> str | None:
    """Return the type of a collection's elements; None for what is no collection."""
    found = _COLLECTION.fullmatch(name)
    return found[1] if found else None


def read(body: bytes) -> Schema:
    """Return what a `$metadata` document says; raises BadResponse for one that cannot be read."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError

    schema = Schema()
    try:
        for spelled, kind, element in _elements(body):
            _NOTED[kind](schema, element, spelled)
    except (ParseError, DefusedXmlException, KeyError) as error:
        raise errors.BadResponse(
            f"The service's description of its actions cannot be read: {error}"
        ) from error
    return schema


def _elements(body: bytes) -> Iterator[tuple[Callable[[str], str], str, Any]]:
    """Yield each element that describes something, emptied once it is done with, and what spells its types."""
    from defusedxml.ElementTree import iterparse

    spelled = _speller({})
    for event, element in iterparse(io.BytesIO(body), events=("start", "end")):
        kind = element.tag.rpartition("}")[2]
        if event == "start" and kind == "Schema":
            spelled = _speller(element.attrib)
        elif event == "end" and kind in _NOTED:
            yield spelled, kind, element
            element.clear()


def _speller(attributes: Mapping[str, str]) -> Callable[[str], str]:
    """Return what takes a schema's namespace, or its alias, off the name of a type."""
    spaces = [re.escape(name) for name in (attributes.get("Namespace"), attributes.get("Alias")) if name]
    own = re.compile(rf"\b(?:{'|'.join(spaces or [re.escape(NAMESPACE)])})\.")
    return lambda name: own.sub("", name)


def _children(element: Any, kind: str) -> Iterator[Any]:
    return (child for child in element if child.tag.rpartition("}")[2] == kind)


def _note_operation(schema: Schema, element: Any, spelled: Callable[[str], str]) -> None:
    name, kind = element.attrib["Name"], element.tag.rpartition("}")[2].lower()
    found = [
        Parameter(
            child.attrib["Name"], spelled(child.attrib["Type"]), child.attrib.get("Nullable") != "false"
        )
        for child in _children(element, "Parameter")
    ]
    bound = element.attrib.get("IsBound") == "true" and bool(found)
    returned = next(_children(element, "ReturnType"), None)
    operation = Operation(
        kind,
        name,
        tuple(found[1:] if bound else found),
        binding=found[0].type if bound else None,
        returns=spelled(returned.attrib["Type"]) if returned is not None else None,
    )
    schema.operations[name] = (*schema.operations.get(name, ()), operation)


def _note_entity(schema: Schema, element: Any, spelled: Callable[[str], str]) -> None:
    name, base = element.attrib["Name"], element.attrib.get("BaseType")
    schema.bases[name] = spelled(base) if base else None
    for key in _children(element, "Key"):
        for reference in _children(key, "PropertyRef"):
            schema.keys.setdefault(name, reference.attrib["Name"])


def _note_complex(schema: Schema, element: Any, spelled: Callable[[str], str]) -> None:
    kinds = ("Property", "NavigationProperty")
    schema.members[element.attrib["Name"]] = {
        child.attrib["Name"]: spelled(child.attrib["Type"])
        for kind in kinds
        for child in _children(element, kind)
    }


def _note_enum(schema: Schema, element: Any, spelled: Callable[[str], str]) -> None:  # noqa: ARG001 - as its siblings
    names = tuple(child.attrib["Name"] for child in _children(element, "Member"))
    schema.options[element.attrib["Name"]] = names


_NOTED: dict[str, Callable[[Schema, Any, Callable[[str], str]], None]] = {
    "Action": _note_operation,
    "Function": _note_operation,
    "EntityType": _note_entity,
    "ComplexType": _note_complex,
    "EnumType": _note_enum,
}
