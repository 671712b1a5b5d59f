"""What really goes over a socket: the bytes of the request line, cookies, connections, compression."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading

import pytest

from airflow_provider_dynamics.dataverse import Query, RetryPolicy, errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request

LINKS = [
    pytest.param(
        "$skiptoken=%3Ccookie%20pagenumber=%222%22%20istracking=%22False%22%20/%3E", id="a paging cookie"
    ),
    pytest.param("$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44", id="lower-case escapes"),
    pytest.param("$skiptoken=a%zz%2", id="a broken escape"),
    pytest.param("$skiptoken=<x>'\"{}|^`[]\\~!*()", id="characters others would escape"),
    pytest.param("$skiptoken=a+b&x=%2b%2B", id="plus signs"),
    pytest.param("$skiptoken=%25253ccookie%2525", id="escapes of escapes"),
    pytest.param("$skiptoken=a?b/../c;d", id="dots and slashes"),
]


class Server:
    """Answers each request on a loopback socket with the next of `answers`; keeps the raw heads it was sent."""

    def __init__(self):
        self.answers = []
        self.heads = []
        self.connections = 0
        self._serving = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            serving = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            serving.start()
            self._serving.append((connection, serving))

    def _serve(self, connection):
        with connection:
            self._talk(connection)

    def _talk(self, connection):
        received = b""
        while True:
            while b"\r\n\r\n" not in received:
                try:
                    more = connection.recv(65536)
                except OSError:
                    return
                if not more:
                    return
                received += more
            head, _, received = received.partition(b"\r\n\r\n")
            self.heads.append(head)
            answer = self.answers.pop(0)
            with contextlib.suppress(OSError):
                connection.sendall(answer)
            if b"Connection: close" in answer:
                return

    def lines(self):
        return [head.split(b"\r\n")[0] for head in self.heads]

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for connection, serving in self._serving:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            serving.join(5)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def client(make_client, server):
    return make_client(server.url)


def answer(body, *headers, length=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Content-Length: %d" % (len(raw) if length is None else length),
    ]
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n" + raw


def pages(link):
    return [
        answer({"value": [{"name": "a"}], "@odata.nextLink": link}),
        answer({"value": [{"name": "b"}]}),
    ]


@pytest.mark.parametrize("query", LINKS)
def test_a_next_link_is_sent_byte_for_byte(client, server, query):
    target = f"/api/data/v9.2/accounts?$select=name&{query}"
    definition = {
        "LogicalName": "account", "EntitySetName": "accounts", "PrimaryIdAttribute": "accountid",
        "Attributes": [], "Keys": [], "ManyToOneRelationships": [],
    }  # fmt: skip
    server.answers = [answer(definition), *pages(server.url + target)]
    assert [row["name"] for row in client.rows(Query("account"))] == ["a", "b"]
    assert server.lines()[2] == b"GET " + target.encode() + b" HTTP/1.1"


@pytest.mark.parametrize("query", LINKS)
def test_a_delta_link_is_sent_byte_for_byte(client, server, query):
    target = f"/api/data/v9.2/accounts?$select=name&{query}"
    server.answers = [answer({"value": [], "@odata.deltaLink": "x"})]
    list(client.changes("account", since=server.url + target))
    assert server.lines() == [b"GET " + target.encode() + b" HTTP/1.1"]


def test_what_http_cannot_carry_is_escaped_and_nothing_else(client, server):
    server.answers = [answer({"value": [], "@odata.deltaLink": "x"})]
    list(client.changes("account", since=server.url + "/api/data/v9.2/accounts?$deltatoken=a b%2fé"))
    assert server.lines() == [b"GET /api/data/v9.2/accounts?$deltatoken=a%20b%2f%C3%A9 HTTP/1.1"]


def test_cookies_are_not_sent_back(client, server):
    cookie = b"Set-Cookie: ARRAffinity=f60cbee4; path=/; HttpOnly"
    server.answers = [answer({"UserId": "1"}, cookie, cookie), answer({"UserId": "1"})]
    client.who_am_i()
    client.who_am_i()
    assert not any(b"cookie" in head.lower() for head in server.heads)


def test_one_connection_serves_many_requests(client, server):
    server.answers = [answer({"UserId": "1"}) for _ in range(5)]
    for _ in range(5):
        client.who_am_i()
    assert server.connections == 1


def test_a_compressed_answer_is_unpacked(client, server):
    body = gzip.compress(b'{"UserId": "1"}')
    server.answers = [answer(body, b"Content-Encoding: gzip")]
    assert client.who_am_i() == {"UserId": "1"}
    assert b"accept-encoding: gzip" in server.heads[0].lower()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(answer(b'{"UserId": ', b"Connection: close", length=400), id="cut off"),
        pytest.param(
            answer(gzip.compress(b'{"UserId": "1"}')[:-12], b"Content-Encoding: gzip"), id="a damaged gzip"
        ),
        pytest.param(
            answer(b"not gzip", b"Content-Encoding: gzip", b"Connection: close"), id="no gzip at all"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n", id="no body"),
        pytest.param(b"Connection: close", id="no answer"),
    ],
)
def test_a_broken_answer_to_a_read_is_asked_for_again(client, server, broken):
    server.answers = [broken, answer({"UserId": "2"})]
    assert client.who_am_i() == {"UserId": "2"}
    assert len(server.heads) == 2


def test_without_repeats_a_broken_answer_is_an_error(make_client, server):
    server.answers = [answer(b'{"UserId": ', b"Connection: close", length=400)]
    with pytest.raises(errors.BadResponse, match=r"WhoAmI.*damaged or cut off"):
        make_client(server.url, retry=RetryPolicy.never()).who_am_i()


def test_a_port_nobody_listens_on_is_unreachable(make_client):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    client = make_client(f"http://127.0.0.1:{port}", retry=RetryPolicy.never())
    with pytest.raises(errors.Unreachable, match="No connection could be made") as caught:
        client.who_am_i()
    assert caught.value.sent is False


def test_a_host_without_an_address_is_said_to_be_that(make_client):
    client = make_client("https://contoso.invalid", retry=RetryPolicy.never())
    with pytest.raises(errors.Unreachable, match=r"cannot be resolved|proxy cannot be used"):
        client.who_am_i()


def test_a_ca_bundle_that_is_not_there_is_said_to_be_that(make_client, tmp_path):
    client = make_client(ca_bundle=str(tmp_path / "missing.pem"))
    with pytest.raises(errors.Unreachable, match="CA bundle cannot be read") as caught:
        client.who_am_i()
    assert not caught.value.retryable


def test_a_request_with_a_path_prefix_keeps_it(make_client, server):
    server.answers = [answer({"UserId": "1"})]
    make_client(server.url + "/contoso/").who_am_i()
    assert server.lines() == [b"GET /contoso/api/data/v9.2/WhoAmI() HTTP/1.1"]


def test_threads_do_not_mix_up_their_targets(client, server):
    server.answers = [answer({"UserId": "1"}) for _ in range(40)]
    targets = [f"accounts?$filter={number}%2f" for number in range(40)]

    def send(part):
        for target in part:
            client._transport.send(Request("GET", target))

    working = [threading.Thread(target=send, args=(targets[number::4],)) for number in range(4)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join(10)
    expected = {f"GET /api/data/v9.2/{target} HTTP/1.1".encode() for target in targets}
    assert set(server.lines()) == expected
