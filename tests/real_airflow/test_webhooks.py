"""Dynamics posts to Airflow's own API server: what runs then, what is refused, and how soon it is."""

from __future__ import annotations

import json
import logging
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.dataverse.administration.endpoints import KEY_HEADER
from airflow_provider_dynamics.emulator import Emulator
from airflow_provider_dynamics.webhooks.door import LARGEST
from tests.secrecy import leaks
from tests.stack import FINAL_STATES, AirflowStack, DagRun
from tests.webhooks.bodies import SECRET_VALUE, body

pytestmark = pytest.mark.stack
log = logging.getLogger(__name__)

KEY, NEW_KEY = (f"webhook-key-{uuid.uuid4().hex}" for _ in range(2))
FORGED = f"forged-key-{uuid.uuid4().hex}"
TABLE, CONSUMER, POLLED = "contoso_shipment", "woken_by_post", "woken_by_poll"
LOAD, BURST = 200, 1_000


@pytest.fixture
def posting(stack: AirflowStack, emulator: Emulator) -> Iterator[Callable[[str], None]]:
    """Make the connection whose door is posted to, and return what changes its Webhook secret."""
    fields = json.loads(emulator.airflow_connection()["AIRFLOW_CONN_DYNAMICS_DEFAULT"])

    def connection(secret: str) -> dict[str, Any]:
        return {
            "connection_id": "posting",
            "conn_type": "dynamics",
            "host": fields["host"],
            "login": fields["login"],
            "password": fields["password"],
            "extra": json.dumps({**fields["extra"], "webhook_secret": secret}),
        }

    stack.call("POST", "/connections", connection(KEY))
    yield lambda secret: stack.call("PATCH", "/connections/posting", connection(secret))
    stack.call("DELETE", "/connections/posting")


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(emulator.url, StaticToken(emulator.access_token()), ca_bundle=emulator.ca_bundle) as made:
        yield made


@contextmanager
def unpaused(stack: AirflowStack, *dag_ids: str) -> Iterator[None]:
    for dag_id in dag_ids:
        stack.unpause(dag_id)
    try:
        yield
    finally:
        for dag_id in dag_ids:
            stack.call("PATCH", f"/dags/{dag_id}", {"is_paused": True})


def register(stack: AirflowStack, state: str = "present") -> dict[str, Any]:
    run = stack.run_dag("register_posting", {"state": state})
    assert run.state == "success", run.last_error("register")
    found: dict[str, Any] = run.xcom("register")
    return found


def runs(stack: AirflowStack, dag_id: str) -> list[dict[str, Any]]:
    return list(stack.call("GET", f"/dags/{dag_id}/dagRuns", limit="100", order_by="run_after")["dag_runs"])


