"""The text of a ``$filter`` into odata-query's tree, with what Dataverse writes and odata-query does not know.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from airflow_provider_dynamics.emulator.options import odata_fault

_QUOTED = r"'(?:[^']|'')*'"
_ALIAS = re.compile(rf"({_QUOTED})|(@\w+)")
_LIST = re.compile(rf"""({_QUOTED})|(\[(?:"(?:[^"\\]|\\.)*"|{_QUOTED}|[^\]"'])*\]|\[[^\]]*\])""")
_ENUM = re.compile(rf"Microsoft\.Dynamics\.CRM\.\w+('[^']*')|({_QUOTED})")
_PATH_FUNCTION = re.compile(
    rf"(?<![\w/])([\w/]+)/(Microsoft\.Dynamics\.CRM\.\w+\(PropertyName=')([^']*')|({_QUOTED})"
)
# odata-query reads no more than two arguments with names.
_PAIR = re.compile(rf"({_QUOTED})|\bPropertyValue1=([^,()']+),PropertyValue2=([^,()']+)")
KEPT = "\ue000"  # stands before the number of a list, where no text has it


def parse(text: str, aliases: Mapping[str, str]) -> tuple[Any, list[list[Any]]]:
    """The syntax tree, and the bracketed lists of query functions, which odata-query does not know.

    Parameter aliases are replaced first (one that is not set reads as null); enum literals become strings.
    """
    lists: list[list[Any]] = []

    def keep(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        lists.append(_json_list(match[2]))
        return f"'{KEPT}{len(lists) - 1}'"

    def replaced(match: re.Match[str]) -> str:
        return match[1] or aliases.get(match[2], "null").replace(KEPT, "")

    # a list's texts may hold what looks like an alias; an alias may stand for a list
    text = _ALIAS.sub(replaced, _LIST.sub(keep, text.replace(KEPT, "")))
    text = _PAIR.sub(lambda match: match[1] or f"PropertyValues=[{match[2]},{match[3]}]", text)
    text = _PATH_FUNCTION.sub(
        lambda match: match[4] or f"{match[2]}{match[1]}/{match[3]}",
        _ENUM.sub(_without_type, _LIST.sub(keep, text)),
    )
    try:
        return ODataParser().parse(ODataLexer().tokenize(text)), lists
    except ODataException as error:
        if text.count("'") % 2:
            raise odata_fault(
                f"There is an unterminated literal at position {len(text)} in '{text}'."
            ) from error
        raise odata_fault(f"Syntax error in '{text}': {error}") from error


def _without_type(match: re.Match[str]) -> str:
    return match[1] or match[2]


def _json_list(text: str) -> list[Any]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        parts = re.findall(r"'((?:[^']|'')*)'|([^,\[\]\s]+)", text)
        if "'" in re.sub(_QUOTED, "", text):
            raise odata_fault(f"Invalid JSON. A comma character ',' was expected in '{text}'.") from None
        return [quoted.replace("''", "'") or bare for quoted, bare in parts]
    return list(found)
