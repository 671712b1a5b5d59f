"""The drills of reading clients: each fault strikes in the middle of an extract, and the extract can be completed."""

from __future__ import annotations

from collections import Counter

import pytest
import requests

TASKS = "/tasks?$select=subject"
PAGED = {"Prefer": "odata.maxpagesize=3"}
THIRD = {"path": "/tasks", "skip": 2, "count": 1}
RETRYABLE = {401, 429, 503}


def extract(wire, sent):
    """Follow the links; what is no page is asked for again. Returns ids as they came."""
    link, found = TASKS, []
    while link:
        sent.append(link)
        try:
            answer = wire("GET", link if link.startswith("https") else f"/api/data/v9.2{link}", headers=PAGED)
            page = answer.json() if answer.status_code == 200 else None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.JSONDecodeError):
            page = None
        if page is None:
            continue
        found += [row["activityid"] for row in page["value"]]
        link = page.get("@odata.nextLink")
    return found


@pytest.fixture
def everything(emulator):
    rows = {row["activityid"] for row in emulator.rows("task")}
    assert len(rows) >= 9
    return rows


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        pytest.param("status", {"status": 503}, id="503 with HTML"),
        pytest.param("html", {}, id="200 with HTML"),
        pytest.param("expired_token", {}, id="401"),
        pytest.param("throttle", {"retry_after": 0}, id="429"),
        pytest.param("reset", {}, id="reset before the work"),
        pytest.param("reset", {"when": "after"}, id="reset after the work"),
        pytest.param("truncate", {}, id="truncated"),
        pytest.param("truncate", {"length": "cut"}, id="cut"),
        pytest.param("error", {"status": 500}, id="an unexpected error"),
        pytest.param("query_throttling", {}, id="query throttling"),
    ],
)
def test_the_third_page_fails_once_and_then_comes_whole(emulator, wire, everything, kind, members):
    switch = emulator.fault(kind, **THIRD, **members)
    sent: list[str] = []
    found = extract(wire, sent)
    assert Counter(found) == Counter(everything)
    assert switch.hits == 1
    assert sent[2] == sent[3], "the third link is asked for twice"


def test_a_slow_page_is_late_and_whole(emulator, wire, everything):
    emulator.fault("slow", seconds=0.2, **THIRD)
    assert set(extract(wire, [])) == everything


def test_every_third_request_throttled_is_survived_by_asking_again(emulator, wire, everything):
    emulator.fault("throttle", every=3, retry_after=0)
    assert Counter(extract(wire, [])) == Counter(everything)


def test_short_pages_have_fewer_rows_and_lead_to_all(emulator, wire, everything):
    emulator.fault("short_page", rows=2)
    sent: list[str] = []
    assert Counter(extract(wire, sent)) == Counter(everything)
    assert len(sent) == -(-len(everything) // 2)


def test_a_repeated_page_brings_its_rows_twice_and_goes_on(emulator, wire, everything):
    switch = emulator.fault("repeated_page", **THIRD)
    sent: list[str] = []
    found: Counter[str] = Counter(extract(wire, sent))
    assert set(found) == everything
    assert sorted(found.values())[-4:] == [1, 2, 2, 2]
    assert sent[2] == sent[3]
    assert switch.hits == 1


def test_a_page_that_repeats_for_ever_names_itself_as_the_next(emulator, wire):
    emulator.fault("repeated_page", path="/tasks")
    link = f"{emulator.url}/api/data/v9.2{TASKS}"
    for _ in range(3):
        assert wire("GET", link, headers=PAGED).json()["@odata.nextLink"] == link


def test_a_last_page_has_nothing_to_repeat(emulator, wire):
    emulator.fault("repeated_page")
    assert "@odata.nextLink" not in wire.get(TASKS).json()
