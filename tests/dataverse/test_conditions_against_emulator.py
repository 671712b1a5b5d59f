"""What conditions find, held against Python: the rows of any condition are those its predicate is true of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, Condition, Query, all_of, any_of, column

Row = dict[str, Any]
PEOPLE = "contact_customer_accounts"
TEXTS = [
    "O'Brien & Söhne",
    "100%_[x]",
    'say "hi"\\',
    "{00000000-0000-0000-0000-000000000001}",
    "a\nb<c>&amp;%27+#",
]
NUMBERS = st.sampled_from([0, 1, 2, 7, 250, 5000, 1_000_000])


@dataclass
class Asked:
    """A condition, and what it means."""

    condition: Condition
    holds: Callable[[Row], bool]


def compared(path: str, of: Callable[[Row], Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Asked]:
    name = column(path)
    return st.one_of(
        values.map(lambda v: Asked(name == v, lambda row: of(row) == v)),
        values.map(lambda v: Asked(name != v, lambda row: of(row) != v)),
        st.just(Asked(name.is_null(), lambda row: of(row) is None)),
        st.lists(values, min_size=1, max_size=3).map(
            lambda vs: Asked(name.is_in(vs), lambda row: of(row) in vs)
        ),
    )


def ordered(path: str, of: Callable[[Row], Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Asked]:
    name = column(path)

    def has(row: Row, test: Callable[[Any], bool]) -> bool:
        return of(row) is not None and test(of(row))

    return st.one_of(
        compared(path, of, values),
        values.map(lambda v: Asked(name < v, lambda row: has(row, lambda x: x < v))),
        values.map(lambda v: Asked(name <= v, lambda row: has(row, lambda x: x <= v))),
        values.map(lambda v: Asked(name > v, lambda row: has(row, lambda x: x > v))),
        values.map(lambda v: Asked(name >= v, lambda row: has(row, lambda x: x >= v))),
        st.tuples(values, values).map(
            lambda p: Asked(name.between(*p), lambda row: has(row, lambda x: p[0] <= x <= p[1]))
        ),
    )


def matched(path: str, of: Callable[[Row], Any], values: st.SearchStrategy[str]) -> st.SearchStrategy[Asked]:
    name = column(path)

    def low(row: Row) -> str | None:
        return None if of(row) is None else of(row).casefold()

    return st.one_of(
        compared(path, of, values),
        values.map(
            lambda v: Asked(name.startswith(v), lambda row: (low(row) or "").startswith(v.casefold()))
        ),
        values.map(lambda v: Asked(name.endswith(v), lambda row: (low(row) or "").endswith(v.casefold()))),
        values.map(lambda v: Asked(name.contains(v), lambda row: v.casefold() in (low(row) or ""))),
    )


def both(one: Asked, other: Asked) -> Asked:
    return Asked(one.condition & other.condition, lambda row: one.holds(row) and other.holds(row))


def either(one: Asked, other: Asked) -> Asked:
    return Asked(one.condition | other.condition, lambda row: one.holds(row) or other.holds(row))


def no(one: Asked) -> Asked:
    return Asked(~one.condition, lambda row: not one.holds(row))


def combinations(leaves: st.SearchStrategy[Asked]) -> st.SearchStrategy[Asked]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(both, inner, inner), st.builds(either, inner, inner), st.builds(no, inner)
        ),
        max_leaves=5,
    )


def moment(member: str) -> Callable[[Row], datetime | None]:
    return lambda row: datetime.fromisoformat(row[member].replace("Z", "+00:00")) if row.get(member) else None


def day(row: Row) -> date | None:
    return date.fromisoformat(row["contoso_foundedon"]) if row.get("contoso_foundedon") else None


def amount(row: Row) -> Decimal | None:
    return None if row.get("revenue") is None else Decimal(str(row["revenue"]))


def chosen(value: int) -> Asked:
    def holds(row: Row) -> bool:
        return str(value) in (row.get("contoso_services") or "").split(",")

    return Asked(column("contoso_services").contain_values(value), holds)


@dataclass
class World:
    client: Client
    accounts: list[Row]
    conditions: st.SearchStrategy[Asked]


def conditions(accounts: list[Row], people: dict[str, Row]) -> st.SearchStrategy[Asked]:
    def values(member: str) -> list[Any]:
        return sorted({row[member] for row in accounts if row.get(member) is not None}, key=str)[:12]

    def person(row: Row) -> str | None:
        return people.get(row.get("_primarycontactid_value") or "", {}).get("fullname")

    names = st.sampled_from([*values("name"), *TEXTS, "a", "co"])
    full_names = st.sampled_from([*sorted({one["fullname"] for one in people.values()})[:12], "e", *TEXTS])
    created = [when for row in accounts if (when := moment("createdon")(row)) is not None]
    moments = st.sampled_from(created).map(
        lambda when: when.astimezone(timezone(timedelta(hours=5, minutes=30)))
    )
    deliveries = st.sampled_from(
        [when for row in accounts if (when := moment("contoso_nextdelivery")(row)) is not None]
    )
    days = st.sampled_from([born for row in accounts if (born := day(row)) is not None])
    leaves = st.one_of(
        matched("name", lambda row: row.get("name"), names),
        matched("primarycontactid/fullname", person, full_names),
        ordered("revenue", amount, st.sampled_from([amount(row) for row in accounts if amount(row)])),
        ordered("numberofemployees", lambda row: row.get("numberofemployees"), NUMBERS),
        compared(
            "industrycode", lambda row: row.get("industrycode"), st.sampled_from(values("industrycode"))
        ),
        compared("donotemail", lambda row: row.get("donotemail"), st.booleans()),
        compared(
            "primarycontactid",
            lambda row: row.get("_primarycontactid_value"),
            st.sampled_from(values("_primarycontactid_value")),
        ),
        ordered("createdon", moment("createdon"), moments),
        ordered("contoso_nextdelivery", moment("contoso_nextdelivery"), deliveries),
        ordered("contoso_foundedon", day, days),
        st.sampled_from([1, 2, 3, 100000000, 100000001]).map(chosen),
    )
    inner = combinations(matched("fullname", lambda row: row.get("fullname"), full_names))

    def some(asked: Asked) -> Asked:
        return Asked(any_of(PEOPLE, asked.condition), lambda row: any(map(asked.holds, row[PEOPLE])))

    def every(asked: Asked) -> Asked:
        return Asked(all_of(PEOPLE, asked.condition), lambda row: all(map(asked.holds, row[PEOPLE])))

    anybody = Asked(any_of(PEOPLE), lambda row: bool(row[PEOPLE]))
    return combinations(st.one_of(leaves, inner.map(some), inner.map(every), st.just(anybody)))


@pytest.fixture(scope="module")
def world(emulator_server) -> Iterator[World]:
    emulator = emulator_server
    emulator.reset()
    secret = ClientSecret(
        emulator.tenant_id, emulator.client_id, emulator.client_secret, authority=Authority(url=emulator.url)
    )
    with Client(emulator.url, secret, ca_bundle=emulator.ca_bundle) as client:
        for text in TEXTS:
            client.create("account", {"name": text})
        people = {row["contactid"]: row for row in emulator.rows("contact")}
        accounts = emulator.rows("account")
        for row in accounts:
            row[PEOPLE] = [
                one for one in people.values() if one.get("_parentcustomerid_value") == row["accountid"]
            ]
        yield World(client, accounts, conditions(accounts, people))


def test_the_rows_of_any_condition_are_those_its_words_are_true_of(world):
    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
    @given(world.conditions)
    def holds(asked: Asked) -> None:
        found = {row["accountid"] for row in world.client.rows(Query("account", ["name"], asked.condition))}
        assert found == {row["accountid"] for row in world.accounts if asked.holds(row)}, str(asked.condition)

    holds()
