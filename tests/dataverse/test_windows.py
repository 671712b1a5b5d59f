"""A range of one column, as a value: what it asks for, how it travels, and how ranges are cut without gap or overlap."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse import Query, Window, errors
from airflow_provider_dynamics.dataverse.lanes.partitions import divided
from airflow_provider_dynamics.dataverse.lanes.windows import Axis, Slice, cut, evenly
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.divided import DividedTable, second

FIRST, LAST = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"
YEAR = 365 * 86_400


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window(), None),
        (Window("createdon"), "createdon ne null"),
        (Window("createdon", nulls=True), None),
        (Window("createdon", FIRST, LAST), f"createdon ge {FIRST} and createdon lt {LAST}"),
        (Window("createdon", FIRST), f"createdon ge {FIRST}"),
        (Window("createdon", end=LAST), f"createdon lt {LAST}"),
        (
            Window("createdon", FIRST, LAST, nulls=True),
            f"(createdon ge {FIRST} and createdon lt {LAST}) or createdon eq null",
        ),
        (Window("createdon", FIRST, FIRST, nulls=True), "createdon eq null"),
        (Window("numberofemployees", 1, 20), "numberofemployees ge 1 and numberofemployees lt 20"),
        (Window("revenue", "0.5", Decimal("1.50")), "revenue ge 0.5 and revenue lt 1.50"),
    ],
)
def test_a_window_is_a_condition(account, window, text):
    assert window.condition(account) == text


def test_a_window_of_an_unknown_column_is_refused(account):
    with pytest.raises(errors.UnknownColumn):
        Window("createdonn", FIRST, LAST).condition(account)


@pytest.mark.parametrize(
    "window",
    [
        Window(),
        Window("createdon", FIRST, LAST, nulls=True, rows=17),
        Window("revenue", Decimal("0.10"), Decimal(3)),
        Window("createdon", datetime(2024, 1, 1, tzinfo=timezone.utc), None),
        Window("new_start", date(2024, 1, 1), date(2024, 1, 31)),
    ],
)
def test_a_window_travels_as_json(window):
    assert Window.from_json(json.loads(json.dumps({"index": 3, **window.to_json()}))) == window


@pytest.mark.parametrize("found", [{}, [], "createdon", None, {"start": 1}])
def test_what_is_no_window_is_refused(found):
    with pytest.raises(ValueError, match="is not a window"):
        Window.from_json(found)


def column(kind):
    return Column("c", kind, "c")


@pytest.mark.parametrize(
    ("kind", "value", "back"),
    [
        ("DateTime", "2024-02-29T12:30:15Z", "2024-02-29T12:30:15Z"),
        ("DateTime", "2024-02-29T12:30:15.9870000Z", "2024-02-29T12:30:15Z"),
        ("DateTime", "2024-02-29T12:30:15+01:00", "2024-02-29T11:30:15Z"),
        ("DateTime", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("DateTime", "2024-02-29", "2024-02-29"),
        ("Integer", -7, -7),
        ("BigInt", 2**62, 2**62),
        ("Money", Decimal("12.34567"), "12.3456"),
        ("Decimal", Decimal("-0.00005"), "-0.0001"),
        ("Double", 1e10, "10000000000.0000"),
    ],
)
def test_values_become_places_and_back_rounded_down(kind, value, back):
    axis = Axis.of(column(kind), value)
    assert axis.value(axis.place(value)) == back


@pytest.mark.parametrize(("kind", "value"), [("DateTime", "soon"), ("Integer", "many"), ("Money", "NaN")])
def test_what_is_no_value_of_the_column_is_said(kind, value):
    with pytest.raises(ValueError, match="is not a value of the column c"):
        Axis.of(column(kind), value).place(value)


def tiles(slices, start, end):
    """Say whether slices cover a range without gap, overlap or empty piece."""
    sides = [slices[0].start, *(one.end for one in slices)]
    return (sides[0], sides[-1]) == (start, end) and all(
        one.end == other.start for one, other in pairwise(slices)
    ) & all(one.start < one.end for one in slices)


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**12), st.integers(1, 200))
def test_even_pieces_leave_no_gap_and_do_not_overlap(start, width, count):
    pieces = evenly(Slice(start, start + width), count)
    assert tiles(pieces, start, start + width)
    assert len(pieces) == min(count, width)


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 50_000)), min_size=1, max_size=20),
    st.lists(st.integers(1, 30_000), max_size=60),
)
def test_cut_pieces_leave_no_gap_do_not_overlap_and_hold_all_rows(widths, sizes):
    slices: list[Slice] = []
    start = 0
    for width, rows in widths:
        slices.append(Slice(start, start + width, rows))
        start += width
    pieces = list(cut(slices, sizes))
    assert tiles(pieces, 0, start)
    assert abs(sum(one.rows or 0 for one in pieces) - sum(one.rows or 0 for one in slices)) <= len(pieces)


def filled(rows, **options):
    table = DividedTable(**options)
    for number in range(rows):
        table.add(createdon=second(number * YEAR // max(rows, 1)), serial=number)
    return table


def windows(table, pieces, query=None, **options):
    options = {"column": None, "lanes": 4, "stop": Stop(), **options}
    return divided(table, Tables(table), query or Query("account", page_size=10), pieces, **options)


def held(table, window):
    condition = window.condition(Tables(table).outline("account"))
    return [row["accountid"] for row in table._found(condition)]  # the test's own fake


@pytest.mark.parametrize("cap", [50_000, 90])
def test_a_table_is_divided_into_equal_shares(cap):
    table = filled(1000, cap=cap)
    found = windows(table, 8)
    assert len(found) == 8
    shares = [held(table, one) for one in found]
    assert sorted(row for share in shares for row in share) == sorted(table.rows)
    assert max(map(len, shares)) <= 1.3 * 1000 / 8
    assert [one.nulls for one in found] == [False] * 7 + [True]


def test_a_crowded_hour_is_divided_too():
    table = filled(100, cap=90)
    for number in range(900):
        table.add(createdon=second(20_000_000 + number * 4))
    shares = [held(table, one) for one in windows(table, 5)]
    assert sorted(row for share in shares for row in share) == sorted(table.rows)
    assert max(map(len, shares)) <= 1.5 * 1000 / 5


def test_rows_of_one_moment_are_one_window():
    table = DividedTable()
    for _ in range(50):
        table.add(createdon=second(9))
    [one] = windows(table, 4)
    assert held(table, one) == sorted(table.rows)


def test_one_piece_costs_no_question():
    table = filled(50)
    assert windows(table, 1) == (Window(),)
    assert table.questions() == []


def test_an_empty_table_is_one_window():
    assert len(windows(DividedTable(), 8)) == 1


@pytest.mark.parametrize(
    ("query", "pieces", "said"),
    [
        (Query("account", top=10), 4, "top is for one reading"),
        (Query("account", apply="aggregate($count as n)"), 4, "apply is for one reading"),
        (Query("account"), 0, "pieces is 0"),
        (Query("account"), True, "pieces is True"),
    ],
)
def test_what_cannot_be_divided_is_said(query, pieces, said):
    with pytest.raises(ValueError, match=said):
        windows(filled(3), pieces, query)


def test_another_column_may_divide():
    table = filled(200)
    found = windows(table, 4, column="serial")
    assert {one.column for one in found} == {"serial"}
    assert sorted(row for one in found for row in held(table, one)) == sorted(table.rows)
