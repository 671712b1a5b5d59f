"""Dataverse's query functions: their names, and how many values each takes.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/queryfunctions
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

from airflow_provider_dynamics.dataverse.errors import BadRequest

__all__ = ["OPPOSITES", "call", "checked", "negative", "of_column"]

_BARE = (
    "EqualBusinessId",
    "EqualUserId",
    "EqualUserLanguage",
    "EqualUserOrUserHierarchy",
    "EqualUserOrUserHierarchyAndTeams",
    "EqualUserOrUserTeams",
    "EqualUserTeams",
    "Last7Days",
    "LastFiscalPeriod",
    "LastFiscalYear",
    "LastMonth",
    "LastWeek",
    "LastYear",
    "Next7Days",
    "NextFiscalPeriod",
    "NextFiscalYear",
    "NextMonth",
    "NextWeek",
    "NextYear",
    "NotEqualBusinessId",
    "NotEqualUserId",
    "ThisFiscalPeriod",
    "ThisFiscalYear",
    "ThisMonth",
    "ThisWeek",
    "ThisYear",
    "Today",
    "Tomorrow",
    "Yesterday",
)
_TEXTS = ("Above", "AboveOrEqual", "NotUnder", "On", "OnOrAfter", "OnOrBefore", "Under", "UnderOrEqual")
_NUMBERS = (
    "InFiscalPeriod",
    "InFiscalYear",
    "LastXDays",
    "LastXFiscalPeriods",
    "LastXFiscalYears",
    "LastXHours",
    "LastXMonths",
    "LastXWeeks",
    "LastXYears",
    "NextXDays",
    "NextXFiscalPeriods",
    "NextXFiscalYears",
    "NextXHours",
    "NextXMonths",
    "NextXWeeks",
    "NextXYears",
    "OlderThanXDays",
    "OlderThanXHours",
    "OlderThanXMinutes",
    "OlderThanXMonths",
    "OlderThanXWeeks",
    "OlderThanXYears",
)
_LISTS = ("Between", "ContainValues", "DoesNotContainValues", "In", "NotBetween", "NotIn")
_PAIRS = ("InFiscalPeriodAndYear", "InOrAfterFiscalPeriodAndYear", "InOrBeforeFiscalPeriodAndYear")

_KINDS = {
    name: kind
    for kind, names in (
        ("bare", _BARE),
        ("text", _TEXTS),
        ("number", _NUMBERS),
        ("list", _LISTS),
        ("pair", _PAIRS),
    )
    for name in names
}
_COUNTS: dict[str, tuple[int, int | None]] = {
    "bare": (0, 0),
    "text": (1, 1),
    "number": (1, 1),
    "list": (1, None),
    "pair": (2, 2),
}
_TWO = frozenset({"Between", "NotBetween"})

_PAIRED = (
    ("In", "NotIn"),
    ("Between", "NotBetween"),
    ("ContainValues", "DoesNotContainValues"),
    ("EqualUserId", "NotEqualUserId"),
    ("EqualBusinessId", "NotEqualBusinessId"),
    ("Under", "NotUnder"),
)
OPPOSITES = {**dict(_PAIRED), **{second: first for first, second in _PAIRED}}
"""What says the contrary: Dataverse refuses `not` before a function."""


def checked(name: str, values: Sequence[object]) -> None:
    """Raise ValueError for a function that Dataverse does not have, or values it does not take."""
    if name not in _KINDS:
        near = difflib.get_close_matches(name, _KINDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"Dataverse has no query function {name!r}{hint}")
    fewest, most = (2, 2) if name in _TWO else _COUNTS[_KINDS[name]]
    if len(values) < fewest or (most is not None and len(values) > most):
        wanted = str(fewest) if fewest == most else f"at least {fewest}"
        raise ValueError(f"The query function {name} takes {wanted} values, not {len(values):,}")
    if any(value is None for value in values):
        raise ValueError(f"The query function {name} takes no nulls: compare with None, or use is_null()")


def negative(name: str) -> bool:
    """Say whether a function is the one of its pair that says no."""
    return name in {second for _, second in _PAIRED}


def of_column(name: str) -> bool:
    """Say whether a function's values are such as its column holds; the others count days or periods."""
    return _KINDS[name] in {"text", "list"}


def call(name: str, column: str, values: Sequence[str]) -> str:
    """Return the call as OData writes it; `values` are texts without quotes. Raises BadRequest for what must be a number.

    Lists hold texts in double quotes, whatever the column's type.
    """
    kind = _KINDS[name]
    arguments = [f"PropertyName='{column}'"]
    if kind == "text":
        arguments.append("PropertyValue='" + values[0].replace("'", "''") + "'")
    elif kind == "number":
        arguments.append(f"PropertyValue={_whole(name, values[0])}")
    elif kind == "list":
        listed = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
        arguments.append(f"PropertyValues={listed}")
    elif kind == "pair":
        arguments += [f"PropertyValue{place}={_whole(name, value)}" for place, value in enumerate(values, 1)]
    return f"Microsoft.Dynamics.CRM.{name}({','.join(arguments)})"


def _whole(name: str, value: str) -> int:
    if not value.strip().removeprefix("-").isdecimal():
        raise BadRequest(f"The query function {name} takes whole numbers, not {value!r}")
    return int(value)
