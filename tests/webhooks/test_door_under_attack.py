"""Who has no key can neither hold the door up nor fill the log, and nobody's slowness leaves Dataverse without an answer."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest

from airflow_provider_dynamics.webhooks.places import Place
from tests.webhooks.bodies import SECRET_VALUE
from tests.webhooks.world import KEY, WRONG_KEY, World


def test_that_no_dag_uses_an_asset_is_said_once(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world.outcome = "nobody"

    answers = [world.post() for _ in range(5)]
    world.now += 100_000
    answers += [world.post() for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
    assert caplog.text.count("no DAG here uses") == 1


def test_the_log_says_why_somebody_was_refused_and_never_what_was_sent(
    world: World, caplog: pytest.LogCaptureFixture
):
    world.post(key=WRONG_KEY)
    world.post("nowhere")
    world.post("keyless")
    world.post(content=b"{" + SECRET_VALUE.encode())
    world.post(content=json.dumps(SECRET_VALUE).encode())
    world.post("sales%0AERROR forged line", key=WRONG_KEY)

    for said in (
        "did not show the right key",
        "no such connection",
        "no Webhook secret",
        "RemoteExecutionContext",
    ):
        assert said in caplog.text
    for secret in (KEY, WRONG_KEY, SECRET_VALUE, "forged"):
        assert secret not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_nobody_can_fill_the_log(world: World, caplog: pytest.LogCaptureFixture):
    for _ in range(200):
        world.post(key=WRONG_KEY)
    assert len(caplog.records) == 5

    world.now += 61
    world.post(key=WRONG_KEY)

    assert len(caplog.records) == 6
    assert "195 more like this were left out before" in caplog.text


def test_nor_by_naming_another_environment_each_time(world: World, caplog: pytest.LogCaptureFixture):
    for number in range(50):
        host = f"host{number}.contoso.com"
        world.elsewhere[host] = Place(trouble=f"{host} belongs to another cloud")
        world.post(f"sales/{host}", key=WRONG_KEY)

    assert len(caplog.records) == 5


def test_strangers_whose_names_take_long_to_look_up_keep_no_post_waiting(world: World):
    """A secrets backend that hangs holds every thread that looks for them, and Dataverse is answered all the same."""
    world.post()
    world.now += 60  # so that its connection has to be read again, too

    async def post() -> int:
        world.lookup_waits_for = threading.Event()
        guesses = [asyncio.create_task(world.apost(f"guess{number}", key=WRONG_KEY)) for number in range(20)]
        await asyncio.sleep(0.05)
        held, world.lookup_waits_for = world.lookup_waits_for, None
        answer = await asyncio.wait_for(world.apost(), 5)
        held.set()
        await asyncio.gather(*guesses)
        return answer.status_code

    assert asyncio.run(post()) == 200


def test_names_that_strangers_make_up_push_no_connection_out(world: World):
    world.post()
    for number in range(300):
        world.post(f"guess{number}", key=WRONG_KEY)
    world.post()

    assert world.read.count(("sales", "")) == 1


def test_a_body_that_never_ends_to_come_is_given_up(world: World):
    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"", "more_body": True}

    world.app = world.fresh_app(within=0.1)

    assert asyncio.run(world.asgi(receive, key=KEY)) == 503


def test_what_takes_too_long_to_write_down_is_answered_in_time_and_written_down_all_the_same(world: World):
    world.recording_waits_for = threading.Event()
    world.app = world.fresh_app(within=0.5)

    async def post() -> int:
        answer = await world.apost()
        assert world.recorded == []
        assert world.recording_waits_for is not None
        world.recording_waits_for.set()
        assert (await world.apost()).status_code == 200
        return answer.status_code

    assert asyncio.run(post()) == 503  # so it comes again, and is a duplicate then
    assert len(world.recorded) == 2


def test_a_key_in_the_query_reaches_no_log_of_requests(world: World):
    seen: list[bytes] = []
    app = world.app

    async def watched(scope, receive, send):
        await app(scope, receive, send)
        seen.append(scope["query_string"])

    world.app = watched  # type: ignore[assignment]  # an ASGI application is any such function
    world.post(query=f"?code={KEY}")

    assert seen == [b""]
