"""`Emulator`: the whole thing as one object, for tests and for the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.emulator.custom_apis import Answer, custom_api
from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.environments.environment import Environment
from airflow_provider_dynamics.emulator.environments.environments import Environments
from airflow_provider_dynamics.emulator.identity import Identity
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.limits.faults import Faults, Switch
from airflow_provider_dynamics.emulator.querying.aggregates import QueryLimits
from airflow_provider_dynamics.emulator.seed.identities import Organization
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.switches import DOP_HINT, Settings
from airflow_provider_dynamics.emulator.web_api import WebApi
from airflow_provider_dynamics.emulator.webhooks.posting import Webhooks
from airflow_provider_dynamics.emulator.wire.app import App, RecordedRequest
from airflow_provider_dynamics.emulator.wire.server import HOST, Server
from airflow_provider_dynamics.emulator.wire.tls import certificates

if TYPE_CHECKING:
    from typing_extensions import Self


class Emulator(Identity):
    """A Dataverse environment and its sign-in services on this machine, over TLS.

    ``seed`` is "sample" (a small company) or None (tables without rows); ``rows`` adds generated rows by
    table's logical name, ``{"account": 100000}``; ``created`` says when those were created, "evenly" over three
    years or "skewed" (most in one day, many in one second); ``latency`` (seconds
    there and back) and ``dop_hint`` may be set at any time; ``port`` 0 takes a free one; without ``cert_dir`` the
    certificates live in a temporary folder and go when the emulator stops. ``sign_ins`` turns the sign-in
    services' knobs (`airflow_provider_dynamics.emulator.sign_ins` lists them).
    """

    def __init__(
        self,
        seed: str | None = "sample",
        rows: Mapping[str, int] | None = None,
        port: int = 0,
        cert_dir: str | Path | None = None,
        *,
        latency: float = 0.0,
        dop_hint: int | None = DOP_HINT,
        created: str = "evenly",
    ) -> None:
        self._settings = Settings(latency, dop_hint)
        self._faults = Faults()
        self._entra = Entra(self._faults)
        self._service = WebApi(seed, rows, created=created, now=self._now)
        self._touched = False
        self.environments = Environments(self._entra, self, self._now)
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
        app = App(self._service, self._faults, self._entra, self.sign_ins, self._settings)
        server = None
        try:
            files = certificates(folder)
            server = Server(app, files, self._port)
            server.start()
            app.environments = self.environments
            self.environments.start(files, app)
        except BaseException:
            self._stop_serving(app, server)
            raise
        self._app, self._server, self._ca = app, server, files.ca
        self._service.webhooks.open(str(files.ca))
        return self

    def stop(self) -> None:
        """Stop serving; may be started again, with the rows as they are."""
        self._stop_serving(self._app, self._server)
        self._server = self._app = self._ca = None

    def _stop_serving(self, app: App | None, server: Server | None) -> None:
        self.environments.stop()
        if server is not None:
            server.stop()
        if app is not None:
            app.close()
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
    def latency(self) -> float:
        """Seconds by which every answer of the environment is late; ValueError when set to what is no time."""
        return self._settings.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._settings.latency = seconds

    @property
    def request_seconds(self) -> float:
        """Seconds of execution time that every request takes; ValueError when set to what is no time."""
        return self._settings.request_seconds

    @request_seconds.setter
    def request_seconds(self, seconds: float) -> None:
        self._settings.request_seconds = seconds

    @property
    def row_seconds(self) -> float:
        """Seconds of execution time that every written row takes, in bulk too; ValueError when set to what is no time."""
        return self._settings.row_seconds

    @row_seconds.setter
    def row_seconds(self, seconds: float) -> None:
        self._settings.row_seconds = seconds

    @property
    def dop_hint(self) -> int | None:
        """What ``x-ms-dop-hint`` recommends; None leaves it out, ValueError when set to less than 1."""
        return self._settings.dop_hint

    @dop_hint.setter
    def dop_hint(self, number: int | None) -> None:
        self._settings.dop_hint = number

    @property
    def query_limits(self) -> QueryLimits:
        """How many rows one query may take in: ``emulator.query_limits.aggregate = 100``; a reset restores them."""
        return self._service.query_limits

    @property
    def service(self) -> WebApi:
        """The Web API in process, for what has no switch and no request."""
        self._touched = True
        return self._service

    @property
    def jobs(self) -> Jobs:
        """How system jobs go: `airflow_provider_dynamics.emulator.jobs.jobs` lists what can be set; a reset restores it."""
        return self._service.jobs

    @property
    def organization(self) -> Organization:
        """The one organization of this environment."""
        return self._service.organization

    def add_environment(self, name: str, **described: Any) -> Environment:
        """Serve one more environment of the tenant until the next reset: its own rows and users, at a port of its own.

        ``friendly_name``, ``seed`` and ``rows``; ``members`` (user names; all of the tenant's members else) and
        ``application_user`` (True); ``on_premises`` for a server of one's own, ``in_path`` with the organization in the
        path, ``versions`` ("8.2", "9.0", …) of the Web API it has. ValueError when it cannot be.
        """
        return self.environments.add(name, **described)

    def list_instance(self, friendly_name: str, url: str, **members: Any) -> None:
        """Let the discovery service list an environment that is not served, to all or to some ``users``.

        Other ``members`` are properties of an instance: State=1 is disabled.
        """
        self.environments.list_instance(friendly_name, url, **members)

    @property
    def discovery_url(self) -> str:
        """The Global Discovery service's address, without a slash at its end; tokens for it are people's."""
        return self.environments.discovery_url

    @property
    def webhooks(self) -> Webhooks:
        """How webhooks are posted to, and what was posted: `airflow_provider_dynamics.emulator.webhooks.posting` lists both."""
        return self._service.webhooks

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was asked since the last reset, oldest first, without control requests."""
        return list(self._app.requests) if self._app else []

    @property
    def most_at_once(self) -> int:
        """The most requests for data that were under way at one time since faults were last cleared or all was reset."""
        return self._faults.limits.most_at_once

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return every row of a table, named by its logical name."""
        return self._service.rows(table)

    def expire_delta_tokens(self, table: str | None = None) -> None:
        """Let the delta tokens handed out so far be too old, all or one table's: they are answered 0x80044352.

        A token is also too old after the organization's ``expirechangetrackingindays`` (7), by the services' clock,
        which ``sign_ins.skew`` sets. KeyError when there is no such table.
        """
        self._service.expire_delta_tokens(table)

    def duplicate_rule(self, table: str, *columns: str) -> None:
        """Publish a duplicate detection rule until the next reset: rows that agree in these columns are duplicates.

        A new environment has rules for account (name), contact and lead (emailaddress1); a request that sends
        ``MSCRM.SuppressDuplicateDetection: false`` is refused by them. ValueError when there is no such column.
        """
        with self._service.entered():
            self._service.duplicates.publish(table, columns)

    def custom_api(self, name: str, answer: Answer = None, **described: Any) -> None:
        """Let the environment have a custom API until the next reset.

        `airflow_provider_dynamics.emulator.custom_apis.custom_api` says what describes one; ValueError when the
        service would not take it, or has one of that name.
        """
        with self._service.entered():
            self._service.operations.add(custom_api(name, answer, **described))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._entra.now(), timezone.utc)

    def fault(self, kind: str, **members: Any) -> Switch:
        """Set a fault switch; `airflow_provider_dynamics.emulator.limits.faults` lists them. ValueError when it does not fit."""
        return self._faults.set({"kind": kind, **members})

    def clear_faults(self) -> None:
        """Switch every fault off; rows, sign-ins and settings stay as they are."""
        self._faults.clear()

    def reset(self) -> None:
        """Rows as seeded, no faults, no recorded requests, sign-ins and settings as at the start. Tokens stay good."""
        if self._app is not None:
            self._app.reset(touched=self._touched)
        else:
            self._faults.clear()
            self.sign_ins.reset()
            self._settings.reset()
            self._service.query_limits.restore()
            self.environments.clear()
            self._service.jobs.restore()
            self._service.webhooks.restore()
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
