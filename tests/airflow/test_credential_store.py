"""Where a deployment has refresh tokens kept: what `[dynamics] credential_store` may say, and Airflow's Variables."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk import dag, task
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.redis_store import RedisStore
from airflow_provider_dynamics.auth.store import Failure, NoStore, Record, StoreError, following
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.state import VariableCredentialStore, credential_store
from tests.airflow.filled_in import settings

KEY = "dynamics_token.contoso"
ENCRYPTION_KEY = Fernet.generate_key().decode()
RECORD = Record(1, "r3fresh-token", "seed", "anne@contoso.com", 1.8e9)
FAILURE = Failure(text="expired", at=1.8e9, dead="fingerprint")


# --- what the deployment chooses ---------------------------------------------------------------------------------


@pytest.fixture
def choose(monkeypatch):
    """Set the options of the configuration."""

    def options(store=None, key=ENCRYPTION_KEY):
        for name, value in {"CREDENTIAL_STORE": store, "CREDENTIAL_STORE_KEY": key}.items():
            if value is not None:
                monkeypatch.setenv(f"AIRFLOW__DYNAMICS__{name}", value)
        return credential_store()

    return options


class OwnStore(NoStore):
    """A deployment's own class; its database is away."""

    def load(self, key):
        raise OSError("the database's password is s3cret")


class HalfStore:
    def load(self, key):
        return None


def test_tokens_are_kept_in_variables_unless_something_else_is_chosen(choose):
    assert isinstance(choose(), VariableCredentialStore)
    assert isinstance(choose(""), VariableCredentialStore)
    assert isinstance(choose("variable"), VariableCredentialStore)


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ("none", NoStore),
        ("file:///var/lib/airflow/tokens", FileStore),
        ("redis://127.0.0.1:6379/1", RedisStore),
        ("rediss://:secret@redis.contoso.com:6380/0", RedisStore),
    ],
)
def test_other_places_can_be_chosen(choose, choice, kind):
    assert isinstance(choose(choice), kind)


def test_a_connection_has_no_say_in_it(caplog):
    """Whoever may edit a connection may not run code in the workers."""
    assert settings(credential_store="shared.stores.Mine", credential_store_key="k") == settings()
    assert "'credential_store' that means nothing here" in caplog.text


def test_a_process_has_one_store(choose):
    assert choose("none") is choose("none")


def test_airflows_own_key_encrypts_where_no_other_is_given(choose, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", ENCRYPTION_KEY)
    choose(f"file://{tmp_path}", key="").save(KEY, RECORD, expected=0)
    assert FileStore(tmp_path, ENCRYPTION_KEY).load(KEY) == RECORD


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        pytest.param("vault", "is 'vault'. Use variable, none, file:///folder", id="an unknown word"),
        pytest.param("s3://bucket/tokens", r"is 's3://…'\. Use variable", id="an unknown scheme"),
        pytest.param("file://tokens/here", "with three slashes", id="a folder with two slashes"),
        pytest.param("file:///", "with three slashes", id="no folder"),
        pytest.param("no_such_module.Store", "cannot be made: No module named", id="a missing module"),
        pytest.param(f"{__name__}.Missing", "cannot be made", id="a missing class"),
        pytest.param(f"{__name__}.HalfStore", "has no save and no delete and no lock", id="half a store"),
    ],
)
def test_a_wrong_choice_is_named(choose, choice, words):
    with pytest.raises(SettingsError, match=r"^\[dynamics\] credential_store") as caught:
        choose(choice)
    assert caught.match(words)


def test_a_password_in_a_wrong_choice_is_not_shown(choose):
    with pytest.raises(SettingsError) as caught:
        choose("postgres://airflow:s3cret@db/tokens")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("choice", ["file:///var/lib/airflow/tokens", "redis://127.0.0.1:6379/1"])
@pytest.mark.parametrize(("key", "words"), [("", "no encryption key"), ("short", "not a Fernet key")])
def test_a_missing_or_wrong_key_is_named(choose, monkeypatch, choice, key, words):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    with pytest.raises(SettingsError, match=words) as caught:
        choose(choice, key)
    assert "[dynamics] credential_store_key" in str(caught.value)


