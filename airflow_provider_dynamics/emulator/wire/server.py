"""The TLS socket: uvicorn on its own loop in a background thread, started and stopped by whoever owns it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import struct
import threading
from typing import Any

import uvicorn
from uvicorn.importer import import_from_string

from airflow_provider_dynamics.emulator.wire.app import App
from airflow_provider_dynamics.emulator.wire.tls import Certificates

HOST = "127.0.0.1"
STARTING = 20  # seconds
BACKLOG = 256


class OpenConnections:
    """The transports of open connections by peer address; used from the server's loop only."""

    def __init__(self) -> None:
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}

    def reset(self, client: tuple[str, int]) -> None:
        """Send RST: an abort alone would close TLS's TCP connection politely."""
        transport = self.transports.get(client)
        if transport is None:
            return
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=descriptor) as same_socket:
            same_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def close(self, client: tuple[str, int]) -> None:
        """Close once what was written is sent."""
        transport = self.transports.get(client)
        if transport is not None:
            transport.close()


def _protocol(connections: OpenConnections) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol, the fast one when its parser is installed, that also tells us its transport."""
    name = (
        "httptools_impl:HttpToolsProtocol"
        if importlib.util.find_spec("httptools")
        else "h11_impl:H11Protocol"
    )
    base: Any = import_from_string(f"uvicorn.protocols.http.{name}")

    class Protocol(base):  # type: ignore[misc]  # the base is known at run time only
        def connection_made(self, transport: asyncio.Transport) -> None:
            self.peer = transport.get_extra_info("peername")[:2]
            connections.transports[self.peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.transports.pop(self.peer, None)
            super().connection_lost(exc)

        def shutdown(self) -> None:
            """Do not wait for the client to say goodbye in TLS: it may be idle for minutes."""
            super().shutdown()
            self.transport.abort()

    return Protocol


class Server:
    """One listening socket with one application behind it."""

    def __init__(self, app: App, certificates: Certificates, port: int = 0) -> None:
        self._app = app
        self._certificates = certificates
        self._wanted_port = port
        self._socket: socket.socket | None = None
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; RuntimeError when the server is not running."""
        if self._socket is None:
            raise RuntimeError("the emulator is not running: call start() or use it as a context manager")
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen and serve; OSError when the port is taken."""
        self._socket = _listen(self._wanted_port)
        connections = OpenConnections()
        self._app.connections = connections
        self._uvicorn = uvicorn.Server(self._config(connections))
        self._thread = threading.Thread(target=self._run, name="dynamics-emulator-server", daemon=True)
        self._thread.start()
        self._wait_until_serving()

    def stop(self) -> None:
        """Stop serving and wait until the thread has ended and the port is free."""
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.should_exit = True
            self._thread.join(STARTING)
        if self._socket is not None:
            self._socket.close()
        self._socket = self._uvicorn = self._thread = None

    def _config(self, connections: OpenConnections) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=_protocol(connections),
            loop="none",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,  # the application's, whose clock can be set
            proxy_headers=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
            ssl_certfile=str(self._certificates.server),
            ssl_keyfile=str(self._certificates.server_key),
        )

    def _run(self) -> None:
        if self._uvicorn is None or self._socket is None:
            return
        loop = _new_loop()
        try:
            loop.run_until_complete(self._uvicorn.serve(sockets=[self._socket]))
        except BaseException as failure:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = failure
        finally:
            _close(loop)

    def _wait_until_serving(self) -> None:
        """Poll for the flag: uvicorn has no event for it."""
        waited = threading.Event()
        for _ in range(STARTING * 200):
            if self._failure is not None:
                raise RuntimeError("the emulator's server did not start") from self._failure
            if self._uvicorn is not None and self._uvicorn.started:
                return
            waited.wait(0.005)
        self.stop()
        raise RuntimeError(f"the emulator's server did not start within {STARTING} s")


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop of our own kind for our own thread: the process's loop policy is not ours to change."""
    if importlib.util.find_spec("uvloop"):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def _close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(_end_requests())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _end_requests() -> None:
    """End what requests are still running, so that nothing complains of being left behind."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # After a stop the port may be taken at once; a live listener still refuses a second one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: without it each small answer waits for a delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
