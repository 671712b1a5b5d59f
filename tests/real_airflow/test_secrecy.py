"""Where secrets are after real components ran every way to sign in: encrypted in Airflow's database, and nowhere else.

The whole home of the stack is searched, whatever other tests have left in it included.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.emulator import Emulator
from tests.secrecy import leaked_access_tokens, leaks
from tests.stack import AirflowStack, DagRun

pytestmark = pytest.mark.stack

EVIL = "https://evil.example"
PROXY_PASSWORD, PASSPHRASE, WEBHOOK_SECRET, WRONG_SECRET, WRONG_PASSWORD = (
    f"pl4nted~{token_urlsafe(24)}" for _ in range(5)
)
DEAD_TOKEN = f"1.{token_urlsafe(96)}"
MODES: Mapping[str, dict[str, Any]] = {
    "client_secret": {},
    "certificate": {},
    "locked_certificate": {"auth_type": "certificate", "private_key_passphrase": PASSPHRASE},
    "refresh_token": {},
    "username_password": {},
    "workload_identity": {},
    "adfs": {"auth_type": "refresh_token", "authority_type": "adfs"},
    "wrong_secret": {"auth_type": "client_secret", "password": WRONG_SECRET},
    "dead_token": {"auth_type": "refresh_token", "refresh_token": DEAD_TOKEN},
    "wrong_password": {"auth_type": "username_password", "user_password": WRONG_PASSWORD},
}


@dataclass(frozen=True)
class Stored:
    """The connections in Airflow's database, as the form would send them, and the emulator they lead to."""

    stack: AirflowStack
    emulator: Emulator
    connections: Mapping[str, dict[str, Any]]

    def secrets(self) -> dict[str, str]:
        adfs = json.loads(self.connections["secrecy_adfs"]["extra"])["refresh_token"]
        return {
            "client secret": self.emulator.client_secret,
            "private key": self.emulator.private_key_pem,
            "passphrase": PASSPHRASE,
            "password": self.emulator.user_password,
            "proxy password": PROXY_PASSWORD,
            "webhook secret": WEBHOOK_SECRET,
            "wrong client secret": WRONG_SECRET,
            "wrong password": WRONG_PASSWORD,
            "dead refresh token": DEAD_TOKEN,
            "refresh token of AD FS": adfs,
            **{f"refresh token {n}": token for n, token in enumerate(self.emulator._entra.refresh._tokens)},
        }

    def test(self, mode: str, **extra: Any) -> dict[str, Any]:
        """Press the form's Test button: it sends what was changed, and three stars for every secret."""
        connection = self.connections[f"secrecy_{mode}"]
        fields = json.loads(connection["extra"])
        secret = ("refresh_token", "private_key", "private_key_passphrase", "user_password", "webhook_secret")
        masked = {name: "***" if name in secret else value for name, value in fields.items()}
        password = {"password": "***"} if connection.get("password") else {}
        body = {**connection, **password, "extra": json.dumps({**masked, **extra})}
        answer: dict[str, Any] = self.stack.call("POST", "/connections/test", body)
        return answer


@pytest.fixture
def stored(stack: AirflowStack, emulator: Emulator) -> Iterator[Stored]:
    emulator.sign_ins.rotation = "one_use"
    connections = {}
    for mode, fields in MODES.items():
        more = {"auth_type": mode, "webhook_secret": WEBHOOK_SECRET, **fields}
        if mode == "locked_certificate":
            more["private_key"] = emulator.encrypted_private_key_pem(PASSPHRASE)
        (text,) = emulator.airflow_connection("any", **more).values()
        connection = json.loads(text)
        connections[f"secrecy_{mode}"] = {
            **connection,
            "connection_id": f"secrecy_{mode}",
            "extra": json.dumps(connection["extra"]),
        }
    for connection in connections.values():
        stack.call("POST", "/connections", connection)
    try:
        yield Stored(stack, emulator, connections)
    finally:
        for conn_id in connections:
            stack.call("DELETE", f"/connections/{conn_id}")


def decrypted(stack: AirflowStack, table: str, column: str) -> str:
    """Return all that a column keeps encrypted."""
    fernet = Fernet(stack.fernet_key)
    with closing(sqlite3.connect(f"file:{stack.home}/airflow.db?mode=ro", uri=True)) as database:
        rows = database.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 - constants
        return "\n".join(fernet.decrypt(text.encode()).decode() for (text,) in rows)


def waited(stored: Stored) -> DagRun:
    """Let the sensor defer, then add the row it waits for."""
    stack, emulator = stored.stack, stored.emulator
    run_id = stack.trigger("secrecy_waits", {"number": "SHP-SECRECY"})
    run = DagRun(stack, "secrecy_waits", run_id, "")
    stack.wait(lambda: run.tasks()["wait"]["state"] == "deferred", "the sensor to defer")
    token = StaticToken(emulator.access_token())
    with Client(emulator.url, token, ca_bundle=emulator.ca_bundle) as client:
        client.create("contoso_shipment", {"contoso_number": "SHP-SECRECY", "contoso_name": "late"})
    return stack.finished("secrecy_waits", run_id)


def test_secrets_are_encrypted_in_the_database_and_nowhere_else(stored: Stored) -> None:
    stack, emulator = stored.stack, stored.emulator

    works = stack.run_dag("secrecy_works")
    refused = stack.run_dag("secrecy_refused")
    waits = waited(stored)
    tested = {mode: stored.test(mode)["status"] for mode in ("client_secret", "certificate", "wrong_secret")}
    moved = [stored.test(mode, authority=EVIL) for mode in MODES if mode != "adfs"]
    proxied = stored.test("client_secret", proxy=f"http://airflow:{PROXY_PASSWORD}@127.0.0.1:9")

    assert (works.state, waits.state) == ("success", "success"), works.tasks()
    tries = {name: (task["state"], task["try_number"]) for name, task in refused.tasks().items()}
    assert tries == dict.fromkeys(("wrong_secret", "dead_token", "wrong_password"), ("failed", 1))
    assert tested == {"client_secret": True, "certificate": True, "wrong_secret": False}
    assert all(
        not answer["status"] and "evil.example is not allowed" in answer["message"] for answer in moved
    )
    secrets = stored.secrets()
    said = json.dumps([moved, proxied])
    assert not any(secret in said for secret in secrets.values())

    # they were there to be found
    assert emulator.client_secret in decrypted(stack, "connection", "password")
    assert PASSPHRASE in decrypted(stack, "connection", "extra")
    rotated = [value for value in secrets.values() if value in decrypted(stack, "variable", "val")]
    assert rotated
    assert leaks(stack.home, {"a client id": emulator.client_id})

    assert leaks(stack.home, secrets, stack.fernet_key) == []
    for audience in (emulator.url, emulator.client_id, "api://AzureADTokenExchange"):
        assert leaked_access_tokens(stack.home, audience) == []
    assert not any(secret in repr(emulator.requests) for secret in secrets.values())
