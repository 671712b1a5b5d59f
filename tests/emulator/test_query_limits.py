"""How many rows a query may take in: lowered by a test, over the wire or in process, and restored by a reset."""

from __future__ import annotations

import pytest

COUNT = "/accounts?$apply=aggregate($count as n)"


def test_a_lowered_limit_refuses_aggregates_until_a_reset(emulator, wire):
    emulator.query_limits.aggregate = 3
    refused = wire.get(COUNT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "0x8004e023")
    emulator.reset()
    assert wire.get(COUNT).status_code == 200
    assert emulator.query_limits.aggregate == 50_000


def test_limits_are_turned_over_the_wire_too(wire):
    changed = wire("POST", "/_emulator/query_limits", json={"aggregate": 3, "simple_paging": 10})
    assert changed.json() == {"aggregate": 3, "simple_paging": 10}
    assert wire("GET", "/_emulator/query_limits").json() == {"aggregate": 3, "simple_paging": 10}
    assert wire.get(COUNT).status_code == 400


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"rows": 3}, "there is no query limit 'rows'"),
        ({"aggregate": 0}, "a whole number above 0, not 0"),
        ({"aggregate": "many"}, "a whole number above 0, not 'many'"),
    ],
)
def test_a_limit_that_is_none_is_refused_in_words(wire, wanted, message):
    answer = wire("POST", "/_emulator/query_limits", json=wanted)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
