"""Conditions as values: columns are compared in Python, and the text that Dataverse reads is made when the request is.

So nobody quotes by hand, and the table's metadata decides how a value is spelled: an id without quotes, a date by
the column's behaviour, a number with all its digits.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.queries import query_functions

if TYPE_CHECKING:  # a DAG file builds conditions, and reading metadata needs requests
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.dataverse.metadata.tables import Tables

__all__ = ["ColumnName", "Condition", "all_of", "any_of", "column", "combined", "odata"]

Change = Callable[[Any], Any]

_CONTRARY = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


class Condition:
    """A condition on rows; combine conditions with `&`, `|` and `~`. `str()` shows it without a table's metadata."""

    def render(self, table: Table | None = None, tables: Tables | None = None) -> str:
        """Return the text for `$filter`, spelled as the table's columns want it; raises UnknownColumn, BadRequest."""
        from airflow_provider_dynamics.dataverse.queries.spelling import Scope

        return self.written(Scope(table, tables))

    def written(self, scope: Any) -> str:
        raise NotImplementedError

    def denied(self, scope: Any) -> str:
        """Return the text that finds every row this condition does not find."""
        return f"not ({self.written(scope)})"

    def negated(self) -> Condition:
        return _Not(self)

    def mapped(self, change: Change) -> Condition:
        """Return the condition with `change` applied to each value that is text, as templates need it."""
        return self

    def __str__(self) -> str:
        """Show the condition, also one that cannot be asked yet: Airflow shows templates before they are rendered."""
        try:
            return self.render()
        except BadRequest:
            return repr(self)

    def __eq__(self, other: object) -> bool:
        """Say whether both demand the same in the same words: fields cannot be compared, as columns make conditions of it."""
        return isinstance(other, Condition) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __and__(self, other: Condition) -> Condition:
        return _joined("and", self, other)

    def __or__(self, other: Condition) -> Condition:
        return _joined("or", self, other)

    def __invert__(self) -> Condition:
        return self.negated()

    def __bool__(self) -> bool:
        raise TypeError(
            "A condition is neither true nor false here: combine conditions with & | ~ instead of and, or, not, "
            "each in brackets, and compare a column once at a time"
        )


