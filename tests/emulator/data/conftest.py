"""The emulator's data side in process: requests go straight into `WebApi.handle`, no wire, no tokens."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import msgspec
import pytest

from airflow_provider_dynamics.emulator.messages import Request
from airflow_provider_dynamics.emulator.web_api import WebApi

ORIGIN = "https://127.0.0.1:8765"
NOON = datetime(2025, 6, 15, 12, 0, tzinfo=timezone.utc)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Answer:
    """A response with its JSON read."""

    def __init__(self, response):
        self.status = response.status
        self.headers = dict(response.headers)
        self.content = response.body

    @property
    def json(self):
        return msgspec.json.decode(self.content)

    @property
    def rows(self):
        return self.json["value"]

    @property
    def error(self):
        return self.json["error"]["code"]

    @property
    def message(self):
        return self.json["error"]["message"]

    @property
    def entity_id(self):
        return self.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")


class Service:
    """A `WebApi` and a clock that stands still until moved."""

    def __init__(self, seed, rows=None):
        self.now = NOON
        self.api = WebApi(seed, rows, now=lambda: self.now)

    def wait(self, **span):
        self.now += timedelta(**span)

    def __call__(self, method, path, body=None, **headers):
        content = _ENCODER.encode(body) if body is not None else b""
        return self.send(method, path, content, **headers)

    def send(self, method, path, content, **headers):
        path, _, query = path.removeprefix(f"{ORIGIN}/api/data/v9.2/").partition("?")
        request = Request(
            method=method,
            path="/api/data/v9.2/" + quote(path, safe="()='$,/@%"),
            query=query.replace(" ", "%20"),
            headers={name.replace("_", "-").lower(): value for name, value in headers.items()},
            body=content,
            origin=ORIGIN,
        )
        return Answer(self.api.handle(request))

    def get(self, path, **headers):
        return self("GET", path, **headers)

    def make(self, entity_set, **row):
        """Create a row and return its id; a state other than the first comes afterwards, as it must."""
        closed = "statecode" in row
        later = {name: row.pop(name) for name in ("statecode", "statuscode") if closed and name in row}
        made = self("POST", entity_set, row)
        assert made.status == 204, made.content
        if later:
            changed = self("PATCH", f"{entity_set}({made.entity_id})", later)
            assert changed.status == 204, changed.content
        return made.entity_id

    def pages(self, path, **headers):
        """Every page, following the links as they are."""
        while path:
            answer = self.get(path, **headers)
            assert answer.status == 200, answer.content
            yield answer.json
            path = answer.json.get("@odata.nextLink")


@pytest.fixture(scope="session")
def shared_sample():
    return Service("sample")


@pytest.fixture
def sample(shared_sample):
    """The sample company, for tests that only read."""
    return shared_sample


@pytest.fixture
def empty():
    """An environment of its own without business data, for tests that write."""
    return Service("empty")


@pytest.fixture(scope="session")
def grown():
    """6,200 shipments, for tests that only read."""
    return Service("empty", {"contoso_shipment": 6200})


@pytest.fixture(scope="module")
def module_service():
    """An environment of a module's own."""
    return Service("empty")
