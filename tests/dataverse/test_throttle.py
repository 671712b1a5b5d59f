"""Waits are as long as they must be, and can be ended."""

from __future__ import annotations

import threading
import weakref

import pytest

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.dataverse import Clock, RetryPolicy, errors
from airflow_provider_dynamics.dataverse.throttle import Stop


def busy(seconds=None):
    return errors.Throttled("busy", retry_after=seconds)


FAULT = errors.ServerError("boom")


def away(**facts):
    return AuthenticationError("the authority is away", kind="transient", **facts)


def waits_for(policy, error):
    """Return all waits of one request whose sign-in never works."""
    waits: list[float] = []
    elapsed = 0.0
    while (delay := policy.delay(error, len(waits) + 1, elapsed)) is not None:
        waits.append(delay)
        elapsed += delay
    return waits


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_retry_after_is_obeyed_exactly(jitter):
    assert RetryPolicy(random=lambda: jitter).delay(busy(17.0), 1, 0) == 17.0


def test_retry_after_is_never_shortened_but_given_up():
    policy = RetryPolicy(longest_retry_after=300)
    assert policy.delay(busy(300.0), 1, 0) == 300.0
    assert policy.delay(busy(301.0), 1, 0) is None


def test_a_retry_after_of_nothing_is_no_leave_to_ask_sixty_times_in_a_moment():
    policy = RetryPolicy(random=lambda: 0.0)
    assert [policy.delay(busy(0.0), attempt, 0) for attempt in range(1, 4)] == [1, 2, 4]


def test_without_retry_after_the_wait_doubles_up_to_a_limit():
    policy = RetryPolicy(random=lambda: 0.0, longest_delay=10)
    assert [policy.delay(FAULT, attempt, 0) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_jitter_only_lengthens():
    assert RetryPolicy(random=lambda: 0.75).delay(FAULT, 3, 0) == 7.0


@pytest.mark.parametrize(
    ("error", "most"),
    [
        pytest.param(FAULT, 3, id="a fault"),
        pytest.param(busy(1.0), 5, id="throttling"),
        pytest.param(errors.Unreachable("gone"), 3, id="a lost connection"),
        pytest.param(errors.Unreachable("no host", sent=False), 2, id="no connection"),
    ],
)
def test_attempts_are_counted_by_what_went_wrong(error, most):
    policy = RetryPolicy(attempts=3, throttled_attempts=5, connect_attempts=2)
    assert policy.delay(error, most - 1, 0) is not None
    assert policy.delay(error, most, 0) is None


def test_no_attempt_starts_after_the_budget():
    policy = RetryPolicy(budget=60)
    assert policy.delay(busy(30.0), 1, 30) == 30.0
    assert policy.delay(busy(30.0), 1, 31) is None


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_a_sign_in_service_that_is_away_for_ninety_seconds_is_waited_for(jitter):
    waits = waits_for(RetryPolicy(random=lambda: jitter), away())
    asked_at = [sum(waits[:count]) for count in range(len(waits) + 1)]
    assert any(90 < moment <= 120 for moment in asked_at)
    assert max(waits) <= 15
    assert asked_at[-1] <= 120


def test_a_sign_ins_retry_after_is_obeyed_within_its_own_time():
    policy = RetryPolicy()
    assert policy.delay(away(retry_after=40.0), 1, 0) == 40.0
    assert policy.delay(away(retry_after=40.0), 99, 81.0) is None
    assert policy.delay(away(retry_after=300.0), 1, 0) is None


def test_a_sign_in_is_given_up_sooner_where_the_error_says_so():
    assert 1 < len(waits_for(RetryPolicy(), away(patience=15.0))) < 5
    assert sum(waits_for(RetryPolicy(), away(patience=15.0))) <= 15


@pytest.mark.parametrize(
    "error", [FAULT, busy(0.0), errors.Unreachable("no host", sent=False), away(), away(retry_after=0.0)]
)
def test_never_gives_up_at_once(error):
    assert RetryPolicy.never().delay(error, 1, 0) is None
    assert not RetryPolicy.never().waits


def test_a_real_wait_ends_as_soon_as_it_is_stopped():
    stop = Stop()
    outcome = []

    def wait() -> None:
        try:
            Clock().sleep(600, stop)
        except errors.Interrupted as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    stop.set()
    waiting.join(5)
    assert not waiting.is_alive()
    assert len(outcome) == 1


def test_stopping_reaches_children_but_not_parents():
    parent = Stop()
    child = parent.child()
    child.set()
    parent.check()
    second = parent.child()
    parent.set()
    for stopped in (child, second, parent.child()):
        with pytest.raises(errors.Interrupted):
            stopped.check()


def test_a_signal_in_the_middle_of_making_a_child_may_end_the_work():
    stop = Stop()

    class Interrupting(weakref.WeakSet[Stop]):
        """Stands for the handler of a signal that comes at the worst moment."""

        def add(self, item):
            super().add(item)
            stop.set()

    stop._children = Interrupting()
    ended = threading.Thread(target=stop.child, daemon=True)
    ended.start()
    ended.join(5)
    assert not ended.is_alive()
