"""Transact-SQL's LIKE, and text without regard to case: what SQLite has not got, as functions for it.

A pattern is searched part by part between its ``%``, so that no pattern takes longer than its length times the text's.
https://learn.microsoft.com/power-apps/developer/data-platform/wildcard-characters
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_PIECE = re.compile(r"\[\^?[^\]]+\]|.", re.DOTALL)
_FLAGS = re.IGNORECASE | re.DOTALL
_NEVER = "(?!)"  # what a range from high to low matches


@dataclass(frozen=True)
class _Part:
    """What stands between two ``%``: an expression that matches just ``length`` characters."""

    expression: re.Pattern[str]
    length: int


def tsql_like(value: object, pattern: str) -> bool | None:
    """Whether a text fits a pattern of ``%``, ``_``, ``[abc]`` and ``[^abc]``, ignoring case; None for None."""
    if value is None:
        return None
    text = str(value)
    first, *others = _parts(pattern)
    if not others:
        return first.expression.fullmatch(text) is not None
    found = first.expression.match(text)
    for part in others[:-1]:
        found = found and part.expression.search(text, found.end())
    start = len(text) - others[-1].length
    return found is not None and start >= found.end() and others[-1].expression.match(text, start) is not None


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[_Part, ...]:
    parts: list[list[str]] = [[]]
    for piece in _PIECE.findall(pattern):
        if piece == "%":
            parts.append([])
        else:
            parts[-1].append(piece)
    return tuple(_Part(re.compile("".join(_expressions(part)), _FLAGS), len(part)) for part in parts)


def _expressions(pieces: list[str]) -> Iterator[str]:
    for piece in pieces:
        if len(piece) > 1:
            yield _characters(piece[1:-1])
        else:
            yield "." if piece == "_" else re.escape(piece)


def _characters(inside: str) -> str:
    wanted = inside.removeprefix("^") or inside
    negated = "^" if len(wanted) < len(inside) else ""
    body = re.escape(wanted).replace(r"\-", "-")
    made = f"[{negated}{body}]"
    try:
        re.compile(made)
    except re.error:
        return _NEVER
    return made


def fold(value: Any) -> Any:
    """A text without regard to case, beyond ASCII too."""
    return value.casefold() if isinstance(value, str) else value
