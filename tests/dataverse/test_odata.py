"""Values are spelled so that the service reads what was meant, whatever they hold."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol import odata

ID = "D6F193FC-CE85-E611-80D8-00155D2A68DE"
OSLO = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("O'Brian", "'O''Brian'", id="an apostrophe"),
        pytest.param("", "''", id="an empty text"),
        pytest.param(True, "true", id="true is no number"),
        pytest.param(7, "7", id="an integer"),
        pytest.param(Decimal("1.10"), "1.10", id="a decimal keeps its zeros"),
        pytest.param(Decimal("1E+5"), "100000", id="a decimal without exponent"),
        pytest.param(0.1, "0.1", id="a float"),
        pytest.param(1e22, "10000000000000000000000", id="a large float without exponent"),
        pytest.param(None, "null", id="nothing"),
        pytest.param(date(2024, 1, 31), "2024-01-31", id="a date"),
        pytest.param(datetime(2024, 1, 31, 8), "2024-01-31T08:00:00Z", id="a time without zone"),  # noqa: DTZ001
        pytest.param(datetime(2024, 1, 31, 8, tzinfo=OSLO), "2024-01-31T06:00:00Z", id="a time elsewhere"),
        pytest.param(uuid.UUID(ID), ID.lower(), id="a GUID goes without quotes"),
    ],
)
def test_a_literal_is_written_as_odata_has_it(value, text):
    assert odata.literal(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), b"bytes", ["list"], {}])
def test_what_no_column_can_hold_is_refused(value):
    with pytest.raises(errors.BadRequest):
        odata.literal(value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        pytest.param("Integer", "007", "7", id="a number a file gave as text"),
        pytest.param("Decimal", " 1.50 ", "1.50", id="a decimal a file gave as text"),
        pytest.param("String", 7, "'7'", id="a text a file gave as number"),
        pytest.param("Lookup", f"{{{ID}}}", ID.lower(), id="a lookup's id in braces"),
        pytest.param("Boolean", "True", "true", id="a boolean as text"),
        pytest.param("DateTime", "2024-01-31T08:00:00Z", "2024-01-31T08:00:00Z", id="a time as text"),
    ],
)
def test_a_key_value_takes_the_form_of_its_column(kind, value, text):
    assert odata.literal_as(kind, value) == text


@pytest.mark.parametrize(
    ("kind", "value"),
    [("Integer", "many"), ("Lookup", "Contoso"), ("DateTime", "x) or (1 eq 1"), ("Uniqueidentifier", 5)],
)
def test_a_key_value_of_another_type_is_refused(kind, value):
    with pytest.raises(errors.BadRequest):
        odata.literal_as(kind, value)


def test_a_key_names_all_its_columns():
    parts = [("name", "String", "A & B"), ("_new_region_value", "Lookup", ID), ("number", "Integer", 2)]
    found = odata.key_predicate(parts, in_path=False)
    assert found == f"(name='A%20%26%20B',_new_region_value={ID.lower()},number=2)"


@pytest.mark.parametrize("character", list("/<>*%&:\\?+"))
def test_characters_dataverse_cannot_find_in_a_url_are_refused(character):
    with pytest.raises(odata.KeyNotInUrl, match="find it with a filter"):
        odata.key_predicate([("name", "String", f"A{character}B")])


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_key_value_is_refused(value):
    with pytest.raises(errors.BadRequest, match="'name' is empty"):
        odata.key_predicate([("name", "String", value)])


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def read_literals(text: str) -> list[str]:
    """Read `a='x',b='y'` as a parser would: a quote ends a text unless it is doubled."""
    found, position = [], 0
    while position < len(text):
        start = text.index("='", position) + 2
        end = start
        while text[end] != "'" or text[end : end + 2] == "''":
            end += 2 if text[end] == "'" else 1
        found.append(text[start:end].replace("''", "'"))
        position = end + 2
    return found


@given(st.lists(texts, min_size=1, max_size=3))
def test_whatever_a_key_holds_comes_out_again(values):
    parts = [(f"c{number}", "String", value) for number, value in enumerate(values)]
    written = odata.key_predicate(parts, in_path=False)
    assert written.isascii()
    assert not set(written) & set('/<>*&:\\?+# "')
    assert read_literals(unquote(written)[1:-1]) == values


@given(texts)
def test_a_filters_text_comes_out_of_the_url_as_it_went_in(value):
    condition = f"name eq {odata.literal(value)}"
    written = odata.options({"$select": "name", "$filter": condition, "$expand": None})
    assert dict(parse_qsl(written[1:], keep_blank_values=True)) == {"$select": "name", "$filter": condition}


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_its_value_in_a_literal_and_in_json(value):
    assert Decimal(odata.literal(value)) == value
    assert Decimal(str(odata.decode(odata.encode({"x": value}))["x"])) == value


def test_numbers_with_a_fraction_are_read_exactly():
    found = odata.decode(b'{"a": 5000000.0000, "b": 0.1, "c": 9007199254740993, "d": 1e2}')
    assert (
        repr(found)
        == "{'a': Decimal('5000000.0000'), 'b': Decimal('0.1'), 'c': 9007199254740993, 'd': Decimal('1E+2')}"
    )


def test_a_value_json_cannot_hold_is_refused():
    with pytest.raises(errors.BadRequest, match="JSON"):
        odata.encode({"a": object()})


@pytest.mark.parametrize(
    ("wishes", "header"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"page_size": 2}, {"Prefer": "odata.maxpagesize=2"}, id="a page size"),
        pytest.param(
            {"page_size": 2, "annotations": True, "track_changes": True},
            {"Prefer": 'odata.track-changes,odata.maxpagesize=2,odata.include-annotations="*"'},
            id="everything",
        ),
    ],
)
def test_wishes_go_into_one_header(wishes, header):
    assert odata.prefer(**wishes) == header


@pytest.mark.parametrize(
    ("header", "row_id"),
    [
        pytest.param(f"https://x/api/data/v9.2/accounts({ID})", ID.lower(), id="a GUID"),
        pytest.param("https://x/api/data/v9.2/accounts(number='A1')", None, id="an alternate key repeated"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_id_is_read_from_the_answer(header, row_id):
    assert odata.entity_id({"OData-EntityId": header}) == row_id