def test_an_error_of_a_deployments_own_store_is_one_that_sign_ins_expect(choose):
    store = choose(f"{__name__}.OwnStore")
    with pytest.raises(StoreError, match=r"OwnStore raised OSError") as caught:
        store.load(KEY)
    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)
    assert store.save(KEY, RECORD, expected=0)
    store.delete(KEY)
    with pytest.raises(ZeroDivisionError), store.lock(KEY, 1):
        raise ZeroDivisionError


class UnreachableStore:
    def __init__(self):
        raise OSError("postgres://airflow:s3cret@db is away")


class ClingingStore(NoStore):
    """A deployment's own class that cannot give a lock back."""

    @contextmanager
    def lock(self, key, timeout):
        yield
        raise OSError("the database is away")


def test_a_store_that_cannot_be_made_is_named_without_its_secrets(choose):
    with pytest.raises(SettingsError, match=r"UnreachableStore' cannot be made: it raised OSError") as caught:
        choose(f"{__name__}.UnreachableStore")
    assert "s3cret" not in str(caught.value)


def test_what_was_done_under_a_lock_is_done_even_if_that_cannot_be_given_back(choose, caplog):
    store = choose(f"{__name__}.ClingingStore")
    with store.lock(KEY, 1):
        assert store.save(KEY, RECORD, expected=0)
    assert "did not give its lock back" in caplog.text


# --- Variables, as far as they matter ----------------------------------------------------------------------------


class Variables:
    """Texts by name; `shadowed` ones are also in a secrets backend, which is read first."""

    def __init__(self):
        self.texts, self.shadowed, self.clear = {}, {}, False

    def get(self, key):
        return self.shadowed.get(key, self.texts.get(key))

    def put(self, key, text, description):
        self.texts[key] = text

    def delete(self, key):
        self.texts.pop(key, None)

    def in_clear(self):
        return self.clear


@pytest.fixture
def variables():
    return Variables()


@pytest.fixture
def store(variables):
    return VariableCredentialStore(variables)


def saved(store, record, **changes):
    after = following(record, **changes)
    assert store.save(KEY, after, expected=record.generation if record else 0)
    return after


def test_what_is_saved_is_loaded(store):
    assert store.load(KEY) is None
    assert store.save(KEY, RECORD, expected=0)
    assert store.load(KEY) == RECORD
    assert not store.save(KEY, RECORD, expected=0)
    store.delete(KEY)
    assert store.load(KEY) is None


def test_a_failure_is_kept_beside_the_token_and_taken_back(store):
    record = saved(store, None, refresh_token="r3fresh")
    marked = saved(store, record, failure=FAILURE)
    assert store.load(KEY) == marked
    probed = saved(store, marked, failure=replace(FAILURE, probed_at=1.9e9))
    assert store.load(KEY) == probed
    cleared = saved(store, probed, failure=None)
    assert store.load(KEY) == cleared


def test_a_failure_of_something_that_keeps_no_token_is_kept_too(store, variables):
    marked = saved(store, None, failure=FAILURE)
    assert store.load(KEY) == marked
    assert KEY not in variables.texts


def test_a_new_token_ends_the_failure_of_the_old_one(store):
    marked = saved(store, saved(store, None, refresh_token="old"), failure=FAILURE)
    renewed = saved(store, marked, refresh_token="new", failure=None)
    assert store.load(KEY) == renewed


def test_a_failure_written_late_does_not_touch_the_token_that_was_saved_meanwhile(store, variables):
    record = saved(store, None, refresh_token="old")

    class Late(Variables):
        """Another process saves the next token just before this one writes."""

        def get(self, key):
            return variables.get(key)

        def put(self, key, text, description):
            saved(store, record, refresh_token="new")
            variables.put(key, text, description)

    assert VariableCredentialStore(Late()).save(KEY, following(record, failure=FAILURE), expected=1)
    assert (store.load(KEY).refresh_token, store.load(KEY).failure) == ("new", None)


