"""When two values of a key are the same: as the database behind Dataverse compares them, not as Python does."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.odata import IDS, NUMBERS
from airflow_provider_dynamics.dataverse.queries.spelling import read_moment

__all__ = ["TEXTS", "folded", "folded_text", "loosely"]

TEXTS = frozenset({"String", "Memo"})


def folded(value: Any, kind: str = "") -> Hashable:
    """Return a value such that two are equal exactly where Dataverse takes them for the same in a key.

    `kind` is the column's type, "" to go by the value's own: text has no case and no trailing blanks, and
    nothing else in it is no value (None); numbers are Decimals, times are in UTC, ids are lower-case text.
    Raises BadRequest for what a column of this type cannot hold.
    """
    return None if value is None else _FOLDS.get(kind, _by_itself)(value)


def _by_itself(value: Any) -> Hashable:
    if isinstance(value, str):
        return folded_text(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _number(value)
    if isinstance(value, date):
        return _moment(value)
    return value if isinstance(value, Hashable) else str(value)


def folded_text(value: str) -> str | None:
    """Fold text; SQL Server fills the shorter of two with blanks, and Dataverse stores an empty text as null."""
    return value.rstrip(" ").casefold() or None


def _boolean(value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
    if known is None:
        raise errors.BadRequest(f"{value!r} is neither true nor false")
    return known


def _number(value: Any) -> Decimal:
    try:
        found = Decimal(float.__repr__(value) if isinstance(value, float) else value)
    except (InvalidOperation, TypeError, ValueError):
        raise errors.BadRequest(f"{value!r} is not a number") from None
    if not found.is_finite():
        raise errors.BadRequest(f"{value!r} is not a number Dataverse can hold")
    return found


def _moment(value: Any) -> datetime:
    found = read_moment(value)
    if not isinstance(found, date):
        raise errors.BadRequest(f"{value!r} is no date or time")
    if not isinstance(found, datetime):
        return datetime(found.year, found.month, found.day, tzinfo=timezone.utc)
    return found.astimezone(timezone.utc) if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _id(value: Any) -> str:
    return odata.guid(value.strip() if isinstance(value, str) else value)


_FOLDS: Mapping[str, Callable[[Any], Hashable]] = {
    **dict.fromkeys(TEXTS, lambda value: folded_text(str(value))),
    **dict.fromkeys(IDS, _id),
    **dict.fromkeys(NUMBERS, _number),
    "Boolean": _boolean,
    "DateTime": _moment,
}


def loosely(values: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Return folded values without what some environments' collations ignore too: accents, and the width of letters."""
    return tuple(map(_loose, values))


def _loose(value: Hashable) -> Hashable:
    if not isinstance(value, str) or value.isascii():
        return value
    apart = unicodedata.normalize("NFKD", value)
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()
