"""Tokens of an hour in extracts of more than two: nobody may notice that they end, and nobody may ask twice.

Time passes from page to page, for the client and for the service together. A credential whose own clock stands still
does not see the end coming and learns it from a 401; one whose clock runs must never get that far.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret, RefreshToken
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import TokenCache
from airflow_provider_dynamics.dataverse import Client, Query

STEP = 240.0  # seconds between two pages: less than the margin before a token's end, as the next page is on its way
LONG = 2 * 3600.0


def app(emulator, cache):
    return ClientSecret(
        emulator.tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=Authority(url=emulator.url),
        cache=cache,
    )


def person(emulator, cache):
    return RefreshToken(
        emulator.tenant_id,
        emulator.client_id,
        emulator.refresh_token(),
        emulator.client_secret,
        authority=Authority(url=emulator.url),
        store=NoStore(),
        cache=cache,
    )


WAYS = pytest.mark.parametrize("way", [app, person], ids=["an app", "a signed-in person"])


@pytest.fixture
def connect(emulator, clock):
    """Return a function that makes a client for one way to sign in, by a clock that stands until it is moved."""
    made = []

    def make(way, **options):
        emulator.sign_ins.rotation = (
            "family"  # the second use of a refresh token would cost the whole sign-in
        )
        credential = way(emulator, TokenCache(now=clock.now))
        made.append(Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def sign_ins(emulator):
    return [request for request in emulator.requests if request.path.endswith("/token")]


def refused(emulator):
    return [request for request in emulator.requests if request.status == 401]


def extract(client, emulator, *clocks):
    """Read the accounts for more than two hours, one page after the other; each reading must be whole."""
    expected, passed = sorted(row["accountid"] for row in emulator.rows("account")), 0.0
    while passed <= LONG:
        found = []
        for page in client.pages(Query("account", select=["name"], page_size=3)):
            found += [row["accountid"] for row in page.rows]
            passed += STEP
            for clock in clocks:
                clock.time += STEP
            emulator.sign_ins.skew(passed)
        assert sorted(found) == expected


@WAYS
def test_a_long_extract_renews_its_token_before_it_ends(emulator, connect, clock, way):
    extract(connect(way), emulator, clock)
    assert not refused(emulator)
    assert len(sign_ins(emulator)) >= 3


@WAYS
def test_a_token_whose_end_was_not_foreseen_is_replaced_within_the_extract(emulator, connect, way):
    extract(connect(way), emulator)
    assert len(refused(emulator)) >= 2
    assert len(sign_ins(emulator)) == 1 + len(refused(emulator))


@WAYS
def test_threads_whose_common_token_ends_sign_in_once(emulator, connect, way):
    client, together = connect(way, max_concurrency=8), threading.Barrier(8)
    client.who_am_i()
    emulator.sign_ins.skew(LONG)

    def ask(_):
        together.wait(timeout=20)
        return client.who_am_i()["UserId"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert refused(emulator)
    assert len(sign_ins(emulator)) == 2
