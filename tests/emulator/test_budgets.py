"""Service protection budgets: honest about the wait, per user and server, cheap to refuse, scaled at will."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_dynamics.emulator.directory import USER
from airflow_provider_dynamics.emulator.limits.budgets import DEFAULTS, Limits

SMALL = {"requests": 4, "execution_seconds": 10.0, "concurrency": 2, "window": 300.0, "servers": 1}


class Caller:
    """One user's requests to one server, at a clock that stands still until moved."""

    def __init__(self, **settings):
        self.moment = 1000.0
        self.limits = Limits(lambda: self.moment)
        self.settings = {**SMALL, **settings}

    def ask(self, user="u", server=0, seconds=0.0):
        refusal = self.limits.begin(user, server, self.settings)
        if refusal is None:
            self.limits.end(user, server, seconds)
        return refusal


def refused(apart):
    """A caller who used up its requests, so many seconds apart, and what it was told."""
    caller = Caller()
    for _ in range(4):
        assert caller.ask() is None
        caller.moment += apart
    return caller, caller.ask().retry_after


@pytest.mark.parametrize("apart", [0, 1, 13.7, 70])
def test_whoever_waits_as_told_is_let_in_and_not_a_second_earlier(apart):
    caller, wait = refused(apart)
    caller.moment += wait
    assert caller.ask() is None
    hasty, wait = refused(apart)
    hasty.moment += wait - 1
    assert hasty.ask()


def test_whoever_comes_back_too_early_is_refused_and_waits_longer():
    caller = Caller()
    for _ in range(4):
        caller.ask()
        caller.moment += 10
    first = caller.ask()
    caller.moment += first.retry_after - 2
    assert caller.ask().retry_after > 2


def test_waiting_for_execution_time_is_enough_too():
    caller = Caller(requests=1000)
    for _ in range(3):
        caller.ask(seconds=4)
        caller.moment += 20
    refusal = caller.ask()
    assert refusal.code == "0x80072321"
    caller.moment += refusal.retry_after
    assert caller.ask() is None


def test_a_request_counts_when_it_comes_not_when_it_ends():
    caller = Caller()
    caller.limits.begin("u", 0, caller.settings)
    caller.moment += 200
    caller.limits.end("u", 0, 1)
    for _ in range(3):
        caller.ask()
    assert caller.ask().retry_after == 300
    caller.moment += 100.5
    assert caller.limits.remaining("u", 0, caller.settings)[0] == 0


def test_the_messages_are_microsoft_s():
    caller = Caller(**DEFAULTS)
    for _ in range(DEFAULTS["requests"]):
        caller.ask()
    text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
    assert caller.ask().message == text
    other = Caller(**DEFAULTS)
    other.ask(seconds=1200)
    assert other.ask().message.startswith(
        "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of "
        "300 seconds."
    )
    crowd = Caller(**DEFAULTS)
    for _ in range(DEFAULTS["concurrency"]):
        crowd.limits.begin("u", 0, DEFAULTS)
    assert crowd.ask().message == "Number of concurrent requests exceeded the limit of 52."


def test_what_remains_grows_again_as_the_window_slides():
    caller = Caller()
    caller.ask(seconds=3)
    caller.moment += 100
    caller.ask(seconds=3)
    assert caller.limits.remaining("u", 0, caller.settings) == (2, 4.0)
    caller.moment += 201
    assert caller.limits.remaining("u", 0, caller.settings) == (3, 7.0)


def test_a_scaled_budget_is_refused_and_granted_over_the_wire(emulator, wire):
    emulator.fault("limits", requests=5, window=2, servers=1)
    answers = [wire.who_am_i() for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert answers[-1].json()["error"] == {
        "code": "0x80072322",
        "message": "Number of requests exceeded the limit of 5 over time window of 2 seconds.",
    }
    assert answers[-1].headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "0"
    assert answers[-1].headers["Retry-After"] in {"1", "2"}


def test_concurrent_requests_are_refused_at_once(emulator, wire_to):
    emulator.fault("limits", concurrency=2, servers=1)
    emulator.fault("slow", seconds=0.5)
    wires = [wire_to(emulator) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda wire: wire.who_am_i(), wires))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 3
    assert {answer.json()["error"]["code"] for answer in refused} == {"0x80072326"}
    assert max(answer.elapsed.total_seconds() for answer in refused) < 0.5


def test_a_refused_request_uses_up_no_execution_time(emulator, wire):
    emulator.fault("limits", requests=1, servers=1)
    emulator.fault("slow", seconds=0.2)
    first = wire.who_am_i()
    refused = wire.who_am_i()
    time_left = "x-ms-ratelimit-time-remaining-xrm-requests"
    assert refused.status_code == 429
    assert 1199 < float(refused.headers[time_left].replace(",", "")) < 1199.9
    assert refused.elapsed < first.elapsed


def test_each_user_has_a_budget_of_its_own(emulator, wire, wire_to):
    emulator.fault("limits", requests=1, servers=1)
    other = wire_to(emulator)
    other.token = emulator.access_token(user=USER.user_name)
    assert [wire.who_am_i().status_code for _ in range(2)] == [200, 429]
    assert other.who_am_i().status_code == 200
