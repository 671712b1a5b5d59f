"""Pytest fixtures for people who test their own DAGs: a running emulator, fresh for each test.

``dynamics_emulator`` is the `Emulator`: started once per test session on a free port, put back to its sample rows
before each test that asks for it. A test that needs an Airflow connection sets what
``dynamics_emulator.airflow_connection()`` returns::

    def test_my_dag(dynamics_emulator, monkeypatch):
        for name, value in dynamics_emulator.airflow_connection().items():
            monkeypatch.setenv(name, value)
        dag.test()
        assert len(dynamics_emulator.rows("account")) == 12

``airflow_connection`` takes the way to sign in, ``airflow_connection("crm", "certificate")`` or ``("crm",
"refresh_token", "adfs")``; ``dynamics_emulator.sign_ins`` revokes, expires and withdraws,
``dynamics_emulator.fault`` makes the services fail.

Overriding the session fixture ``dynamics_emulator_options`` changes what the emulator is started with, for
example ``{"seed": None, "rows": {"account": 5000}}``. Nothing is imported before the first test asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_dynamics.emulator import Emulator


@pytest.fixture(scope="session")
def dynamics_emulator_options() -> dict[str, Any]:
    """Keyword arguments of the `Emulator` behind ``dynamics_emulator``; override to change them."""
    return {"seed": "sample"}


@pytest.fixture(scope="session")
def _running_dynamics_emulator(dynamics_emulator_options: dict[str, Any]) -> Iterator[Emulator]:
    from airflow_provider_dynamics.emulator import Emulator

    with Emulator(**dynamics_emulator_options) as emulator:
        yield emulator


@pytest.fixture
def dynamics_emulator(_running_dynamics_emulator: Emulator) -> Emulator:
    """Give a Dataverse and Entra emulator over TLS, put back to its sample rows before each test."""
    _running_dynamics_emulator.reset()
    return _running_dynamics_emulator
