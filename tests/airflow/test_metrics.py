"""Metrics go through Airflow's own stats, name no person, and never harm the work they count."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from airflow_provider_dynamics import compat
from airflow_provider_dynamics.auth.events import SignInEvent
from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.metrics import count_sign_in, gauge_days_left

RENEWED = SignInEvent("refresh token", "entra", "success", 0.25, rotated=True)
WHERE = {"mode": "refresh_token", "authority": "entra"}


class Recorder:
    """A metrics backend that remembers; with ``broken`` it raises instead."""

    def __init__(self, *, broken=False):
        self.broken = broken
        self.sent = []

    def _take(self, *what, tags=None):
        if self.broken:
            raise OSError("the metrics server is gone")
        self.sent.append((*what, tags))

    def incr(self, stat, count=1, rate=1, *, tags=None):
        self._take("incr", stat, tags=tags)

    def gauge(self, stat, value, rate=1, delta=False, *, tags=None):
        self._take("gauge", stat, value, tags=tags)

    def timing(self, stat, dt, *, tags=None):
        self._take("timing", stat, dt, tags=tags)


def set_up(factory, home="airflow.sdk._shared"):
    """Choose the backend as Airflow's processes do at their start; None as before that."""
    from importlib import import_module

    stats = import_module(f"{home}.observability.metrics.stats").Stats
    legacy = {"export_legacy_names": True} if "export_legacy_names" in _parameters(stats) else {}
    stats.initialize(factory=factory, **legacy)


def _parameters(stats):
    return inspect.signature(stats.initialize).parameters


@pytest.fixture
def recorder():
    made = Recorder()
    set_up(lambda: made)
    yield made
    set_up(None)


def test_a_sign_in_is_counted_timed_and_its_new_refresh_token_counted(recorder):
    count_sign_in(RENEWED)

    tags = {**WHERE, "outcome": "success"}
    assert recorder.sent == [
        ("incr", "dynamics.sign_in", tags),
        ("timing", "dynamics.sign_in_duration", timedelta(seconds=0.25), tags),
        ("incr", "dynamics.token_rotated", WHERE),
    ]


def test_a_failed_sign_in_is_counted_by_its_kind(recorder):
    count_sign_in(SignInEvent("client secret", "adfs", "needs-admin", 0.1))

    assert recorder.sent[0] == (
        "incr",
        "dynamics.sign_in",
        {"mode": "client_secret", "authority": "adfs", "outcome": "needs-admin"},
    )
    assert "dynamics.token_rotated" not in {name for _, name, *_ in recorder.sent}


def test_a_refresh_token_that_comes_with_a_password_is_no_rotation(recorder):
    count_sign_in(SignInEvent("user name and password", "entra", "success", 0.1, rotated=True))

    assert len(recorder.sent) == 2


def test_days_left_are_given_by_connection_for_backends_with_and_without_tags(recorder):
    gauge_days_left("eu/contoso prod", "client secret", 12.5)

    assert recorder.sent == [
        (
            "gauge",
            "dynamics.credential_days_left",
            12.5,
            {"conn_id": "eu/contoso prod", "mode": "client_secret"},
        ),
        ("gauge", "dynamics.credential_days_left.eu_contoso_prod", 12.5, None),
    ]


def test_a_triggerer_has_set_up_the_cores_metrics_only_and_these_are_used():
    made = Recorder()
    set_up(lambda: made, "airflow._shared")

    count_sign_in(RENEWED)
    set_up(None, "airflow._shared")

    assert len(made.sent) == 3


def test_where_metrics_are_off_nothing_happens():
    count_sign_in(RENEWED)
    compat.stats().incr("dynamics.sign_in", tags={})


def test_a_broken_backend_does_no_harm():
    set_up(lambda: Recorder(broken=True))
    try:
        count_sign_in(RENEWED)
        gauge_days_left("contoso", "client secret", 1)
    finally:
        set_up(None)


def test_what_a_task_signs_in_with_its_connection_is_counted_without_naming_anybody(
    recorder, emulator, monkeypatch
):
    SHARED.clear()
    variables = emulator.airflow_connection("person", auth_type="username_password")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with DynamicsHook("person").get_conn() as client:
        client.who_am_i()
        client.who_am_i()

    assert [(name, tags) for kind, name, *_, tags in recorder.sent if kind == "incr"] == [
        (
            "dynamics.sign_in",
            {"mode": "user_name_and_password", "authority": "entra", "outcome": "success"},
        )
    ]
    assert emulator.user_name not in repr(recorder.sent)
