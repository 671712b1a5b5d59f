"""``$filter`` into SQL: odata-query parses (`filter_text`), this compiles its tree against the schema.

Strings compare without case, and ``ne`` is true for rows that have nothing in the column.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from odata_query import ast

from airflow_provider_dynamics.emulator.call import Caller
from airflow_provider_dynamics.emulator.literals import day_text, moment_text
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.options import no_property, odata_fault
from airflow_provider_dynamics.emulator.querying.comparisons import (
    compare,
    compare_stored,
    like,
    stored_number,
)
from airflow_provider_dynamics.emulator.querying.filter_text import KEPT, parse
from airflow_provider_dynamics.emulator.querying.paging import points_to
from airflow_provider_dynamics.emulator.querying.query_functions import Function, query_function
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Navigation, Table, navigation_of
from airflow_provider_dynamics.emulator.schema.model import GUID_KINDS, TEXT_KINDS
from airflow_provider_dynamics.emulator.storage import PAIRS, SQL, Condition

_COMPARISONS: Mapping[type, str] = {
    ast.Eq: "Equal",
    ast.NotEq: "NotEqual",
    ast.Gt: "GreaterThan",
    ast.GtE: "GreaterThanOrEqual",
    ast.Lt: "LessThan",
    ast.LtE: "LessThanOrEqual",
}


@dataclass(frozen=True)
class Scope:
    """What names mean at one place of a filter: a table under an SQL alias, and lambda variables around it."""

    table: Table
    sql: Any
    variables: Mapping[str, Scope]


@dataclass(frozen=True)
class Asked:
    """What a filter may depend on beside its text."""

    now: datetime
    caller: Caller
    aliases: Mapping[str, str]


def compile_filter(text: str, table: Table, asked: Asked) -> Condition:
    """The condition a ``$filter`` stands for, on the table's own SQL name; raises ``Fault`` on what it cannot mean."""
    tree, lists = parse(text, asked.aliases)
    return _Compiler(asked, lists).condition(tree, Scope(table, SQL[table.name], {}))


