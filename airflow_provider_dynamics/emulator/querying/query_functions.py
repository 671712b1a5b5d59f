"""The query functions of namespace ``Microsoft.Dynamics.CRM`` that go beyond OData's operators.

Relative dates are counted in UTC from the emulator's clock. Names Dataverse has and this file has not: 501.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/queryfunctions
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Caller
from airflow_provider_dynamics.emulator.literals import day_text, utc_text
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.querying.comparisons import among, stored_text
from airflow_provider_dynamics.emulator.querying.spans import SPANS, arity, month, same_day
from airflow_provider_dynamics.emulator.schema import Column
from airflow_provider_dynamics.emulator.storage import Condition

_DAY = timedelta(days=1)
_CHOICE = re.compile("-?[0-9]{1,10}")


@dataclass(frozen=True)
class Function:
    """A call of a query function: its name, the column (with its SQL value), the values, and what "now" is."""

    name: str
    column: Column
    value: Any
    values: list[Any]
    now: datetime
    caller: Caller


def query_function(call: Function) -> Condition:
    """The condition the function stands for; raises ``NotEmulated`` for functions left out."""
    made = _relative_days if call.name in _DAYS or call.name in SPANS else _CONDITIONS.get(call.name)
    if made is None:
        raise NotEmulated(f"the query function {call.name}")
    try:
        return made(call)
    except (OverflowError, ValueError):
        raise _bad(call, "was given a number that leads beyond the calendar") from None


def _relative_days(call: Function) -> Condition:
    _needs_date(call)
    today = _midnight(call.now)
    first, last = _DAYS[call.name](today, call) if call.name in _DAYS else _span(today, call)
    return _between_days(call, first, last)


def _needs_date(call: Function) -> None:
    if call.column.kind != "DateTime":
        raise _bad(call, f"cannot be applied to the column '{call.column.name}'")


def _bad(call: Function, why: str) -> Fault:
    return Fault(400, "0x80060888", f"The function Microsoft.Dynamics.CRM.{call.name} {why}.")


def _midnight(when: datetime) -> datetime:
    return when.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def _number(call: Function) -> int:
    try:
        return int(call.values[0])
    except (IndexError, TypeError, ValueError):
        raise _bad(call, "needs a whole number as PropertyValue") from None


def _span(today: datetime, call: Function) -> tuple[datetime | None, datetime | None]:
    if len(call.values) != arity(call.name):
        raise _bad(call, f"needs {arity(call.name)} whole numbers, not {len(call.values)}")
    try:
        return SPANS[call.name](today, [int(value) for value in call.values])
    except (TypeError, ValueError) as error:
        raise _bad(call, f"was given {call.values}: {error}") from None


def _given_day(call: Function) -> datetime:
    text = day_text(str(call.values[0])[:10]) if call.values else None
    if text is None:
        raise _bad(call, "needs a date as PropertyValue")
    return datetime.fromisoformat(f"{text}T00:00:00+00:00")


# First day and the day after the last; None leaves that side open.
_Days = Callable[[datetime, Function], tuple["datetime | None", "datetime | None"]]
_DAYS: Mapping[str, _Days] = {
    "Today": lambda day, _: (day, day + _DAY),
    "Yesterday": lambda day, _: (day - _DAY, day),
    "Tomorrow": lambda day, _: (day + _DAY, day + 2 * _DAY),
    "Last7Days": lambda day, _: (day - 7 * _DAY, day + _DAY),
    "Next7Days": lambda day, _: (day + _DAY, day + 8 * _DAY),
    "LastXDays": lambda day, call: (day - _number(call) * _DAY, day + _DAY),
    "NextXDays": lambda day, call: (day, day + (_number(call) + 1) * _DAY),
    "OlderThanXDays": lambda day, call: (None, day - _number(call) * _DAY),
    "ThisMonth": lambda day, _: (month(day, 0), month(day, 1)),
    "LastMonth": lambda day, _: (month(day, -1), month(day, 0)),
    "NextMonth": lambda day, _: (month(day, 1), month(day, 2)),
    "LastXMonths": lambda day, call: (same_day(day, -_number(call)), day + _DAY),
    "ThisYear": lambda day, _: (day.replace(month=1, day=1), day.replace(year=day.year + 1, month=1, day=1)),
    "LastYear": lambda day, _: (day.replace(year=day.year - 1, month=1, day=1), day.replace(month=1, day=1)),
    "On": lambda _, call: (_given_day(call), _given_day(call) + _DAY),
    "OnOrAfter": lambda _, call: (_given_day(call), None),
    "OnOrBefore": lambda _, call: (None, _given_day(call) + _DAY),
}


def _between_days(call: Function, first: datetime | None, last: datetime | None) -> Condition:
    text = (lambda when: when.date().isoformat()) if call.column.is_date_only else utc_text
    conditions = []
    if first is not None:
        conditions.append(call.value >= text(first))
    if last is not None:
        conditions.append(call.value < text(last))
    return sa.and_(*conditions)


def _hours(call: Function) -> Condition:
    if call.column.kind != "DateTime" or call.column.is_date_only:
        raise _bad(call, f"cannot be applied to the column '{call.column.name}'")
    span = timedelta(hours=_number(call))
    if call.name == "LastXHours":
        return sa.and_(call.value >= utc_text(call.now - span), call.value <= utc_text(call.now))
    if call.name == "NextXHours":
        return sa.and_(call.value >= utc_text(call.now), call.value <= utc_text(call.now + span))
    if call.name == "OlderThanXMinutes":
        span = timedelta(minutes=_number(call))
    return call.value < utc_text(call.now - span)


def _stored(call: Function, value: Any) -> Any:
    found = None
    if isinstance(value, (str, int, float, Decimal)):
        found = stored_text(call.column, str(value))
    if found is None:
        raise _bad(call, f"was given '{value}', which is no value of the column '{call.column.name}'")
    return found


def _in_fiscal_period(call: Function) -> Condition:
    _needs_date(call)
    period = _number(call)
    if not 1 <= period <= 4:
        raise _bad(call, "knows the quarters 1 to 4")
    first = 3 * period - 2
    return sa.func.substr(call.value, 6, 2).between(f"{first:02d}", f"{first + 2:02d}")


def _in(call: Function) -> Condition:
    values = [_stored(call, value) for value in call.values]
    if not values:
        raise NotEmulated(f"the query function {call.name} without values")
    return among(call.column, call.value, values, negated=call.name == "NotIn")


def _range(call: Function) -> Condition:
    if len(call.values) != 2:
        raise _bad(call, "needs two PropertyValues")
    low, high = (_stored(call, value) for value in call.values)
    inside: Condition = call.value.between(low, high)
    return inside if call.name == "Between" else ~inside


def _contains(call: Function) -> Condition:
    if call.column.kind != "MultiSelectPicklist":
        raise _bad(call, f"cannot be applied to the column '{call.column.name}'")
    listed = "," + call.value + ","
    if not call.values or not all(_CHOICE.fullmatch(str(value)) for value in call.values):
        raise _bad(call, "needs the numbers of choices as PropertyValues")
    any_of = sa.or_(*(listed.like(f"%,{value},%") for value in call.values))
    return any_of if call.name == "ContainValues" else sa.func.coalesce(any_of, sa.false()) == sa.false()


def _equal_user(call: Function) -> Condition:
    mine: Condition = call.value == call.caller.user_id
    return mine if call.name == "EqualUserId" else sa.or_(~mine, call.value.is_(None))


def _equal_business(call: Function) -> Condition:
    mine: Condition = call.value == call.caller.business_unit_id
    return mine if call.name == "EqualBusinessId" else sa.or_(~mine, call.value.is_(None))


_CONDITIONS: Mapping[str, Callable[[Function], Condition]] = {
    **dict.fromkeys(("LastXHours", "NextXHours", "OlderThanXHours", "OlderThanXMinutes"), _hours),
    "InFiscalPeriod": _in_fiscal_period,
    **dict.fromkeys(("In", "NotIn"), _in),
    **dict.fromkeys(("Between", "NotBetween"), _range),
    **dict.fromkeys(("ContainValues", "DoesNotContainValues"), _contains),
    **dict.fromkeys(("EqualUserId", "NotEqualUserId"), _equal_user),
    **dict.fromkeys(("EqualBusinessId", "NotEqualBusinessId"), _equal_business),
}
