"""One environment beside the first: its rows, its users, its port, under the names the `Emulator` has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.entra.resources import Resources
from airflow_provider_dynamics.emulator.identity import Identity
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.limits.faults import Faults, Switch
from airflow_provider_dynamics.emulator.seed.identities import Organization
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.switches import Settings
from airflow_provider_dynamics.emulator.web_api import WebApi
from airflow_provider_dynamics.emulator.webhooks.posting import Webhooks
from airflow_provider_dynamics.emulator.wire.app import App, RecordedRequest
from airflow_provider_dynamics.emulator.wire.server import HOST, Server
from airflow_provider_dynamics.emulator.wire.tls import Certificates


class Environment(Identity):
    """One more environment of the tenant; what it has is named as the `Emulator` names it."""

    def __init__(
        self,
        entra: Entra,
        organization: Organization,
        service: WebApi,
        authorities: Callable[[], tuple[str, str]],
        forget: Callable[[], None],
    ) -> None:
        self._entra = entra
        self._authorities = authorities
        self._forget = forget
        self._faults = Faults()
        self._server: Server | None = None
        self._ca = ""
        self._port = 0
        self.organization = organization
        self.service = service
        self.settings = Settings()
        self.sign_ins = SignIns(entra, service.faults, shared=True)
        self._app: App | None = None

    def start(self, files: Certificates) -> None:
        """Listen and serve, at the same port as before where there was one."""
        self._app = App(self.service, self._faults, self._entra, self.sign_ins, self.settings)
        self._server = Server(self._app, files, self._port)
        self._server.start()
        self._port, self._ca = self._server.port, str(files.ca)
        self.service.webhooks.open(self._ca)
        self._resources().add(self.url)

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._resources().remove(self.url)
            self._server.stop()
        if self._app is not None:
            self._app.close()
        self._server = self._app = None

    def remove(self) -> None:
        """Stop serving for good: the environment is gone, and listed no longer."""
        self.stop()
        self._forget()

    def _resources(self) -> Resources:
        return self._entra.relying_parties if self.service.deployment.on_premises else self._entra.resources

    @property
    def name(self) -> str:
        """The organization's unique name."""
        return self.organization.name

    @property
    def url(self) -> str:
        """The environment's URL, with the organization in its path where it is there."""
        return f"https://{HOST}:{self._port}{self.service.deployment.prefix}"

    @property
    def ca_bundle(self) -> str:
        """Path of the PEM file a client must trust."""
        return self._ca

    @property
    def authority(self) -> str:
        """The tenant's sign-in address, the same for every environment."""
        return self._authorities()[0]

    @property
    def adfs_authority(self) -> str:
        """The address of AD FS, the same for every environment."""
        return self._authorities()[1]

    @property
    def jobs(self) -> Jobs:
        """How its system jobs go."""
        return self.service.jobs

    @property
    def webhooks(self) -> Webhooks:
        """How its webhooks are posted to."""
        return self.service.webhooks

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was asked of it, oldest first, without control requests."""
        return list(self._app.requests) if self._app else []

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return every row of a table, named by its logical name."""
        return self.service.rows(table)

    def fault(self, kind: str, **members: Any) -> Switch:
        """Set a fault switch for this environment alone. ValueError when it does not fit."""
        return self._faults.set({"kind": kind, **members})

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._faults.clear()
