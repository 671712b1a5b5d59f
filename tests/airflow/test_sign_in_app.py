"""The page with Airflow around it: its real database, its auth manager, and the emulator behind a team's connection."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth.tokens import SHARED


@pytest.fixture
def airflow(airflow_db, monkeypatch):  # noqa: ARG001 - it only has to be there
    """Return Airflow's auth manager, in a deployment with teams that may test connections."""
    from airflow.api_fastapi.app import create_auth_manager, purge_cached_app
    from airflow.models.connection import Connection
    from airflow.models.crypto import get_fernet
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.test")
    get_fernet.cache_clear()
    yield create_auth_manager()
    with create_session(scoped=False) as session:
        session.query(Connection).delete()
        session.query(Team).delete()
    purge_cached_app()
    get_fernet.cache_clear()


@pytest.fixture
def sales(airflow, emulator) -> dict[str, Any]:  # noqa: ARG001 - the database comes first
    """Put connection `sales` of team `north` into the database; return its fields."""
    from airflow.models.connection import Connection
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    fields: dict[str, Any] = json.loads(emulator.airflow_connection("sales")["AIRFLOW_CONN_SALES"])
    with create_session(scoped=False) as session:
        session.add(Team(name="north"))
        session.flush()
        row = {**fields, "extra": json.dumps(fields["extra"])}
        session.add(Connection(conn_id="sales", team_name="north", **row))
    return fields


async def press_test(cookies: dict[str, str]) -> str:
    """Press Test of connection `sales`; return the list as it is then."""
    from airflow_provider_dynamics.sign_in.app import airflows_app

    transport = httpx.ASGITransport(airflows_app(), root_path="/dynamics")
    async with httpx.AsyncClient(
        transport=transport, base_url="https://airflow.test", cookies=cookies
    ) as client:
        token = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/dynamics/")).text)
        assert token, "the page has no form"
        await client.post("/dynamics/test", data={"csrf": token[1], "connection": "sales"})
        return (await client.get("/dynamics/")).text


def test_a_teams_connection_is_tested_with_the_sentence_of_airflows_own_test(
    airflow, sales, emulator, monkeypatch
):
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from airflow_provider_dynamics.hooks import DynamicsHook

    member = SimpleAuthManagerUser(username="ann", role="op", teams=["north"])
    html = asyncio.run(press_test({"_token": airflow.generate_jwt(member)}))

    said = re.search(r'<p class="notice ok"[^>]*>([^<]+)</p>', html)
    assert said, html
    SHARED.clear()
    monkeypatch.setenv("AIRFLOW_CONN_SALES", json.dumps(sales))
    assert DynamicsHook("sales").test_connection() == (True, said[1].replace("&#39;", "'"))
    assert emulator.url in said[1]


def test_the_doctor_reads_a_teams_connection(sales, monkeypatch):
    from airflow_provider_dynamics.commands.connections import find

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # the command sets it for good

    assert find("sales")().environment == sales["host"].rstrip("/")
