"""The real stack, started once, and the emulator it talks to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack


def wrong_secret(connection: str) -> str:
    return json.dumps({**json.loads(connection), "password": "not-the-secret"})


@pytest.fixture(scope="session")
def stack(emulator_server: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    good = emulator_server.airflow_connection("dynamics_default")
    environment = {
        **good,
        "AIRFLOW_CONN_DYNAMICS_WRONG_SECRET": wrong_secret(good["AIRFLOW_CONN_DYNAMICS_DEFAULT"]),
    }
    home = tmp_path_factory.mktemp("stack")
    with AirflowStack(home, Path(__file__).parent / "dags", environment) as running:
        yield running