def test_both_names_are_masked_by_airflow(store, variables):
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # it is what masks, and not exported

    saved(store, saved(store, None, refresh_token="r3fresh"), failure=FAILURE)
    assert len(variables.texts) == 2
    assert redact(variables.texts) == dict.fromkeys(variables.texts, "***")


def test_a_variable_written_by_hand_counts_as_none(store, variables, caplog):
    variables.texts = {KEY: "my token", f"{KEY}.failure": "[]"}
    assert store.load(KEY) is None
    assert "holds no refresh token of ours" in caplog.text
    assert "my token" not in caplog.text
    assert store.save(KEY, RECORD, expected=0)
    assert store.load(KEY) == RECORD


@pytest.mark.parametrize("failure", ['"expired"', '{"words": "expired"}', "[1]"])
def test_a_failure_written_by_hand_counts_as_none(store, variables, failure):
    saved(store, None, refresh_token="r3fresh")
    variables.texts[f"{KEY}.failure"] = f'{{"of": 1, "count": 1, "failure": {failure}}}'
    assert store.load(KEY).refresh_token == "r3fresh"
    assert store.load(KEY).failure is None


def test_no_token_is_written_in_clear(store, variables):
    variables.clear = True
    with pytest.raises(StoreError, match=r"Set \[core\] fernet_key") as caught:
        store.save(KEY, RECORD, expected=0)
    assert not caught.value.retryable
    assert variables.texts == {}


def test_a_variable_that_a_secrets_backend_hides_is_said(store, variables):
    variables.shadowed[KEY] = replace(RECORD, refresh_token="from Vault").to_json()
    with pytest.raises(StoreError, match="a secrets backend or an environment variable holds one") as caught:
        store.save(KEY, following(RECORD, refresh_token="new"), expected=1)
    assert not caught.value.retryable


def test_a_variable_that_cannot_be_read_again_is_written_again(store, variables):
    variables.shadowed[KEY] = None
    with pytest.raises(StoreError, match="could not be read again") as caught:
        store.save(KEY, RECORD, expected=0)
    assert caught.value.retryable


# --- Airflow's own Variables -------------------------------------------------------------------------------------


@pytest.fixture
def encrypt(monkeypatch):
    """Give Airflow a Fernet key, or none."""
    from airflow.models.crypto import get_fernet

    def with_key(key):
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", key)
        get_fernet.cache_clear()

    yield with_key
    get_fernet.cache_clear()


@pytest.fixture
def row(airflow_db, encrypt):  # noqa: ARG001 - it only has to be there
    """Return what the database, which is encrypted, holds of a Variable; deletes ours afterwards."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    encrypt(ENCRYPTION_KEY)

    def read(key):
        with create_session() as session:
            found = session.query(Variable).filter(Variable.key == key).one_or_none()
            return found and (found._val, found.is_encrypted)

    yield read
    for key in (KEY, f"{KEY}.failure"):
        Variable.delete(key)


def test_the_api_server_and_the_command_line_write_encrypted_variables(row):
    store = VariableCredentialStore()
    saved(store, saved(store, None, refresh_token="r3fresh-token"), failure=FAILURE)
    text, encrypted = row(KEY)
    assert encrypted
    assert "r3fresh-token" not in text
    assert row(f"{KEY}.failure")[1]
    assert getattr(store.load(KEY), "failure", None) == FAILURE
    store.delete(KEY)
    assert store.load(KEY) is None
    assert row(KEY) is None


def test_nothing_is_written_where_airflow_does_not_encrypt(row, encrypt):
    encrypt("")
    with pytest.raises(StoreError, match="fernet_key"):
        VariableCredentialStore().save(KEY, RECORD, expected=0)
    assert row(KEY) is None


@pytest.mark.usefixtures("row")
def test_an_environment_variable_of_the_same_name_is_noticed(monkeypatch):
    monkeypatch.setenv(f"AIRFLOW_VAR_{KEY.upper()}", RECORD.to_json())
    with pytest.raises(StoreError, match="reads as before"):
        VariableCredentialStore().save(KEY, following(RECORD, refresh_token="new"), expected=1)


def test_a_task_reads_and_writes_them_too(run_dag, row):
    @dag(schedule=None)
    def keeps():
        @task
        def keep():
            store = VariableCredentialStore()
            marked = saved(
                store, saved(store, store.load(KEY), refresh_token="r3fresh-token"), failure=FAILURE
            )
            assert store.load(KEY) == marked
            return json.loads(json.dumps(marked.generation))

        @task
        def forget(_):
            VariableCredentialStore().delete(KEY)
            assert VariableCredentialStore().load(KEY) is None

        forget(keep())

    ran = run_dag(keeps())
    assert ran.states == {"keep": "success", "forget": "success"}, ran.errors
    assert ran.xcoms["keep"] == 2
    assert row(KEY) is None


def test_only_a_task_in_our_own_process_must_not_ask_from_a_second_thread(run_dag):
    @dag(schedule=None)
    def asks():
        @task
        def ask():
            return VariableCredentialStore().of_one_thread

        ask()

    assert run_dag(asks()).xcoms == {"ask": True}
    assert not VariableCredentialStore().of_one_thread


@contextmanager
def triggerers_channel(decoder):
    """Give this process the channel that a triggerer's process has."""
    from airflow.sdk.execution_time import task_runner

    task_runner.SUPERVISOR_COMMS = decoder  # as the triggerer does
    try:
        yield
    finally:
        del task_runner.SUPERVISOR_COMMS