def told(
    stack: AirflowStack, after: int, enough: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """Return the changes that the consumer was woken by since it had run so often, once they are enough."""

    def changes() -> list[dict[str, Any]] | None:
        found = [
            {**change, "source": payload["source"], "table": payload["table"]}
            for run in runs(stack, CONSUMER)[after:]
            if run["state"] in FINAL_STATES
            for payload in DagRun(stack, CONSUMER, run["dag_run_id"], run["state"]).xcom("tell")
            for change in payload["changes"]
        ]
        return found if enough(found) else None

    answer: list[dict[str, Any]] = stack.wait(changes, f"{CONSUMER} to be woken", 180)
    return answer


def post(stack: AirflowStack, content: bytes, key: str = KEY, conn_id: str = "posting") -> requests.Response:
    return requests.post(
        f"{stack.url}/dynamics/events/{conn_id}",
        data=content,
        headers={KEY_HEADER: key, "content-type": "application/json"},
        timeout=30,
    )


@pytest.mark.usefixtures("posting")
def test_a_row_created_updated_and_deleted_sets_the_dag_off_with_ids_and_nothing_else(
    stack: AirflowStack, emulator: Emulator, client: Client
) -> None:
    assert len(register(stack)["created"]) == 3
    before = len(runs(stack, CONSUMER))
    emulator.webhooks.repeats = 1  # each post comes twice
    with unpaused(stack, CONSUMER):
        row_id = client.create(TABLE, {"contoso_number": "SHP-POST", "contoso_name": SECRET_VALUE})
        client.update(TABLE, row_id, {"contoso_name": f"{SECRET_VALUE} again"})
        client.delete(TABLE, row_id)
        found = told(stack, before, lambda changes: len(changes) >= 3)

    assert emulator.webhooks.drain()
    assert sorted((one["row_id"], one["operation"], one["source"]) for one in found) == [
        (row_id, "delete", "webhook"),
        (row_id, "upsert", "webhook"),
        (row_id, "upsert", "webhook"),
    ]
    assert [one.status for one in emulator.webhooks.posts] == [200] * 6
    assert leaks(stack.home, {"a row's value": SECRET_VALUE}, stack.fernet_key) == []
    assert register(stack, "absent")["endpoint"] == "removed"


@pytest.mark.usefixtures("emulator")
def test_forged_and_oversized_posts_are_refused_and_logged_without_their_content(
    stack: AirflowStack, posting: Callable[[str], None]
) -> None:
    genuine = body(PrimaryEntityName=TABLE, InputParameters=[])
    statuses = {
        "forged": post(stack, body(), FORGED).status_code,
        "no key": post(stack, body(), "").status_code,
        "no such connection": post(stack, body(), KEY, "nowhere").status_code,
        "no secret": post(stack, body(), KEY, "dynamics_default").status_code,
        "no JSON": post(stack, SECRET_VALUE.encode()).status_code,
        "oversized": _oversized(stack),
        "genuine": post(stack, genuine).status_code,
        "got": requests.get(f"{stack.url}/dynamics/events/posting", timeout=30).status_code,
    }

    assert statuses == {
        "forged": 401,
        "no key": 401,
        "no such connection": 401,
        "no secret": 401,
        "no JSON": 400,
        "oversized": 413,
        "genuine": 200,
        "got": 405,
    }
    posting(f"{NEW_KEY} {KEY}")
    assert post(stack, genuine, NEW_KEY).status_code == post(stack, genuine, KEY).status_code == 200
    posting(NEW_KEY)
    stack.wait(lambda: post(stack, genuine, KEY).status_code == 401, "the old key to be forgotten", 20)
    assert post(stack, genuine, NEW_KEY).status_code == 200
    said = stack.log_of("api-server").read_text()
    for reason in ("did not show the right key", "no such connection", "no Webhook secret", "answered 413"):
        assert reason in said
    planted = {"key": KEY, "new key": NEW_KEY, "forged key": FORGED, "content": SECRET_VALUE}
    assert leaks(stack.home, planted, stack.fernet_key) == []


def _oversized(stack: AirflowStack) -> int:
    """Announce a post that is too long, and send none of it."""
    headers = {KEY_HEADER: KEY, "content-type": "application/json", "content-length": str(LARGEST + 1)}
    request = requests.Request("POST", f"{stack.url}/dynamics/events/posting", headers=headers).prepare()
    request.headers["content-length"] = str(LARGEST + 1)
    with requests.Session() as session:
        return session.send(request, timeout=30).status_code


@pytest.mark.usefixtures("posting")
def test_a_bulk_load_in_dynamics_is_told_row_by_row(
    stack: AirflowStack, emulator: Emulator, client: Client
) -> None:
    register(stack)
    rows = [{"contoso_number": f"SHP-B{number}", "contoso_name": "burst"} for number in range(LOAD)]
    before = len(runs(stack, CONSUMER))
    with unpaused(stack, CONSUMER):
        emulator.webhooks.held = True
        created = [str(outcome.row_id) for outcome in client.bulk(TABLE, rows, operation="create")]
        began = time.monotonic()
        emulator.webhooks.held = False
        assert emulator.webhooks.drain(120)
        took = time.monotonic() - began
        found = told(stack, before, lambda changes: set(created) <= {one["row_id"] for one in changes})

    assert {one.status for one in emulator.webhooks.posts} == {200}
    assert sorted(one["row_id"] for one in found if one["row_id"] in created) == sorted(created)
    log.warning(
        "%d posts of Dynamics were answered in %.1f s; the slowest took %.2f s; they set off %d runs",
        LOAD,
        took,
        max(one.seconds for one in emulator.webhooks.posts),
        len(runs(stack, CONSUMER)) - before,
    )


@pytest.mark.usefixtures("posting")
def test_a_burst_of_a_thousand_posts_loses_none(stack: AirflowStack) -> None:
    """A hundred are under way at a time."""
    ids = [str(uuid.uuid4()) for _ in range(BURST)]
    before = len(runs(stack, CONSUMER))
    with unpaused(stack, CONSUMER), ThreadPoolExecutor(100) as threads, requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=100))

        def send(row_id: str) -> int:
            return session.post(
                f"{stack.url}/dynamics/events/posting",
                data=body(PrimaryEntityName=TABLE, PrimaryEntityId=row_id, InputParameters=[]),
                headers={KEY_HEADER: KEY, "content-type": "application/json"},
                timeout=60,
            ).status_code

        began = time.monotonic()
        assert set(threads.map(send, ids)) == {200}
        log.warning("%d posts, 100 at a time, were answered in %.1f s", BURST, time.monotonic() - began)
        found = told(stack, before, lambda changes: set(ids) <= {one["row_id"] for one in changes})

    assert sorted(one["row_id"] for one in found if one["row_id"] in ids) == sorted(ids)


@pytest.mark.usefixtures("posting")
def test_a_dag_runs_sooner_than_by_looking(stack: AirflowStack, emulator: Emulator, client: Client) -> None:
    """From the change to the run's start; looking happens every ten seconds here, and every minute by default."""
    register(stack)
    with unpaused(stack, CONSUMER, POLLED):
        stack.wait(
            lambda: any(
                "deltatoken" in one.query and one.path.endswith("/tasks") for one in emulator.requests
            ),
            "the watcher to look",
        )
        posted = [
            _seconds_until_run(stack, CONSUMER, lambda: client.create(TABLE, {"contoso_name": "late"}))
            for _ in range(3)
        ]
        looked = [
            _seconds_until_run(stack, POLLED, lambda: client.create("task", {"subject": "late"}))
            for _ in range(2)
        ]

    log.warning(
        "from a change to its DAG run: %s s by webhook, %s s by looking every ten seconds",
        " ".join(f"{one:.1f}" for one in posted),
        " ".join(f"{one:.1f}" for one in looked),
    )
    assert statistics.median(posted) < statistics.median(looked)


def _seconds_until_run(stack: AirflowStack, dag_id: str, change: Callable[[], object]) -> float:
    before = len(runs(stack, dag_id))
    at = time.time()
    change()

    def started() -> str | None:
        found = runs(stack, dag_id)[before:]
        return found[0]["start_date"] if found and found[0]["state"] in FINAL_STATES else None

    begun = stack.wait(started, f"{dag_id} to be woken")
    return datetime.fromisoformat(begun.replace("Z", "+00:00")).timestamp() - at
