"""A budget is used but for a little, hardly anything is refused, and one request of somebody else gets through.

The service is the emulator's own reckoning of limits, the time is made up.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.budgets import Refusal
from airflow_provider_dynamics.dataverse.transport.governor import Governor
from airflow_provider_dynamics.emulator.limits.budgets import DEFAULTS, Limits
from tests.dataverse.virtual_time import VirtualClock

SCALED = {**DEFAULTS, "requests": 600, "window": 30.0, "execution_seconds": 10_000.0, "servers": 1}


@dataclass
class Service:
    """Answers after `takes` seconds, on one server after the other, under limits."""

    clock: VirtualClock
    settings: dict[str, float]
    takes: float = 0.1
    accepted: int = 0
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self):
        self.limits = Limits(now=self.clock.now)
        self._turn = 0
        self._random = random.Random(1)

    def ask(self):
        with self._lock:
            server = self._turn % int(self.settings["servers"])
            self._turn += 1
            refusal = self.limits.begin("user", server, self.settings)
            self.refused += refusal is not None
            takes = self.takes * self._random.uniform(0.8, 1.2)
        if refusal:
            self.clock.sleep(0.01, Stop())
            raise errors.Throttled(
                refusal.message, code=refusal.code, status=429, retry_after=refusal.retry_after
            )
        self.clock.sleep(takes, Stop())
        with self._lock:
            self.limits.end("user", server, takes)
            self.accepted += 1

    @property
    def share_refused(self):
        return self.refused / (self.accepted + self.refused)


def send(governor, ask):
    """Ask once, as a transport does."""
    try:
        with governor.turn(Stop()):
            ask()
    except errors.Throttled as error:
        governor.close(error.retry_after)


def lane(service, governor, until):
    """Ask one request after the other until a time."""

    def work():
        while service.clock.passed < until:
            send(governor, service.ask)

    return work


def traffic(settings, *, lanes=8, until=150.0, takes=0.1, others=(), ceiling=None):
    clock = VirtualClock()
    service, governor = Service(clock, {**SCALED, **settings}, takes), Governor(clock, ceiling)
    clock.run([lane(service, governor, until)] * lanes + [other(service, governor) for other in others])
    return service, governor


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("takes", [0.02, 0.1, 0.35])
def test_a_budget_of_requests_is_used_and_hardly_anything_refused(servers, takes):
    service, _ = traffic({"requests": 600 // servers, "servers": servers}, takes=takes)
    assert service.accepted >= 0.95 * 600 * 150 / 30
    assert service.share_refused <= 0.02


def test_the_real_budget_is_used_in_the_same_way():
    service, _ = traffic({"requests": 6000, "window": 300.0}, until=900.0)
    assert service.accepted >= 0.95 * 6000 * 3
    assert service.share_refused <= 0.02


def test_what_others_use_of_the_budget_is_left_to_them():
    """Another process of the same user, which has no governor, asks for half."""
    refused_to_them = []

    def other(service, _):
        def work():
            while service.clock.passed < 150:
                try:
                    service.ask()
                except errors.Throttled:
                    refused_to_them.append(1)
                service.clock.sleep(0.1, Stop())

        return work

    service, _ = traffic({}, others=[other])
    ours = service.refused - len(refused_to_them)
    assert service.accepted >= 0.93 * 600 * 150 / 30
    assert ours <= 0.04 * service.accepted


def test_one_request_of_somebody_else_gets_through_beside_an_extract_that_wants_all():
    """A trigger in another process asks every five seconds and does not wait."""
    outcomes = []

    def trigger(service, _):
        mine = Governor(service.clock)

        def work():
            service.clock.sleep(32, Stop())
            while service.clock.passed < 150:
                service.clock.sleep(5, Stop())
                try:
                    with mine.turn(Stop(), waits=False):
                        service.ask()
                    outcomes.append(True)
                except errors.Throttled:
                    outcomes.append(False)

        return work

    traffic({}, others=[trigger])
    assert len(outcomes) > 20
    assert sum(outcomes) >= 0.9 * len(outcomes)


def test_one_request_of_the_same_client_does_not_wait_for_the_lanes():
    waits = []

    def single(service, governor):
        def work():
            service.clock.sleep(40, Stop())
            while service.clock.passed < 145:
                began = service.clock.passed
                with governor.turn(Stop()):
                    waits.append(service.clock.passed - began)
                    service.ask()
                service.clock.sleep(5, Stop())

        return work

    traffic({}, others=[single])
    assert len(waits) > 15
    assert max(waits) < 2


def test_too_many_at_once_become_fewer_and_it_goes_on():
    service, _ = traffic({"requests": 10**6, "concurrency": 5}, until=60.0)
    assert service.accepted >= 0.7 * 5 * 60 / 0.1
    assert service.share_refused <= 0.02


def test_a_ceiling_is_used_and_never_passed_not_even_once_to_learn_it():
    """The service would refuse the fourth request at a time."""
    service, _ = traffic({"requests": 10**6, "concurrency": 3}, ceiling=3)
    assert service.refused == 0
    assert service.accepted >= 0.75 * 3 * 150 / 0.1


def test_too_much_execution_time_makes_fewer_at_a_time():
    service, _ = traffic(
        {"requests": 10**6, "execution_seconds": 120.0}, takes=0.5
    )  # four at a time, all the time
    assert service.accepted * 0.5 >= 0.9 * 120 * 150 / 30
    assert service.share_refused <= 0.02


def test_refusals_for_what_others_used_are_waited_out_and_teach_no_budget(clock):
    """Every third request is refused, as when a budget is used up by other tasks: what is asked stays what is needed."""
    governor, asked = Governor(clock), []

    def ask():
        asked.append(1)
        if len(asked) % 3 == 0:
            text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
            raise errors.Throttled(text, code="0x80072322", retry_after=1)

    while len(asked) < 90:
        send(governor, ask)
    assert sum(clock.slept) == pytest.approx(29, abs=2)


def test_a_costly_query_lowers_what_is_asked_at_a_time_and_closes_nothing(clock):
    governor = Governor(clock)
    with pytest.raises(errors.Throttled), governor.turn(Stop()):
        raise errors.Throttled("conflicts with query throttling", code="0x80048544", status=429)
    with governor.turn(Stop()):
        pass
    assert governor.closed_for == 0


def test_waits_of_several_threads_for_one_reason_count_once(clock):
    governor = Governor(clock)
    governor.close(10)
    governor.close(10)
    governor.close(15)
    assert governor.closed_for == 0
    clock.time += 5
    assert governor.closed_for == 5
    with governor.turn(Stop()):
        assert clock.slept == [10]
    with governor.turn(Stop()):
        assert clock.slept == [10]
    assert governor.closed_for == 15


def test_time_held_by_a_budget_counts_as_throttled():
    service, governor = traffic({})
    assert 100 < governor.closed_for <= service.clock.passed


def test_a_limit_that_is_lowered_is_kept_to_and_one_that_is_raised_is_used_again():
    used = {}

    def change(service, _):
        def work():
            for limit in (300, 450):
                service.clock.sleep(120, Stop())
                used[service.settings["requests"]] = service.accepted
                service.settings["requests"] = limit
            service.clock.sleep(450, Stop())
            used["before the last minute"] = service.accepted
            service.clock.sleep(60, Stop())
            used["raised"] = service.accepted

        return work

    service, _ = traffic({}, until=750.0, others=[change])
    assert (
        used[300] - used[600] >= 0.8 * 300 * 120 / 30
    )  # the first window still holds what was allowed before
    assert used["raised"] - used["before the last minute"] >= 0.9 * 450 * 60 / 30
    assert service.share_refused <= 0.02


@pytest.mark.parametrize("clients", [2, 4])
def test_several_clients_of_one_user_share_the_budget_and_none_gets_far_less_than_its_part(clients):
    done = [0] * clients

    def reader(number):
        def of(service, _):
            governor = Governor(service.clock)

            def ask():
                service.ask()
                done[number] += 1

            def work():
                while service.clock.passed < 150:
                    send(governor, ask)

            return work

        return of

    service, _ = traffic({}, lanes=0, others=[reader(number) for number in range(clients)])
    assert service.accepted >= 0.5 * min(600 * 150 / 30, clients * 150 / 0.1)
    assert min(done) >= 0.5 * max(done)
    assert service.share_refused <= 0.02


def test_one_request_alone_that_is_refused_for_others_does_not_bring_all_down_to_one_at_a_time():
    class Impatient(VirtualClock):
        def hold(self, change, stop):
            raise AssertionError("held")

    governor = Governor(Impatient())
    text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
    with pytest.raises(errors.Throttled), governor.turn(Stop()):
        raise errors.Throttled(text, code="0x80072322", retry_after=1)
    with governor.turn(Stop()), governor.turn(Stop()), governor.turn(Stop()):
        pass


def test_whoever_was_never_refused_is_never_held(clock):
    governor = Governor(clock)
    for _ in range(20_000):
        with governor.turn(Stop()):
            clock.time += 0.001
    assert clock.slept == []
    assert governor.closed_for == 0


def test_a_request_that_does_not_wait_is_never_held(clock):
    governor = Governor(clock)
    governor.close(100)
    with governor.turn(Stop(), waits=False):
        assert clock.slept == []


def test_a_wait_ends_when_it_is_stopped_and_leaves_the_line(clock):
    governor, stop = Governor(clock), Stop()
    governor.close(100)
    stop.set()
    with pytest.raises(errors.Interrupted), governor.turn(stop):
        pass
    clock.time += 100
    with governor.turn(Stop()):
        assert clock.slept == []


@pytest.mark.parametrize(
    ("message", "limit", "window"),
    [
        ("Number of requests exceeded the limit of 6000 over time window of 300 seconds.", 6000, 300),
        (
            "exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease",
            1_200_000,
            300,
        ),
        ("La limite de 8\u00a0000 sur une fenêtre de 60 secondes", 8000, 60),
        ("limite de 1\u202f200\u202f000 millisecondes sur une fenêtre de 300 secondes", 1_200_000, 300),
        ("Im Zeitfenster von 300 Sekunden wurde das Limit von 6.000 überschritten", 6000, 300),
        ("429: the limit of 6000 over time window of 300 seconds", 6000, 300),
        (
            "0x80072322: limit of 6000 over 300 seconds (12345678-1234-1234-1234-123456789012)",
            6000,
            300,
        ),
        ("the limit of 0 over time window of 0 seconds", None, 300),
        ("the limit of 6000 over time window of 86400 seconds", 86400, 300),
        ("Number of concurrent requests exceeded the limit of 52.", 52, 300),
        ("busy", None, 300),
        ("", None, 300),
    ],
)
def test_the_numbers_are_read_from_the_refusal_in_any_language(message, limit, window):
    assert Refusal.read(message) == Refusal(limit, window)
