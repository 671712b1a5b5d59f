"""Columns against values, for ``$filter``, query functions and FetchXML alike: stored forms and SQL conditions.

Strings compare without case, and ``ne`` and ``not in`` are true for rows that have nothing in the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.literals import GUID, day_text, moment_text
from airflow_provider_dynamics.emulator.schema import Column
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS, GUID_KINDS, TEXT_KINDS, WHOLE_KINDS
from airflow_provider_dynamics.emulator.storage import Condition

_INT64 = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LONGEST_PATTERN = 40_000  # SQLite's own LIKE takes 50,000 bytes
_OPERATORS: Mapping[str, Callable[[Any, Any], Condition]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: sa.or_(left != right, left.is_(None)),
    "neq": lambda left, right: sa.or_(left != right, left.is_(None)),
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}
COMPARISONS = frozenset(_OPERATORS)


def stored_text(column: Column, text: str) -> Any:
    """A value written as text in the form the column keeps it, None when the column cannot hold it."""
    if column.kind in TEXT_KINDS:
        return text
    text = text.strip()
    if column.kind in GUID_KINDS:
        bare = text.removeprefix("{").removesuffix("}")
        return bare.lower() if GUID.fullmatch(bare) else None
    if column.kind == "DateTime":
        text = text.replace(" ", "T", 1)
        return day_text(text[:10]) if column.is_date_only else moment_text(text)
    if column.kind == "Boolean":
        return {"1": 1, "true": 1, "0": 0, "false": 0}.get(text.lower())
    found = stored_number(column, text)
    return None if column.kind in WHOLE_KINDS and isinstance(found, float) else found


def stored_number(column: Column, text: str) -> int | float | None:
    """A number in stored form: exact ones scaled, whole ones as integers as far as SQLite has them."""
    if _NUMBER.fullmatch(text) is None:
        return None
    number = Decimal(text)
    if column.kind in EXACT_KINDS:
        number = number.scaleb(column.scale)
    elif column.kind not in WHOLE_KINDS and column.kind != "Double":
        return None
    return int(number) if number == number.to_integral_value() and abs(number) < _INT64 else float(number)


def compare(operator: str, left: Any, right: Any) -> Condition:
    """Two SQL values, by one of `COMPARISONS`."""
    return _OPERATORS[operator](left, right)


def compare_stored(operator: str, column: Column, value: Any, stored: Any) -> Condition:
    """A column's SQL value against a stored one; letters beyond ASCII have no case either."""
    value, (stored,) = _folded(column, value, [stored])
    return compare(operator, value, sa.literal(stored))


def among(column: Column, value: Any, stored: Sequence[Any], *, negated: bool = False) -> Condition:
    """Whether a column's SQL value is one of the stored ones, or none of them."""
    value, stored = _folded(column, value, stored)
    return sa.or_(value.not_in(stored), value.is_(None)) if negated else value.in_(stored)


def _folded(column: Column, value: Any, stored: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    if column.kind not in TEXT_KINDS or all(str(one).isascii() for one in stored):
        return value, stored
    return sa.func.fold(value), [str(one).casefold() for one in stored]


def like(value: Any, pattern: str) -> Condition:
    """LIKE, by SQLite's own where that can do it: it is fast but knows no character classes and folds ASCII only."""
    if "[" in pattern or not pattern.isascii() or len(pattern) > _LONGEST_PATTERN:
        return sa.func.tsql_like(value, pattern)
    return value.like(pattern)
