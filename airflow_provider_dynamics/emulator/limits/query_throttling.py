"""Query throttling: what the service answers to one query that costs it too much, by what is wrong with the query.

https://learn.microsoft.com/power-apps/developer/data-platform/query-throttling and
https://learn.microsoft.com/power-apps/developer/data-platform/query-antipatterns
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from airflow_provider_dynamics.emulator.call import parse_query
from airflow_provider_dynamics.emulator.messages import Fault, Request
from airflow_provider_dynamics.emulator.schema import BY_SET, Table

WILDCARD = "PerformanceLeadingWildCard"
COMPUTED = "FilteringOnCalculatedColumns"
LARGE_COLUMN = "PerformanceLargeColumnSearch"
ALL_COLUMNS = "LargeAmountOfAttributes"
ORDER_ENUM = "OrderOnEnumAttribute"
ORDER_JOINED = "OrderOnPropertiesFromJoinedTables"
ANTIPATTERNS = (WILDCARD, COMPUTED, LARGE_COLUMN, ALL_COLUMNS, ORDER_ENUM, ORDER_JOINED)

LARGE_TEXT = 850  # characters; columns that may hold more are large text columns
_COLLECTION = re.compile(r"/api/data/v[89]\.[012]/(?P<set>\w+)/?")
_REFUSED = "This query cannot be executed because it conflicts with Query Throttling; the query "
_AGGRESSIVELY = ", which will cause the query to be throttled more aggressively."
_TIMED_OUT = "The database operation timed out; this may be due to a {0} being used in a filter condition. Please consider "
_QUOTED = r"'((?:[^']|'')*)'"
_TEXT_TEST = re.compile(rf"\b(contains|startswith|endswith)\s*\(\s*[\w/]+\s*,\s*{_QUOTED}")
_LIKE = re.compile(r"<condition\b[^>]*\boperator\s*=\s*[\"'](?:not-)?(like|begin-with|ends?-with)[\"'][^>]*>")
_VALUE = re.compile(r"\bvalue\s*=\s*([\"'])(.*?)\1", re.DOTALL)
_CONDITION = re.compile(r"<condition\b[^>]*\battribute\s*=\s*[\"'](\w+)[\"']")
_LEADING = re.compile(r"%|_|\[\^|-[%_]")


def is_query(request_method: str, target: str) -> bool:
    """Whether this is a query of many rows: the only kind of request that is throttled in this way."""
    found = _COLLECTION.fullmatch(target.partition("?")[0])
    return request_method == "GET" and found is not None and found["set"] in BY_SET


def antipatterns(request: Request) -> list[str]:
    """What is wrong with a query, in the identifiers Microsoft lists."""
    found = _COLLECTION.fullmatch(unquote(request.path))
    table = BY_SET.get(found["set"]) if found else None
    if table is None:
        return []
    try:
        options, _ = parse_query(request.query)
    except Fault:  # the query is refused for what it says anyway
        return []
    wrong = set(_in_odata(options, table))
    document = next((value for name, value in options.items() if name.lower() == "fetchxml"), None)
    if document is not None:
        wrong = set(_in_fetch_xml(document, table))
    return [name for name in ANTIPATTERNS if name in wrong]


def _in_odata(options: Mapping[str, str], table: Table) -> Iterator[str]:
    text = options.get("$filter", "")
    for name, value in _TEXT_TEST.findall(text):
        if name != "startswith" or _LEADING.match(value):
            yield WILDCARD
    if _names_large_text(re.findall(r"\b\w+\b", re.sub(_QUOTED, "", text)), table):
        yield LARGE_COLUMN
    if "/" in options.get("$orderby", ""):
        yield ORDER_JOINED
    if "$select" not in options and "$apply" not in options:
        yield ALL_COLUMNS


def _in_fetch_xml(document: str, table: Table) -> Iterator[str]:
    for match in _LIKE.finditer(document):
        value = _VALUE.search(match[0])
        if match[1].startswith("end") or (value and _LEADING.match(value[2])):
            yield WILDCARD
    if _names_large_text(_CONDITION.findall(document), table):
        yield LARGE_COLUMN
    if "<all-attributes" in document:
        yield ALL_COLUMNS
    orders = re.findall(r"<order\b[^>]*\battribute\s*=\s*[\"'](\w+)[\"']", document)
    if any(table.has(name) and table.by_name[name].options for name in orders):
        yield ORDER_ENUM
    linked = document.partition("<link-entity")[2]
    if "<order" in linked.rpartition("</link-entity>")[0] or re.search(
        r"<order\b[^>]*\bentityname=", document
    ):
        yield ORDER_JOINED


def _names_large_text(names: Iterable[str], table: Table) -> bool:
    columns = [table.by_name[name] for name in names if table.has(name)]
    return any(
        column.kind == "Memo" or (column.kind == "String" and (column.max_length or 0) > LARGE_TEXT)
        for column in columns
    )


def refusal(patterns: Sequence[str]) -> tuple[str, str]:
    """Code and message for a query that is not executed; the older errors go first, as the page says."""
    if WILDCARD in patterns:
        return "0x80048644", f"{_REFUSED}uses a leading wildcard value in a filter condition{_AGGRESSIVELY}"
    if COMPUTED in patterns:
        return "0x80048744", f"{_REFUSED}uses a computed column in a filter condition{_AGGRESSIVELY}"
    if patterns:
        link = " Please refer to this document: https://go.microsoft.com/fwlink/?linkid=2162952"
        issues = f"has performance validation issues ({','.join(patterns)})"
        return "0x80048745", f"{_REFUSED}{issues}{_AGGRESSIVELY}{link}"
    return "0x80048544", "This query cannot be executed because it conflicts with query throttling."


def timeout(patterns: Sequence[str]) -> tuple[str, str]:
    """Code and message for a query that was not done in time."""
    if WILDCARD in patterns:
        advice = (
            "removing filter conditions on leading wildcard values, as these filter conditions are expensive"
        )
        return "0x80048573", f"{_TIMED_OUT.format('leading wildcard value')}{advice} and may cause timeouts."
    if COMPUTED in patterns:
        advice = "removing filter conditions on computed columns, as these filter conditions are expensive"
        return "0x80048574", f"{_TIMED_OUT.format('computed column')}{advice} and may cause timeouts."
    return "0x80044151", "SQL timeout expired."


def answer_of(settings: Mapping[str, Any], request: Request) -> tuple[str, str] | None:
    """Code and message for a throttled query, None when it is only to be late."""
    if settings["how"] == "delay":
        return None
    patterns = antipatterns(request) if settings["patterns"] is None else settings["patterns"]
    return timeout(patterns) if settings["how"] == "timeout" else refusal(patterns)
