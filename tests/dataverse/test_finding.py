"""Rows are found by the values of their columns, in few requests, and each belongs to the value Dataverse would say."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.exchange import Response
from airflow_provider_dynamics.dataverse.reading.finding import find_rows
from airflow_provider_dynamics.dataverse.reading.folding import folded


def text_column(name: str, **details: Any) -> Column:
    return Column(name, "String", name, **details)


TABLE = Table(
    "thing",
    "things",
    "thingid",
    "name",
    {
        column.name: column
        for column in (
            Column("thingid", "Uniqueidentifier", "thingid"),
            text_column("name"),
            text_column("essay", max_length=4000),
            text_column("code"),
            Column("number", "Integer", "number"),
            Column("parentid", "Lookup", "_parentid_value", navigation={"thing": "parentid"}),
            Column("memo", "Memo", "memo"),
        )
    },
)


class Service:
    """Answers every query with the same rows, page by page, and keeps what it was asked."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages or ([],)
        self.asked: list[str] = []
        self.fail: Exception | None = None

    def send(self, request, stop=None):
        if stop is not None:
            stop.check()
        if self.fail is not None:
            raise self.fail
        page = int(request.target.partition("page=")[2] or 0)
        if not page:
            self.asked.append(request.target)
        body: dict[str, Any] = {"value": self.pages[page]}
        if page + 1 < len(self.pages):
            body["@odata.nextLink"] = f"things?page={page + 1}"
        return Response(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    @property
    def filters(self) -> list[str]:
        return [unquote(target.partition("$filter=")[2]) for target in self.asked]


def find(service, key, values, select=(), **options):
    return find_rows(service, SimpleNamespace(), TABLE, key, values, select, **options)  # type: ignore[arg-type]


def test_values_of_one_column_are_listed_in_one_request():
    service = Service([{"thingid": "1", "name": "B"}])

    found = find(service, ["name"], [("a",), ("b ",), ("O'Hara",), ("b ",)])

    assert found == {("a",): [], ("b ",): [{"thingid": "1", "name": "B"}], ("O'Hara",): []}
    assert service.filters == [
        'Microsoft.Dynamics.CRM.In(PropertyName=\'name\',PropertyValues=["a","b","O\'Hara"])'
    ]


def test_each_value_that_is_the_same_to_dataverse_gets_the_rows():
    service = Service([{"thingid": "1", "name": "Nord "}, {"thingid": "2", "name": "nord"}])

    found = find(service, ["name"], [("NORD",), ("nord",), ("Nord  ",)])

    assert [len(rows) for rows in found.values()] == [2, 2, 2]
    assert service.filters == ["name eq 'NORD'"]


def test_only_the_columns_asked_for_are_read():
    service = Service()
    find(service, ["parentid"], [(uuid.UUID(int=1),)], ["number"])
    assert "?$select=number,_parentid_value,thingid&" in service.asked[0]


def test_several_columns_are_listed_by_the_one_that_varies_most():
    service = Service([{"thingid": "1", "code": "X", "number": 2}])

    found = find(service, ["code", "number"], [("x", 1), ("x", "2"), ("x", 3), ("y", 1)])

    assert found[("x", "2")] == [{"thingid": "1", "code": "X", "number": 2}]
    assert sum(map(len, found.values())) == 1
    [asked] = service.filters
    assert asked == (
        '(code eq \'x\' and Microsoft.Dynamics.CRM.In(PropertyName=\'number\',PropertyValues=["1","2","3"]))'
        " or (code eq 'y' and number eq 1)"
    )


def test_nothing_is_asked_for_no_values():
    service = Service()
    assert find(service, ["name"], []) == {}
    assert service.asked == []


def test_empty_values_are_compared_with_null():
    service = Service([{"thingid": "1", "name": None, "code": "a"}])
    found = find(service, ["name", "code"], [(None, "a"), ("", "a"), ("  ", "a")])
    assert [len(rows) for rows in found.values()] == [1, 1, 1]
    assert service.filters == ["(code eq 'a' and name eq null)"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("number", "many"),
        ("number", 1.5),
        ("parentid", "north"),
        ("name", "half \ud800"),
        ("memo", "x" * 40_000),
    ],
)
def test_what_no_row_can_hold_finds_nothing_and_the_others_are_asked_for(column, value):
    service = Service()
    good = {"number": 1, "parentid": str(uuid.UUID(int=1)), "name": "a", "memo": "a"}[column]
    assert find(service, [column], [(value,), (good,)]) == {(value,): [], (good,): []}
    assert len(service.asked) == 1


