"""Which hosts are this machine: the only ones that plain http may lead to, and that need no listing."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.auth.network import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_this_machine_is(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "localhost.evil.example", "evil.localhost", "127.0.0.1.evil.example", "169.254.169.254"],
)  # fmt: skip
def test_this_machine_is_not(host):
    assert not is_loopback(host)
