"""Seeing an end come: what the refresh-token operator renews, and when the expiry sensor and its trigger fire."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth.store import NoStore, Record, StoreError, fingerprint
from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsQueryOperator, DynamicsRefreshTokenOperator
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.sensors import DynamicsCredentialExpirySensor
from airflow_provider_dynamics.state import credential_store
from airflow_provider_dynamics.triggers import DynamicsCredentialExpiryTrigger

SEED = "0.AXoA-a-refresh-token-of-the-connection"


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Let the deployment keep renewed tokens in a folder of this test's own."""
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"file://{tmp_path}/store")
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE_KEY", Fernet.generate_key().decode())
    SHARED.clear()


@pytest.fixture
def connect(monkeypatch):
    """Define a connection that no test reaches over a network."""

    def define(conn_id="contoso", **extra):
        auth_type = extra.setdefault("auth_type", "client_secret")
        fields = {
            "conn_type": "dynamics",
            "host": "https://contoso.crm4.dynamics.com",
            "login": "66666666-7777-8888-9999-000000000000",
            "password": "a-client-secret" if auth_type in {"client_secret", "refresh_token"} else None,
            "extra": {"tenant_id": "contoso.com", **extra},
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        return conn_id

    return define


@pytest.fixture
def person(emulator, monkeypatch):
    """Return the id of a connection of a person who has signed in to the emulator."""
    for name, value in emulator.airflow_connection("person", auth_type="refresh_token").items():
        monkeypatch.setenv(name, value)
    return "person"


def in_days(days):
    return (datetime.now(timezone.utc) + timedelta(days=days)).date().isoformat()


def remember_renewal(conn_id, days_ago):
    settings = DynamicsHook(conn_id).settings
    seed = fingerprint(settings.refresh_token or "", *settings.credential().identity)
    record = Record(1, None, seed, "ann@contoso.com", time.time() - days_ago * 86400)
    assert credential_store().save(settings.store_key, record, expected=0)


def kept_token(settings):
    record = credential_store().load(settings.store_key)
    return record.refresh_token if record else None


def renew(conn_id):
    return DynamicsRefreshTokenOperator(task_id="keep", dynamics_conn_id=conn_id).execute({})


def sensor(conn_id, **arguments):
    return DynamicsCredentialExpirySensor(task_id="ending", dynamics_conn_id=conn_id, **arguments)


def renewals(emulator):
    return [request for request in emulator.requests if request.path.endswith("/token")]


# --- the operator ------------------------------------------------------------------------------------------------


def test_a_refresh_token_is_renewed_and_the_new_one_kept(person, emulator):
    first = renew(person)
    second = renew(person)

    assert first == {
        "dynamics_conn_id": person,
        "mode": "refresh token",
        "renewed": True,
        "user": emulator.user_name,
        "rotated_at": first["rotated_at"],
        "days_since_rotation_before": None,
        "days_left": 90.0,
    }
    assert second["days_since_rotation_before"] == 0.0
    assert datetime.fromisoformat(second["rotated_at"]) <= datetime.now(timezone.utc)
    settings = DynamicsHook(person).settings
    assert kept_token(settings) not in {None, settings.refresh_token}


def test_it_is_renewed_even_while_an_access_token_is_fresh(person, emulator):
    DynamicsQueryOperator(task_id="ask", table="account", top=1, dynamics_conn_id=person).execute({})
    before = len(renewals(emulator))

    renew(person)

    assert len(renewals(emulator)) == before + 1


def test_where_each_token_has_one_use_the_renewed_one_is_used_next(person, emulator):
    emulator.sign_ins.rotation = "one_use"

    assert [renew(person)["renewed"] for _ in range(3)] == [True, True, True]


@pytest.mark.parametrize(("days", "warned"), [(59, False), (61, True)])
def test_more_than_sixty_days_without_use_are_worth_a_warning(person, capsys, days, warned):
    remember_renewal(person, days)

    assert renew(person)["days_since_rotation_before"] == days
    assert (f"had not been used for {days} days" in capsys.readouterr().out) is warned


def test_a_connection_without_a_refresh_token_is_left_alone(connect):
    found = renew(connect())

    assert (found["renewed"], found["mode"], found["user"]) == (False, "client secret", "")


def test_a_store_that_keeps_nothing_is_refused_since_the_renewed_token_would_be_lost(
    person, emulator, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "none")

    with pytest.raises(AirflowFailException, match="credential_store is none"):
        renew(person)

    assert not renewals(emulator)


class Full(NoStore):
    """Takes nothing any more."""

    def save(self, key, record, *, expected):
        raise StoreError("The disk is full.")


def test_a_renewed_token_that_is_not_saved_fails_the_task(person, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"{__name__}.Full")

    with pytest.raises(DynamicsRetryableError, match="was not saved"):
        renew(person)


def test_what_it_returns_holds_no_token(person):
    text = json.dumps(renew(person))
    settings = DynamicsHook(person).settings

    secrets = (settings.refresh_token, settings.client_secret, kept_token(settings))
    assert not [secret for secret in secrets if str(secret) in text]


# --- the sensor --------------------------------------------------------------------------------------------------


def test_a_secret_that_ends_within_the_days_is_told_with_what_to_do(connect):
    conn_id = connect(credential_end_date=in_days(10))

    found = sensor(conn_id, wait=False).execute({})

    assert found["dynamics_conn_id"] == conn_id
    assert 9 <= found["days_left"] <= 10
    assert "Certificates & secrets" in found["sentence"]
    assert "a-client-secret" not in json.dumps(found)


def test_looking_once_is_skipped_when_nothing_ends_soon(connect):
    with pytest.raises(AirflowSkipException, match="within 30 days"):
        sensor(connect(credential_end_date=in_days(40)), wait=False).execute({})


def test_looking_once_does_not_skip_over_a_connection_that_is_wrong(connect):
    with pytest.raises(AirflowFailException, match="end date"):
        sensor(connect(credential_end_date="soon"), wait=False, soft_fail=True).execute({})


def test_it_waits_as_every_sensor_does(connect):
    with pytest.raises(AirflowSensorTimeout):
        sensor(connect(credential_end_date=in_days(40)), timeout=0).execute({})


def test_a_person_who_was_away_for_too_long_is_told_of(connect):
    conn_id = connect(auth_type="refresh_token", refresh_token=SEED)
    remember_renewal(conn_id, days_ago=70)

    found = sensor(conn_id, wait=False).execute({})

    assert (found["what"], found["user"], found["days_left"]) == ("refresh token", "ann@contoso.com", 20.0)


def test_the_days_may_come_out_of_a_template(connect):
    conn_id = connect(credential_end_date=in_days(40))

    assert sensor(conn_id, wait=False, warn_days="41").execute({})
    with pytest.raises(AirflowFailException, match="warn_days is 'many'"):
        sensor(conn_id, warn_days="many").execute({})


def test_deferred_it_looks_first_and_hands_what_it_looks_for_to_the_trigger(connect):
    waiting = sensor(
        connect(credential_end_date=in_days(40)), warn_days="14", poke_interval=7200, deferrable=True
    )

    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})

    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith(".DynamicsCredentialExpiryTrigger")
    expected = DynamicsCredentialExpiryTrigger(warn_days=14.0, dynamics_conn_id="contoso", poll_interval=7200)
    assert (path, arguments) == expected.serialize()


