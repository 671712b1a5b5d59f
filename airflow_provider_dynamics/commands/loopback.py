"""Waits on this machine for the browser that comes back from a sign-in, and answers it with a closing page.

Only one answer counts: the one that carries this sign-in's state. Everything else that reaches the port gets a
refusal and changes nothing.
https://www.rfc-editor.org/rfc/rfc8252#section-7.3
"""

from __future__ import annotations

import errno
import hmac
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Loopback"]

_TRIES = 5
_IDLE = 10.0  # seconds; browsers open connections that they never use

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
_DONE = ("Back to the terminal", "It says whether the sign-in is complete. This window can be closed.")
_DECLINED = ("The sign-in was not completed", "The terminal says why. This window can be closed.")
_STRANGE = (
    "This is not the sign-in that was waited for",
    "Start again with the address that the terminal shows.",
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class Loopback:
    """A port of this machine, open while it is used in a `with`. Raises OSError where the port is taken.

    The redirect URI says localhost, because Entra lets its port vary.
    https://learn.microsoft.com/entra/identity-platform/reply-url#localhost-exceptions
    """

    def __init__(self, port: int = 0) -> None:
        self._answers: SimpleQueue[dict[str, str]] = SimpleQueue()
        self._state: str | None = None
        self._servers = _both(port, self)

    @property
    def port(self) -> int:
        return int(self._servers[0].server_address[1])

    @property
    def redirect_uri(self) -> str:
        """Where the sign-in service is to send the browser."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Loopback:  # noqa: PYI034  # typing.Self is newer than Python 3.10
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def expect(self, state: str) -> None:
        """Say which sign-in is waited for; what came before this is refused."""
        self._state = state

    def wait(self, seconds: float) -> Mapping[str, str]:
        """Return what the sign-in service sent along with the browser; raises TimeoutError after so many seconds."""
        try:
            return self._answers.get(timeout=seconds)
        except Empty:
            raise TimeoutError(f"nobody came back within {seconds:g} s") from None

    def is_ours(self, answer: Mapping[str, str]) -> bool:
        """Say whether a visit is the end of the sign-in that is waited for."""
        state = answer.get("state", "").encode()
        expected = self._state is not None and hmac.compare_digest(state, self._state.encode())
        return expected and bool(answer.keys() & {"code", "error"})

    def deliver(self, answer: dict[str, str]) -> None:
        """Hand the answer to whoever waits."""
        self._answers.put(answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    loopback: Loopback

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who hangs up is nobody's concern."""


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/":
            self.send_error(404)
            return
        answer = dict(parse_qsl(url.query))
        if not self.server.loopback.is_ours(answer):
            self._show(400, _STRANGE)
            return
        self._show(200, _DECLINED if "error" in answer else _DONE)
        self.server.loopback.deliver(answer)  # only now: it may be the last thing this process does

    def _show(self, status: int, words: tuple[str, str]) -> None:
        page = _PAGE.format(title=words[0], text=words[1]).encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Length": str(len(page))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the request line holds the code."""


def _both(port: int, loopback: Loopback) -> list[_Server]:
    """Return servers on one port of both localhosts, of which the browser chooses; raises OSError."""
    for _ in range(_TRIES):
        server = _server("127.0.0.1", port, loopback)
        try:
            return [server, _server("::1", int(server.server_address[1]), loopback)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [server]  # no IPv6 here
            server.server_close()  # the other half is somebody else's, who must not be sent our answer
    raise OSError(errno.EADDRINUSE, "Address already in use")


def _server(host: str, port: int, loopback: Loopback) -> _Server:
    server = (_ServerV6 if ":" in host else _Server)((host, port), _Handler)
    server.loopback = loopback
    return server
