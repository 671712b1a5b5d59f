"""Which connection a command is given, and what is said where there is none."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.commands.connections import find
from airflow_provider_dynamics.connection import SettingsError


@pytest.fixture
def define(monkeypatch):
    """Define a connection as an environment variable; the process is made Airflow's own side and back again."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    def as_variable(conn_id, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return as_variable


def test_a_connection_is_found_wherever_airflow_looks(define):
    define("crm", conn_type="dynamics", host="https://contoso.crm.dynamics.com")
    with pytest.raises(SettingsError, match="Connection 'crm': Client ID and Client secret are missing"):
        find("crm")()


def test_a_connection_of_another_type_is_told(define):
    define("api", conn_type="http", host="https://example.com")
    with pytest.raises(SettingsError, match="is of type http, not of type Microsoft Dynamics 365"):
        find("api")
