"""What is told of a sign-in: how it went and how long it took, never who or with what."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_dynamics.auth import Network
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.events import SignInEvent, watched

SIGNED = SimpleNamespace(refresh_token="the-next-one")


class Clock:
    def __init__(self, *moments):
        self.moments = list(moments)

    def __call__(self):
        return self.moments.pop(0)


def watch(sign_in, told):
    return watched(
        sign_in, mode="refresh token", authority="adfs", on_event=told.append, now=Clock(100.0, 100.25)
    )


def refuse():
    raise AuthenticationError("The sign-in has ended.", kind="needs-interaction")


def test_a_sign_in_that_works_is_told_with_its_time_and_that_it_brought_a_new_refresh_token():
    told: list[SignInEvent] = []

    assert watch(lambda: SIGNED, told) is SIGNED
    assert told == [SignInEvent("refresh token", "adfs", "success", 0.25, rotated=True)]


def test_a_sign_in_that_brings_no_refresh_token_rotates_none():
    told: list[SignInEvent] = []

    watch(lambda: SimpleNamespace(refresh_token=None), told)

    assert not told[0].rotated


def test_a_refused_sign_in_is_told_by_the_kind_of_its_failure_and_still_raises():
    told: list[SignInEvent] = []

    with pytest.raises(AuthenticationError):
        watch(refuse, told)

    assert told == [SignInEvent("refresh token", "adfs", "needs-interaction", 0.25)]


def test_nobody_has_to_listen():
    assert watched(lambda: SIGNED, mode="m", authority="entra", on_event=None) is SIGNED


def test_each_real_sign_in_of_a_credential_is_told_and_a_token_out_of_the_cache_is_not(entra):
    told: list[SignInEvent] = []
    credential = entra.credential(on_event=told.append)

    for _ in range(3):
        credential.get_token(entra.environment, network=Network())

    assert [(event.mode, event.authority, event.outcome) for event in told] == [
        ("client secret", "entra", "success")
    ]
    assert told[0].seconds >= 0
    assert entra.secret not in repr(told)


def test_a_refused_sign_in_of_a_credential_is_told(entra):
    told: list[SignInEvent] = []
    entra.tokens(entra.refusal(7000222, "invalid_client"))

    with pytest.raises(AuthenticationError):
        entra.credential(on_event=told.append).get_token(entra.environment, network=Network())

    assert [event.outcome for event in told] == ["permanent"]


def test_a_listener_that_fails_costs_neither_the_new_refresh_token_nor_the_services_own_error(caplog):
    def fail(_):
        raise RuntimeError("the metrics are away")

    def watch_failing(sign_in):
        return watched(sign_in, mode="m", authority="entra", on_event=fail)

    assert watch_failing(lambda: SIGNED) is SIGNED
    with pytest.raises(AuthenticationError, match="has ended"):
        watch_failing(refuse)
    assert "could not be counted" in caplog.text
