"""What the emulator's own tests share: plain requests over the wire, with a good token."""

from __future__ import annotations

import msal
import pytest
import requests

from airflow_provider_dynamics.emulator import Emulator
from tests.emulator.clients import Browser, MsalSession

API = "/api/data/v9.2"


class Wire:
    """A requests session against the running emulator; ``verify`` is passed per request, as clients should."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.token: str | None = emulator.access_token()

    def __call__(self, method: str, path: str, **options) -> requests.Response:
        headers = {"Accept": "application/json", **options.pop("headers", {})}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        url = path if path.startswith("https://") else self.emulator.url + path
        return self.session.request(
            method, url, headers=headers, verify=self.emulator.ca_bundle, timeout=20, **options
        )

    def get(self, path: str, **options) -> requests.Response:
        return self("GET", API + path, **options)

    def who_am_i(self, **options) -> requests.Response:
        return self.get("/WhoAmI", **options)


@pytest.fixture
def wire_to():
    """Build a `Wire` to any running emulator."""
    made = []

    def build(emulator: Emulator) -> Wire:
        made.append(Wire(emulator))
        return made[-1]

    yield build
    for wire in made:
        wire.session.close()


@pytest.fixture
def wire(emulator: Emulator, wire_to):
    return wire_to(emulator)


@pytest.fixture
def msal_session(emulator):
    with MsalSession(emulator) as session:
        yield session


@pytest.fixture
def browser(emulator):
    opened = Browser(emulator)
    yield opened
    opened.session.close()


@pytest.fixture
def web_app(emulator, msal_session):
    """Build MSAL's confidential client."""

    def build(**changes):
        options = {
            "client_id": emulator.client_id,
            "client_credential": emulator.client_secret,
            "authority": emulator.authority,
            "http_client": msal_session,
            "instance_discovery": False,
            **changes,
        }
        return msal.ConfidentialClientApplication(**options)

    return build


@pytest.fixture
def native_app(emulator, msal_session):
    """Build MSAL's public client."""

    def build(**changes):
        options = {
            "client_id": emulator.public_client_id,
            "authority": emulator.authority,
            "http_client": msal_session,
            "instance_discovery": False,
            **changes,
        }
        return msal.PublicClientApplication(**options)

    return build
