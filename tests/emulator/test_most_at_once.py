"""The emulator tells how many requests were under way at one time: whoever bounds them can prove it."""

from __future__ import annotations

from airflow_provider_dynamics.emulator.limits.budgets import DEFAULTS, Limits


def test_the_most_of_all_users_on_all_servers_is_kept_when_they_have_ended():
    limits = Limits()
    for user, server in (("a", 0), ("a", 1), ("b", 0)):
        limits.begin(user, server, None)
    for user, server in (("a", 0), ("a", 1), ("b", 0)):
        limits.end(user, server, 0.1)
    limits.begin("a", 0, None)
    assert limits.most_at_once == 3


def test_what_is_refused_was_never_under_way():
    limits = Limits()
    enforced = {**DEFAULTS, "concurrency": 2}
    refused = [limits.begin("a", 0, enforced) for _ in range(5)]
    assert [one is None for one in refused] == [True, True, False, False, False]
    assert limits.most_at_once == 2


def test_counting_anew_begins_with_what_is_under_way():
    limits = Limits()
    limits.begin("a", 0, None)
    limits.begin("a", 0, None)
    limits.end("a", 0, 0.1)
    limits.clear()
    assert limits.most_at_once == 1


def test_a_running_emulator_counts_from_its_last_reset(emulator):
    assert emulator.most_at_once == 0
