"""Storage and its small helpers: patterns, exact numbers, GUID order, skip tokens, paths, preferences."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.emulator.address import Segment, Text, reference, row_key, split_path
from airflow_provider_dynamics.emulator.call import parse_prefer, parse_query
from airflow_provider_dynamics.emulator.like import tsql_like
from airflow_provider_dynamics.emulator.literals import day_text, moment_text, scaled
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.querying.paging import primary_order, read_token, write_token
from airflow_provider_dynamics.emulator.render import exact_text
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.storage import SQL, sort_key
from airflow_provider_dynamics.emulator.store import Store

GUID = "c206f534-dbcc-ed11-b597-000d3a993550"


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("Contoso", "con%", True),
        ("Contoso", "con", False),
        ("a%b", "a[%]b", True),
        ("axb", "a[%]b", False),
        ("axb", "a_b", True),
        ("abc", "[a-c]bc", True),
        ("abc", "[^a-c]bc", False),
        ("Öl", "ö%", True),
        ("two\nlines", "two%", True),
        ("abcabc", "a%c%bc", True),
        ("abc", "a%bc%c", False),
        ("abab", "%ab", True),
        ("aXbX", "%x", True),
        ("", "%", True),
        ("", "_%", False),
        ("b", "[z-a]", False),
        ("^", "[^]", True),
        ("-", "[-x]", True),
        (None, "%", None),
    ],
)
def test_patterns_match_as_in_transact_sql(value, pattern, expected):
    assert tsql_like(value, pattern) is expected


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(0, 4, "0.0000"), (-1, 4, "-0.0001"), (50000, 4, "5.0000"), (7, 0, "7"), (-123456, 2, "-1234.56")],
)
def test_exact_numbers_are_written_with_all_digits(value, scale, text):
    assert exact_text(value, scale) == text


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [("1.005", 2, 10100), ("-1.005", 2, -10100), ("2", 4, 20000), ("0.00004", 4, 0)],
)
def test_rounding_is_half_away_from_zero(value, digits, expected):
    assert scaled(Decimal(value), digits, 4) == expected


def test_guids_sort_by_their_last_group_first():
    low, high = "ff000000-0000-0000-0000-000000000001", "01000000-0000-0000-0000-000000000002"
    assert sorted([high, low], key=sort_key) == [low, high]


def test_a_skip_token_comes_back_as_it_went():
    table = TABLES["account"]
    order = [primary_order(table, SQL["account"])]
    token = write_token(3, order, [GUID], [GUID], tracking=True, extra=' until="5"')
    found = read_token(unquote(token), order)
    assert (found.page, found.last, found.extra, found.tracking) == (3, (GUID,), {"until": "5"}, True)


def test_a_failed_transaction_leaves_no_trace_and_a_nested_one_only_its_own():
    store = Store()
    table = TABLES["sdkmessage"]

    def put(name):
        store.insert(table, [(f"{name}", name, None, 0, store.next_version(), b"{}")])

    def put_and_fail(name):
        with store.transaction():
            put(name)
            raise ZeroDivisionError

    with store.transaction():
        put("a")
        with pytest.raises(ZeroDivisionError):
            put_and_fail("b")
        put("c")
    with pytest.raises(ZeroDivisionError):
        put_and_fail("d")
    assert [store.exists(table, name) for name in "abcd"] == [True, False, True, False]


def test_paths_are_cut_outside_quotes_and_brackets():
    assert split_path("accounts(accountnumber='A%2FB')/primarycontactid/$ref") == [
        Segment("accounts", "accountnumber='A/B'"),
        Segment("primarycontactid"),
        Segment("$ref"),
    ]


def test_keys_are_read():
    assert row_key(GUID.upper(), {}) == GUID
    assert row_key("@p1", {"@p1": GUID}) == GUID
    assert row_key("a='x,''y',b=2", {}) == {"a": Text("x,'y"), "b": "2"}
    with pytest.raises(Fault):
        row_key("a=1,b", {})


@pytest.mark.parametrize(
    "link",
    ["accounts(1)", "/accounts(1)", "/api/data/v9.2/accounts(1)", "https://h/x/api/data/v9.0/accounts(1)"],
)
def test_links_lead_to_rows(link):
    assert reference(link) == Segment("accounts", "1")


def test_preferences_are_read_and_echoed():
    prefer = parse_prefer(
        'odata.maxpagesize=9000,odata.include-annotations="*", return=representation, foo=bar'
    )
    assert prefer.page_size == 5000
    assert prefer.wants("anything")
    assert prefer.representation
    assert prefer.applied == (
        "odata.maxpagesize=9000",
        'odata.include-annotations="*"',
        "return=representation",
    )


def test_query_options_are_decoded_and_kept_as_received():
    options, raw = parse_query("$filter=name%20eq+'a%26b'&%24top=1")
    assert options == {"$filter": "name eq 'a&b'", "$top": "1"}
    assert raw[1] == ("%24top", "1")
    with pytest.raises(Fault, match="more than once"):
        parse_query("$top=1&$top=2")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-31T08:00:00Z", "2024-01-31T08:00:00Z"),
        ("2024-01-31T08:00:00.999-05:00", "2024-01-31T13:00:00Z"),
        ("2024-01-31T08:00", "2024-01-31T08:00:00Z"),
        ("2024-01-31", "2024-01-31T00:00:00Z"),
        ("2024-01-31T08:00:00+01:00Z", None),
        ("2024-13-31", None),
        (5, None),
    ],
)
def test_moments_become_utc(value, expected):
    assert moment_text(value) == expected


def test_days_are_days():
    assert day_text("2024-02-29") == "2024-02-29"
    assert day_text("2023-02-29") is None
    assert day_text("2024-02-29T00:00:00Z") is None
