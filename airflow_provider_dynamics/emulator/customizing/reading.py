"""The parts that definitions share: labels, names with a prefix, required levels, managed properties.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-definitions-using-web-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.metadata.definitions import ROOTS
from airflow_provider_dynamics.emulator.metadata.shapes import ENGLISH, NAMESPACE
from airflow_provider_dynamics.emulator.operations.model import missing

Body = Mapping[str, Any]
LONGEST_NAME = 50
_PREFIXED = re.compile(r"(?!mscrm)[A-Za-z][A-Za-z0-9]{1,7}_\w+", re.ASCII)
_ALPHANUMERIC = re.compile(r"\w+", re.ASCII)
_TAKEN = frozenset(name.lower() for name in ROOTS)
_LEVELS = frozenset({"None", "Recommended", "ApplicationRequired"})


def kind_of(body: Body) -> str:
    """What ``@odata.type`` names, without its namespace; raises ``Fault`` when it is left out.

    Parameters of actions have complex types of their own: "ComplexStringAttributeMetadata" is a string column too.
    """
    named = body.get("@odata.type")
    if not isinstance(named, str):
        raise missing("@odata.type")
    return named.removeprefix("#").removeprefix(f"{NAMESPACE}.").removeprefix("Complex")


def label_of(body: Body, name: str, *, needed: bool = False) -> str | None:
    """The English text of a label, None when it is left out; raises ``Fault`` when it must be there."""
    value = body.get(name)
    found = (
        value.get("LocalizedLabels") or [value.get("UserLocalizedLabel")] if isinstance(value, dict) else []
    )
    texts = {one.get("LanguageCode"): one.get("Label") for one in found if isinstance(one, dict)}
    text = texts.get(ENGLISH)
    if text is None and any(texts.values()):
        raise NotEmulated(f"labels in other languages than English ({ENGLISH})")
    if needed and not text:
        raise missing(name)
    return text


def schema_name_of(body: Body, name: str = "SchemaName") -> str:
    """A name with a publisher's prefix; raises ``Fault`` in the words of the rule it breaks."""
    given = body.get(name)
    if not isinstance(given, str) or not given:
        raise missing(name)
    if not given[0].isalpha():
        raise Fault(400, "0x80044365", f"The name {given} must start with a letter.")
    if not _ALPHANUMERIC.fullmatch(given):
        raise Fault(400, "0x80044364", f"The name {given} contains characters that are not alphanumeric.")
    if not _PREFIXED.fullmatch(given):
        raise Fault(
            400,
            "0x80044366",
            f"The schema name {given} is invalid or missing and must start with a valid customization prefix. The "
            "prefix for a solution component should match the prefix that is specified for the publisher of the "
            "solution.",
        )
    if len(given) > LONGEST_NAME:
        raise Fault(400, "0x80044367", f"The name {given} exceeds {LONGEST_NAME} characters.")
    return given


def property_name(given: str) -> str:
    """A name that stands in paths; raises ``Fault`` when it cannot, or is one of the service's own."""
    if not _ALPHANUMERIC.fullmatch(given) or given.lower() in _TAKEN:
        raise Fault(
            400, "0x80044364", f"The name {given[:100]} contains characters that are not alphanumeric."
        )
    return given


def not_unique(name: str) -> Fault:
    """A name that is taken: of a table, a relationship or a global choice."""
    return Fault(
        400,
        "0x80044363",
        f"The schema name {name} is not unique: a component with the same name already exists.",
    )


def level_of(body: Body) -> str:
    """The required level; the system's own cannot be asked for."""
    given = value_of(body, "RequiredLevel")
    if given is None:
        return "None"
    if given not in _LEVELS:
        raise Fault(400, "0x80040203", f"The required level {given} cannot be set.")
    return str(given)


def value_of(body: Body, name: str) -> Any:
    """What a managed property, or a named value such as ``FormatName``, holds."""
    given = body.get(name)
    return given.get("Value") if isinstance(given, dict) else given


def number_of(body: Body, name: str, default: float, least: float, most: float) -> Any:
    """A number within its limits, ``default`` when it is left out."""
    given = body.get(name)
    if given is None:
        return default
    if isinstance(given, bool) or not hasattr(given, "__int__") or not least <= given <= most:
        raise Fault(400, "0x80040203", f"{name} must be a number between {least} and {most}.")
    return given


def refuse_members(body: Body, what: str, *names: str) -> None:
    """Refuse what is set and not emulated."""
    for name in names:
        if body.get(name):
            raise NotEmulated(f"{name} of {what}")
