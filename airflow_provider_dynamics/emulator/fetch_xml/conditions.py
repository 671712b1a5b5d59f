"""The condition operators of FetchXML as SQL.

``ne``, ``not-in``, ``not-like`` and their kind are true for rows with nothing in the column.
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/reference/operators
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Caller
from airflow_provider_dynamics.emulator.fetch_xml.document import invalid
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.querying.comparisons import (
    COMPARISONS,
    among,
    compare_stored,
    like,
    stored_text,
)
from airflow_provider_dynamics.emulator.querying.query_functions import Function, query_function
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.model import TEXT_KINDS
from airflow_provider_dynamics.emulator.schema.security import TEAM_MEMBERS
from airflow_provider_dynamics.emulator.storage import PAIRS, SQL
from airflow_provider_dynamics.emulator.store import Store

_INT32 = 2**31
_LANGUAGE = 1033
_MOST_GENERATIONS = 100
_TEXT_TESTS: Mapping[str, tuple[str, bool]] = {
    "like": ("{}", True),
    "not-like": ("{}", False),
    "begins-with": ("{}%", True),
    "not-begin-with": ("{}%", False),
    "ends-with": ("%{}", True),
    "not-end-with": ("%{}", False),
}
# https://learn.microsoft.com/power-apps/developer/data-platform/query-hierarchical-data
PARENTS: Mapping[str, str] = {"account": "parentaccountid", "systemuser": "parentsystemuserid"}
_NAMES = """
    yesterday today tomorrow last-seven-days next-seven-days last-week this-week next-week last-month this-month
    next-month last-year this-year next-year on on-or-after on-or-before last-x-hours next-x-hours last-x-days
    next-x-days last-x-weeks next-x-weeks last-x-months next-x-months last-x-years next-x-years
    olderthan-x-minutes olderthan-x-hours olderthan-x-days olderthan-x-weeks olderthan-x-months olderthan-x-years
    this-fiscal-year last-fiscal-year next-fiscal-year this-fiscal-period last-fiscal-period next-fiscal-period
    last-x-fiscal-years next-x-fiscal-years last-x-fiscal-periods next-x-fiscal-periods in-fiscal-year
    in-fiscal-period in-fiscal-period-and-year in-or-before-fiscal-period-and-year
    in-or-after-fiscal-period-and-year
    """
_FUNCTIONS = frozenset(_NAMES.split())  # what the query functions of OData do too


@dataclass(frozen=True)
class Asker:
    """Who asks, when, and of what: what a condition may depend on beside its text."""

    store: Store
    now: datetime
    caller: Caller


@dataclass(frozen=True)
class Test:
    """One condition on one column: the operator, the column with its SQL value, and the values as written."""

    asker: Asker
    table: Table
    column: Column
    value: Any
    operator: str
    values: tuple[str, ...]

    def one(self) -> str:
        """The single value; raises ``Fault`` when there is none or more."""
        if len(self.values) != 1:
            raise invalid(
                f"The condition operator {self.operator} needs one value, not {len(self.values)}.",
                "0x80041108",
            )
        return self.values[0]

    def stored(self, text: str) -> Any:
        """A value in stored form; raises ``Fault`` when it is none of the column's type."""
        found = stored_text(self.column, text)
        if self.column.edm == "Edm.Int32" and found is not None and not -_INT32 <= found < _INT32:
            found = None
        if found is None:
            raise Fault(
                400,
                "0x80040203",
                "An exception System.FormatException was thrown while trying to convert input value "
                f"'{text[:100]}' to attribute '{self.table.name}.{self.column.name}'. Expected type of attribute "
                f"value: {_TYPES.get(self.column.edm, 'System.Int32')}.",
            )
        return found


_TYPES = {
    "Edm.Guid": "System.Guid",
    "Edm.DateTimeOffset": "System.DateTime",
    "Edm.Date": "System.DateTime",
    "Edm.Decimal": "System.Decimal",
    "Edm.Double": "System.Double",
    "Edm.Boolean": "System.Boolean",
    "Edm.Int64": "System.Int64",
}


def test_sql(test: Test) -> Any:
    """The SQL condition; raises ``Fault`` on values that do not fit, ``NotEmulated`` on operators left out."""
    name = test.operator
    if name in COMPARISONS:
        return _compared(test)
    if name in _TEXT_TESTS:
        return _like(test)
    if name in _FUNCTIONS:
        return _function(test, name.replace("olderthan", "older-than").replace("seven", "7"))
    made = _OTHERS.get(name)
    if made is None:
        raise NotEmulated(f"the FetchXML operator {name}")
    return made(test)