class ColumnName:
    """A column to compare, made by `column`; the operators and methods return conditions."""

    def __init__(self, path: str) -> None:
        parts = path.split("/") if isinstance(path, str) else []
        if not parts or not all(re.fullmatch(r"[A-Za-z_]\w*", part, re.ASCII) for part in parts):
            raise ValueError(
                f"{path!r} is not a column's logical name, nor one like primarycontactid/fullname"
            )
        self.path = path

    def __repr__(self) -> str:
        return f"column({self.path!r})"

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return _Comparison(self.path, "eq", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return _Comparison(self.path, "ne", other)

    def __lt__(self, other: object) -> Condition:
        return _Comparison(self.path, "lt", other)

    def __le__(self, other: object) -> Condition:
        return _Comparison(self.path, "le", other)

    def __gt__(self, other: object) -> Condition:
        return _Comparison(self.path, "gt", other)

    def __ge__(self, other: object) -> Condition:
        return _Comparison(self.path, "ge", other)

    __hash__ = object.__hash__

    def is_null(self) -> Condition:
        """The column is empty; `~` of it, that it is not."""
        return _Comparison(self.path, "eq", None)

    def startswith(self, text: str, *, wildcards: bool = False) -> Condition:
        """The text begins so; `%`, `_` and `[` mean themselves unless `wildcards` is set."""
        return _Match(self.path, "startswith", text, wildcards)

    def endswith(self, text: str, *, wildcards: bool = False) -> Condition:
        """The text ends so: slow on large tables, and the service may refuse it as a leading wildcard."""
        return _Match(self.path, "endswith", text, wildcards)

    def contains(self, text: str, *, wildcards: bool = False) -> Condition:
        """The text holds this: slow on large tables, and the service may refuse it as a leading wildcard."""
        return _Match(self.path, "contains", text, wildcards)

    def is_in(self, values: Iterable[Any]) -> Condition:
        """The value is one of these; raises ValueError for none, TypeError for a single text."""
        if isinstance(values, str):
            raise TypeError(f"is_in takes several values, not one text: is_in([{values!r}])")
        ordered = sorted(values, key=repr) if isinstance(values, (set, frozenset)) else values
        return _Function(
            self.path, "In", tuple(ordered)
        )  # a set's own order would make a new DAG of each reading

    def between(self, lowest: Any, highest: Any) -> Condition:
        """The value lies between these, both included."""
        return _Function(self.path, "Between", (lowest, highest))

    def contain_values(self, *values: int) -> Condition:
        """One of these choices is among the column's several."""
        return _Function(self.path, "ContainValues", values)

    def on(self, day: Any) -> Condition:
        """The moment lies on this day, in the user's time zone as Dataverse knows it."""
        return _Function(self.path, "On", (day,))

    def on_or_after(self, day: Any) -> Condition:
        """The moment lies on this day or later."""
        return _Function(self.path, "OnOrAfter", (day,))

    def on_or_before(self, day: Any) -> Condition:
        """The moment lies on this day or earlier."""
        return _Function(self.path, "OnOrBefore", (day,))

    def last_x_days(self, days: int) -> Condition:
        """The moment lies in the last so many days, today included."""
        return _Function(self.path, "LastXDays", (days,))

    def last_x_hours(self, hours: int) -> Condition:
        """The moment lies in the last so many hours; not for columns that hold dates only."""
        return _Function(self.path, "LastXHours", (hours,))

    def next_x_days(self, days: int) -> Condition:
        """The moment lies in the next so many days."""
        return _Function(self.path, "NextXDays", (days,))

    def older_than_x_days(self, days: int) -> Condition:
        """The moment lies more than so many days back."""
        return _Function(self.path, "OlderThanXDays", (days,))

    def function(self, name: str, *values: Any) -> Condition:
        """Any query function of Dataverse by its name, such as "ThisMonth" or "EqualUserId"; raises ValueError.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/queryfunctions
        """
        return _Function(self.path, name, values)


def column(path: str) -> ColumnName:
    """Return a column to compare, by its logical name; `primarycontactid/fullname` is one of the row a lookup leads to."""
    return ColumnName(path)


def odata(text: str) -> Condition:
    """Return OData's own text as a condition that can be combined with others."""
    return _Text(text)


def any_of(collection: str, condition: Condition | None = None) -> Condition:
    """Some row of a collection meets the condition; without one, there is some row at all."""
    return _Lambda(collection, "any", condition)


def all_of(collection: str, condition: Condition) -> Condition:
    """Every row of a collection meets the condition, also where there is none."""
    return _Lambda(collection, "all", condition)


def combined(*conditions: str | Condition | None) -> Condition | None:
    """Return what demands all of these at once, texts among them; None where there is nothing to demand."""
    found = [
        odata(one) if isinstance(one, str) else one for one in conditions if one is not None and one != ""
    ]
    if not found:
        return None
    whole = found[0]
    for one in found[1:]:
        whole = whole & one
    return whole


@dataclass(frozen=True, eq=False)
class _Text(Condition):
    text: str

    def written(self, scope: Any) -> str:
        return self.text

    def mapped(self, change: Change) -> Condition:
        return replace(self, text=str(change(self.text)))


@dataclass(frozen=True, eq=False)
class _Comparison(Condition):
    path: str
    operator: str
    value: Any

    def __post_init__(self) -> None:
        if isinstance(self.value, (list, tuple, set, dict)):
            raise TypeError(
                f"{self.path} is compared with a {type(self.value).__name__}: use is_in() for several values"
            )

    def written(self, scope: Any) -> str:
        if isinstance(self.value, ColumnName):
            return f"{scope.name(self.path)} {self.operator} {scope.name(self.value.path)}"
        return f"{scope.name(self.path)} {self.operator} {scope.literal(self.path, self.value)}"

    def denied(self, scope: Any) -> str:
        if isinstance(self.value, ColumnName):
            return super().denied(scope)
        opposite = replace(self, operator=_CONTRARY[self.operator]).written(scope)
        return opposite if self.operator in {"eq", "ne"} else _or_empty(opposite, scope, self.path)

    def mapped(self, change: Change) -> Condition:
        return replace(self, value=change(self.value)) if isinstance(self.value, str) else self


def no_pattern(text: str) -> str:
    """Return text for `startswith`, `contains`, `endswith` and `like` in which `%`, `_` and `[` mean themselves.

    https://learn.microsoft.com/power-apps/developer/data-platform/wildcard-characters
    """
    return re.sub(r"[%_\[]", r"[\g<0>]", text)


@dataclass(frozen=True, eq=False)
class _Match(Condition):
    path: str
    function: str
    text: str
    wildcards: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"{self.function} of {self.path} takes text, not a {type(self.text).__name__}")

    def written(self, scope: Any) -> str:
        text = self.text if self.wildcards else no_pattern(self.text)
        return f"{self.function}({scope.name(self.path)},{scope.text(text)})"

    def denied(self, scope: Any) -> str:
        return _or_empty(f"not {self.written(scope)}", scope, self.path)

    def mapped(self, change: Change) -> Condition:
        return replace(self, text=str(change(self.text)))