class _Compiler:
    def __init__(self, asked: Asked, lists: list[list[Any]]) -> None:
        self._asked = asked
        self._lists = lists
        self._names = 0

    def condition(self, node: Any, scope: Scope) -> Condition:
        if isinstance(node, ast.BoolOp):
            join = sa.and_ if isinstance(node.op, ast.And) else sa.or_
            return join(*(self.condition(operand, scope) for operand in _operands(node)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._negation(node.operand, scope)
        if isinstance(node, ast.Compare):
            return self._comparison(node, scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, ast.CollectionLambda):
            return self._lambda(node, scope)
        raise NotEmulated(f"{type(node).__name__} as a condition in $filter")

    def _negation(self, node: Any, scope: Scope) -> Condition:
        if isinstance(node, ast.Call) and node.func.namespace:
            raise odata_fault("Not operator along with the Custom Named Condition operators is not allowed")
        return sa.func.coalesce(self.condition(node, scope), sa.false()) == sa.false()

    def _comparison(self, node: ast.Compare, scope: Scope) -> Condition:
        name = _COMPARISONS.get(type(node.comparator))
        if name is None:
            raise NotEmulated(f"the operator {type(node.comparator).__name__.lower()} in $filter")
        left, right = node.left, node.right
        if not _is_path(left):
            if isinstance(left, ast.Call):
                raise NotEmulated(f"the function {left.func.name} in $filter")
            if not _is_path(right):
                raise NotEmulated(f"{type(left).__name__} on the left of a comparison in $filter")
            left, right, name = right, left, _MIRRORED.get(name, name)
        column, value = self._operand(left, scope)
        if _is_path(right):
            other, other_value = self._operand(right, scope)
            if column.edm != other.edm:
                raise _incompatible(column.edm, other.edm, name)
            return compare(_SQL[name], value, other_value)
        return _compare_literal(column, value, name, right)

    def _operand(self, node: Any, scope: Scope) -> tuple[Column, Any]:
        parts = _path(node)
        inner = scope.variables.get(parts[0])
        if inner is not None:
            return self._follow(parts[1:], inner)
        return self._follow(parts, scope)

    def _follow(self, parts: list[str], scope: Scope) -> tuple[Column, Any]:
        if not parts:
            raise odata_fault("A lambda variable needs a property.")
        if len(parts) == 1:
            column = scope.table.by_wire.get(parts[0])
            if column is None:
                if parts[0] in scope.table.navigations:
                    raise NotEmulated(f"comparing the navigation property {parts[0]} itself in $filter")
                raise no_property(scope.table, parts[0])
            return column, scope.sql.c[column.name]
        navigation = scope.table.navigations.get(parts[0])
        if navigation is None or navigation.table is None:
            raise no_property(scope.table, parts[0])
        target = self._scope(TABLES[navigation.table])
        column, value = self._follow(parts[1:], target)
        joined = points_to(scope.sql, navigation.column, target.sql, target.table)
        found = sa.select(value).where(joined).scalar_subquery()
        return column, found.collate("NOCASE") if column.kind in TEXT_KINDS else found

    def _scope(self, table: Table, variables: Mapping[str, Scope] | None = None) -> Scope:
        self._names += 1
        return Scope(table, SQL[table.name].alias(f"t{self._names}"), variables or {})

    def _call(self, node: ast.Call, scope: Scope) -> Condition:
        name = node.func.name
        if node.func.namespace:
            return self._function(name, node.args, scope)
        if name not in {"contains", "startswith", "endswith"}:
            raise NotEmulated(f"the function {name} in $filter")
        target, pattern = node.args
        column, value = self._operand(target, scope)
        if column.kind not in TEXT_KINDS or not isinstance(pattern, ast.String):
            raise odata_fault(
                f"No function signature for the function with name '{name}' matches the specified arguments."
            )
        forms = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
        return like(value, forms[name].format(pattern.val))

    def _function(self, name: str, arguments: list[Any], scope: Scope) -> Condition:
        if not all(isinstance(argument, ast.NamedParam) for argument in arguments):
            raise odata_fault(f"The function {name} needs its arguments by name.")
        given = {argument.name.name: argument.param for argument in arguments}
        path = given.pop("PropertyName", None)
        if path is None or not isinstance(path, ast.String):
            raise odata_fault(f"The function {name} needs a PropertyName.")
        parts = path.val.split("/")
        if len(parts) > 1 and parts[0] in scope.variables:
            scope, parts = scope.variables[parts[0]], parts[1:]
        parts[-1] = _wire_name(scope.table, parts)
        column, value = self._follow(parts, scope)
        values = [item for argument in given.values() for item in self._values(argument)]
        return query_function(Function(name, column, value, values, self._asked.now, self._asked.caller))

    def _values(self, argument: Any) -> list[Any]:
        if isinstance(argument, ast.List):
            return [_plain(item) for item in argument.val]
        text = _plain(argument)
        if isinstance(argument, ast.String) and text.startswith(KEPT):
            return self._lists[int(text[1:])]
        return [text]

    def _lambda(self, node: ast.CollectionLambda, scope: Scope) -> Condition:
        parts = _path(node.owner)
        owner = scope.variables.get(parts[0], scope)
        names = parts[1:] if parts[0] in scope.variables else parts
        navigation = navigation_of(owner.table, names[0]) if len(names) == 1 else None
        if navigation is None or navigation.table is None or not navigation.is_collection:
            raise no_property(owner.table, "/".join(names))
        inner = self._scope(TABLES[navigation.table])
        joined = _belongs(navigation, inner, owner)
        if node.lambda_ is None:
            return sa.exists().where(joined)
        variables = {**scope.variables, node.lambda_.identifier.name: inner}
        matched = self.condition(node.lambda_.expression, Scope(inner.table, inner.sql, variables))
        if isinstance(node.operator, ast.Any):
            return sa.exists().where(joined, matched)
        return ~sa.exists().where(joined, sa.func.coalesce(matched, sa.false()) == sa.false())


_SQL: Mapping[str, str] = {
    "Equal": "eq",
    "NotEqual": "ne",
    "GreaterThan": "gt",
    "GreaterThanOrEqual": "ge",
    "LessThan": "lt",
    "LessThanOrEqual": "le",
}
_MIRRORED = {
    "GreaterThan": "LessThan",
    "LessThan": "GreaterThan",
    "GreaterThanOrEqual": "LessThanOrEqual",
    "LessThanOrEqual": "GreaterThanOrEqual",
}


def _wire_name(table: Table, parts: list[str]) -> str:
    for name in parts[:-1]:
        navigation = table.navigations.get(name)
        if navigation is not None and navigation.table is not None:
            table = TABLES[navigation.table]
    column = table.by_name.get(parts[-1])
    return column.wire if column is not None else parts[-1]


def _belongs(navigation: Navigation, inner: Scope, owner: Scope) -> Condition:
    """The join condition of a collection: the row of ``inner`` is one of those of ``owner``."""
    if navigation.through is None:
        return points_to(inner.sql, navigation.column, owner.sql, owner.table)
    pairs = PAIRS[navigation.through.name].alias()
    there, here = inner.table.primary_id, owner.table.primary_id
    return (pairs.c[there] == inner.sql.c[there]) & (pairs.c[here] == owner.sql.c[here])


def _operands(node: ast.BoolOp) -> list[Any]:
    """Flatten what one operator joins: ``a or b or c`` is no tree of depth, however long it gets."""
    found: list[Any] = []
    left: Any = node
    while isinstance(left, ast.BoolOp) and type(left.op) is type(node.op):
        found.append(left.right)
        left = left.left
    return [left, *reversed(found)]


def _is_path(node: Any) -> bool:
    return isinstance(node, (ast.Identifier, ast.Attribute))


def _path(node: Any) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [*_path(node.owner), node.attr]
    if isinstance(node, ast.Identifier):
        return [node.name]
    raise NotEmulated(f"{type(node).__name__} as a property in $filter")


def _plain(node: Any) -> Any:
    if not isinstance(node, ast.Null) and not hasattr(node, "val"):
        raise odata_fault(f"A value was expected where '{'/'.join(_path(node))}' stands.")
    return None if isinstance(node, ast.Null) else node.val


def _incompatible(left: str, right: str, operator: str) -> Exception:
    return odata_fault(
        "A binary operator with incompatible types was detected. Found operand types "
        f"'{left}' and '{right}' for operator kind '{operator}'."
    )


_LITERAL_EDM: Mapping[type, str] = {
    ast.String: "Edm.String",
    ast.Integer: "Edm.Int32",
    ast.Float: "Edm.Double",
    ast.Boolean: "Edm.Boolean",
    ast.GUID: "Edm.Guid",
    ast.Date: "Edm.Date",
    ast.DateTime: "Edm.DateTimeOffset",
}


def _compare_literal(column: Column, value: Any, operator: str, literal: Any) -> Condition:
    """A column against a literal, with the literal brought into stored form."""
    if isinstance(literal, ast.Null):
        if operator not in {"Equal", "NotEqual"}:
            return sa.false()
        return value.is_(None) if operator == "Equal" else value.is_not(None)
    stored = _stored(column, literal)
    if stored is None:
        raise _incompatible(column.edm, _LITERAL_EDM.get(type(literal), type(literal).__name__), operator)
    return compare_stored(_SQL[operator], column, value, stored)


def _stored(column: Column, literal: Any) -> Any:
    text = literal.val if hasattr(literal, "val") else None
    kind = type(literal)
    if kind is ast.String:
        return text if column.kind in TEXT_KINDS else None
    if kind is ast.GUID:
        return str(text).lower() if column.kind in GUID_KINDS else None
    if kind is ast.Boolean:
        return int(text == "true") if column.kind == "Boolean" else None
    if kind in {ast.Date, ast.DateTime}:
        return _stored_date(column, str(text), kind)
    return stored_number(column, str(text)) if kind in {ast.Integer, ast.Float} else None


def _stored_date(column: Column, text: str, kind: type) -> str | None:
    if column.kind != "DateTime" or (column.is_date_only and kind is ast.DateTime):
        return None
    return day_text(text) if column.is_date_only else moment_text(text)
