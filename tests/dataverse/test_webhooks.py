"""Webhooks registered at a service that posts to them: made, made right again, narrowed, and taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, Step, errors
from airflow_provider_dynamics.dataverse.administration.endpoints import KEY_HEADER, MESSAGES, check_url
from airflow_provider_dynamics.webhooks.posts import Post, read_post

KEY, NEW_KEY = 'a key with "quotes" & <brackets>', "the-next-key-0123456789"
NAME = "Airflow of the tests"


@dataclass
class Receiver:
    """Somebody who is posted to, and keeps what came."""

    url: str = ""
    keys: list[str] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            kept.keys.append(self.headers[KEY_HEADER])
            kept.posts.append(read_post(content))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/events"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(emulator) -> Iterator[Client]:
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle) as made:
        yield made


def steps(*tables: str, **options) -> list[Step]:
    return [Step(table, message, **options) for table in tables for message in MESSAGES]


def register(client, receiver, wanted=None, key=KEY):
    return client.webhooks.register(NAME, receiver.url, key, wanted or steps("account"))


def test_changes_are_posted_with_the_key_as_it_was_given(client, emulator, receiver):
    done = register(client, receiver)
    assert (done.endpoint, len(done.created)) == ("created", 3)

    row_id = client.create("account", {"name": "Contoso"})
    client.update("account", row_id, {"name": "Contoso Ltd"})
    client.delete("account", row_id)
    assert emulator.webhooks.drain()

    assert sorted((post.message, post.table) for post in receiver.posts) == [
        ("Create", "account"),
        ("Delete", "account"),
        ("Update", "account"),
    ]
    assert {one["row_id"] for post in receiver.posts for one in post.changes} == {row_id}
    assert set(receiver.keys) == {KEY}


def test_doing_it_again_changes_nothing(client, receiver):
    register(client, receiver)
    before = client.webhooks.all()

    done = register(client, receiver)

    assert client.webhooks.all() == before
    assert (done.endpoint, done.created, done.updated, done.removed) == ("updated", (), (), ())
    assert len(done.unchanged) == 3


def test_a_message_may_be_written_in_any_case(client, receiver):
    register(client, receiver)

    done = register(client, receiver, [Step("account", message.lower()) for message in MESSAGES])

    assert (done.updated, len(done.unchanged)) == ((), 3)


def test_a_changed_key_is_what_later_posts_show(client, emulator, receiver):
    register(client, receiver)
    register(client, receiver, key=NEW_KEY)

    client.create("account", {"name": "Contoso"})
    assert emulator.webhooks.drain()

    assert receiver.keys == [NEW_KEY]


def test_what_somebody_has_changed_is_made_right_again(client, receiver):
    register(client, receiver)
    (webhook,) = client.webhooks.all(NAME)
    off, narrowed, _ = sorted(webhook.steps, key=lambda step: step.of)
    client.update("sdkmessageprocessingstep", off.row_id, {"statecode": 1, "statuscode": 2})
    client.update("sdkmessageprocessingstep", narrowed.row_id, {"mode": 0})

    done = register(client, receiver)

    assert sorted(done.updated) == ["Create of account", "Delete of account"]
    (webhook,) = client.webhooks.all(NAME)
    assert {(step.enabled, step.mode) for step in webhook.steps} == {(True, "asynchronous")}


def test_the_steps_of_a_table_are_exactly_those_asked_for_and_other_tables_stay(client, receiver):
    register(client, receiver, steps("account", "contact"))

    done = register(client, receiver, [Step("account", "Delete")])

    assert sorted(done.removed) == ["Create of account", "Update of account"]
    (webhook,) = client.webhooks.all(NAME)
    assert sorted(map(str, webhook.steps)) == [
        "Create of contact",
        "Delete of account",
        "Delete of contact",
        "Update of contact",
    ]


def test_an_update_can_be_narrowed_to_columns(client, emulator, receiver):
    register(client, receiver, [Step("account", "Update", frozenset({"telephone1"}))])
    row_id = client.create("account", {"name": "Contoso"})

    client.update("account", row_id, {"name": "not told"})
    client.update("account", row_id, {"telephone1": "555"})
    assert emulator.webhooks.drain()

    assert len(receiver.posts) == 1


def test_rows_written_in_bulk_are_posted_one_by_one(client, emulator, receiver):
    register(client, receiver)

    outcomes = list(
        client.bulk("account", [{"name": f"Contoso {number}"} for number in range(20)], operation="create")
    )
    assert emulator.webhooks.drain()

    named = [one["row_id"] for post in receiver.posts for one in post.changes]
    assert sorted(named) == sorted(outcome.row_id for outcome in outcomes)


@pytest.mark.parametrize(
    ("message", "complete"), [("CreateMultiple", True), ("UpdateMultiple", False)], ids=["create", "update"]
)
def test_over_256_kb_a_post_names_what_it_still_can(client, emulator, receiver, message, complete):
    rows = [{"name": f"Contoso {number}", "description": "x" * 2_000} for number in range(100)]
    ids = [outcome.row_id for outcome in client.bulk("account", rows, operation="create")]
    if message == "CreateMultiple":
        register(client, receiver, [Step("account", message)])
        ids = [outcome.row_id for outcome in client.bulk("account", rows, operation="create", chunk_size=100)]
    else:
        register(client, receiver, [Step("account", message)])
        changed = [{"accountid": row_id, "description": "y" * 2_000} for row_id in ids]
        list(client.bulk("account", changed, operation="update", chunk_size=100))
    assert emulator.webhooks.drain()

    assert {post.complete for post in receiver.posts} == {complete}
    named = [one["row_id"] for post in receiver.posts for one in post.changes]
    assert sorted(named) == (sorted(ids) if complete else [])


def test_removed_for_a_table_the_webhook_stays_for_the_others_and_then_goes(client, emulator, receiver):
    register(client, receiver, steps("account", "contact"))

    assert client.webhooks.remove(NAME, ["account"]).endpoint == "kept"
    client.create("account", {"name": "Contoso"})
    assert client.webhooks.remove(NAME).endpoint == "removed"
    assert client.webhooks.remove(NAME).endpoint == "absent"

    assert emulator.webhooks.drain()
    assert receiver.posts == []
    assert client.webhooks.all(NAME) == []


def test_two_that_register_at_once_make_one_webhook(client, receiver):
    """Each asks what is there before the other has written."""
    both = threading.Barrier(2)
    failed: list[BaseException] = []

    def run():
        both.wait(10)
        try:
            register(client, receiver)
        except errors.DataverseError as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failed == []
    (webhook,) = client.webhooks.all(NAME)
    assert sorted(map(str, webhook.steps)) == ["Create of account", "Delete of account", "Update of account"]


def test_webhooks_of_others_are_listed_and_left_alone(client, receiver):
    client.webhooks.register("somebody else's", receiver.url, KEY, [Step("contact", "Create")])

    register(client, receiver)
    client.webhooks.remove(NAME)

    (other,) = client.webhooks.all()
    assert (other.name, other.url, other.key_is_set) == ("somebody else's", receiver.url, True)


@pytest.mark.parametrize(
    ("wanted", "kind", "says"),
    [
        ([Step("acount", "Create")], errors.UnknownTable, "account"),
        ([Step("account", "Update", frozenset({"telefone1"}))], errors.UnknownColumn, "telephone1"),
        ([Step("account", "Create", frozenset({"name"}))], errors.BadRequest, "Update only"),
        ([Step("account", "Creat")], errors.BadRequest, "Create"),
        ([Step("account", "WhoAmI")], errors.BadRequest, "account"),
    ],
)
def test_what_cannot_be_registered_is_said_before_anything_is_written(client, receiver, wanted, kind, says):
    with pytest.raises(kind, match=says):
        register(client, receiver, wanted)

    assert client.webhooks.all() == []


def test_two_webhooks_of_one_name_are_not_guessed_between(client, receiver):
    for _ in range(2):
        client.create("serviceendpoint", {"name": NAME, "url": receiver.url, "contract": 8, "authtype": 5})

    with pytest.raises(errors.BadRequest, match="2 webhooks"):
        register(client, receiver)


def test_the_key_is_in_no_error(client, receiver):
    with pytest.raises(errors.BadRequest) as refused:
        register(client, receiver, [Step("account", "Creat")], key=NEW_KEY)

    assert NEW_KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://airflow.contoso.com:8080/dynamics/events/sales", "port 443"),
        ("http://airflow.contoso.com/dynamics/events/sales", "https"),
        ("http://localhost:8080/dynamics/events/sales", "this machine"),
        ("https://airflow.contoso.com/dynamics/events/sales?code=1", "none that posts"),
        ("airflow.contoso.com/dynamics/events/sales", "none that posts"),
        ("https://airflow.contoso.com:http/", "none that posts"),
        ("", "none that posts"),
    ],
)
def test_a_url_that_dataverse_cannot_post_to_is_refused(url: str, says: str):
    with pytest.raises(errors.BadRequest, match=says):
        check_url(url, "https://contoso.crm.dynamics.com")


@pytest.mark.parametrize(
    "url", ["https://airflow.contoso.com/dynamics/events/sales", "https://airflow.contoso.com:443/x"]
)
def test_a_url_that_it_can_post_to_is_taken(url: str):
    assert check_url(url, "https://contoso.crm.dynamics.com") == url
