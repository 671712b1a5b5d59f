"""A condition as FetchXML, for what takes queries in no other language: a bulk delete.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/reference/operators
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.queries import conditions, query_functions
from airflow_provider_dynamics.dataverse.queries.conditions import ColumnName, Condition
from airflow_provider_dynamics.dataverse.queries.spelling import Scope

__all__ = ["document"]

_OWN_NAMES = {
    "DoesNotContainValues": "not-contain-values",
    "Last7Days": "last-seven-days",
    "Next7Days": "next-seven-days",
    "AboveOrEqual": "eq-or-above",
    "UnderOrEqual": "eq-or-under",
}
_LIKE = {"startswith": ("begins-with", "{}"), "endswith": ("ends-with", "{}"), "contains": ("like", "%{}%")}
_UNLIKE = {"begins-with": "not-begin-with", "ends-with": "not-end-with", "like": "not-like"}
_CONTRARY = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


def document(table: Table, condition: Condition | None, tables: Tables) -> str:
    """Return the FetchXML that finds the ids of the rows of a table that meet a condition, all of them without one.

    Raises UnknownColumn, and BadRequest for what FetchXML says in another way: OData's text, the columns and
    collections of other tables.
    """
    fetch = Element("fetch")
    entity = SubElement(fetch, "entity", {"name": table.logical_name})
    SubElement(entity, "attribute", {"name": table.primary_id})
    if condition is not None:
        _Writer(table, Scope(table, tables)).write(
            condition, SubElement(entity, "filter", {"type": "and"}), yes=True
        )
    return tostring(fetch, encoding="unicode")


class _Writer:
    """Writes the conditions on one table's columns; `yes` False writes what finds the other rows."""

    def __init__(self, table: Table, scope: Scope) -> None:
        self._table = table
        self._scope = scope

    def write(self, condition: Condition, parent: Element, *, yes: bool) -> None:
        if isinstance(condition, conditions._Not):  # noqa: SLF001 - a condition's shape is this package's own
            self.write(condition.condition, parent, yes=not yes)
            return
        kinds: Sequence[tuple[type, Callable[..., None]]] = (
            (conditions._Joined, self._joined),  # noqa: SLF001 - as above
            (conditions._Comparison, self._comparison),  # noqa: SLF001 - as above
            (conditions._Match, self._match),  # noqa: SLF001 - as above
            (conditions._Function, self._function),  # noqa: SLF001 - as above
        )
        for kind, write in kinds:
            if isinstance(condition, kind):
                write(condition, parent, yes=yes)
                return
        raise _refused(f"{condition} is OData's own text or asks of other tables' rows")

    def _joined(self, condition: Any, parent: Element, *, yes: bool) -> None:
        word = condition.word if yes else {"and": "or", "or": "and"}[condition.word]
        inside = SubElement(parent, "filter", {"type": word})
        for part in condition.parts:
            self.write(part, inside, yes=yes)

    def _comparison(self, condition: Any, parent: Element, *, yes: bool) -> None:
        operator = condition.operator if yes else _CONTRARY[condition.operator]
        name = self._name(condition.path)
        if not yes and operator not in {"eq", "ne"}:
            parent = _or_null(parent, name)
        if isinstance(condition.value, ColumnName):
            other = self._name(condition.value.path)
            SubElement(parent, "condition", {"attribute": name, "operator": operator, "valueof": other})
        elif condition.value is None:
            _test(parent, name, {"eq": "null", "ne": "not-null"}.get(operator, operator))
        else:
            _test(parent, name, operator, self._values(condition.path, [condition.value]))

    def _match(self, condition: Any, parent: Element, *, yes: bool) -> None:
        operator, pattern = _LIKE[condition.function]
        text = condition.text if condition.wildcards else conditions.no_pattern(condition.text)
        name = self._name(condition.path)
        if yes:
            _test(parent, name, operator, [pattern.format(text)])
        else:
            _test(_or_null(parent, name), name, _UNLIKE[operator], [pattern.format(text)])

    def _function(self, condition: Any, parent: Element, *, yes: bool) -> None:
        function = condition.function if yes else query_functions.OPPOSITES[condition.function]
        name = self._name(condition.path)
        of_column = query_functions.of_column(function)
        values = self._values(condition.path, condition.values, of_column=of_column)
        if not yes and query_functions.negative(function):
            parent = _or_null(parent, name)
        _test(parent, name, _operator(function), values)

    def _name(self, path: str) -> str:
        if "/" in path:
            raise _refused(f"{path!r} is a column of another table")
        return self._table.column(path).name

    def _values(self, path: str, values: Sequence[Any], *, of_column: bool = True) -> list[str]:
        spelled = self._scope.argument(path, values, of_column=of_column)[2]
        if of_column and self._table.column(path).type == "Boolean":
            return [{"true": "1", "false": "0"}.get(one, one) for one in spelled]
        return spelled


def _operator(function: str) -> str:
    """Return FetchXML's name of a query function: LastXDays is last-x-days, EqualUserId eq-userid."""
    if function in _OWN_NAMES:
        return _OWN_NAMES[function]
    for long, short in (("NotEqual", "ne"), ("Equal", "eq")):
        if function.startswith(long):
            return f"{short}-{function.removeprefix(long).lower()}"
    words = re.findall(r"[A-Z][a-z]*", function)
    return "-".join(words).lower().replace("older-than", "olderthan")


def _test(parent: Element, name: str, operator: str, values: Sequence[str] = ()) -> None:
    found = SubElement(parent, "condition", {"attribute": name, "operator": operator})
    if len(values) == 1 and operator not in {"in", "not-in", "contain-values", "not-contain-values"}:
        found.set("value", values[0])
        return
    for value in values:
        SubElement(found, "value").text = value


def _or_null(parent: Element, name: str) -> Element:
    """Return where a negation goes: rows with nothing to compare are found by it, too."""
    inside = SubElement(parent, "filter", {"type": "or"})
    _test(inside, name, "null")
    return inside


def _refused(why: str) -> BadRequest:
    return BadRequest(
        f"The condition cannot be put as FetchXML: {why}", remedy="Give a FetchXML document, or a view."
    )
