"""The real stack, started once, and the emulator it talks to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.secrecy import holds, leaks
from tests.stack import AirflowStack


def wrong_secret(connection: str) -> str:
    return json.dumps({**json.loads(connection), "password": "not-the-secret"})


class StatsD:
    """A StatsD server: keeps each packet it is sent, as text."""

    def __init__(self) -> None:
        self.packets: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        while packet := self._socket.recv(65_536):
            self.packets.append(packet.decode())

    def close(self) -> None:
        with self._socket, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
            self._listener.join(5)


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsD]:
    with closing(StatsD()) as server:
        yield server


@pytest.fixture(scope="session")
def stack(
    emulator_server: Emulator, statsd: StatsD, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowStack]:
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
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",  # what a watcher sets off is scheduled, too
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",  # then the next one takes over its triggers
    }
    with AirflowStack(home, Path(__file__).parent / "dags", environment) as running:
        yield running
    issued = {f"refresh token {n}": t for n, t in enumerate(emulator_server._entra.refresh._tokens)}
    planted = {"client secret": emulator_server.client_secret, **issued}
    assert leaks(home, planted, running.fernet_key) == []  # whatever the tests did
    assert [name for name, value in planted.items() if holds("\n".join(statsd.packets), value)] == []
