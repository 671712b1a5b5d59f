"""The search for leaked secrets finds what is there: without this, its silence would prove nothing."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

import jwt
import pytest
from cryptography.fernet import Fernet

from tests.secrecy import holds, leaked_access_tokens, leaks

SECRET = 'pl4nted~s/cr+t%"Value"=thät must never show'
KEY = base64.b64encode(bytes(range(256)) * 2).decode()
PEM = "\n".join(
    [
        "-----BEGIN PRIVATE KEY-----",
        *(KEY[at : at + 64] for at in range(0, 640, 64)),
        "-----END PRIVATE KEY-----",
    ]
)


def basic(value: str) -> str:
    return base64.b64encode(f"client-7:{value}".encode()).decode()


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda value: value, id="as it is"),
        pytest.param(lambda value: json.dumps({"message": f"said {value}"}), id="in JSON"),
        pytest.param(lambda value: json.dumps(json.dumps([value])), id="in JSON in JSON"),
        pytest.param(repr, id="as Python writes it"),
        pytest.param(lambda value: urlencode({"client_secret": value}), id="in a form"),
        pytest.param(quote, id="in a path"),
        pytest.param(
            lambda value: re.sub("%..", lambda code: code[0].lower(), quote(value)),
            id="in lower-case percents",
        ),
        pytest.param(basic, id="in basic authentication"),
        pytest.param(
            lambda value: base64.urlsafe_b64encode(b"x" + value.encode()).decode(), id="in base64 for URLs"
        ),
        pytest.param(lambda value: value.encode().hex(), id="in hexadecimal"),
        pytest.param(lambda value: value[-60:], id="its end alone"),
        pytest.param(lambda value: value[5:-5], id="cut on both sides"),
    ],
)
@pytest.mark.parametrize("value", [SECRET, PEM], ids=["a secret", "a private key"])
def test_a_secret_is_found_however_it_is_written(
    tmp_path: Path, written: Callable[[str], str], value: str
) -> None:
    log = tmp_path / "logs" / "dag_id=extract" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"before {written(value)} after\n")

    found = leaks(tmp_path, {"client secret": value, "another": "not-there-at-all"})

    assert found
    assert all(line.startswith("client secret, ") and "attempt=1.log" in line for line in found)
    assert value not in "".join(found)
    assert holds(log.read_bytes(), value)


def test_a_line_of_a_private_key_is_a_leak(tmp_path: Path) -> None:
    (tmp_path / "task.log").write_text(f"could not read {PEM.splitlines()[2]}")

    assert leaks(tmp_path, {"private key": PEM}) == ["private key, in part, as it is, in task.log"]


def test_a_clean_home_has_no_leaks(tmp_path: Path) -> None:
    (tmp_path / "task.log").write_text("client secret *** of pl4nted")

    assert leaks(tmp_path, {"client secret": SECRET, "private key": PEM}) == []


def test_a_name_of_a_file_counts(tmp_path: Path) -> None:
    (tmp_path / "cache-a-planted-value-1").touch()

    assert leaks(tmp_path, {"password": "a-planted-value-1"})


def table(home: Path, name: str, value: str) -> None:
    with closing(sqlite3.connect(home / "airflow.db")) as database, database:
        database.execute(f"CREATE TABLE {name} (id INTEGER, filler TEXT, value TEXT)")
        database.execute(f"INSERT INTO {name} VALUES (1, ?, ?)", ("x" * 4000, value))  # noqa: S608 - a test's own name


def test_a_row_of_the_database_names_its_column(tmp_path: Path) -> None:
    table(tmp_path, "xcom", "x" * 5000 + json.dumps({"token": SECRET}))

    assert any("airflow.db, xcom.value" in line for line in leaks(tmp_path, {"refresh token": SECRET}))


@pytest.mark.parametrize(
    ("name", "leaked"),
    [
        pytest.param("connection", False, id="a connection may hold it encrypted"),
        pytest.param("variable", False, id="a variable may hold it encrypted"),
        pytest.param("trigger", True, id="a trigger may not even hold it encrypted"),
    ],
)
def test_what_is_encrypted_is_looked_into(tmp_path: Path, name: str, leaked: bool) -> None:
    key = Fernet.generate_key()
    table(tmp_path, name, Fernet(key).encrypt(json.dumps({"refresh_token": SECRET}).encode()).decode())

    assert bool(leaks(tmp_path, {"refresh token": SECRET}, key.decode())) is leaked


def test_a_deleted_row_is_still_found_in_the_file(tmp_path: Path) -> None:
    table(tmp_path, "xcom", "a-planted-value-1")
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("DELETE FROM xcom")

    assert leaks(tmp_path, {"password": "a-planted-value-1"}) == ["password, whole, as it is, in airflow.db"]


def test_an_access_token_is_told_by_whom_it_is_for(tmp_path: Path) -> None:
    issued = jwt.encode({"aud": "https://contoso.crm4.dynamics.com/", "sub": "ann"}, "k" * 32, "HS256")
    (tmp_path / "task.log").write_text(f"Authorization: Bearer {issued}\n")
    (tmp_path / "api.log").write_text(jwt.encode({"aud": "urn:airflow.apache.org:task"}, "k" * 32, "HS256"))

    found = leaked_access_tokens(tmp_path, "https://contoso.crm4.dynamics.com")

    assert found == ["access token for https://contoso.crm4.dynamics.com in task.log"]


def test_a_value_too_short_to_be_recognised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the planted password is too short"):
        leaks(tmp_path, {"password": "secret"})
