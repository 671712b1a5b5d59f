"""The way to the environment: as long as it is set, for each answer by itself, and for nobody else."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_dynamics.emulator import Emulator

TOGETHER = 20


def control(emulator, method, **body):
    return requests.request(
        method,
        f"{emulator.url}/_emulator/settings",
        data=json.dumps(body),
        verify=emulator.ca_bundle,
        timeout=20,
    )


def seconds(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_every_answer_of_the_environment_is_late(emulator, wire):
    emulator.latency = 0.2
    assert seconds(wire.who_am_i) >= 0.2
    emulator.fault("throttle")
    assert seconds(wire.who_am_i) >= 0.2


def test_many_wait_at_the_same_time(emulator, wire_to):
    wires = [wire_to(emulator) for _ in range(TOGETHER)]
    emulator.latency = 0.4
    with ThreadPoolExecutor(TOGETHER) as pool:
        together = seconds(lambda: list(pool.map(lambda wire: wire.who_am_i(), wires)))
    assert 0.4 <= together < 0.4 * TOGETHER / 2


def test_sign_ins_and_controls_are_not_late(emulator):
    emulator.latency = 5
    assert seconds(lambda: control(emulator, "GET")) < 5
    metadata = f"{emulator.authority}/v2.0/.well-known/openid-configuration"
    assert seconds(lambda: requests.get(metadata, verify=emulator.ca_bundle, timeout=20)) < 5


def test_the_way_uses_up_no_execution_time(emulator, wire):
    emulator.latency = 0.3
    answer = wire.who_am_i()
    left = float(answer.headers["x-ms-ratelimit-time-remaining-xrm-requests"].replace(",", ""))
    assert left > 1199.8


def test_the_control_api_says_and_sets_the_settings(emulator):
    expected = {"latency": 0.25, "dop_hint": 8, "request_seconds": 0.0, "row_seconds": 0.001}
    assert control(emulator, "POST", latency=0.25, dop_hint=8, row_seconds=0.001).json() == expected
    assert (emulator.latency, emulator.row_seconds) == (0.25, 0.001)
    assert control(emulator, "GET").json() == expected


@pytest.mark.parametrize("wrong", [-1, "fast", None, True])
def test_what_is_no_time_is_refused(emulator, wrong):
    assert control(emulator, "POST", latency=wrong).status_code == 400
    with pytest.raises(ValueError, match="latency is a number of seconds"):
        emulator.latency = wrong
    assert emulator.latency == 0


def test_a_reset_brings_back_what_it_was_at_the_start():
    emulator = Emulator(None, latency=0.125, dop_hint=9)
    emulator.latency = emulator.dop_hint = 3
    emulator.reset()
    assert (emulator.latency, emulator.dop_hint) == (0.125, 9)


@pytest.mark.parametrize(("number", "header"), [(4, "4"), (48, "48"), (None, None)])
def test_the_recommended_parallelism_is_the_one_that_is_set(emulator, wire, number, header):
    emulator.dop_hint = number
    assert wire.who_am_i().headers.get("x-ms-dop-hint") == header


@pytest.mark.parametrize("wrong", [{"dop_hint": 0}, {"dop_hint": "8"}, {"distance": 1}])
def test_a_setting_that_is_none_is_refused(emulator, wrong):
    answer = control(emulator, "POST", **wrong)
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]
