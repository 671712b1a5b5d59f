"""Conditions: whatever a value is, it means itself, and what Dataverse would misunderstand is refused."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy
import pandas
import pytest

from airflow_provider_dynamics.dataverse import Query, any_of, column, errors
from airflow_provider_dynamics.dataverse.protocol import odata as spelling
from airflow_provider_dynamics.dataverse.queries.conditions import combined, odata

BERLIN = timezone(timedelta(hours=1))
ROW = "00000000-0000-0000-0000-00000000abcd"


@pytest.fixture
def written(account, tables):
    """Return a function that spells a condition for the table account."""
    return lambda condition: condition.render(account, tables)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        pytest.param(column("name") == "O'Brien", "name eq 'O''Brien'", id="an apostrophe is doubled"),
        pytest.param(column("name") != None, "name ne null", id="nothing is null"),  # noqa: E711 - a condition is made
        pytest.param(column("name").is_null(), "name eq null", id="and can be asked for by name"),
        pytest.param(column("name") == 42, "name eq '42'", id="a number becomes text for a text column"),
        pytest.param(
            column("revenue") > Decimal("12345678901234.5678"),
            "revenue gt 12345678901234.5678",
            id="a decimal keeps all digits",
        ),
        pytest.param(
            column("revenue") <= 1e-7, "revenue le 0.0000001", id="a small float is written out in full"
        ),
        pytest.param(
            column("numberofemployees") >= "7", "numberofemployees ge 7", id="a number may come as text"
        ),
        pytest.param(
            column("primarycontactid") == "{00000000-0000-0000-0000-00000000ABCD}",
            f"_primarycontactid_value eq {ROW}",
            id="a lookup is compared by an id without quotes",
        ),
        pytest.param(
            column("_primarycontactid_value") == uuid.UUID(ROW),
            f"_primarycontactid_value eq {ROW}",
            id="under both of its names",
        ),
        pytest.param(column("accountid") < ROW, f"accountid lt {ROW}", id="an id is no text"),
        pytest.param(
            column("createdon") > datetime(2024, 1, 2, 0, 30, tzinfo=BERLIN),
            "createdon gt 2024-01-01T23:30:00Z",
            id="a time is given in UTC",
        ),
        pytest.param(
            column("createdon") < date(2024, 1, 2),
            "createdon lt 2024-01-02T00:00:00Z",
            id="a day begins in UTC where a time is held",
        ),
        pytest.param(
            column("createdon") < "2024-01-02T08:00:00+01:00",
            "createdon lt 2024-01-02T07:00:00Z",
            id="a time may come as text",
        ),
        pytest.param(
            column("createdon") < "2024-01-02 07:00:00.12Z",
            "createdon lt 2024-01-02T07:00:00.120000Z",
            id="with a fraction too",
        ),
        pytest.param(
            column("createdon") < "2024-01-02t07:00z",
            "createdon lt 2024-01-02T07:00:00Z",
            id="in small letters",
        ),
        pytest.param(
            column("numberofemployees") == 5.0, "numberofemployees eq 5", id="a whole float is whole"
        ),
        pytest.param(
            column("numberofemployees") == numpy.int64(5),
            "numberofemployees eq 5",
            id="a data frame's number",
        ),
        pytest.param(column("revenue") > numpy.float64(0.1), "revenue gt 0.1", id="and its float"),
        pytest.param(column("donotemail") == numpy.True_, "donotemail eq true", id="and its truth"),
        pytest.param(column("donotemail") == "False", "donotemail eq false", id="truth may come as text"),
        pytest.param(column("new_topics") == 3, "new_topics eq '3'", id="several choices are text"),
        pytest.param(
            column("new_start") == datetime(2024, 1, 2, 8, tzinfo=timezone.utc),
            "new_start eq 2024-01-02",
            id="a column of days takes the day",
        ),
        pytest.param(column("statecode") == 0, "statecode eq 0", id="a choice is its number"),
        pytest.param(
            column("revenue") > column("numberofemployees"),
            "revenue gt numberofemployees",
            id="two columns are compared",
        ),
    ],
)
def test_a_value_is_written_as_its_column_wants_it(written, condition, text):
    assert written(condition) == text


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (column("name").startswith("100%"), "startswith(name,'100[%]')"),
        (column("name").endswith("_[x"), "endswith(name,'[_][[]x')"),
        (column("name").contains("a%b", wildcards=True), "contains(name,'a%b')"),
    ],
)
def test_wildcards_mean_themselves_unless_they_are_wanted(written, condition, text):
    assert written(condition) == text


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (column("statecode").is_in([0, 1]), 'In(PropertyName=\'statecode\',PropertyValues=["0","1"])'),
        (column("name").is_in(['a"b', "c'd"]), 'In(PropertyName=\'name\',PropertyValues=["a\\"b","c\'d"])'),
        (
            column("primarycontactid").is_in([uuid.UUID(ROW)]),
            f"In(PropertyName='primarycontactid',PropertyValues=[\"{ROW}\"])",
        ),
        (
            column("primarycontactid").is_in([f"{{{ROW.upper()}}}"]),
            f"In(PropertyName='primarycontactid',PropertyValues=[\"{ROW}\"])",
        ),
        (
            column("name").function("On", "2024' or 1 eq 1"),
            "On(PropertyName='name',PropertyValue='2024'' or 1 eq 1')",
        ),
        (
            column("revenue").between(1, Decimal("2.50")),
            'Between(PropertyName=\'revenue\',PropertyValues=["1","2.50"])',
        ),
        (column("createdon").on(date(2024, 1, 2)), "On(PropertyName='createdon',PropertyValue='2024-01-02')"),
        (
            column("createdon").on_or_after(date(2024, 1, 2)),
            "OnOrAfter(PropertyName='createdon',PropertyValue='2024-01-02')",
        ),
        (
            column("createdon").on_or_before("2024-01-02"),
            "OnOrBefore(PropertyName='createdon',PropertyValue='2024-01-02')",
        ),
        (column("createdon").last_x_days(7), "LastXDays(PropertyName='createdon',PropertyValue=7)"),
        (column("createdon").last_x_hours(7), "LastXHours(PropertyName='createdon',PropertyValue=7)"),
        (column("createdon").next_x_days(7), "NextXDays(PropertyName='createdon',PropertyValue=7)"),
        (
            column("createdon").older_than_x_days(7),
            "OlderThanXDays(PropertyName='createdon',PropertyValue=7)",
        ),
        (column("createdon").function("ThisMonth"), "ThisMonth(PropertyName='createdon')"),
        (
            column("createdon").function("InFiscalPeriodAndYear", 1, 2024),
            "InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=1,PropertyValue2=2024)",
        ),
        (column("ownerid").function("EqualUserId"), "EqualUserId(PropertyName='ownerid')"),
        (
            column("new_topics").contain_values(1, 9),
            'ContainValues(PropertyName=\'new_topics\',PropertyValues=["1","9"])',
        ),
    ],
)
def test_query_functions_are_written_as_documented(written, condition, text):
    assert written(condition) == f"Microsoft.Dynamics.CRM.{text}"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: column("createdon").function("LastXDay", 7), "did you mean LastXDays?"),
        (lambda: column("createdon").function("LastXDays"), "takes 1 values, not 0"),
        (lambda: column("createdon").function("Between", 1), "takes 2 values, not 1"),
        (lambda: column("name").is_in([]), "takes at least 1 values, not 0"),
        (lambda: column("name").is_in(["a", None]), "takes no nulls"),
        (lambda: ~column("createdon").last_x_days(7), "no opposite of LastXDays"),
        (lambda: column("not a name"), "not a column's logical name"),
        (lambda: column("name eq 'x' or name"), "not a column's logical name"),
    ],
)
def test_what_dataverse_would_not_take_is_refused_at_once(make, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: column("name").is_in("abc"), r"not one text: is_in\(\['abc'\]\)"),
        (lambda: column("name").startswith(5), "startswith of name takes text, not a int"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_half_a_character_is_refused():
    with pytest.raises(errors.BadRequest, match="half a character"):
        spelling.options({"$filter": str(column("name") == "\ud800")})


def test_several_values_are_not_compared_with_one():
    with pytest.raises(TypeError, match="use is_in"):
        column("name") == ["a", "b"]  # noqa: B015 - comparing makes the condition


def test_conditions_are_put_together_with_brackets_where_they_are_needed(written):
    a, b, c = column("name") == "a", column("name") == "b", column("statecode") == 1
    assert written(a & b & c) == "name eq 'a' and name eq 'b' and statecode eq 1"
    assert written((a | b) & c) == "(name eq 'a' or name eq 'b') and statecode eq 1"
    assert written(a | b & c) == "name eq 'a' or (name eq 'b' and statecode eq 1)"


def test_not_is_pushed_down_to_where_dataverse_takes_it(written):
    a, listed = column("name") == "a", column("statecode").is_in([1])
    none = "Microsoft.Dynamics.CRM.NotIn(PropertyName='statecode',PropertyValues=[\"1\"])"
    assert written(~a) == "name ne 'a'"
    assert written(~~a) == "name eq 'a'"
    assert written(~~listed) == written(listed)
    assert written(~(a & listed)) == f"name ne 'a' or ({none} or statecode eq null)"
    assert written(~column("statecode").function("NotIn", 1)) == written(listed)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (column("name").is_null(), "name ne null"),
        (column("name") != "a", "name eq 'a'"),
        (column("revenue") > 1, "(revenue le 1 or revenue eq null)"),
        (column("revenue") <= 1, "(revenue gt 1 or revenue eq null)"),
        (column("name").contains("a"), "(not contains(name,'a') or name eq null)"),
        (column("revenue") > column("numberofemployees"), "not (revenue gt numberofemployees)"),
    ],
)
def test_what_is_denied_is_true_of_rows_without_a_value(written, condition, text):
    assert written(~condition) == text
    assert written(~~condition) == written(condition)


@pytest.mark.parametrize("wrong", [bool, lambda c: c and c, lambda c: not c])
def test_pythons_own_words_are_refused_as_they_would_lose_half(wrong):
    with pytest.raises(TypeError, match=r"combine conditions with & \| ~"):
        wrong(column("name") == "a")


def test_a_chain_of_comparisons_is_refused():
    with pytest.raises(TypeError, match="compare a column once at a time"):
        1 < column("statecode") < 3  # noqa: B015 - comparing makes the condition


def test_text_among_conditions_has_to_say_that_it_is_one():
    with pytest.raises(TypeError, match=r"text into odata\(…\)"):
        (column("name") == "a") & "statecode eq 1"  # type: ignore[operator]


def test_conditions_are_values_that_can_be_compared():
    def made(value):
        return (column("name") == value) & (column("revenue") > column("numberofemployees"))

    assert made("a") == made("a")
    assert made("a") != made("b")
    assert len({made("a"), made("a"), made("b")}) == 2
    assert Query("account", filter=made("a")) == Query("account", filter=made("a"))


def test_a_set_of_values_makes_the_same_condition_each_time():
    assert str(column("name").is_in({"b", "c", "a"})) == str(column("name").is_in(["a", "b", "c"]))


def test_odata_text_and_conditions_are_demanded_together(written):
    both = combined("name eq 'a' or name eq 'b'", column("statecode") == 1, None, "")
    assert written(both) == "(name eq 'a' or name eq 'b') and statecode eq 1"
    assert combined(None, "") is None
    assert str(odata("x eq 1")) == "x eq 1"


def test_a_condition_can_be_shown_without_the_tables_metadata():
    condition = (column("primarycontactid/fullname") == "Ada") & (column("_ownerid_value") == ROW)
    assert str(condition) == f"primarycontactid/fullname eq 'Ada' and _ownerid_value eq {ROW}"
    assert str(any_of("Account_Tasks", column("subject") == "x")) == "Account_Tasks/any(o1:o1/subject eq 'x')"


@pytest.mark.parametrize(
    "condition",
    [
        column("createdon").last_x_days("{{ params.days }}"),  # type: ignore[arg-type]
        column("new_share_value") == "a text column may be called so",
        column("revenue") > Decimal("nan"),
    ],
)
def test_a_condition_can_be_shown_that_cannot_be_asked_yet(condition):
    assert condition.path in str(condition)


@pytest.mark.parametrize(
    ("condition", "error", "words"),
    [
        (column("nme") == 1, errors.UnknownColumn, "Did you mean 'name'"),
        (column("statecodename") == "Active", errors.UnknownColumn, "label of 'statecode'"),
        (
            column("revenue") == "much",
            errors.BadRequest,
            "'revenue' is of type Money: 'much' is not a number",
        ),
        (
            column("name") == date(2024, 1, 2),
            errors.BadRequest,
            "'name' is of type String: a date is no text",
        ),
        (column("createdon") == "soon", errors.BadRequest, "'soon' is no date or time"),
        (column("createdon").last_x_days("7) or (1 eq 1"), errors.BadRequest, "takes whole numbers"),  # type: ignore[arg-type]
        (column("primarycontactid") == "Ada", errors.BadRequest, "'Ada' is not a row id"),
        (column("revenue") == float("inf"), errors.BadRequest, "is not a number Dataverse can hold"),
        (column("name") == object(), errors.BadRequest, "a object is no text"),
        (column("statecode") == object(), errors.BadRequest, "object object .* is not a number"),
        (
            column("statecode") == bool(1),
            errors.BadRequest,
            "'statecode' is of type State: True is not a number",
        ),
        (column("numberofemployees") > 1.5, errors.BadRequest, "1.5 is not a whole number"),
        (column("revenue") == date(2024, 1, 2), errors.BadRequest, "is not a number"),
        (column("revenue") > "1e999999999", errors.BadRequest, "is not a number Dataverse can hold"),
        (column("donotemail") == 1, errors.BadRequest, "'donotemail' is of type Boolean: 1 is neither"),
        (column("donotemail") == "yes", errors.BadRequest, "'yes' is neither True nor False"),
        (column("statecode").is_in(["zero"]), errors.BadRequest, "'statecode' is of type State: 'zero'"),
        (
            column("primarycontactid").is_in(["Ada"]),
            errors.BadRequest,
            "'primarycontactid' is of type Lookup",
        ),
        (column("createdon").on("yesterday"), errors.BadRequest, "'yesterday' is no date or time"),
        (
            column("createdon").between(1, 2),
            errors.BadRequest,
            "'createdon' is of type DateTime: 1 is no date",
        ),
        (
            column("createdon") > datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
            errors.BadRequest,
            "beyond the calendar",
        ),
        (column("name").is_in([column("accountnumber")]), errors.BadRequest, "a ColumnName is no text"),
        (column("createdon") > pandas.NaT, errors.BadRequest, "NaT is no date or time"),
    ],
)
def test_what_does_not_fit_the_table_is_said_before_anything_is_sent(written, condition, error, words):
    with pytest.raises(error, match=words):
        written(condition)


def test_only_dates_cost_a_look_at_the_details_of_columns(written, dataverse):
    written((column("name") == "a") & (column("revenue") > 1))
    assert not dataverse.sent("GET", "AttributeMetadata")
    written(column("createdon") > date(2024, 1, 1))
    assert dataverse.sent("GET", "DateTimeAttributeMetadata")
