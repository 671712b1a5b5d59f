"""``$filter`` on metadata, evaluated on the shapes themselves: primitives, enums and one step into complex values.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from odata_query import ast

from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.options import odata_fault
from airflow_provider_dynamics.emulator.querying.filter_text import parse

_COMPARE: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}
_LITERALS: Mapping[type, Callable[[str], Any]] = {
    ast.Boolean: lambda text: text == "true",
    ast.Integer: int,
    ast.Float: float,
}
_CALLS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


def matches(shape: Mapping[str, Any], text: str, aliases: Mapping[str, str], *, fold: bool = True) -> bool:
    """Whether a definition satisfies a filter; raises ``Fault`` on a member it does not have.

    ``fold`` false lets the functions tell the case of letters apart, as the discovery service does.
    """
    tree, _ = parse(text, aliases)
    return bool(_value(tree, shape, fold=fold))


def _value(node: Any, shape: Mapping[str, Any], *, fold: bool) -> Any:
    if isinstance(node, ast.BoolOp):
        left = _value(node.left, shape, fold=fold)
        if isinstance(node.op, ast.And):
            return left and _value(node.right, shape, fold=fold)
        return left or _value(node.right, shape, fold=fold)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _value(node.operand, shape, fold=fold)
    if isinstance(node, ast.Compare):
        return _compared(node, shape, fold=fold)
    if isinstance(node, ast.Call) and node.func.name in _CALLS and len(node.args) == 2:
        subject, part = (str(_value(argument, shape, fold=fold) or "") for argument in node.args)
        return _CALLS[node.func.name](*((subject.lower(), part.lower()) if fold else (subject, part)))
    return _leaf(node, shape)


def _compared(node: ast.Compare, shape: Mapping[str, Any], *, fold: bool) -> bool:
    compare = _COMPARE.get(type(node.comparator))
    if compare is None:
        raise NotEmulated(f"the operator {type(node.comparator).__name__.lower()} in a metadata $filter")
    left, right = _value(node.left, shape, fold=fold), _value(node.right, shape, fold=fold)
    if left is None or right is None:
        return compare(left, right) if compare in {operator.eq, operator.ne} else False
    try:
        return compare(left, right)
    except TypeError as error:
        raise odata_fault("A binary operator with incompatible types was detected.") from error


def _leaf(node: Any, shape: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Identifier):
        if node.name not in shape:
            raise odata_fault(f"Could not find a property named '{node.name}' on this metadata type.")
        return shape[node.name]
    if isinstance(node, ast.Attribute):
        owner = _leaf(node.owner, shape)
        return _leaf(ast.Identifier(node.attr), owner) if isinstance(owner, dict) else None
    if isinstance(node, ast.Null):
        return None
    if not hasattr(node, "val"):
        raise NotEmulated(f"{type(node).__name__} in a metadata $filter")
    return _LITERALS.get(type(node), str)(node.val)
