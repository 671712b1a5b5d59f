"""What happens when a table's columns are no longer what they were."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.formats import Field, FormatError, frame, schema_differences, settle

ID = Field("id")
NAME = Field("name")
STATE = Field("state", "int32", type_name="State")
MONEY = Field("money", "decimal", 4, "Money")
TASKS = Field("tasks", "list", inner=(NAME, STATE))


def test_the_same_columns_in_another_order_do_not_differ():
    assert not schema_differences([ID, NAME], [NAME, ID])


def test_where_a_value_is_found_and_what_dataverse_calls_its_type_make_no_difference():
    assert not schema_differences([STATE], [replace(STATE, wire_path=("x",), type_name="Integer")])


def test_differences_name_what_is_new_gone_and_changed():
    found = schema_differences([ID, NAME, MONEY], [ID, STATE, replace(MONEY, scale=6)])
    assert (found.added, found.removed, [change.name for change in found.changed]) == (
        ("state",),
        ("name",),
        ["money"],
    )
    assert str(found) == (
        "new: state; gone: name; of another type: money (was decimal with 4 places, is decimal with 6 places)"
    )


def test_a_change_inside_a_collection_is_a_difference():
    assert schema_differences([TASKS], [replace(TASKS, inner=(NAME,))])


@pytest.mark.parametrize(
    ("now", "words"),
    [
        pytest.param([ID, NAME, STATE], "new: state", id="a new column"),
        pytest.param([ID], "gone: name", id="a column that is gone"),
        pytest.param([ID, replace(NAME, kind="int32")], r"name \(was string, is int32\)", id="another type"),
    ],
)
def test_fail_says_what_differs_and_what_to_do(now, words):
    with pytest.raises(
        FormatError, match=rf"{words}.*'fail': correct select, or set it to 'evolve' or 'ignore'"
    ):
        settle([ID, NAME], now, "fail")


@pytest.mark.parametrize("policy", ["fail", "ignore", "evolve"])
def test_where_nothing_differs_every_policy_writes_what_there_is(policy):
    now = replace(STATE, wire_path=("elsewhere",))
    assert settle([ID, STATE], [ID, now], policy) == (ID, now)


def test_ignore_keeps_the_old_columns_and_fills_one_that_is_gone_with_nulls():
    fields = settle([ID, NAME, STATE], [MONEY, STATE, ID], "ignore")
    assert [field.name for field in fields] == ["id", "name", "state"]
    assert frame([[{"id": "a", "state": 1, "money": 2}]], fields, "arrow").to_pylist() == [
        {"id": "a", "name": None, "state": 1}
    ]


def test_evolve_writes_the_columns_there_are_the_old_ones_in_their_places():
    assert settle([ID, NAME, STATE], [MONEY, STATE, ID], "evolve") == (ID, STATE, MONEY)


@pytest.mark.parametrize(
    ("before", "now", "kind", "scale"),
    [
        pytest.param(("int32", 0), ("int64", 0), "int64", 0, id="more bits"),
        pytest.param(("int64", 0), ("int32", 0), "int64", 0, id="fewer bits keep the wider type"),
        pytest.param(("decimal", 2), ("decimal", 5), "decimal", 5, id="more decimal places"),
        pytest.param(("decimal", 5), ("decimal", 2), "decimal", 5, id="fewer decimal places"),
        pytest.param(("int32", 0), ("decimal", 2), "decimal", 2, id="an integer becomes a decimal"),
        pytest.param(("int32", 0), ("float64", 0), "float64", 0, id="32 bits fit into a double"),
        pytest.param(("date", 0), ("timestamp", 0), "timestamp", 0, id="a date gets a time"),
    ],
)
def test_evolve_takes_the_type_that_holds_the_values_of_both(before, now, kind, scale):
    (field,) = settle([Field("x", *before)], [Field("x", *now)], "evolve")
    assert (field.kind, field.scale) == (kind, scale)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param("string", "int32", id="text and a number"),
        pytest.param("int64", "float64", id="64 bits do not fit into a double"),
        pytest.param("decimal", "float64", id="a double is not exact"),
        pytest.param("instant", "timestamp", id="with and without a time zone"),
        pytest.param("instant", "date", id="a moment is no day"),
        pytest.param("bool", "int32", id="a choice with two values"),
        pytest.param("string", "list", id="a lookup and a collection"),
    ],
)
@pytest.mark.parametrize("policy", ["ignore", "evolve"])
def test_types_that_share_no_exact_one_are_refused_whatever_the_policy(policy, before, now):
    for one, other in ((before, now), (now, before)):
        with pytest.raises(FormatError, match=rf"column x was {one}.* and is {other}.*no type holds"):
            settle([Field("x", one)], [Field("x", other)], policy)


def test_ignore_takes_values_that_fit_the_old_type_and_refuses_wider_ones():
    wide, narrow = Field("x", "int64"), Field("x", "int32")
    assert settle([wide], [narrow], "ignore") == (wide,)
    with pytest.raises(FormatError, match=r"x was int32 and is int64.*set on_schema_change to 'evolve'"):
        settle([narrow], [wide], "ignore")


def test_the_columns_inside_a_collection_follow_the_same_policy():
    now = replace(TASKS, inner=(STATE, MONEY))
    assert settle([TASKS], [now], "evolve")[0].inner == (STATE, MONEY)
    assert settle([TASKS], [now], "ignore")[0].inner == (NAME, STATE)


def test_another_word_for_the_policy_is_refused():
    with pytest.raises(FormatError, match="on_schema_change is 'adapt': use one of evolve, fail, ignore"):
        settle([ID], [ID], "adapt")


SCHEMAS = st.lists(
    st.builds(
        Field,
        st.sampled_from("abcd"),
        st.sampled_from(["int32", "int64", "decimal", "date", "string"]),
        st.just(0),
    ),
    unique_by=lambda field: field.name,
)


@given(before=SCHEMAS, now=SCHEMAS)
def test_what_evolve_settles_on_holds_and_stays(before, now):
    try:
        settled = settle(before, now, "evolve")
    except FormatError:
        return
    assert {field.name for field in settled} == {field.name for field in now}
    assert settle(settled, now, "evolve") == settled
    assert settle(settled, now, "ignore") == settled


def test_an_integer_column_that_became_a_decimal_one_is_written_as_such():
    fields = settle([Field("x", "int32")], [Field("x", "decimal", 2)], "evolve")
    assert frame([[{"x": 1}, {"x": Decimal("1.25")}]], fields, "arrow").column("x").to_pylist() == [
        Decimal("1.00"),
        Decimal("1.25"),
    ]
