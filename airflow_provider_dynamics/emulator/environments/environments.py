"""Environments beside the first one, each at a port of its own, and the discovery service that lists them all.

All belong to one tenant: whoever signs in gets tokens for each of them, one at a time. An environment has its own rows,
users, faults and settings; a reset takes the added ones away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.deployment import CLOUD, SERVER_VERSIONS, Deployment
from airflow_provider_dynamics.emulator.directory import PEOPLE, TENANT_ID
from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.environments.discovery import PROPERTIES, Discovery
from airflow_provider_dynamics.emulator.environments.environment import Environment
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.messages import Principal
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed.identities import Organization
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.switches import Settings
from airflow_provider_dynamics.emulator.web_api import WebApi
from airflow_provider_dynamics.emulator.wire.app import App, RecordedRequest
from airflow_provider_dynamics.emulator.wire.server import HOST, Server
from airflow_provider_dynamics.emulator.wire.tls import Certificates

_ENABLED, _PICKER_READY = 0, 6  # State and StatusMessage
_TYPICAL: Mapping[str, Any] = {
    **dict.fromkeys(PROPERTIES),
    "DatacenterId": stable_id("datacenter", "NA"),
    "IsUserSysAdmin": False,
    "LastUpdated": "2026-01-05T08:00:00Z",
    "OrganizationType": 0,
    "Region": "NA",
    "SchemaType": "Standard",
    "State": _ENABLED,
    "StatusMessage": _PICKER_READY,
    "TenantId": TENANT_ID,
    "Version": "9.2.26043.180",
}


class Served(Protocol):
    """An environment that is served, the first one or another."""

    @property
    def url(self) -> str: ...

    @property
    def organization(self) -> Organization: ...

    @property
    def sign_ins(self) -> SignIns: ...


class Environments:
    """The environments that were added, and the discovery service; ``first`` is the one that is always there."""

    def __init__(self, entra: Entra, first: Served, now: Callable[[], datetime]) -> None:
        self._entra = entra
        self._first = first
        self._now = now
        self._lock = threading.RLock()
        self._added: list[Environment] = []
        self._files: Certificates | None = None
        self._main: App | None = None
        self._discovery: tuple[App, Server] | None = None
        self.instances: list[dict[str, Any]] = []

    @property
    def all(self) -> tuple[Environment, ...]:
        """The environments that were added."""
        return tuple(self._added)

    def add(
        self,
        name: str,
        *,
        friendly_name: str | None = None,
        seed: str | None = "sample",
        rows: Mapping[str, int] | None = None,
        members: Iterable[str] | None = None,
        application_user: bool = True,
        on_premises: bool = False,
        in_path: bool = False,
        versions: Sequence[str] | None = None,
    ) -> Environment:
        """Add an environment and serve it. ValueError when the name is taken, or no name of an organization."""
        if not isinstance(friendly_name, str | None):
            raise TypeError(f"a friendly name is text, unlike {friendly_name!r}")
        deployment = _deployment(name, on_premises=on_premises, in_path=in_path, versions=versions)
        organization = Organization(
            stable_id("organization", name),
            name,
            friendly_name or name.capitalize(),
            _TYPICAL["Version"] if not on_premises else f"{max(deployment.versions)}.0.0",
        )
        with self._lock:
            if name in {self._first.organization.name, *(one.name for one in self._added)}:
                raise ValueError(f"there is an environment {name!r} already")
            service = WebApi(seed, rows, now=self._now, organization=organization, deployment=deployment)
            made = Environment(
                self._entra, organization, service, self._authorities, lambda: self._drop(name)
            )
            if members is not None:
                made.sign_ins.members = frozenset(members)
            made.sign_ins.application_user = application_user
            self._added.append(made)
            if self._files is not None:
                made.start(self._files)
        return made

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Add what a JSON object describes, and tell what there is."""
        if "instance" in wanted:
            self.list_instance(**wanted["instance"])
        elif wanted:
            self.add(**wanted)
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The added environments by name, and where discovery is."""
        return {
            "environments": {one.name: one.url for one in self._added},
            "discovery_url": self.discovery_url,
        }

    def list_instance(
        self, friendly_name: str, url: str, *, users: Iterable[str] | None = None, **members: Any
    ) -> None:
        """Let discovery list an environment that is not served, to these users or to everyone.

        ``members`` are an instance's properties ("State", "Region" and so on); ValueError on what is none.
        """
        unknown = members.keys() - PROPERTIES.keys()
        if unknown:
            raise ValueError(
                f"an instance has no {', '.join(sorted(unknown))}; it has {', '.join(PROPERTIES)}"
            )
        listed = {**_TYPICAL, **_named(friendly_name, url), **members}
        self.instances.append({"users": None if users is None else frozenset(users), "listed": listed})

    def clear(self) -> None:
        """Take away what was added."""
        with self._lock:
            for one in list(self._added):
                one.remove()
            self.instances.clear()

    # -- serving ------------------------------------------------------------------------------------

    def start(self, files: Certificates, main: App) -> None:
        """Serve what was added so far."""
        with self._lock:
            self._files, self._main = files, main
            for one in self._added:
                one.start(files)

    def stop(self) -> None:
        """Stop serving."""
        with self._lock:
            for one in self._added:
                one.stop()
            if self._discovery is not None:
                app, server = self._discovery
                self._entra.resources.remove(_address(server))
                server.stop()
                app.close_threads()
            self._files = self._main = self._discovery = None

    @property
    def discovery_url(self) -> str:
        """Where the discovery service is, without a slash at its end; it is started when it is first asked for."""
        return _address(self._discovering()[1])

    @property
    def discovery(self) -> Discovery:
        """Who lists the environments; the first one's origin answers for it too, to tokens for that origin."""
        return Discovery(self._entra, self.listed)

    @property
    def discovery_requests(self) -> list[RecordedRequest]:
        """What was asked of the discovery service."""
        return list(self._discovery[0].requests) if self._discovery else []

    def _discovering(self) -> tuple[App, Server]:
        with self._lock:
            if self._discovery is None:
                if self._files is None or self._main is None:
                    raise RuntimeError(
                        "the emulator is not running: call start() or use it as a context manager"
                    )
                main = self._main
                app = App(
                    main.service,
                    Faults(),
                    self._entra,
                    main.sign_ins,
                    Settings(),
                    front=Discovery(self._entra, self.listed),
                    controlled=main,
                )
                server = Server(app, self._files)
                server.start()
                self._discovery = app, server
                self._entra.resources.add(_address(server))
            return self._discovery

    def listed(self, who: Principal) -> Sequence[Mapping[str, Any]]:
        """The instances a person is shown: those that know the person, and that the cloud serves."""
        served = [one for one in self._added if not one.service.deployment.on_premises]
        found = [_instance(one, who) for one in (self._first, *served) if one.sign_ins.admits(who)]
        found += [
            one["listed"] for one in self.instances if one["users"] is None or who.user_name in one["users"]
        ]
        return found

    def _authorities(self) -> tuple[str, str]:
        return f"{self._first.url}/{TENANT_ID}", f"{self._first.url}/adfs"

    def _drop(self, name: str) -> None:
        self._added[:] = [one for one in self._added if one.name != name]


