"""One token per identity: when it is reused, when it is renewed, and what waiting threads get."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.tokens import AccessToken, TokenCache

THREADS = 16


class SignIn:
    """Counts sign-ins; each gives another token that lives for `life` seconds, or raises what `failure` holds."""

    def __init__(self, clock, life=3600.0, refresh_in=None):
        self.clock, self.life, self.refresh_in = clock, life, refresh_in
        self.count = 0
        self.failure = None

    def __call__(self):
        self.count += 1
        if self.failure is not None:
            raise self.failure
        now = self.clock.now()
        refresh_at = None if self.refresh_in is None else now + self.refresh_in
        return AccessToken(f"token-{self.count}", now + self.life, refresh_at)


@pytest.fixture
def sign_in(clock):
    return SignIn(clock)


@pytest.fixture
def cache(clock):
    return TokenCache(now=clock.now)


def busy(retry_after=None):
    return AuthenticationError("Entra is busy", retryable=True, retry_after=retry_after)


def test_a_fresh_token_is_used_again(cache, sign_in, clock):
    first = cache.get("me", sign_in)
    clock.move(3299)
    assert cache.get("me", sign_in) is first
    assert sign_in.count == 1


def test_a_token_is_renewed_five_minutes_before_its_end(cache, sign_in, clock):
    cache.get("me", sign_in)
    clock.move(3300)
    assert cache.get("me", sign_in).secret == "token-2"


def test_a_token_is_renewed_early_where_the_service_asks_for_it(cache, clock):
    sign_in = SignIn(clock, life=86_400, refresh_in=43_200)
    cache.get("me", sign_in)
    clock.move(43_200)
    assert cache.get("me", sign_in).secret == "token-2"


def test_a_token_shorter_than_the_margin_is_used_for_half_its_life(cache, clock):
    sign_in = SignIn(clock, life=200)
    cache.get("me", sign_in)
    clock.move(99)
    assert cache.get("me", sign_in).secret == "token-1"
    clock.move(1)
    assert cache.get("me", sign_in).secret == "token-2"


def test_another_identity_has_another_token(cache, sign_in):
    assert cache.get("me", sign_in) != cache.get("you", sign_in)


def test_a_rejected_token_is_replaced(cache, sign_in):
    first = cache.get("me", sign_in)
    assert cache.get("me", sign_in, rejected=first).secret == "token-2"


def test_a_token_rejected_by_two_is_replaced_once(cache, sign_in):
    first = cache.get("me", sign_in)
    second = cache.get("me", sign_in, rejected=first)
    assert cache.get("me", sign_in, rejected=first) is second
    assert sign_in.count == 2


def test_renewal_on_demand_replaces_a_fresh_token(cache, sign_in):
    cache.get("me", sign_in)
    assert cache.get("me", sign_in, renew=True).secret == "token-2"


def test_renewal_on_demand_leaves_alone_what_somebody_renewed_meanwhile(cache, sign_in):
    first = cache.get("me", sign_in)
    second = cache.get("me", sign_in, rejected=first, renew=True)
    assert cache.get("me", sign_in, rejected=first, renew=True) is second


def test_a_passing_problem_leaves_a_valid_token_in_use(cache, sign_in, clock, caplog):
    first = cache.get("me", sign_in)
    clock.move(3400)
    sign_in.failure = busy()
    assert cache.get("me", sign_in) is first
    assert "used on: Entra is busy" in caplog.text


def test_a_failed_renewal_is_tried_again_after_a_pause(cache, sign_in, clock):
    cache.get("me", sign_in)
    clock.move(3310)
    sign_in.failure = busy()
    for _ in range(5):
        cache.get("me", sign_in)
    assert sign_in.count == 2
    clock.move(31)
    sign_in.failure = None
    assert cache.get("me", sign_in).secret == "token-3"


def test_a_failed_renewal_waits_as_long_as_the_service_asked(cache, sign_in, clock):
    cache.get("me", sign_in)
    clock.move(3310)
    sign_in.failure = busy(retry_after=120)
    cache.get("me", sign_in)
    clock.move(100)
    cache.get("me", sign_in)
    assert sign_in.count == 2


def test_a_passing_problem_is_an_error_once_the_token_is_about_to_end(cache, sign_in, clock):
    cache.get("me", sign_in)
    clock.move(3545)
    sign_in.failure = busy()
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in)


def test_a_lasting_problem_is_an_error_although_the_token_is_valid(cache, sign_in, clock):
    cache.get("me", sign_in)
    clock.move(3400)
    sign_in.failure = AuthenticationError("The client secret has expired")
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in)


def test_a_lasting_problem_leaves_a_token_its_time_when_renewal_was_only_suggested(cache, clock):
    sign_in = SignIn(clock, life=86_400, refresh_in=43_200)
    first = cache.get("me", sign_in)
    clock.move(43_200)
    sign_in.failure = AuthenticationError("The client secret has expired")
    for _ in range(5):
        assert cache.get("me", sign_in) is first
    assert sign_in.count == 2
    clock.move(86_400 - 43_200 - 299)
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in)


def test_a_token_that_one_thread_is_renewing_serves_the_others_meanwhile(clock):
    cache, sign_in = TokenCache(clock.now), SignIn(clock)
    first = cache.get("me", sign_in)
    clock.move(3400)
    gate = Gate(sign_in)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(cache.get, "me", gate)
        assert gate.entered.wait(10)
        assert cache.get("me", sign_in) is first
        gate.opened.set()
        assert renewing.result(10).secret == "token-2"
    assert sign_in.count == 2


def test_a_token_about_to_end_is_waited_for(clock):
    cache, sign_in = CountingCache(clock.now), SignIn(clock)
    cache.get("me", sign_in)
    clock.move(3545)
    gate = Gate(sign_in)
    with ThreadPoolExecutor(2) as pool:
        renewing = [pool.submit(cache.get, "me", gate)]
        assert gate.entered.wait(10)
        renewing.append(pool.submit(cache.get, "me", gate))
        for _ in range(3):
            assert cache.arrived.acquire(timeout=10)
        gate.opened.set()
        assert [one.result(10).secret for one in renewing] == ["token-2", "token-2"]


def test_a_rejected_token_is_not_used_on_when_renewal_meets_a_passing_problem(cache, sign_in):
    first = cache.get("me", sign_in)
    sign_in.failure = busy()
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in, rejected=first)


def test_nobody_gets_a_rejected_token_again(cache, sign_in):
    first = cache.get("me", sign_in)
    sign_in.failure = busy()
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in, rejected=first)
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in)


def test_after_a_failure_the_next_call_signs_in_again(cache, sign_in):
    sign_in.failure = AuthenticationError("wrong secret")
    with pytest.raises(AuthenticationError):
        cache.get("me", sign_in)
    sign_in.failure = None
    assert cache.get("me", sign_in).secret == "token-2"


def test_the_oldest_identity_is_forgotten_when_there_are_too_many(clock, sign_in):
    cache = TokenCache(now=clock.now, size=2)
    cache.get("a", sign_in)
    cache.get("b", sign_in)
    cache.get("a", sign_in)
    cache.get("c", sign_in)
    assert cache.get("a", sign_in).secret == "token-1"
    assert cache.get("b", sign_in).secret == "token-4"


def test_clear_forgets_every_token(cache, sign_in):
    cache.get("me", sign_in)
    cache.clear()
    assert cache.get("me", sign_in).secret == "token-2"


class Gate:
    """A sign-in that stays open until all threads have come to the cache."""

    def __init__(self, then):
        self.then = then
        self.opened = threading.Event()
        self.entered = threading.Event()

    def __call__(self):
        self.entered.set()
        assert self.opened.wait(10)
        return self.then()


class CountingCache(TokenCache):
    """Tells how many callers have arrived, so that a test can let them all wait before it opens the gate."""

    def __init__(self, now):
        super().__init__(now)
        self.arrived = threading.Semaphore(0)

    def _slot(self, identity):
        found = super()._slot(identity)
        self.arrived.release()
        return found


def ask_at_once(clock, then):
    """Let all threads ask for the same token while the first sign-in is under way; return their outcomes."""
    cache, gate = CountingCache(clock.now), Gate(then)

    def outcome():
        try:
            return cache.get("me", gate).secret
        except AuthenticationError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(outcome) for _ in range(THREADS)]
        assert gate.entered.wait(10)
        for _ in range(THREADS):
            assert cache.arrived.acquire(timeout=10)
        gate.opened.set()
        return [one.result(10) for one in asked]


def test_sixteen_threads_on_a_cold_cache_sign_in_once(clock, sign_in):
    assert ask_at_once(clock, sign_in) == ["token-1"] * THREADS
    assert sign_in.count == 1


def test_threads_that_waited_for_a_failing_sign_in_share_its_error(clock, sign_in):
    sign_in.failure = AuthenticationError("wrong secret", code="AADSTS7000215")
    outcomes = ask_at_once(clock, sign_in)
    assert {str(error) for error in outcomes} == {"wrong secret"}
    assert {error.code for error in outcomes} == {"AADSTS7000215"}
    assert sign_in.count == 1
