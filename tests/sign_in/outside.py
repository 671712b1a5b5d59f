"""What stands around the page in these tests: people, connections, a sign-in service; all in memory, all shared by several pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from starlette.routing import Mount

from airflow_provider_dynamics.auth.authority import Signed
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.code_flow import CodeFlow
from airflow_provider_dynamics.auth.store import Record
from airflow_provider_dynamics.auth.tokens import AccessToken
from airflow_provider_dynamics.dataverse.administration.discovery import Instance
from airflow_provider_dynamics.sign_in.access import NotSignedIn, Person
from airflow_provider_dynamics.sign_in.app import build_app
from airflow_provider_dynamics.sign_in.desk import Outside
from airflow_provider_dynamics.sign_in.state import Seal
from airflow_provider_dynamics.stored import NotStored, StoredConnection

CODE = "code-that-nobody-may-see"
REFRESH_TOKEN = "refresh-token-that-nobody-may-see"
VERIFIER = "verifier-that-nobody-may-see"
NOW = 1_800_000_000.0


def connection(conn_id: str, **extra: Any) -> StoredConnection:
    fields = {
        "host": "https://contoso.crm4.dynamics.com",
        "login": "00000000-0000-0000-0000-00000000c11e",
        "password": "client-secret-that-nobody-may-see",
        "extra": {"auth_type": "refresh_token", "tenant_id": "contoso.onmicrosoft.com", **extra},
    }
    return StoredConnection(conn_id, fields)


class People:
    """Ann and Bob may change connections, Vera may only look, Otto may not even do that; a cookie says who is there."""

    def __init__(self) -> None:
        self.editors = {"ann", "bob"}
        self.lookers = {"vera"}
        self.hidden: set[str] = set()
        self.connections: set[str] = set()

    async def person(self, request: Any) -> Person:
        name = request.cookies.get("_token")
        if not name:
            raise NotSignedIn
        return Person(f"id-of-{name}", name)

    def may_list(self, person: Person) -> bool:
        return person.name in self.editors | self.lookers

    def visible(self, person: Person) -> set[str]:
        return self.connections - self.hidden

    def editable(self, person: Person) -> set[str]:
        return self.visible(person) if person.name in self.editors else set()

    def may_edit(self, person: Person, conn_id: str) -> bool:
        return conn_id in self.editable(person)


class Shelf:
    """Connections in memory."""

    def __init__(self, *connections: StoredConnection) -> None:
        self.rows = {one.conn_id: one for one in connections}
        self.refused: dict[str, str] = {}
        self.kept: list[tuple[str, str, str, str]] = []
        self.chosen: list[tuple[str, str]] = []
        self.forgotten: list[str] = []
        self.sharing: list[str] = []
        self.left = ""
        self.events: list[tuple[str, str, str, dict[str, str]]] = []

    def stored_connections(self) -> list[StoredConnection]:
        return list(self.rows.values())

    def stored_connection(self, conn_id: str) -> StoredConnection:
        self.check_writable(conn_id)
        return self.rows[conn_id]

    def check_writable(self, conn_id: str) -> None:
        if conn_id in self.refused:
            raise NotStored(self.refused[conn_id])
        if conn_id not in self.rows:
            raise NotStored(f"Connection '{conn_id}' is not in Airflow's database.")

    def keep_sign_in(self, conn_id: str, *, refresh_token: str, user: str, tenant_id: str = "") -> str:
        self.check_writable(conn_id)
        self.kept.append((conn_id, refresh_token, user, tenant_id))
        row = self.rows[conn_id]
        extra = {**row.extra, "refresh_token": refresh_token, "username": user}
        self.rows[conn_id] = replace(row, fields={**row.fields, "extra": extra})
        return self.left

    def choose_environment(self, conn_id: str, environment: str) -> None:
        self.check_writable(conn_id)
        self.chosen.append((conn_id, environment))
        row = self.rows[conn_id]
        self.rows[conn_id] = replace(row, fields={**row.fields, "host": environment})

    def forget_sign_in(self, conn_id: str) -> list[str]:
        self.forgotten.append(conn_id)
        return self.sharing

    def record_event(self, event: str, person: str, conn_id: str, **details: str) -> None:
        self.events.append((event, person, conn_id, details))


class SignInService:
    """Takes everybody's word for who they are, and a code once."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.user = "ann@contoso.com"
        self.redeemed: set[str] = set()
        self.down = False
        self.page = "https://login.microsoftonline.com/contoso/authorize"

    def start(
        self, s: Any, redirect_uri: str, *, login_hint: str | None = None, state: str | None = None
    ) -> CodeFlow:
        if self.down:
            raise AuthenticationError("The sign-in service does not answer. What to do: try again.")
        self.started.append(
            {
                "redirect_uri": redirect_uri,
                "login_hint": login_hint,
                "client_id": s.client_id,
                "environment": s.environment,
                "tenant_id": s.tenant_id,
            }
        )
        asked = urlencode({"state": state, "redirect_uri": redirect_uri, "nonce": "n<once>"})
        kept = {"state": state, "code_verifier": VERIFIER, "redirect_uri": redirect_uri}
        return CodeFlow(f"{self.page}?{asked}", kept)

    def finish(self, s: Any, kept: Mapping[str, Any], answer: Mapping[str, str], *, now: Any) -> Signed:
        if kept["code_verifier"] != VERIFIER or answer["state"] != kept["state"]:
            raise AssertionError("what was kept came back changed")
        if answer.get("error"):
            raise AuthenticationError("The person declined. What to do: sign in again and accept.")
        if answer["code"] in self.redeemed or answer["code"] != CODE:
            raise AuthenticationError("AADSTS54005 The code was redeemed before. What to do: sign in again.")
        self.redeemed.add(answer["code"])
        token = AccessToken("access-token-that-nobody-may-see", now() + 3600)
        return Signed(token, REFRESH_TOKEN, self.user, "tenant")