def test_long_texts_are_compared_one_by_one():
    service = Service()
    find(service, ["essay"], [("a",), ("b",)])
    find(service, ["name"], [("x" * 900,), ("y" * 900,), ("c",), ("d",)])
    assert service.filters[0] == "essay eq 'a' or essay eq 'b'"
    assert service.filters[1].count(" eq ") == 2
    assert service.filters[1].count("CRM.In(") == 1


def conditions(text: str) -> int:
    return len(re.findall(r" eq |CRM\.In\(", text))


@pytest.mark.parametrize(
    ("key", "values"),
    [
        pytest.param(["thingid"], [(str(uuid.uuid4()),) for _ in range(5000)], id="ids"),
        pytest.param(["name"], [("ü" * 80 + str(n),) for n in range(3000)], id="texts"),
        pytest.param(["essay"], [(str(n),) for n in range(1200)], id="one by one"),
        pytest.param(["code", "number"], [(f"c{n}", n) for n in range(1200)], id="two columns"),
    ],
)
def test_many_values_keep_every_limit_of_a_query(key, values):
    service = Service()

    find(service, key, values)

    assert all(len(target) < 65_000 for target in service.asked)
    assert all(conditions(text) <= 500 for text in service.filters)
    assert all(text.count('","') <= 1000 for text in service.filters)
    listed = sum(text.count('","') + text.count("CRM.In(") for text in service.filters)
    compared = sum(text.count(" eq ") for text in service.filters)
    assert listed == len(values) or compared == len(values) * len(key)


def test_a_thousand_ids_take_one_request():
    service = Service()
    find(service, ["thingid"], [(str(uuid.uuid4()),) for _ in range(1000)])
    assert len(service.asked) == 1


def test_all_pages_are_read():
    service = Service([{"thingid": "1", "name": "a"}], [], [{"thingid": "2", "name": "A"}])
    assert [row["thingid"] for row in find(service, ["name"], [("a",)])[("a",)]] == ["1", "2"]


def test_accents_make_a_difference_exactly_where_the_environment_says_so():
    blind = Service([{"thingid": "1", "name": "José"}])
    assert len(find(blind, ["name"], [("Jose",)])[("Jose",)]) == 1

    exact = Service([{"thingid": "1", "name": "José"}, {"thingid": "2", "name": "jose"}])
    assert [row["thingid"] for row in find(exact, ["name"], [("Jose",)])[("Jose",)]] == ["2"]


def test_values_that_only_accents_tell_apart_are_not_asked_for_together():
    service = Service()
    find(service, ["name"], [("Jose",), ("José",), ("Ana",)])
    assert len(service.filters) == 2
    assert not any("Jose" in text and "José" in text for text in service.filters)


@pytest.mark.usefixtures("threads_ended")
def test_a_failure_is_raised_and_leaves_no_thread():
    service = Service()
    service.fail = errors.Forbidden("no", status=403)
    with pytest.raises(errors.Forbidden):
        find(service, ["thingid"], [(str(uuid.uuid4()),) for _ in range(5000)])


