"""What a column cannot hold is found before it is sent, whether values come one by one, as a list or from Arrow."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.formats import Incoming

NAME = Column("name", "String", "name", max_length=5)
AGE = Column("age", "Integer", "age", minimum=Decimal(0), maximum=Decimal(150))
BIG = Column("big", "BigInt", "big")
PRICE = Column(
    "price", "Money", "price", precision=4, places=2, minimum=Decimal(-1000), maximum=Decimal(1000)
)
RATE = Column("rate", "Decimal", "rate", precision=10, places=10)
ANGLE = Column("angle", "Double", "angle", precision=5, minimum=Decimal(-90), maximum=Decimal(90))
SEEN = Column("seen", "DateTime", "seen", date_behavior="UserLocal")
WALL = Column("wall", "DateTime", "wall", date_behavior="TimeZoneIndependent")
DAY = Column("day", "DateTime", "day", date_behavior="DateOnly")
FLAG = Column("flag", "Boolean", "flag")


def _judged(incoming, value):
    try:
        return incoming.one(value), None
    except ValueError as error:
        return None, str(error)


def both(column, values):
    """Return what becomes of values, which must be the same however they come."""
    incoming = Incoming(column)
    made, wrong = incoming.many(values)
    judged = [_judged(incoming, value) for value in values]
    one_by_one = [value for value, _ in judged]
    assert {place: said for place, (_, said) in enumerate(judged) if said is not None} == wrong
    assert list(made) == one_by_one
    assert list(map(type, made)) == list(map(type, one_by_one))
    return list(made), dict(wrong)


ID = Column("accountid", "Uniqueidentifier", "accountid")
POINTS = Column("parentid", "Lookup", "_parentid_value", navigation={"contact": "parentid"})
NOT_UTF_8 = pa.array([b"\xff"]).view(pa.string())


@pytest.mark.parametrize(
    ("column", "values"),
    [
        pytest.param(NAME, ["abc", None, "abcde"], id="texts that fit"),
        pytest.param(NAME, ["𝄞𝄞", "ä"], id="characters beyond 16 bits count twice, and fit"),
        pytest.param(AGE, [0, None, 150], id="whole numbers"),
        pytest.param(BIG, [2**63 - 1, -(2**63)], id="big integers"),
        pytest.param(PRICE, [Decimal("1.50"), None, Decimal(-1000)], id="money"),
        pytest.param(RATE, [Decimal("0.0000000001")], id="a decimal with all its places"),
        pytest.param(ANGLE, [-90.0, None, 89.123456], id="doubles"),
        pytest.param(SEEN, ["2024-02-29T23:59:59Z", None], id="times as Dataverse writes them"),
        pytest.param(DAY, ["1753-01-01", None, "9999-12-31"], id="days"),
        pytest.param(FLAG, [True, None, False], id="truths"),
    ],
)
def test_values_that_are_right_go_through_as_they_are(column, values):
    assert both(column, values) == (values, {})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        pytest.param(NAME, "abcdef", "the text has 6 characters, and the column takes 5", id="too long"),
        pytest.param(NAME, "𝄞𝄞𝄞", "the text has 6 characters", id="too long as it is stored"),
        pytest.param(AGE, -1, "-1 is below 0, the least that the column takes", id="too small"),
        pytest.param(AGE, "151", "151 is above 150, the most that the column takes", id="too large, as text"),
        pytest.param(AGE, 2**31, "outside the range of 32 bits", id="no such integer"),
        pytest.param(AGE, True, "True is not a number", id="a truth for a number"),
        pytest.param(PRICE, "1.005", "1.005 has 3 decimal places, and the column keeps 2", id="rounded"),
        pytest.param(PRICE, 0.1 + 0.2, "has 17 decimal places", id="a float that is not what it seems"),
        pytest.param(PRICE, "1e-30", "has 30 decimal places", id="places far away"),
        pytest.param(PRICE, "1000.01", "1000.01 is above 1000", id="too much money"),
        pytest.param(RATE, Decimal("0.00000000001"), "has 11 decimal places", id="a place too many"),
        pytest.param(ANGLE, 90.5, "90.5 is above 90", id="a double out of range"),
        pytest.param(ANGLE, float("inf"), "is not a number", id="infinity"),
        pytest.param(SEEN, "2024-02-30T00:00:00Z", "", id="a day that is none"),
        pytest.param(SEEN, "1752-12-31T00:00:00Z", "before 1753-01-01", id="before Dataverse's time"),
        pytest.param(SEEN, "2024-W05-3T10:00:00Z", "is not a date", id="a week"),
        pytest.param(SEEN, "2024-01-31T10:00:61Z", "", id="a second that is none"),
        pytest.param(DAY, "2024-W05-3", "is not a date", id="a day of a week"),
        pytest.param(PRICE, "1e999999999", "1E+999999999 is above 1000", id="a number too long to write"),
        pytest.param(AGE, "1e999999999", "outside the range", id="an integer too long to write"),
        pytest.param(ANGLE, "1e999999999", "more than a floating point", id="a double beyond all"),
        pytest.param(NAME, Decimal("1e999999999"), "12 characters", id="a number in a text"),
        pytest.param(DAY, "1752-12-31", "before 1753-01-01", id="a day before Dataverse's time"),
    ],
)
def test_a_wrong_value_is_named_and_the_others_pass(column, value, said):
    made, wrong = both(column, [None, value, None])

    assert made == [None, None, None]
    assert list(wrong) == [1]
    assert said in wrong[1]


@pytest.mark.parametrize(
    ("column", "values", "made"),
    [
        pytest.param(
            PRICE, ["1.5000", "", "2"], [Decimal("1.5"), None, 2], id="zeros at the end are no places"
        ),
        pytest.param(PRICE, [1.25, None], [Decimal("1.25"), None], id="a float's shortest digits"),
        pytest.param(PRICE, [7], [Decimal(7)], id="a whole amount"),
        pytest.param(ANGLE, ["1e1", Decimal("0.5"), 3], [10.0, 0.5, 3.0], id="numbers of all kinds"),
        pytest.param(AGE, ["7", "", 8, 9.0], [7, None, 8, 9], id="whole numbers of all kinds"),
        pytest.param(NAME, ["", "a", 7], [None, "a", "7"], id="the empty text is none"),
        pytest.param(DAY, ["2024-01-31T00:00:00"], ["2024-01-31"], id="a day with midnight"),
        pytest.param(
            SEEN,
            ["2024-01-31 10:00:00+02:00", datetime.date(2024, 1, 31)],
            ["2024-01-31T08:00:00Z", "2024-01-31T00:00:00Z"],
            id="times of all kinds",
        ),
    ],
)
def test_values_become_what_the_column_wants(column, values, made):
    assert both(column, values) == (made, {})


UTC = datetime.timezone.utc


@pytest.mark.parametrize(
    ("column", "array", "made"),
    [
        pytest.param(
            PRICE,
            pa.array([Decimal("1.50"), None], pa.decimal128(20, 4)),
            [Decimal("1.50"), None],
            id="decimals with more places than they need",
        ),
        pytest.param(
            SEEN,
            pa.array([datetime.datetime(2024, 1, 31, 10, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            ["2024-01-31T10:00:00Z", None],
            id="whole seconds",
        ),
        pytest.param(
            SEEN,
            pa.array([datetime.datetime(2024, 1, 31, 10, 0, 0, 5, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            ["2024-01-31T10:00:00.000005Z"],
            id="parts of a second",
        ),
        pytest.param(
            SEEN,
            pa.array([datetime.datetime(2024, 1, 31, 10, tzinfo=UTC)]).cast(
                pa.timestamp("ms", "Europe/Prague")
            ),
            ["2024-01-31T10:00:00Z"],
            id="another zone is the same moment",
        ),
        pytest.param(SEEN, pa.array([None], pa.timestamp("us")), [None], id="no time at all"),
        pytest.param(DAY, pa.array([datetime.date(1753, 1, 1), None]), ["1753-01-01", None], id="days"),
        pytest.param(AGE, pa.array([1, None], pa.int64()), [1, None], id="integers"),
        pytest.param(NAME, pa.array(["a", ""], pa.large_string()), ["a", None], id="long texts"),
        pytest.param(NAME, pa.array(["a", "a"]).dictionary_encode(), ["a", "a"], id="categories"),
        pytest.param(FLAG, pa.array([True, None]), [True, None], id="truths"),
        pytest.param(
            PRICE, pa.array([0.1, None], pa.float32()), [Decimal("0.1"), None], id="single precision"
        ),
    ],
)
def test_arrays_become_what_the_column_wants(column, array, made):
    assert Incoming(column).arrow(array) == (made, {})


@pytest.mark.parametrize(
    ("column", "array", "said"),
    [
        pytest.param(PRICE, pa.array([Decimal("1.005")]), "3 decimal places", id="rounded"),
        pytest.param(NAME, NOT_UTF_8, "it has the byte 0xFF at character 1", id="bytes that are no text"),
        pytest.param(
            NAME, NOT_UTF_8.dictionary_encode(), "the byte 0xFF", id="bytes that are no text, in a category"
        ),
        pytest.param(
            NAME,
            NOT_UTF_8.cast(pa.large_binary()).view(pa.large_string()),
            "the byte 0xFF",
            id="bytes that are no long text",
        ),
        pytest.param(PRICE, pa.array([Decimal(2000)]), "above 1000", id="too much"),
        pytest.param(NAME, pa.array(["abcdef"]), "6 characters", id="too long"),
        pytest.param(AGE, pa.array([200]), "above 150", id="too old"),
        pytest.param(SEEN, pa.array([-(10**15)], pa.timestamp("s")), "not a date", id="before the year 1"),
        pytest.param(
            SEEN,
            pa.array([datetime.datetime(1700, 1, 1, tzinfo=UTC)]),
            "before 1753",
            id="before Dataverse's time",
        ),
        pytest.param(
            WALL,
            pa.array([datetime.datetime(2024, 7, 1, tzinfo=UTC)]).cast(pa.timestamp("us", "Europe/Prague")),
            "no time zone",
            id="a zone where none belongs",
        ),
        pytest.param(
            DAY, pa.array([datetime.datetime(2024, 7, 1, 8, tzinfo=UTC)]), "time of day", id="a time in a day"
        ),
    ],
)
def test_a_wrong_value_of_an_array_is_named(column, array, said):
    made, wrong = Incoming(column).arrow(array)

    assert list(made) == [None]
    assert said in wrong[0]


VALUES = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.integers(-(2**70), 2**70),
    st.decimals(places=3, min_value=-2000, max_value=2000),
    st.floats(),
    st.booleans(),
    st.dates().map(str),
    st.datetimes(),
    st.sampled_from(["12", "1.5", "1e400", "NaN", "-0", " 7 ", "7_0", "2024-01-31T10:00:00Z"]),
)


@pytest.mark.parametrize(
    "column", [NAME, AGE, BIG, PRICE, RATE, ANGLE, SEEN, WALL, DAY, FLAG], ids=lambda c: c.name
)
@given(values=st.lists(VALUES, max_size=4) | VALUES.map(lambda value: [value] * 5))
def test_many_values_are_judged_as_each_of_them_is(column, values):
    both(column, values)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        pytest.param(
            SEEN, "9999-12-31T23:00:00-05:00", "after 9999 in UTC", id="a moment beyond all calendars"
        ),
        pytest.param(SEEN, "0001-01-01T00:00:00+05:00", "before the year 1", id="one before them"),
        pytest.param(SEEN, "2024-02-30", "'2024-02-30' is no date", id="a day that is not there"),
        pytest.param(AGE, "1_0", "'1_0' is not a number", id="Python's digits in an integer"),
        pytest.param(PRICE, "1_0.5", "'1_0.5' is not a number", id="Python's digits in money"),
        pytest.param(NAME, "\ud83d", "it has U+D83D at character 1", id="half a character"),
        pytest.param(None, "\ud83d", "it has U+D83D", id="half a character of what is looked up"),
        pytest.param(ID, "abc", "'abc' is not a row id (a GUID)", id="an id that is none"),
        pytest.param(POINTS, "abc", "'abc' is not a row id (a GUID)", id="a lookup by no id"),
    ],
)
def test_what_only_looks_right_spoils_itself_and_no_other_value(column, value, said):
    made, wrong = Incoming(column).many(["", value])

    assert list(wrong) == [1]
    assert said in wrong[1]
    assert made[1] is None


def test_ids_that_are_right_go_through_as_they_are():
    ids = ["0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001", "0F1A7A3C-2B57-4C1D-9F35-3A2A3AC1B002", None]

    assert Incoming(ID).many(ids) == (ids, {})
    assert Incoming(POINTS).many(["{0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001}", ""]) == (
        ["{0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001}", None],
        {},
    )


def test_a_lookup_may_be_given_as_what_binds_it():
    assert Incoming(POINTS).many(["/contacts(1)", None]) == (["/contacts(1)", None], {})