@dataclass
class Place:
    """One deployment: its people, connections and keys, and as many API servers as a test asks for."""

    shelf: Shelf
    people: People = field(default_factory=People)
    service: SignInService = field(default_factory=SignInService)
    records: dict[str, Record] = field(default_factory=dict)
    tested: list[str] = field(default_factory=list)
    instances: list[Instance] | Exception = field(default_factory=list)
    outcome: tuple[bool, str] = (True, "Connected to https://contoso.crm4.dynamics.com as user 'Ann' (1).")
    no_test: str = ""
    base_url: str = "https://airflow.test"
    now: float = NOW
    masked: list[str] = field(default_factory=list)
    fernet: Fernet = field(default_factory=lambda: Fernet(Fernet.generate_key()))

    def __post_init__(self) -> None:
        self.people.connections = set(self.shelf.rows)

    def outside(self) -> Outside:
        return Outside(
            access=self.people,
            shelf=self.shelf,
            seal=Seal("the deployment's secret key", lambda: self.fernet, lambda: self.now),
            start_code_flow=self.service.start,
            finish_code_flow=self.service.finish,
            record=lambda settings: self.records.get(settings.store_key),
            test=self.test,
            environments=self.environments,
            no_test=lambda: self.no_test,
            mask=self.masked.append,
            base_url=lambda: self.base_url,
            now=lambda: self.now,
        )

    def test(self, connection: StoredConnection) -> tuple[bool, str]:
        self.tested.append(connection.conn_id)
        return self.outcome

    def environments(self, connection: StoredConnection) -> list[Instance]:
        if isinstance(self.instances, Exception):
            raise self.instances
        return self.instances

    def browser(self, person: str = "ann") -> Browser:
        """Return a browser of somebody, at an API server of its own."""
        prefix = urlsplit(self.base_url).path
        app = Starlette(routes=[Mount(f"{prefix}/dynamics", app=build_app(self.outside()))])
        browser = Browser(app, self.base_url, prefix)
        if person:
            browser.cookies.set("_token", person, domain="airflow.test", path="/")
        return browser


@dataclass
class Browser:
    """A browser that presses the buttons a page has."""

    app: Starlette
    address: str
    prefix: str = ""
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def get(self, path: str, **query: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, params=query))

    def post(self, path: str, **form: str) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, data=form))

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=self._origin, cookies=self.cookies
        ) as client:
            answer = await client.request(method, f"{self.prefix}/dynamics/{path}", **options)
        self.cookies = client.cookies
        return answer

    @property
    def _origin(self) -> str:
        return self.address.removesuffix(self.prefix) if self.prefix else self.address

    def token(self) -> str:
        """Return what the page puts into its forms."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("").text)
        assert found, "the page has no form"
        return found[1]

    def press(self, path: str, conn_id: str) -> Any:
        return self.post(path, csrf=self.token(), connection=conn_id)

    def leave(self, conn_id: str) -> dict[str, str]:
        """Press Sign in, and return what the sign-in service is asked."""
        answer = self.press("sign-in", conn_id)
        assert answer.status_code == 200, answer.text
        url = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
        assert url
        return {name: values[0] for name, values in parse_qs(urlsplit(unescape(url[1])).query).items()}

    def come_back(self, asked: Mapping[str, str], **answer: str) -> Any:
        return self.get("callback", **{"state": asked["state"], **(answer or {"code": CODE})})
