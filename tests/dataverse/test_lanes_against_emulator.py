"""Lanes over TLS, against a service that divides, counts and fails as documented: every row, once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, Query, Window, errors
from airflow_provider_dynamics.emulator import Emulator

ROWS = 1_500
ALL = Query("account", select=["name"], page_size=50)

pytestmark = pytest.mark.usefixtures("threads_ended")


@pytest.fixture(scope="module")
def grown():
    with Emulator(seed="sample", rows={"account": ROWS}, created="skewed", dop_hint=8) as emulator:
        yield emulator


@pytest.fixture
def service(grown):
    grown.reset()
    return grown


@pytest.fixture
def connect(service, clock):
    made = []

    def make(**options):
        credential = ClientSecret(
            service.tenant_id, service.client_id, service.client_secret, authority=Authority(url=service.url)
        )
        made.append(
            Client(service.url, credential, **{"ca_bundle": service.ca_bundle, "clock": clock, **options})
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def ids(read):
    return Counter(row["accountid"] for item in read for row in item.page.rows)


def all_of(service):
    return Counter(row["accountid"] for row in service.rows("account"))


def test_closing_the_client_ends_lanes_that_nobody_closed(connect):
    with connect() as client:
        left_alone = client.lanes(ALL, lanes=4)
        next(left_alone)
    with pytest.raises(errors.Interrupted):
        list(left_alone)  # and the fixture waits for their threads


@pytest.mark.parametrize("lanes", [None, 1, 3, 8, 50])
def test_every_row_comes_once(service, connect, lanes):
    with connect().lanes(ALL, lanes=lanes) as read:
        assert read.lanes == min(lanes or 8, 8)
        assert ids(read) == all_of(service)


def test_the_connections_ceiling_holds(service, connect):
    with connect(max_concurrency=2).lanes(ALL, lanes=8) as read:
        assert read.lanes == 2
        assert ids(read) == all_of(service)


def test_what_the_service_recommends_holds(service, connect):
    service.dop_hint = 3
    with connect().lanes(ALL, lanes=8) as read:
        assert read.lanes == 3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "throttle", "every": 3, "retry_after": 2},
        {"kind": "status", "every": 4},
        {"kind": "reset", "every": 5},
        {"kind": "truncate", "every": 5},
        {"kind": "expired_token", "skip": 12, "count": 1},
        {"kind": "short_page", "rows": 17},
        {"kind": "query_throttling", "every": 4},
    ],
    ids=lambda fault: fault["kind"],
)
def test_what_passes_is_ridden_out(service, connect, fault):
    client = connect()
    client.who_am_i()
    service.fault(**fault)
    with client.lanes(ALL, lanes=4) as read:
        found = ids(read)
    service.reset()
    assert found == all_of(service)


def test_counts_of_yesterday_do_no_harm(service, connect):
    service.fault("old_counts")
    with connect().lanes(ALL, lanes=4) as read:
        assert ids(read) == all_of(service)


def test_a_page_that_repeats_itself_is_an_error_and_ends_all_lanes(service, connect):
    client = connect()
    service.fault("repeated_page")
    with client.lanes(ALL, lanes=4) as read, pytest.raises(errors.BadResponse, match="same next link"):
        ids(read)


def test_another_client_goes_on_where_the_first_was_left(service, connect):
    found: Counter[str] = Counter()
    position: Any = None
    for pages in (7, 3, 1, 10_000):
        with connect().lanes(ALL, lanes=4, position=position) as read:
            for number, item in enumerate(read, 1):
                found.update(row["accountid"] for row in item.page.rows)
                if number == pages:
                    break
            position = json.loads(json.dumps(read.position))
    assert found == all_of(service)
    assert position["left"] == []


def test_windows_divide_the_table_and_each_is_read_by_itself(service, connect):
    client = connect()
    windows = client.windows(ALL, 6)
    assert len(windows) == 6
    found: Counter[str] = Counter()
    for window in windows:
        travelled = Window.from_json(json.loads(json.dumps(window.to_json())))
        with connect().lanes(ALL, window=travelled) as read:
            found += ids(read)
    assert found == all_of(service)
    assert sum(window.rows for window in windows) == pytest.approx(ROWS, abs=6)


def test_an_aggregate_limit_is_divided_further(service, connect):
    service.query_limits.aggregate = 100
    with connect().lanes(ALL, lanes=4) as read:
        assert ids(read) == all_of(service)
