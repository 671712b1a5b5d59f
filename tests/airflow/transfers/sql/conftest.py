"""Databases for the tests: an SQLite file, and a real PostgreSQL server for the session."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.sql.dynamics import Dynamics, five_accounts
from tests.postgres_server import CannotStart, Postgres, postgres_server


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[Postgres]:
    try:
        with postgres_server() as running:
            yield running
    except CannotStart as error:
        pytest.skip(f"no PostgreSQL here: {error}")


@pytest.fixture
def postgres(postgres_process, monkeypatch) -> str:
    """The id of a connection to an empty database of its own."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    for variable, uri in postgres_process.connection("admin").items():
        monkeypatch.setenv(variable, uri)
    admin = Database("admin").engine
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    for variable, uri in postgres_process.connection("warehouse", name).items():
        monkeypatch.setenv(variable, uri)
    return "warehouse"


@pytest.fixture
def sqlite(tmp_path, monkeypatch) -> str:
    """The id of a connection to an SQLite file."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/warehouse.db")
    return "warehouse"


@pytest.fixture(params=["sqlite", "postgres"])
def warehouse(request) -> Database:
    """The same test against each database."""
    return Database(request.getfixturevalue(request.param))


@pytest.fixture
def dynamics() -> Dynamics:
    """A table of Dynamics with five accounts, in memory."""
    return five_accounts()
