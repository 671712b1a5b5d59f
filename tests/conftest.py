"""Fixtures every level shares: a private Airflow home and one emulator for the session, reset before each test."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from airflow_provider_dynamics.emulator import Emulator

# a busy machine is no failure of a property
settings.register_profile("project", deadline=None, database=None)
settings.load_profile("project")

# before anything imports airflow: it reads its settings once, at import
_HOME = tempfile.TemporaryDirectory(prefix="airflow-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__CORE__FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()


@pytest.fixture(scope="session")
def emulator_server() -> Iterator[Emulator]:
    from airflow_provider_dynamics.emulator import Emulator

    with Emulator(seed="sample") as emulator:
        yield emulator


@pytest.fixture
def emulator(emulator_server: Emulator) -> Emulator:
    """The running emulator as it was after start: sample rows, no faults, no recorded requests."""
    emulator_server.reset()
    return emulator_server
