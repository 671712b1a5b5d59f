"""Small helpers for the XML of solutions: elements with texts, labels as Dataverse writes them, and careful reading."""

from __future__ import annotations

import re
from math import isfinite
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.metadata.shapes import ENGLISH

_WHOLE = re.compile(r"[+-]?[0-9]{1,10}(?:\.0*)?")
_NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
INVALID = (
    "This solution package cannot be imported because it contains invalid XML. You can attempt to repair the file by "
    "manually editing the XML contents using the information found in the schema validation errors, or you can "
    "contact your solution provider."
)


def parsed(text: str, root: str) -> Element:
    """A document with that root element; raises ``Fault`` when it is none."""
    try:
        found: Element = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Fault(400, "0x8004802c", f"{INVALID} {error}"[:1000]) from error
    if found.tag != root:
        raise _invalid(f"no {root} element")
    return found


def written(root: Element) -> str:
    """A document as text."""
    return '<?xml version="1.0" encoding="utf-8"?>' + tostring(root, encoding="unicode")


def add(parent: Element, name: str, text: object = None, **attributes: str | None) -> Element:
    """One more element below another; attributes that are None are left out."""
    kept = {key: value for key, value in attributes.items() if value is not None}
    made = SubElement(parent, name, kept)
    if text is not None:
        made.text = str(text)
    return made


def labels(parent: Element, many: str, one: str, text: str | None) -> None:
    """A label in English."""
    holder = add(parent, many)
    if text:
        add(holder, one, description=text, languagecode=str(ENGLISH))


def label(element: Element | None, path: str) -> str | None:
    """The English text of a label below an element."""
    found = element.findall(path) if element is not None else []
    texts = {one.get("languagecode"): one.get("description") for one in found}
    return texts.get(str(ENGLISH)) or next(iter(texts.values()), None)


def text(element: Element, path: str, default: str | None = None) -> str | None:
    """The text of an element below another, None when there is none or it is empty."""
    found = element.findtext(path)
    return found.strip() if found and found.strip() else default


def need(element: Element, path: str) -> str:
    """The text of an element that must be there; raises ``Fault`` when it is not."""
    found = text(element, path)
    if found is None:
        raise _invalid(f"{path} is missing")
    return found


def whole(value: str | None, default: int = 0) -> int:
    """A whole number, ``default`` when there is none; raises ``Fault`` on anything else."""
    given = (value or "").strip()
    if given and not _WHOLE.fullmatch(given):
        raise _invalid(f"{given[:100]} is no whole number")
    return int(given.partition(".")[0]) if given else default


def number(value: str) -> float:
    """A number; raises ``Fault`` when it is none."""
    try:
        found = float(value)
    except ValueError as error:
        raise _invalid(f"{value[:100]} is no number") from error
    if not isfinite(found):
        raise _invalid(f"{value[:100]} is no number")
    return found


def named(value: str | None) -> str:
    """The name of a table, a column, a key or a choice; raises ``Fault`` on what can be none."""
    given = (value or "").strip()
    if not _NAME.fullmatch(given):
        raise _invalid(f"{given[:100]!r} is no name")
    return given


def flag(value: object) -> str:
    """A truth as solutions write it."""
    return "1" if value else "0"


def is_true(value: str | None) -> bool:
    """A truth as solutions write it, read."""
    return (value or "").strip().lower() in {"1", "true"}


def _invalid(why: str) -> Fault:
    return Fault(400, "0x8004801a", f"The import file is invalid. XSD validation failed: {why}.")