@dataclass(frozen=True, eq=False)
class _Function(Condition):
    path: str
    function: str
    values: Sequence[Any]

    def __post_init__(self) -> None:
        query_functions.checked(self.function, self.values)

    def written(self, scope: Any) -> str:
        of_column = query_functions.of_column(self.function)
        above, name, values = scope.argument(self.path, self.values, of_column=of_column)
        return f"{above}{query_functions.call(self.function, name, values)}"

    def negated(self) -> Condition:
        if self.function not in query_functions.OPPOSITES:
            raise ValueError(f"Dataverse has no opposite of {self.function}, and takes no not before it")
        return _Not(self)

    def denied(self, scope: Any) -> str:
        opposite = query_functions.OPPOSITES[self.function]
        text = replace(self, function=opposite).written(scope)
        return _or_empty(text, scope, self.path) if query_functions.negative(opposite) else text

    def mapped(self, change: Change) -> Condition:
        return replace(self, values=tuple(change(v) if isinstance(v, str) else v for v in self.values))


@dataclass(frozen=True, eq=False)
class _Lambda(Condition):
    collection: str
    word: str
    condition: Condition | None

    def written(self, scope: Any) -> str:
        path, inside = scope.collection(self.collection)
        if self.condition is None:
            return f"{path}/{self.word}()"
        return f"{path}/{self.word}({inside.variable}:{self.condition.written(inside)})"

    def mapped(self, change: Change) -> Condition:
        return self if self.condition is None else replace(self, condition=self.condition.mapped(change))


@dataclass(frozen=True, eq=False)
class _Not(Condition):
    condition: Condition

    def written(self, scope: Any) -> str:
        return self.condition.denied(scope)

    def negated(self) -> Condition:
        return self.condition

    def mapped(self, change: Change) -> Condition:
        return replace(self, condition=self.condition.mapped(change))


@dataclass(frozen=True, eq=False)
class _Joined(Condition):
    word: str
    parts: tuple[Condition, ...]

    def written(self, scope: Any) -> str:
        return f" {self.word} ".join(_bracketed(part, scope) for part in self.parts)

    def negated(self) -> Condition:
        return _Joined("or" if self.word == "and" else "and", tuple(part.negated() for part in self.parts))

    def mapped(self, change: Change) -> Condition:
        return replace(self, parts=tuple(part.mapped(change) for part in self.parts))


def _joined(word: str, *parts: Condition) -> Condition:
    for part in parts:
        if not isinstance(part, Condition):
            raise TypeError(
                f"{part!r} is not a condition: put each comparison in brackets, text into odata(…)"
            )
    flat = [
        one
        for part in parts
        for one in (part.parts if isinstance(part, _Joined) and part.word == word else (part,))
    ]
    return _Joined(word, tuple(flat))


def _or_empty(text: str, scope: Any, path: str) -> str:
    """Return a negation with the rows where there is nothing to compare: what Dataverse says of those is written nowhere."""
    return f"({text} or {scope.name(path)} eq null)"


def _bracketed(part: Condition, scope: Any) -> str:
    written = part.written(scope)
    return f"({written})" if isinstance(part, (_Joined, _Text)) else written
