"""How a condition's names and values are written for one table: what its metadata knows decides.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.odata import IDS, LOOKUPS, NUMBERS, WHOLE_NUMBERS

if TYPE_CHECKING:  # Airflow shows conditions while it reads a DAG file
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.dataverse.metadata.tables import Tables

__all__ = ["Scope", "read_moment"]

_TEXTS = frozenset({"String", "Memo", "MultiSelectPicklist"})
_MOST_DIGITS = 400  # written out, a number with an exponent can be longer than any memory


@dataclass(frozen=True)
class Scope:
    """The table a condition is about, None where it is not known, and inside a lambda its variable."""

    table: Table | None
    tables: Tables | None
    variable: str = ""
    depth: int = 0

    def name(self, path: str) -> str:
        """Return a column's path on the wire; raises UnknownColumn."""
        *above, last = path.split("/")
        navigations, table = self._down(above)
        name = table.column(last).wire_name if table else last
        return self._prefixed([*navigations, name])

    def literal(self, path: str, value: Any) -> str:
        """Return a value as it is compared with this column."""
        column = self._column(path)
        if column is None:
            return _guess(path, value)
        if value is None:
            return "null"
        return _fitting(path, column, value, _typed)

    def argument(self, path: str, values: Sequence[Any], *, of_column: bool) -> tuple[str, str, list[str]]:
        """Return for a query function: the path before it, the column's logical name, its values as plain texts.

        `of_column` says that the values are some the column could hold, not numbers of days.
        """
        *above, last = path.split("/")
        navigations, table = self._down(above)
        column = self._column(path) if of_column else (table.column(last) if table else None)
        name = column.name if column else last
        before = self._prefixed([*navigations, ""]) if navigations or self.variable else ""
        return before, name, [_argument(path, column if of_column else None, value) for value in values]

    def collection(self, path: str) -> tuple[str, Scope]:
        """Return a collection's path and the scope inside of its lambda; raises UnknownColumn."""
        *above, last = path.split("/")
        navigations, table = self._down(above)
        target = None
        if table is not None and self.tables is not None:
            name, many = self.tables.follow(table, last)
            if not many:
                raise BadRequest(
                    f"{last!r} of {table.logical_name} leads to one row, not to a collection",
                    remedy=f"Compare it by its path: column('{path}/…').",
                )
            target = self.tables.outline(name)
        variable = f"o{self.depth + 1}"
        inside = replace(self, table=target, variable=variable, depth=self.depth + 1)
        return self._prefixed([*navigations, last]), inside

    @staticmethod
    def text(value: str) -> str:
        return odata.literal(value)

    def _prefixed(self, parts: list[str]) -> str:
        return "/".join([self.variable, *parts] if self.variable else parts)

    def _column(self, path: str) -> Column | None:
        """Return the column with the behaviour of dates, which costs a request and is looked up for dates only."""
        *above, last = path.split("/")
        table = self._down(above)[1]
        if table is None:
            return None
        found = table.column(last)
        if found.type == "DateTime" and found.date_behavior is None and self.tables is not None:
            return self.tables.whole(table.logical_name).column(last)
        return found

    def _down(self, above: Sequence[str]) -> tuple[list[str], Table | None]:
        """Return the navigation properties of a path, also where lookups are named instead, and the table they lead to."""
        table, names = self.table, []
        for step in above:
            if table is None or self.tables is None:
                names.append(step)
                continue
            lookup = table.find(step)
            navigation = step
            if lookup is not None and lookup.type in LOOKUPS and len(lookup.navigation) == 1:
                navigation = next(iter(lookup.navigation.values()))
            table = self.tables.outline(self.tables.follow(table, navigation)[0])
            names.append(navigation)
        return names, table


def _fitting(path: str, column: Column, value: Any, spell: Callable[[Column, Any], str]) -> str:
    """Return a value spelled for its column; raises BadRequest that names the column where it cannot hold the value."""
    try:
        return spell(column, _own(value))
    except BadRequest as error:
        raise BadRequest(
            f"The column {path!r} is of type {column.type}: {error.message}",
            remedy="Correct the condition's value.",
        ) from None


def _own(value: Any) -> Any:
    """Return Python's own value for one of a data frame, whose types look like numbers and are none."""
    return value.item() if type(value).__module__ == "numpy" else value


def _argument(path: str, column: Column | None, value: Any) -> str:
    return _plain(_own(value)) if column is None else _fitting(path, column, value, _bare)


def _typed(column: Column, value: Any) -> str:
    if column.type == "DateTime":
        return _moment(column, value)
    if column.type in _TEXTS and type(value) not in {str, int, uuid.UUID}:
        raise BadRequest(f"a {type(value).__name__} is no text")
    if column.type in NUMBERS:
        return odata.literal(_number(column, value))
    if (
        column.type == "Boolean"
        and not isinstance(value, bool)
        and str(value).lower() not in {"true", "false"}
    ):
        raise BadRequest(f"{value!r} is neither True nor False")
    return odata.literal_as("String" if column.type in _TEXTS else column.type, value)


def _number(column: Column, value: Any) -> Decimal:
    """Return a number with all its digits; raises BadRequest for what is none, and for a part of a whole one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise BadRequest(f"{value!r} is not a number")
    try:
        exact = Decimal(float.__repr__(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise BadRequest(f"{value!r} is not a number") from None
    if not exact.is_finite() or abs(exact.adjusted()) > _MOST_DIGITS:
        raise BadRequest(f"{value!r} is not a number Dataverse can hold")
    if column.type not in WHOLE_NUMBERS:
        return exact
    if exact != exact.to_integral_value():
        raise BadRequest(f"{value!r} is not a whole number")
    return exact.to_integral_value()


def _moment(column: Column, value: Any) -> str:
    """Return a date or a time as the column holds it: a day alone, or an instant in UTC."""
    value = read_moment(value)
    if not isinstance(value, date) or value != value:  # noqa: PLR0124  # a data frame's missing time is none
        raise BadRequest(f"{value!r} is no date or time")
    if column.date_behavior == "DateOnly":
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    return odata.instant(value)


def read_moment(value: Any) -> Any:
    """Return a text's date or time; what is none stays as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip().upper().replace("Z", "+00:00")
    text = re.sub(
        r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", text
    )  # Python 3.10 reads six digits only
    try:
        return date.fromisoformat(text) if len(text) == len("2024-01-31") else datetime.fromisoformat(text)
    except ValueError:
        return value


def _bare(column: Column, value: Any) -> str:
    """Return a value of the column without quotes, for the inside of a query function."""
    if column.type in _TEXTS:
        _typed(column, value)
        return str(value)
    if column.type == "DateTime" and type(day := read_moment(value)) is date:
        return f"{day:%Y-%m-%d}"  # where the user's day begins, Dataverse knows
    if column.type in NUMBERS | IDS | {"DateTime", "Boolean"}:
        return _typed(column, value)
    return _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else odata.literal(value)


def _guess(path: str, value: Any) -> str:
    """Return a literal by its own type alone."""
    if isinstance(value, str) and path.endswith("_value"):
        return odata.guid(value)
    return odata.literal(value)