async def supervise(sock):
    """Answer as a triggerer's supervisor does, with Variables in memory."""
    import msgspec
    from airflow.sdk.execution_time.comms import _RequestFrame, _ResponseFrame

    reader, writer = await asyncio.open_connection(sock=sock)
    texts: dict[str, str] = {}
    decoder = msgspec.msgpack.Decoder(_RequestFrame)
    try:
        while True:
            frame = decoder.decode(
                await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            )
            body: dict[str, Any] = frame.body or {}
            answer: dict[str, Any] | None = {"ok": True, "type": "OKResponse"}
            if body["type"] == "PutVariable":
                texts[body["key"]] = body["value"]
            elif body["type"] == "DeleteVariable":
                texts.pop(body["key"], None)
            elif body["type"] == "MaskSecret":
                answer = None
            elif body["key"] in texts:
                answer = {"key": body["key"], "value": texts[body["key"]], "type": "VariableResult"}
            else:
                answer = {"error": "VARIABLE_NOT_FOUND", "detail": {}, "type": "ErrorResponse"}
            writer.write(_ResponseFrame(frame.id, answer, None).as_bytes())
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


def test_a_thread_of_a_trigger_reads_and_writes_them_too():
    from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder

    def use():
        store = VariableCredentialStore()
        record = saved(store, store.load(KEY), refresh_token="r3fresh-token")
        assert store.load(KEY) == record
        store.delete(KEY)
        return store.load(KEY)

    async def trigger():
        ours, supervisors = socket.socketpair()
        supervisor = asyncio.create_task(supervise(supervisors))
        reader, writer = await asyncio.open_connection(sock=ours)
        decoder: Any = TriggerCommsDecoder(async_writer=writer, async_reader=reader, socket=ours)
        await decoder.start_reader()
        with triggerers_channel(decoder), ThreadPoolExecutor(1) as pool:
            found = await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(pool, use), 30)
        decoder._reader_task.cancel()
        writer.close()
        supervisor.cancel()
        await asyncio.gather(supervisor, decoder._reader_task, return_exceptions=True)
        return found

    assert asyncio.run(trigger()) is None


_ASKS_WITHOUT_A_DATABASE = """
from airflow_provider_dynamics.auth.store import StoreError
from airflow_provider_dynamics.state import credential_store
try:
    credential_store().load("dynamics_token.contoso")
except StoreError as error:
    print(error.retryable, error)
"""


def test_a_database_that_is_away_is_not_taken_for_one_that_holds_nothing(tmp_path):
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{tmp_path}/empty.db"
    command = [sys.executable, "-c", _ASKS_WITHOUT_A_DATABASE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert (
        "\nTrue The Variable dynamics_token.contoso could not be read (OperationalError" in f"\n{done.stdout}"
    )
    assert "no such table" not in done.stdout + done.stderr
