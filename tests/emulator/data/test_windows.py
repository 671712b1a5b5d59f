"""Windows of a date on many rows: the right rows, found by the right index, whatever the dates look like."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from airflow_provider_dynamics.emulator.querying.hints import planned
from airflow_provider_dynamics.emulator.querying.paging import Sorted, primary_order
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.seed.moments import evenly, skewed
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store
from tests.emulator.data.conftest import Service

SHIPMENT = TABLES["contoso_shipment"]
CREATED = SQL["contoso_shipment"].c.createdon
WINDOWS = (
    "createdon lt 2021-07-01T00:00:00Z",
    "createdon ge 2021-07-01T00:00:00Z and createdon lt 2021-07-02T00:00:00Z",
    "createdon ge 2021-07-02T00:00:00Z and createdon lt 2023-06-01T00:00:00Z",
    "createdon ge 2023-06-01T00:00:00Z",
)


@pytest.mark.parametrize("way", ["evenly", "skewed"])
def test_windows_beside_each_other_hold_every_row_once(way):
    service = Service("empty")
    service.api.seed("empty", {"contoso_shipment": 1000}, created=way)
    found = Counter(
        row["contoso_number"]
        for window in WINDOWS
        for page in service.pages(
            f"contoso_shipments?$select=contoso_number&$filter={window}", prefer="odata.maxpagesize=70"
        )
        for row in page["value"]
    )
    assert len(found) == 1000
    assert set(found.values()) == {1}
    rows = service.api.rows("contoso_shipment")
    assert all(row["modifiedon"] == row["createdon"] for row in rows), "nobody has modified them since"


@pytest.fixture
def store():
    """A hundred shipments, one every eleven days."""
    made = Store()
    for number, moment in enumerate(evenly(100)):
        row_id = f"{number:08x}-0000-0000-0000-000000000000"
        values = {SHIPMENT.primary_id: row_id, "createdon": moment, "versionnumber": number}
        made.run(sa.insert(SQL[SHIPMENT.name]).values(values))
    return made


def plan(store, *conditions, by=None):
    """What SQLite says it will do for one page, when 50 rows are many."""
    wanted = [by or primary_order(SHIPMENT, SQL[SHIPMENT.name])]
    order, found = planned(store, SHIPMENT, wanted, conditions, many=50)
    statement = sa.select(SQL[SHIPMENT.name]).where(*found).order_by(order[0].value).limit(5)
    text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    explained = store.fetch(sa.text("EXPLAIN QUERY PLAN " + text.replace(":", r"\:")))
    return " ".join(str(step[-1]) for step in explained)


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        pytest.param((CREATED < "2021-03-01",), "createdon", id="few at the start"),
        pytest.param((CREATED >= "2023-12-01",), "createdon", id="few at the end"),
        pytest.param((sa.and_(CREATED >= "2022-01-01", CREATED < "2022-02-01"),), "createdon", id="a month"),
        pytest.param((CREATED >= "2021-02-01",), "order", id="nearly all"),
        pytest.param((CREATED.between("2021-02-01", "2024"),), "order", id="nearly all, by both ends"),
        pytest.param((~CREATED.between("2024", "2025"),), "order", id="all but what is outside"),
        pytest.param((CREATED.is_not(None),), "order", id="all that have a date"),
        pytest.param((SQL[SHIPMENT.name].c.versionnumber > 95,), "version", id="the newest versions"),
    ],
)
def test_few_rows_are_found_by_date_and_many_in_the_order_of_the_keys(store, conditions, index):
    assert f"INDEX contoso_shipment.{index} " in plan(store, *conditions) + " "


def test_rows_in_the_order_of_their_dates_are_found_by_date_however_many(store):
    by = Sorted("createdon", SHIPMENT.by_name["createdon"], CREATED)
    assert "INDEX contoso_shipment.createdon " in plan(store, CREATED >= "2021-02-01", by=by)


def test_skewed_dates_have_a_day_and_a_second_that_hold_most_rows():
    days = Counter(moment[:10] for moment in skewed(1000))
    seconds = Counter(skewed(1000))
    assert days.most_common(1)[0][1] == 800
    assert seconds.most_common(1)[0][1] == 100


@pytest.mark.parametrize("way", [evenly, skewed])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 1001])
def test_grown_dates_are_as_many_as_asked_for_and_in_order(way, count):
    moments = way(count)
    assert len(moments) == count
    assert moments == sorted(moments)


def test_an_unknown_way_to_grow_is_refused_and_leaves_the_seed_as_it_was():
    service = Service("empty")
    with pytest.raises(ValueError, match="evenly, skewed"):
        service.api.seed("empty", {"account": 3}, created="weekly")
    service.api.reset()
    assert service.api.rows("account") == []
