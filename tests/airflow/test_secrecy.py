"""Tasks of every way to sign in, through dag.test() at the chattiest log level; then everything left behind is searched.

dag.test() masks nothing, so here nothing is hidden by Airflow: what our code says is what is found.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
from airflow.sdk import DAG, task
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.emulator import Emulator
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.sensors import DynamicsRowSensor
from tests.secrecy import leaked_access_tokens, leaks

HOME = Path(os.environ["AIRFLOW_HOME"])
# made anew each time: Airflow keeps a DAG's source, and this file is one
PASSPHRASE, WEBHOOK_SECRET, WRONG_SECRET, WRONG_PASSWORD = (
    f"pl4nted~{token_urlsafe(24)}/+%=" for _ in range(4)
)
DEAD_TOKEN = f"1.{token_urlsafe(96)}"
MODES: dict[str, dict[str, Any]] = {
    "client_secret": {},
    "certificate": {},
    "locked_certificate": {"auth_type": "certificate", "private_key_passphrase": PASSPHRASE},
    "refresh_token": {},
    "public_refresh_token": {"auth_type": "refresh_token", "public": True},
    "username_password": {},
    "workload_identity": {},
    "managed_identity": {},
    "adfs": {"auth_type": "refresh_token", "authority_type": "adfs"},
}
REFUSED: dict[str, dict[str, Any]] = {
    "wrong_secret": {"auth_type": "client_secret", "password": WRONG_SECRET},
    "dead_token": {"auth_type": "refresh_token", "refresh_token": DEAD_TOKEN},
    "wrong_password": {"auth_type": "username_password", "user_password": WRONG_PASSWORD},
}
ALL = (*MODES, *REFUSED)
DEFERRED = ("client_secret", "refresh_token", *REFUSED)


@pytest.fixture
def planted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """Define a connection for every mode; return what of them, and of what the emulator issued since, is secret."""
    SHARED.clear()
    emulator.sign_ins.rotation = "one_use"
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"file://{HOME}/credentials")
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE_KEY", Fernet.generate_key().decode())
    older = set(emulator._entra.refresh._tokens)
    connections: dict[str, str] = {}
    for mode, fields in {**MODES, **REFUSED}.items():
        more = {"auth_type": mode, "webhook_secret": WEBHOOK_SECRET, **fields}
        if mode == "locked_certificate":
            more["private_key"] = emulator.encrypted_private_key_pem(PASSPHRASE)
        connections |= emulator.airflow_connection(f"secrecy_{mode}", **more)
    for name, value in connections.items():
        monkeypatch.setenv(name, value)

    def values() -> dict[str, str]:
        issued = [token for token in emulator._entra.refresh._tokens if token not in older]
        on_premises = json.loads(connections["AIRFLOW_CONN_SECRECY_ADFS"])["extra"]["refresh_token"]
        return {
            "client secret": emulator.client_secret,
            "private key": emulator.private_key_pem,
            "passphrase": PASSPHRASE,
            "password": emulator.user_password,
            "webhook secret": WEBHOOK_SECRET,
            "wrong client secret": WRONG_SECRET,
            "wrong password": WRONG_PASSWORD,
            "dead refresh token": DEAD_TOKEN,
            "refresh token of AD FS": on_premises,
            **{f"refresh token {number}": token for number, token in enumerate(issued)},
        }

    return values


@pytest.fixture
def everything_said(tmp_path: Path) -> Iterator[Path]:
    """Write all log records there are, with their tracebacks, into a file of the folder."""
    heard = logging.FileHandler(tmp_path / "everything.log")
    root = logging.getLogger()
    before = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        yield tmp_path
    finally:
        root.setLevel(before)
        root.removeHandler(heard)
        heard.close()


def every_mode() -> DAG:
    with DAG("secrecy", schedule=None, default_args={"retries": 0, "retry_delay": timedelta(0)}) as dag:
        for mode in ALL:
            DynamicsQueryOperator(
                task_id=f"query_{mode}",
                dynamics_conn_id=f"secrecy_{mode}",
                table="account",
                select=["name"],
                top=1,
            )
        for mode in DEFERRED:
            DynamicsRowSensor(
                task_id=f"sensor_{mode}",
                dynamics_conn_id=f"secrecy_{mode}",
                table="account",
                filter="name ne null",
                deferrable=True,
                poke_interval=1,
                timeout=5,
            )

        @task
        def show() -> list[str]:
            """Print what a curious author of a DAG may print, and return it to XCom."""
            settings = [DynamicsHook(f"secrecy_{mode}").settings for mode in ALL]
            shown = [
                f"{s!r} {s.credential()!r} {s.sign_in()!r} {s.network!r} {s.client()!r}" for s in settings
            ]
            print(shown)  # noqa: T201 - that is the point
            return shown

        show()
    return dag


def test_no_secret_stays_behind_in_files_tables_logs_or_output(
    run_dag: Callable[..., Any],
    planted: Callable[[], dict[str, str]],
    everything_said: Path,
    emulator: Emulator,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = set(leaks(HOME, planted()))  # what other tests left

    ran = run_dag(every_mode())

    said = capfd.readouterr()
    (everything_said / "output").write_text(said.out + said.err)
    (everything_said / "errors").write_text(repr(ran.errors) + repr(ran.xcoms))
    (everything_said / "requests").write_text(repr([r.as_dict() for r in emulator.requests]))
    expected = {f"query_{mode}": "failed" if mode in REFUSED else "success" for mode in ALL}
    expected |= {f"sensor_{mode}": "failed" if mode in REFUSED else "success" for mode in DEFERRED}
    assert ran.states == {**expected, "show": "success"}
    secret = planted()
    assert "refresh token 4" in secret  # two seeds, and what they were rotated to
    assert set(leaks(HOME, secret)) - before == set()
    assert leaks(everything_said, secret) == []
    for audience in (emulator.url, emulator.client_id, "api://AzureADTokenExchange"):
        assert leaked_access_tokens(HOME, audience) + leaked_access_tokens(everything_said, audience) == []