def _compared(test: Test) -> Any:
    return compare_stored(test.operator, test.column, test.value, test.stored(test.one()))


def _like(test: Test) -> Any:
    if test.column.kind not in TEXT_KINDS:
        raise NotEmulated(f"the FetchXML operator {test.operator} on {test.column.kind}")
    form, wanted = _TEXT_TESTS[test.operator]
    found = like(test.value, form.format(test.one()))
    return found if wanted else sa.func.coalesce(found, sa.false()) == sa.false()


def _function(test: Test, dashed: str) -> Any:
    name = "".join(part.capitalize() for part in dashed.split("-"))
    asker = test.asker
    return query_function(Function(name, test.column, test.value, list(test.values), asker.now, asker.caller))


def _in(test: Test) -> Any:
    values = [test.stored(text) for text in test.values]
    if not values:
        raise invalid(f"The condition operator {test.operator} needs values.", "0x80041108")
    return among(test.column, test.value, values, negated=test.operator == "not-in")


def _between(test: Test) -> Any:
    if len(test.values) != 2:
        raise invalid(f"The condition operator {test.operator} needs two values.", "0x80041108")
    low, high = (test.stored(text) for text in test.values)
    inside = test.value.between(low, high)
    return inside if test.operator == "between" else ~inside


def _contain(test: Test) -> Any:
    return _function(
        test, "contain-values" if test.operator == "contain-values" else "does-not-contain-values"
    )


def _user(test: Test) -> Any:
    return _function(test, {"eq": "equal-user-id", "ne": "not-equal-user-id"}[test.operator[:2]])


def _business(test: Test) -> Any:
    return _function(test, {"eq": "equal-business-id", "ne": "not-equal-business-id"}[test.operator[:2]])


def _teams(test: Test) -> Any:
    pairs, me = PAIRS[TEAM_MEMBERS.name], test.asker.caller.user_id
    mine = test.value.in_(sa.select(pairs.c.teamid).where(pairs.c.systemuserid == me))
    return mine if test.operator == "eq-userteams" else sa.or_(mine, test.value == me)


def _hierarchy(test: Test) -> Any:
    parent = PARENTS.get(test.table.name)
    if parent is None or test.column.name not in {test.table.primary_id, parent}:
        raise NotEmulated(f"the hierarchy of {test.table.name}.{test.column.name}")
    start = test.stored(test.one())
    operator = test.operator
    up = operator in {"above", "eq-or-above"}
    ids = _line(test.asker.store, test.table, parent, start, up=up)
    if operator.startswith("eq-or-"):
        ids.add(start)
    found = test.value.in_(sorted(ids))
    return sa.func.coalesce(found, sa.false()) == sa.false() if operator == "not-under" else found


def _line(store: Store, table: Table, parent: str, start: str, *, up: bool) -> set[str]:
    """Return the ids above or below a row, by at most a hundred generations."""
    sql = SQL[table.name]
    key, above = sql.c[table.primary_id], sql.c[parent]
    wanted, known = (above, key) if up else (key, above)
    found: set[str] = set()
    generation = {start}
    for _ in range(_MOST_GENERATIONS):
        rows = store.fetch(sa.select(wanted).where(known.in_(sorted(generation)), wanted.is_not(None)))
        generation = {row_id for (row_id,) in rows} - found - {start}
        if not generation:
            break
        found |= generation
    return found


_OTHERS: Mapping[str, Callable[[Test], Any]] = {
    "null": lambda test: test.value.is_(None),
    "not-null": lambda test: test.value.is_not(None),
    **dict.fromkeys(("in", "not-in"), _in),
    **dict.fromkeys(("between", "not-between"), _between),
    **dict.fromkeys(("contain-values", "not-contain-values"), _contain),
    **dict.fromkeys(("eq-userid", "ne-userid"), _user),
    **dict.fromkeys(("eq-businessid", "ne-businessid"), _business),
    **dict.fromkeys(("eq-userteams", "eq-useroruserteams"), _teams),
    **dict.fromkeys(("above", "eq-or-above", "under", "eq-or-under", "not-under"), _hierarchy),
    "eq-userlanguage": lambda test: test.value == _LANGUAGE,
}
OPERATORS = COMPARISONS | set(_TEXT_TESTS) | _FUNCTIONS | set(_OTHERS)
