"""Query throttling: one query is refused, late or timed out, by what is wrong with it; the rest goes on."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator.limits.query_throttling import antipatterns
from airflow_provider_dynamics.emulator.messages import Request

FETCH = "accounts?fetchXml=<fetch><entity name='account'><attribute name='name'/>{}</entity></fetch>"


def found(query):
    path, _, options = query.partition("?")
    return antipatterns(Request("GET", f"/api/data/v9.2/{path}", options, {}, b"", "https://x"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("accounts?$select=name&$filter=revenue gt 1&$orderby=name", []),
        ("accounts?$select=name&$filter=startswith(name,'C')", []),
        ("accounts?$select=name&$filter=startswith(name,'-234')", []),
        ("accounts?$select=name&$filter=startswith(name,'%25234')", ["PerformanceLeadingWildCard"]),
        ("accounts?$select=name&$filter=startswith(name,'_234')", ["PerformanceLeadingWildCard"]),
        ("accounts?$select=name&$filter=startswith(name,'[^a]234')", ["PerformanceLeadingWildCard"]),
        ("accounts?$select=name&$filter=startswith(name,'-%25234')", ["PerformanceLeadingWildCard"]),
        ("accounts?$select=name&$filter=endswith(name,'Ltd')", ["PerformanceLeadingWildCard"]),
        ("accounts?$select=name&$filter=contains(name,'Ltd')", ["PerformanceLeadingWildCard"]),
        ("accounts?$select=name&$filter=name eq 'endswith(x,y)'", []),
        ("accounts?$select=name&$filter=description eq 'x'", ["PerformanceLargeColumnSearch"]),
        ("accounts?$select=name&$filter=name eq 'description'", []),
        ("accounts?$top=1", ["LargeAmountOfAttributes"]),
        ("accounts?$select=name&$orderby=primarycontactid/fullname", ["OrderOnPropertiesFromJoinedTables"]),
        ("accounts?$select=name&$orderby=industrycode", []),
        (FETCH.format("<order attribute='industrycode'/>"), ["OrderOnEnumAttribute"]),
        (
            FETCH.format("<filter><condition attribute='name' operator='like' value='%25a'/></filter>"),
            ["PerformanceLeadingWildCard"],
        ),
        (FETCH.format("<filter><condition attribute='name' operator='like' value='a%25'/></filter>"), []),
        (
            FETCH.format("<filter><condition attribute='description' operator='not-null'/></filter>"),
            ["PerformanceLargeColumnSearch"],
        ),
        (
            "accounts?$filter=description eq 'x'",
            ["PerformanceLargeColumnSearch", "LargeAmountOfAttributes"],
        ),
        ("WhoAmI", []),
        ("accounts?$select=name&$select=name", []),
    ],
)
def test_antipatterns_are_found_as_microsoft_describes_them(query, expected):
    assert found(query) == expected


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("/accounts?$select=name", "0x80048544", "it conflicts with query throttling."),
        ("/accounts?$select=name&$filter=endswith(name,'x')", "0x80048644", "uses a leading wildcard value"),
        ("/accounts?$filter=description eq 'x'", "0x80048745", "(PerformanceLargeColumnSearch,LargeAmount"),
    ],
)
def test_a_throttled_query_is_refused_by_what_is_wrong_with_it(emulator, wire, query, code, words):
    emulator.fault("query_throttling", count=1)
    answer = wire.get(query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert words in answer.json()["error"]["message"]
    assert "Retry-After" not in answer.headers
    assert wire.get(query).status_code == 200


@pytest.mark.parametrize(
    ("filter_", "code"),
    [
        ("endswith(name,'x')", "0x80048573"),
        ("revenue gt 1", "0x80044151"),
    ],
)
def test_a_query_may_time_out_instead(emulator, wire, filter_, code):
    emulator.fault("query_throttling", how="timeout", status=500)
    answer = wire.get(f"/accounts?$select=name&$filter={filter_}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, code)


def test_a_computed_column_can_be_claimed_since_no_table_has_one(emulator, wire):
    emulator.fault("query_throttling", patterns=["FilteringOnCalculatedColumns"], skip=1)
    emulator.fault("query_throttling", patterns=["FilteringOnCalculatedColumns"], how="timeout", count=1)
    codes = [wire.get("/accounts?$select=name").json()["error"]["code"] for _ in range(2)]
    assert codes == ["0x80048574", "0x80048744"]


def test_a_throttled_query_may_only_be_late(emulator, wire):
    emulator.fault("query_throttling", how="delay", seconds=0.2)
    answer = wire.get("/accounts?$select=name")
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.2


def test_everything_else_goes_on(emulator, wire):
    emulator.fault("query_throttling")
    row = emulator.rows("account")[0]["accountid"]
    assert wire.who_am_i().status_code == 200
    assert wire.get(f"/accounts({row})?$select=name").status_code == 200
    assert wire("POST", "/api/data/v9.2/accounts", json={"name": "x"}).status_code == 204
    assert wire.get("/EntityDefinitions?$select=LogicalName").status_code == 200


def test_an_unlisted_antipattern_is_refused(emulator):
    with pytest.raises(ValueError, match="no such antipattern: Slow; there are PerformanceLeadingWildCard"):
        emulator.fault("query_throttling", patterns=["Slow"])
