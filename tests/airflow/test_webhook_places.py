"""What a door belongs to, read from wherever Airflow keeps the connection; and the door with all of Airflow around it."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import httpx
import pytest

from airflow_provider_dynamics.dataverse.administration.endpoints import KEY_HEADER
from airflow_provider_dynamics.webhooks.app import airflows_app, place_of
from tests.webhooks.bodies import body

KEY = "the-key-that-nobody-may-see"
FIELDS: dict[str, Any] = {
    "conn_type": "dynamics",
    "host": "https://contoso.crm4.dynamics.com",
    "login": "00000000-0000-0000-0000-00000000c11e",
    "password": "client-secret-that-nobody-may-see",
}


@pytest.fixture
def crm(monkeypatch, airflow_db):  # noqa: ARG001 - it only has to be there
    """Put the connection into the environment, with fields changed."""

    def connection(secret: str | None = KEY, **changed: Any) -> None:
        extra = {"tenant_id": "contoso.onmicrosoft.com", "webhook_secret": secret, **changed.pop("extra", {})}
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({**FIELDS, "extra": extra, **changed}))

    connection()
    return connection


@pytest.mark.usefixtures("crm")
def test_a_connection_leads_to_its_environment_with_its_keys():
    place = place_of("crm", "")

    assert (place.environment, place.keys, place.trouble) == ("https://contoso.crm4.dynamics.com", (KEY,), "")
    assert KEY not in repr(place)


@pytest.mark.usefixtures("crm")
def test_a_connection_leads_to_another_environment_of_its_cloud_too():
    place = place_of("crm", "fabrikam.crm4.dynamics.com")

    assert (place.environment, place.keys) == ("https://fabrikam.crm4.dynamics.com", (KEY,))


def test_a_connection_in_the_database_is_found_as_well(crm):
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    fields = {**FIELDS, "extra": json.dumps({"tenant_id": "contoso.onmicrosoft.com", "webhook_secret": KEY})}
    with create_session(scoped=False) as session:
        session.add(Connection("crm_in_the_database", **fields))

    assert crm
    assert place_of("crm_in_the_database", "").keys == (KEY,)


@pytest.mark.parametrize(
    ("conn_id", "environment", "changed", "says"),
    [
        ("nowhere", "", {}, "no such connection"),
        ("crm", "", {"conn_type": "http"}, "no such connection"),
        ("crm", "", {"secret": None}, "no Webhook secret"),
        ("crm", "", {"secret": "short"}, "5 characters"),
        ("crm", "", {"host": "https://contoso.operations.dynamics.com"}, "Finance"),
        ("crm", "", {"password": None}, "Client secret is missing"),
        ("crm", "contoso.crm.dynamics.cn", {}, "cloud"),
        ("crm", "127.0.0.1:8443", {}, "this machine"),
    ],
)
def test_whatever_is_wrong_with_it_nothing_comes_in_and_the_log_can_say_why(
    crm, conn_id, environment, changed, says
):
    crm(**changed)

    place = place_of(conn_id, environment)

    assert says in place.trouble
    assert FIELDS["password"] not in repr(place)


@pytest.mark.usefixtures("crm")
def test_a_secrets_backend_that_fails_is_no_open_door(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CRM", "{")

    assert place_of("crm", "").trouble


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize(("key", "status"), [(KEY, 200), ("another-key-of-somebody", 401)])
def test_the_door_with_all_of_airflow_around_it(key: str, status: int):
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(airflows_app())
        async with httpx.AsyncClient(transport=transport, base_url="https://airflow.test") as client:
            headers = {KEY_HEADER: key, "content-type": "application/json"}
            return await client.post("/events/crm", content=body(), headers=headers)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own affairs
        answer = asyncio.run(post())

    assert (answer.status_code, answer.text) == (status, "nobody\n" if status == 200 else "Not taken.\n")
