"""Somebody who is posted to: an HTTP server on this machine that remembers what came, and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from airflow_provider_dynamics.emulator.wire.tls import Certificates


@dataclass
class Received:
    """One post as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came, and what is answered: a status, or a function of the number of the post."""

    url: str = ""
    posts: list[Received] = field(default_factory=list)
    status: Callable[[int], int] = lambda _: 200
    wait: threading.Event | None = None

    def one(self) -> Any:
        """The content of the only post."""
        assert len(self.posts) == 1
        return self.posts[0].content


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                receiver.posts.append(Received(self.path, dict(self.headers.items()), body))
                status = receiver.status(len(receiver.posts))
            if receiver.wait is not None:
                receiver.wait.wait(10)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: who posted may be gone by now."""


@contextmanager
def receiving(certificates: Certificates | None = None) -> Iterator[Receiver]:
    """A receiver that listens, over TLS when it is given certificates."""
    receiver = Receiver()
    server = _Server(("127.0.0.1", 0), _handler(receiver))
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if certificates else 'http'}://127.0.0.1:{server.server_port}/events"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.wait is not None:
            receiver.wait.set()
        server.shutdown()
        thread.join()
        server.server_close()