def test_the_trigger_fires_when_the_end_has_come_near(connect):
    connect(credential_end_date=in_days(40))
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            connect(credential_end_date=in_days(10))

    async def fire():
        trigger = DynamicsCredentialExpiryTrigger(
            warn_days=30, dynamics_conn_id="contoso", poll_interval=3600
        )
        trigger.sleep, trigger.random = sleep, lambda: 0.5
        return (await anext(trigger.run())).payload

    event = asyncio.run(fire())

    assert (event["status"], event["what"], waits) == ("success", "client secret", [3600] * 3)
    assert sensor("contoso").execute_complete({}, event)["days_left"] == event["days_left"]


# --- through Airflow, with Airflow's own store -------------------------------------------------------------------


def test_a_revoked_sign_in_fails_its_renewal_once_and_is_then_told_of(run_dag, person, emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "variable")
    with DAG("dies", schedule=None) as dag:
        keep = DynamicsRefreshTokenOperator.partial(
            task_id="keep", retries=3, retry_delay=timedelta(0)
        ).expand(dynamics_conn_id=[person])
        ending = DynamicsCredentialExpirySensor.partial(
            task_id="ending", wait=False, trigger_rule="all_done"
        ).expand(dynamics_conn_id=[person])
        keep >> ending

    alive = run_dag(dag, at=datetime(2026, 5, 1, tzinfo=timezone.utc))
    emulator.sign_ins.revoke()
    dead = run_dag(dag, at=datetime(2026, 5, 2, tzinfo=timezone.utc))

    assert alive.states == {"keep[0]": "success", "ending[0]": "skipped"}
    assert dead.states == {"keep[0]": "failed", "ending[0]": "success"}
    assert dead.tries["keep[0]"] == 1
    assert dead.xcoms["ending[0]"]["dead"]
    assert dead.xcoms["ending[0]"]["sentence"] == str(dead.errors["keep"])
