"""Who may post and how much, and what everybody else is answered and the log is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from airflow_provider_dynamics.webhooks.door import LARGEST, REFUSED_AFTER
from airflow_provider_dynamics.webhooks.ledger import NotRecorded
from airflow_provider_dynamics.webhooks.places import Place
from tests.webhooks.bodies import ROW, SECRET_VALUE, body
from tests.webhooks.world import ENVIRONMENT, KEY, OLD_KEY, WRONG_KEY, World


def test_a_post_with_the_right_key_is_written_down_and_answered_200(world: World):
    answer = world.post()

    assert (answer.status_code, answer.text) == (200, "told\n")
    (entry,) = world.recorded
    assert entry.uri == "dataverse://contoso.crm4.dynamics.com/contact"
    assert entry.environment == ENVIRONMENT
    assert [one["row_id"] for one in entry.post.changes] == [ROW]


def test_a_duplicate_is_answered_200_as_well(world: World):
    world.outcome = "duplicate"

    assert world.post().status_code == 200


@pytest.mark.parametrize(
    ("conn_id", "key"),
    [
        pytest.param("sales", WRONG_KEY, id="a wrong key"),
        pytest.param("sales", None, id="no key"),
        pytest.param("sales", "", id="an empty key"),
        pytest.param("sales", KEY[:-1], id="most of the key"),
        pytest.param("sales", KEY + "x" * 5_000, id="a long key"),
        pytest.param("sales", KEY.upper(), id="the key in capitals"),
        pytest.param("nowhere", KEY, id="no such connection"),
        pytest.param("keyless", KEY, id="a connection without a secret"),
        pytest.param("keyless", None, id="neither key nor secret"),
        pytest.param("sales%20", KEY, id="a name that no connection has"),
        pytest.param("x" * 300, KEY, id="a long name"),
        pytest.param("sales/not a host", KEY, id="an environment that is none"),
    ],
)
def test_whoever_shows_no_right_key_gets_the_same_answer_at_the_same_time(
    world: World, conn_id: str, key: str | None
):
    answer = world.post(conn_id, key=key)

    assert (answer.status_code, answer.text) == (401, "Not taken.\n")
    assert set(answer.headers) == {"content-length", "content-type", "cache-control"}
    assert world.waited == [REFUSED_AFTER]
    assert world.recorded == []


@pytest.mark.parametrize(("took", "waits"), [(0.2, REFUSED_AFTER - 0.2), (3.0, 0.0)])
def test_how_long_a_connection_took_to_be_found_does_not_show(world: World, took: float, waits: float):
    world.lookup_takes = took

    world.post(key=WRONG_KEY)

    assert world.waited == [pytest.approx(waits)]


def test_without_the_right_key_nothing_of_the_body_is_read(world: World):
    read: list[int] = []

    async def receive() -> dict[str, object]:
        read.append(1)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert asyncio.run(world.asgi(receive, key=WRONG_KEY)) == 401
    assert read == []


def test_a_connection_that_has_a_key_and_is_wrong_in_another_way_stays_closed(world: World):
    world.places["sales"] = Place(ENVIRONMENT, (KEY,), trouble="the connection's Client secret is missing")

    assert world.post().status_code == 401


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
def test_while_a_key_is_being_changed_both_open_the_door(world: World, key: str):
    world.places["sales"] = Place(ENVIRONMENT, (KEY, OLD_KEY))

    assert world.post(key=key).status_code == 200


def test_a_new_key_opens_at_once_and_the_old_one_stops_within_seconds(world: World):
    world.places["sales"] = Place(ENVIRONMENT, (OLD_KEY,))
    assert world.post(key=OLD_KEY).status_code == 200

    world.places["sales"] = Place(ENVIRONMENT, (KEY,))
    world.now += 2
    assert world.post(key=KEY).status_code == 200
    assert world.post(key=OLD_KEY).status_code == 401


def test_an_old_key_that_nobody_replaced_at_the_door_is_forgotten_in_ten_seconds(world: World):
    world.post()
    world.places["sales"] = Place(ENVIRONMENT, (), trouble="the connection has no Webhook secret")

    world.now += 10.1

    assert world.post().status_code == 401


def test_a_burst_does_not_ask_for_the_connection_each_time(world: World):
    async def burst() -> list[int]:
        answers = await asyncio.gather(*(world.apost() for _ in range(50)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(burst()) == [200] * 50
    assert len(world.read) <= 4  # one for each thread that looks


def test_the_event_loop_is_free_while_a_connection_is_looked_up(world: World):
    world.lookup_waits_for = threading.Event()

    async def post() -> int:
        waiting = asyncio.create_task(world.apost())
        await asyncio.sleep(0.05)
        assert world.lookup_waits_for is not None
        world.lookup_waits_for.set()  # only a loop that is free gets here
        return (await waiting).status_code

    assert asyncio.run(post()) == 200


def test_without_a_key_nobody_asks_for_the_connection_at_all(world: World):
    world.post(key=None)

    assert world.read == []


def test_guessing_keys_does_not_ask_for_the_connection_each_time(world: World):
    for _ in range(20):
        world.post(key=WRONG_KEY)

    assert len(world.read) == 1


@pytest.mark.parametrize("announced", [True, False], ids=["said so", "did not say so"])
def test_what_is_too_long_is_refused_without_being_read_to_its_end(world: World, announced: bool):
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 64 * 1024
            yield b" " * 64 * 1024

    headers = {"content_length": str(LARGEST + 1)} if announced else {}
    answer = world.post(content=endless(), **headers)

    assert answer.status_code == 413
    assert world.recorded == []


def test_the_longest_post_that_dataverse_sends_is_taken(world: World):
    padded = body(SharedVariables=[{"key": "padding", "value": "x" * (256 * 1024)}])

    assert world.post(content=padded).status_code == 200


def test_a_post_over_256_kb_is_taken_for_the_row_it_still_names(world: World):
    content = body(InputParameters=None, ParentContext=None)

    assert world.post(content=content, x_ms_dynamics_msg_size_exceeded="True").status_code == 200
    assert world.recorded[0].post.complete


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        pytest.param(b"{", {}, id="no JSON"),
        pytest.param(None, {"content_type": "text/plain"}, id="another content type"),
        pytest.param(None, {"content_type": ""}, id="no content type"),
        pytest.param(body(PrimaryEntityName="none", InputParameters=[]), {}, id="no table"),
    ],
)
def test_what_is_no_post_of_dataverse_is_answered_400(
    world: World, content: bytes | None, headers: dict[str, str]
):
    assert world.post(content=content, **headers).status_code == 400
    assert world.recorded == []


def test_a_charset_beside_the_content_type_is_fine(world: World):
    assert world.post(content_type="application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_posts_are_taken(world: World, method: str):
    assert world.post(method=method).status_code == 405


def test_another_environments_post_is_refused_though_it_has_the_key(
    world: World, caplog: pytest.LogCaptureFixture
):
    answer = world.post(x_ms_dynamics_organization="fabrikam.crm4.dynamics.com")

    assert answer.status_code == 403
    assert "fabrikam.crm4.dynamics.com" in caplog.text
    assert world.recorded == []


@pytest.mark.parametrize("sender", ["CONTOSO.crm4.dynamics.com", ""])
def test_the_environments_own_post_is_taken_however_it_spells_its_name(world: World, sender: str):
    assert world.post(x_ms_dynamics_organization=sender).status_code == 200


def test_an_organization_in_the_path_shares_its_servers_assets_as_in_lineage(world: World):
    world.places["sales"] = Place("https://crm.contoso.com/sales", (KEY,), on_premises=True)

    world.post()

    assert world.recorded[0].uri == "dataverse://crm.contoso.com/contact"


def test_on_premises_the_platform_need_not_know_the_address_it_is_reached_at(world: World):
    world.places["sales"] = Place("https://crm.contoso.com", (KEY,), on_premises=True)

    assert world.post(x_ms_dynamics_organization="internal-name").status_code == 200


def test_a_connection_serves_several_environments_each_at_a_door_of_its_own(world: World):
    answer = world.post(
        "sales/fabrikam.crm4.dynamics.com", x_ms_dynamics_organization="fabrikam.crm4.dynamics.com"
    )

    assert answer.status_code == 200
    assert world.recorded[0].uri == "dataverse://fabrikam.crm4.dynamics.com/contact"


def test_where_the_database_does_not_take_it_the_platform_is_asked_to_try_again(
    world: World, caplog: pytest.LogCaptureFixture
):
    world.fails = [NotRecorded("OperationalError: database is locked")]

    answer = world.post()

    assert (answer.status_code, answer.text) == (503, "Not now.\n")
    assert "database is locked" in caplog.text
    assert world.post().status_code == 200


@pytest.mark.parametrize("fault", [RuntimeError, ValueError, KeyError])
def test_a_fault_of_ours_is_no_reason_to_tell_what_was_posted(
    world: World, caplog: pytest.LogCaptureFixture, fault: type[Exception]
):
    world.fails = [fault(SECRET_VALUE)]

    answer = world.post()

    assert answer.status_code == 503
    assert SECRET_VALUE not in answer.text + caplog.text
    assert fault.__name__ in caplog.text
