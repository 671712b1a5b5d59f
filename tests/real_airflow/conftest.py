"""The real stack, started once, and the emulator it talks to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.secrecy import leaks
from tests.stack import AirflowStack


def wrong_secret(connection: str) -> str:
    return json.dumps({**json.loads(connection), "password": "not-the-secret"})


@pytest.fixture(scope="session")
def stack(emulator_server: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    good = emulator_server.airflow_connection("dynamics_default")
    home = tmp_path_factory.mktemp("stack")
    callbacks = home / "callbacks"
    callbacks.mkdir()
    leaver = emulator_server.refresh_token(emulator_server.other_user_name)
    environment = {
        **good,
        "AIRFLOW_CONN_DYNAMICS_WRONG_SECRET": wrong_secret(good["AIRFLOW_CONN_DYNAMICS_DEFAULT"]),
        **emulator_server.airflow_connection("dynamics_signed_in", "refresh_token"),
        **emulator_server.airflow_connection(
            "dynamics_leaver",
            "refresh_token",
            refresh_token=leaver,
            username=emulator_server.other_user_name,
        ),
        "DYNAMICS_TEST_CALLBACKS": str(callbacks),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",  # what a watcher sets off is scheduled, too
    }
    with AirflowStack(home, Path(__file__).parent / "dags", environment) as running:
        yield running
    issued = {f"refresh token {n}": t for n, t in enumerate(emulator_server._entra.refresh._tokens)}
    planted = {"client secret": emulator_server.client_secret, **issued}
    assert leaks(home, planted, running.fernet_key) == []  # whatever the tests did
