"""`Emulator`: the whole thing as one object, for tests and for the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.emulator.app import App, RecordedRequest
from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.faults import Faults, Switch
from airflow_provider_dynamics.emulator.identity import Identity
from airflow_provider_dynamics.emulator.server import HOST, Server
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.tls import certificates
from airflow_provider_dynamics.emulator.web_api import WebApi

if TYPE_CHECKING:
    from typing_extensions import Self


class Emulator(Identity):
    """A Dataverse environment and its sign-in services on this machine, over TLS.

    ``seed`` is "sample" (a small company) or None (tables without rows); ``rows`` adds generated rows by
    table's logical name, ``{"account": 100000}``; ``port`` 0 takes a free one; without ``cert_dir`` the
    certificates live in a temporary folder and go when the emulator stops. ``sign_ins`` turns the sign-in
    services' knobs (`airflow_provider_dynamics.emulator.sign_ins` lists them).
    """

    def __init__(
        self,
        seed: str | None = "sample",
        rows: Mapping[str, int] | None = None,
        port: int = 0,
        cert_dir: str | Path | None = None,
    ) -> None:
        self._service = WebApi(seed, rows)
        self._touched = False
        self._faults = Faults()
        self._entra = Entra(self._faults)
        self.sign_ins = SignIns(self._entra, self._service.faults)
        self._port = port
        self._cert_dir = Path(cert_dir) if cert_dir else None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._app: App | None = None
        self._server: Server | None = None
        self._ca: Path | None = None

    def start(self) -> Self:
        """Listen and serve. Raises OSError when the port is taken or the certificates cannot be written."""
        if self._server is not None:
            return self
        if self._cert_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="dynamics-emulator-")
        folder = self._cert_dir or Path(self._temporary.name if self._temporary else ".")
        app = App(self._service, self._faults, self._entra, self.sign_ins)
        try:
            files = certificates(folder)
            server = Server(app, files, self._port)
            server.start()
        except BaseException:
            app.close()
            self._forget_certificates()
            raise
        self._app, self._server, self._ca = app, server, files.ca
        return self

    def stop(self) -> None:
        """Stop serving; may be started again, with the rows as they are."""
        if self._server is not None:
            self._server.stop()
        if self._app is not None:
            self._app.close()
        self._server = self._app = self._ca = None
        self._forget_certificates()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The environment's URL, without a slash at its end."""
        return f"https://{HOST}:{self._running().port}"

    @property
    def ca_bundle(self) -> str:
        """Path of the PEM file a client must trust."""
        self._running()
        return str(self._ca)

    @property
    def service(self) -> WebApi:
        """The Web API in process, for what has no switch and no request."""
        self._touched = True
        return self._service

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was asked since the last reset, oldest first, without control requests."""
        return list(self._app.requests) if self._app else []

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return every row of a table, named by its logical name."""
        return self._service.rows(table)

    def fault(self, kind: str, **members: Any) -> Switch:
        """Set a fault switch; `airflow_provider_dynamics.emulator.faults` lists them. ValueError when it does not fit."""
        return self._faults.set({"kind": kind, **members})

    def reset(self) -> None:
        """Rows as seeded, no faults, no recorded requests, sign-ins as at the start. Tokens stay good."""
        if self._app is not None:
            self._app.reset(touched=self._touched)
        else:
            self._faults.clear()
            self.sign_ins.reset()
            self._service.reset()
        self._touched = False

    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the emulator is not running: call start() or use it as a context manager")
        return self._server

    def _forget_certificates(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
