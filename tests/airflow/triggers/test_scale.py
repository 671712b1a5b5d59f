"""A thousand deferred sensors in one event loop share what they need; how fast that is, `python -m benchmarks deferred` says."""

from __future__ import annotations

from airflow_provider_dynamics.triggers.sharing import THREADS
from benchmarks.deferred import measure


def test_a_thousand_sensors_share_one_client_and_a_few_threads_and_all_are_looked_at():
    cost = measure(1000, 6.0, 12.0, latency=0.05)

    assert cost.looks >= 1000
    assert cost.clients == 1
    assert cost.requests <= cost.looks + 10  # the table's metadata once, not a thousand times
    assert cost.threads <= THREADS + 12  # and the event loop's own
