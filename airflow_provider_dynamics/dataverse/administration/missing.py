"""What a solution needs and an environment does not have, in words: which component, of which solution, and who asks for it.

Staging says it as JSON, a job and an import's log as XML inside a sentence; both end up here.
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/solutioncomponent#componenttype-choicesoptions
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import SolutionRefused

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Component", "MissingDependency", "kind_of", "missing_in", "refused_for", "without_xml"]

KINDS = {
    1: "table",
    2: "column",
    3: "relationship",
    9: "choice",
    10: "relationship",
    14: "key",
    16: "privilege",
    20: "security role",
    22: "display string",
    24: "form",
    26: "view",
    29: "process",
    31: "report",
    36: "e-mail template",
    44: "duplicate detection rule",
    50: "ribbon customization",
    59: "chart",
    60: "form",
    61: "web resource",
    62: "site map",
    63: "connection role",
    66: "custom control",
    70: "column security profile",
    80: "app",
    90: "plug-in type",
    91: "plug-in assembly",
    92: "plug-in step",
    93: "plug-in step image",
    95: "service endpoint",
    152: "SLA",
    300: "canvas app",
    371: "connector",
    372: "connector",
    380: "environment variable",
    381: "environment variable value",
}
"""What Microsoft numbers; a component that lies in a table of its own is called by that table."""

WORDS = {
    "entity": "table",
    "attribute": "column",
    "option set": "choice",
    "entity relationship": "relationship",
    "entity key": "key",
    "role": "security role",
    "saved query": "view",
    "saved query visualization": "chart",
    "system form": "form",
    "workflow": "process",
    "model-driven app": "app",
    "environment variable definition": "environment variable",
}
"""What the names of those types say in the words of today."""

_NAMED = 4  # missing components that an error names
_LISTED = re.compile(r"<MissingDependencies\b.*?(?:</MissingDependencies>|$)", re.DOTALL)
_UNMANAGED = "Active"
"""What stands for a solution where a component belongs to none but the environment's own changes."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a solution: `kind` in words ("column"), its name, the table or whatever else it belongs to, its solution."""

    kind: str
    name: str
    parent: str = ""
    solution: str = ""

    @property
    def unmanaged(self) -> bool:
        """Whether it belonged to no solution where it comes from."""
        return self.solution.partition(" ")[0] == _UNMANAGED

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'{f' of {self.parent}' if self.parent else ''}"


@dataclass(frozen=True, slots=True)
class MissingDependency:
    """A component that is missing, and the one of the imported solution that needs it."""

    required: Component
    dependent: Component

    @classmethod
    def of_wire(cls, found: Mapping[str, Any]) -> MissingDependency:
        """Return one as staging lists it.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/missingdependency
        """
        return cls(_of_wire(found, "Required"), _of_wire(found, "Dependent"))


def kind_of(number: Any) -> str:
    """Return what a component's type is called."""
    text = str(number or "").strip()
    if text.isdecimal():
        return KINDS.get(int(text), f"component of type {text}")
    return WORDS.get(text.lower(), text) or "component"


def missing_in(text: str) -> tuple[MissingDependency, ...]:
    """Return what the XML inside a message lists; what is cut off or no XML is left out."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    found = _LISTED.search(text)
    if found is None:
        return ()
    whole = found[0] if found[0].endswith("</MissingDependencies>") else _closed(found[0])
    try:
        listed = fromstring(whole)
    except (SyntaxError, DefusedXmlException):
        return ()
    return tuple(_of_element(one) for one in listed.iter("MissingDependency"))


def without_xml(text: str) -> str:
    """Return a message without the document inside it, which nobody can read."""
    return " ".join(_LISTED.sub("", text).replace(" , ProductUpdatesOnly : False", "").split()).rstrip(" :")


def refused_for(
    missing: Sequence[MissingDependency], what: str, *, code: str = "", **facts: Any
) -> SolutionRefused:
    """Return the error that names what is missing, its solution and who asks for it."""
    wanted: dict[Component, list[Component]] = {}
    for one in missing:
        wanted.setdefault(one.required, []).append(one.dependent)
    named = [_told(required, asking) for required, asking in list(wanted.items())[:_NAMED]]
    if len(wanted) > _NAMED:
        named.append(f"and {len(wanted) - _NAMED} more")
    count = (
        "a component that it needs is" if len(wanted) == 1 else f"{len(wanted)} components that it needs are"
    )
    return SolutionRefused(
        f"{what} cannot be imported, because {count} missing in this environment: {'; '.join(named)}",
        code=code,
        remedy=_remedy(list(wanted)),
        **facts,
    )


def _told(required: Component, asking: Sequence[Component]) -> str:
    home = (
        "in no solution where it comes from" if required.unmanaged else f"of the solution {required.solution}"
    )
    more = f" and {len(asking) - 1} more" if len(asking) > 1 else ""
    return f"the {required}{f', {home}' if required.solution else ''}, required by the {asking[0]}{more}"


def _remedy(required: Sequence[Component]) -> str:
    solutions = list(dict.fromkeys(one.solution for one in required if one.solution and not one.unmanaged))
    first = f"Import {' and '.join(solutions[:_NAMED])} first." if solutions else ""
    loose = (
        "Add what is in no solution to this one, or to one that is imported before it, and export it again."
        if any(one.unmanaged for one in required)
        else ""
    )
    return " ".join(filter(None, (first, loose))) or "Import the solutions that hold them first."


def _of_wire(found: Mapping[str, Any], side: str) -> Component:
    def text(name: str) -> str:
        return str(found.get(f"{side}{name}") or "")

    return Component(
        kind_of(text("ComponentType")),
        text("ComponentSchemaName") or text("ComponentDisplayName") or text("ComponentId"),
        text("ComponentParentSchemaName") or text("ComponentParentDisplayName"),
        text("SolutionName"),
    )


def _of_element(one: Element) -> MissingDependency:
    sides = [one.find(name) for name in ("Required", "Dependent")]
    required, dependent = (_component({} if side is None else side.attrib) for side in sides)
    return MissingDependency(required, dependent)


def _component(found: Mapping[str, str]) -> Component:
    return Component(
        kind_of(found.get("type")),
        found.get("schemaName") or found.get("displayName") or found.get("id") or "",
        found.get("parentSchemaName") or found.get("parentDisplayName") or "",
        found.get("solution") or "",
    )


def _closed(text: str) -> str:
    """Return a document that was cut off up to the last entry that is whole."""
    end = text.rfind("</MissingDependency>")
    return f"{text[:end]}</MissingDependency></MissingDependencies>" if end >= 0 else "<MissingDependencies/>"
