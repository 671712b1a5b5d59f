"""Resource paths: ``accounts(accountnumber='A1')/primarycontactid`` as segments with keys.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-entity-using-web-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from airflow_provider_dynamics.emulator.literals import GUID, number_literal
from airflow_provider_dynamics.emulator.messages import Fault

_SEGMENT = re.compile(r"(?P<name>[^()]+)(?:\((?P<inside>.*)\))?", re.DOTALL)
_PART = re.compile(r"\s*(?P<name>[\w.]+)\s*=\s*(?P<value>'(?:[^']|'')*'|[^,]*?)\s*(?:,|$)", re.DOTALL)
_LINK = re.compile(
    r"(?:https?://[^/]+(?:/.*)?/api/data/v\d\.\d/|(?:/[^/]+)?/api/data/v\d\.\d/|/)?(?P<rest>[^/].*)",
    re.DOTALL,
)
_DANGEROUS = re.compile(r"[/<>*%&:\\?+]")


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted literal of the URL; unquoted ones are plain strings."""

    value: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a path. ``inside`` is the text between the brackets, None without brackets."""

    name: str
    inside: str | None = None


def split_path(path: str) -> list[Segment]:
    """The segments of a percent-encoded path, slashes in quotes and brackets left alone."""
    return [_segment(part) for part in _split(unquote(path), "/") if part]


def _segment(text: str) -> Segment:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise query_syntax()
    return Segment(match["name"], match["inside"])


def query_syntax() -> Fault:
    """The URL cannot be read."""
    return Fault(400, "0x80060888", "Bad Request - Error in query syntax.")


def _split(text: str, mark: str) -> list[str]:
    return split_outside(text, mark)


def split_outside(text: str, mark: str) -> list[str]:
    """Split at ``mark`` where it stands outside quotes and brackets."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "([":
            depth += 1
        elif not quoted and character in ")]":
            depth -= 1
        elif character == mark and not quoted and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts


def row_key(inside: str, aliases: Mapping[str, str]) -> str | dict[str, str | Text]:
    """What stands in the brackets: a GUID (lower case) or named key values.

    Raises ``Fault`` when it is neither.
    """
    inside = aliases.get(inside.strip(), inside).strip()
    if GUID.fullmatch(inside):
        return inside.lower()
    named: dict[str, str | Text] = {}
    position = 0
    for match in _PART.finditer(inside):
        if match.start() != position:
            break
        named[match["name"]] = literal(aliases.get(match["value"], match["value"]))
        position = match.end()
    if not named or position != len(inside):
        raise query_syntax()
    return named


def literal(text: str) -> str | Text:
    """``'O''Brien'`` as ``Text("O'Brien")``, anything else as it stands."""
    if len(text) > 1 and text.startswith("'") and text.endswith("'"):
        return Text(text[1:-1].replace("''", "'"))
    return text


def json_like(value: str | Text) -> Any:
    """A literal of the URL as the JSON value it stands for."""
    if isinstance(value, Text):
        return value.value
    if value in {"true", "false", "null"}:
        return {"true": True, "false": False, "null": None}[value]
    number = None if GUID.fullmatch(value) else number_literal(value)
    if number is None:
        return value
    return int(number) if number == number.to_integral_value() else number


def refuse_dangerous(values: Mapping[str, str | Text]) -> None:
    """Key values with / < > * % & : backslash ? + cannot travel in a path.

    https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
    """
    for value in values.values():
        found = _DANGEROUS.search(value.value) if isinstance(value, Text) else None
        if found:
            raise Fault(
                400,
                "0x80060888",
                f"A potentially dangerous Request.Path value was detected from the client ({found[0]}).",
            )


def reference(link: str) -> Segment:
    """The row a link points to: absolute, from the root, or relative; raises ``Fault`` when it is no row."""
    match = _LINK.fullmatch(link.strip())
    segments = split_path(match["rest"]) if match else []
    if len(segments) != 1 or segments[0].inside is None:
        raise Fault(400, "0x80060888", f"Invalid resource reference '{link[:200]}'.")
    return segments[0]