def _deployment(name: str, *, on_premises: bool, in_path: bool, versions: Sequence[str] | None) -> Deployment:
    if not name.isalnum() or not name.isascii():
        raise ValueError(f"an organization's unique name has letters and digits alone, unlike {name!r}")
    if not on_premises:
        if in_path or versions is not None:
            raise ValueError("only servers of one's own have the organization in the path, or other versions")
        return CLOUD
    wanted = tuple(versions or SERVER_VERSIONS)
    if unknown := set(wanted) - set(SERVER_VERSIONS):
        raise ValueError(
            f"no server has v{', v'.join(sorted(unknown))}; there are v{', v'.join(SERVER_VERSIONS)}"
        )
    return Deployment(on_premises=True, organization=name if in_path else None, versions=wanted)


def _named(friendly_name: str, url: str) -> dict[str, Any]:
    unique = stable_id("instance", url)
    return {
        "ApiUrl": url,
        "EnvironmentId": stable_id("environment", url),
        "FriendlyName": friendly_name,
        "Id": unique,
        "UniqueName": f"unq{unique.replace('-', '')[:29]}",
        "UrlName": friendly_name.lower().replace(" ", ""),
        "Url": url,
    }


def _instance(served: Served, who: Principal) -> dict[str, Any]:
    organization = served.organization
    person = PEOPLE.get(who.user_name or "")
    return {
        **_TYPICAL,
        **_named(organization.friendly_name, served.url),
        "Id": organization.organization_id,
        "EnvironmentId": organization.organization_id,
        "UniqueName": organization.name,
        "UrlName": organization.name,
        "IsUserSysAdmin": bool(person and person.is_admin),
        "Version": organization.version,
    }


def _address(server: Server) -> str:
    return f"https://{HOST}:{server.port}"
