"""Drivers, settings of connections, and connections that are lost."""

from __future__ import annotations

import os
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.sql.dynamics import FIELDS, ask, by_hand, held, once, run


@pytest.mark.parametrize(
    "setting", ["autocommit=true", "options=-c default_transaction_isolation=serializable"]
)
def test_what_a_connection_says_of_transactions_changes_nothing(postgres, dynamics, monkeypatch, setting):
    uri = os.environ["AIRFLOW_CONN_WAREHOUSE"]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{uri}?{quote(setting, safe='=')}")
    warehouse = Database(postgres)
    if setting.startswith("autocommit") and warehouse.engine.driver == "psycopg2":
        pytest.skip("psycopg2 knows no such setting")
    run(warehouse, dynamics)
    before = held(warehouse), ask(warehouse, "SELECT link, generation FROM dynamics_cursors")
    by_hand(warehouse, "CREATE UNIQUE INDEX one_name ON account (name)")
    dynamics.put(1, name="same")
    dynamics.put(2, name="same")
    dynamics.delete(3)
    with pytest.raises(AirflowFailException):
        run(warehouse, dynamics)

    assert (held(warehouse), ask(warehouse, "SELECT link, generation FROM dynamics_cursors")) == before


def with_psycopg2(monkeypatch, database):
    uri = os.environ["AIRFLOW_CONN_WAREHOUSE"]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{uri}?sqlalchemy_scheme=postgresql%2Bpsycopg2")
    assert Database(database).engine.driver == "psycopg2"


def test_the_older_driver_copies_as_well(postgres, dynamics, monkeypatch):
    with_psycopg2(monkeypatch, postgres)
    dynamics.put(1, name="tab\t\\back %s")
    run(Database(postgres), dynamics)
    dynamics.put(2, name="Renamed")
    dynamics.delete(3)
    ran = run(Database(postgres), dynamics)

    assert (ran.mode, ran.applied.upserts, ran.applied.deleted) == ("delta", 1, 1)
    assert held(Database(postgres)) == dynamics.table


def test_the_older_driver_s_lost_connection_is_worth_another_try_too(postgres, dynamics, monkeypatch):
    with_psycopg2(monkeypatch, postgres)
    once(dynamics, lambda: end_every_other(Database(postgres)))
    with pytest.raises(DynamicsRetryableError, match="It may pass"):
        run(Database(postgres), dynamics)


def end_every_other(warehouse):
    with warehouse.connection() as connection, connection.begin():
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def test_a_connection_that_is_lost_between_two_pages_is_worth_another_try(postgres, dynamics):
    run(Database(postgres), dynamics)
    for number in range(5):
        dynamics.put(number, name="again")
    once(dynamics, lambda: end_every_other(Database(postgres)))
    with pytest.raises(DynamicsRetryableError, match="It may pass"):
        run(Database(postgres), dynamics)
    run(Database(postgres), dynamics)

    assert held(Database(postgres)) == dynamics.table


def test_a_driver_s_own_error_without_a_code_is_worth_another_try(postgres):
    """What a COPY raises when the network goes: SQLAlchemy has not seen it."""
    database = Database(postgres)
    lost = database.engine.dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")

    def copy():
        raise lost

    with pytest.raises(DynamicsRetryableError, match="server closed the connection"):
        database.attempt(copy)


def test_an_sqlite_disk_that_is_full_may_pass_and_a_column_too_many_does_not(sqlite, dynamics):
    warehouse = Database(sqlite)
    run(warehouse, dynamics)

    @sa.event.listens_for(warehouse.engine, "begin")
    def small(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    dynamics.put(1, name="x" * 100_000)
    with pytest.raises(DynamicsRetryableError, match="disk is full"):
        run(warehouse, dynamics)
    with pytest.raises(AirflowFailException, match="too many columns"):
        run(Database(sqlite), dynamics, fields=(*FIELDS, *(Field(f"c{n}") for n in range(2000))), name="wide")