def test_a_tuple_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="1 values for the 2 columns name, code"):
        find(Service(), ["name", "code"], [("a",)])


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Straße ", "STRASSE", "String"),
        ("", None, "Memo"),
        (7, "7", "String"),
        (1, "1.00", "Decimal"),
        (0.1, Decimal("0.10"), "Money"),
        (" 5 ", 5, "Integer"),
        (
            "{ABCDEF00-0000-0000-0000-000000000001}",
            uuid.UUID("abcdef00-0000-0000-0000-000000000001"),
            "Lookup",
        ),
        ("TRUE", True, "Boolean"),
        ("0", False, "Boolean"),
        ("2024-01-31", date(2024, 1, 31), "DateTime"),
        ("2024-01-31T10:00:00+02:00", datetime(2024, 1, 31, 8, tzinfo=timezone.utc), "DateTime"),
        ("2024-01-31T08:00:00Z", datetime(2024, 1, 31, 8), "DateTime"),  # noqa: DTZ001  # what files deliver
        ("A", "a  ", ""),
        (1, Decimal("1.0"), ""),
        (
            datetime(2024, 1, 31, 8, tzinfo=timezone.utc),
            datetime(2024, 1, 31, 10, tzinfo=timezone(timedelta(hours=2))),
            "",
        ),
    ],
)
def test_values_that_are_one_key_to_dataverse_are_one(one, other, kind):
    assert folded(one, kind) == folded(other, kind)
    assert hash(folded(one, kind)) == hash(folded(other, kind))


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (" a", "a", "String"),
        ("a", "b", ""),
        (1, "1", ""),
        (None, 0, ""),
        ("1", "1.01", "Decimal"),
        ("Jose", "José", ""),
    ],
)
def test_values_that_are_two_keys_to_dataverse_are_two(one, other, kind):
    assert folded(one, kind) != folded(other, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "Integer"), ("nan", "Money"), ("x", "Lookup"), ("maybe", "Boolean"), ("soon", "DateTime")],
)
def test_what_is_no_such_value_is_refused(value, kind):
    with pytest.raises(errors.BadRequest):
        folded(value, kind)


# -- against the emulator


@pytest.fixture(scope="module")
def people(emulator_server):
    emulator_server.reset()
    emulator = emulator_server
    credential = ClientSecret(
        emulator.tenant_id, emulator.client_id, emulator.client_secret, authority=Authority(url=emulator.url)
    )
    with Client(emulator_server.url, credential, ca_bundle=emulator_server.ca_bundle) as client:
        yield SimpleNamespace(client=client, rows=emulator_server.rows("contact"), emulator=emulator_server)


COLUMNS = [
    "contactid",
    "emailaddress1",
    "lastname",
    "parentcustomerid",
    "birthdate",
    "numberofchildren",
    "creditlimit",
]


def spelled(value: Any) -> st.SearchStrategy[Any]:
    """The same value as files and people write it."""
    if isinstance(value, str):
        return st.sampled_from([value, value.upper(), f"{value}  " if not _id(value) else value])
    return st.just(value)


def _id(value: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F-]{36}", value) is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_found_is_what_python_finds(people, data):
    table = people.client.table("contact")
    known = [name for name in COLUMNS if name in table.columns]
    key = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    columns = [table.column(name) for name in key]
    some = data.draw(st.lists(st.sampled_from(people.rows), max_size=20))
    values = [
        tuple(data.draw(spelled(row.get(column.wire_name, row.get(column.name)))) for column in columns)
        for row in some
    ]

    found = people.client.find("contact", key, values)

    for value, rows in found.items():
        wanted = [folded(one, column.type) for one, column in zip(value, columns, strict=True)]
        held = {
            row["contactid"]
            for row in people.rows
            if [folded(row.get(c.wire_name, row.get(c.name)), c.type) for c in columns] == wanted
        }
        assert {row["contactid"] for row in rows} == held
        assert held


def test_many_texts_with_every_letter_go_through(people):
    letters = [
        'a"b',
        "a'b",
        "a\\b",
        "a%b",
        "a&b#c",
        "a+b",
        "a/b",
        "a[b]",
        "ä€",
        "a,b",
        "(a)",
        "a;b",
        "a{b}",
        "<a>",
        "a@b",
    ]
    numbered = [f"{text}-{number}" for text, number in itertools.product(letters, range(30))]
    outcomes = people.client.bulk("contact", [{"lastname": text} for text in numbered], "create")
    made = {text: outcome.row_id for text, outcome in zip(numbered, outcomes, strict=True)}

    found = people.client.find("contact", ["lastname"], [(text,) for text in numbered])

    assert {text: [row["contactid"] for row in found[(text,)]] for text in numbered} == {
        text: [row_id] for text, row_id in made.items()
    }
