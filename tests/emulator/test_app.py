"""The front door: tokens, headers, compression, the record of requests, and the control paths."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.web_api import WebApi
from airflow_provider_dynamics.emulator.wire.app import App


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="no token"),
        pytest.param("Bearer nonsense", id="an unknown token"),
        pytest.param("Basic dXNlcjpwYXNz", id="another scheme"),
        pytest.param("expired", id="an expired token"),
        pytest.param("elsewhere", id="a token for another audience"),
    ],
)
def test_without_a_good_token_the_answer_is_401_with_the_way_to_sign_in_and_no_json(emulator, wire, header):
    made = {
        "expired": f"Bearer {emulator.access_token(lifetime=-1)}",
        "elsewhere": f"Bearer {emulator._entra.issue('https://graph.microsoft.com')}",
    }
    wire.token = None
    header = made.get(header, header)
    response = wire.who_am_i(headers={"Authorization": header} if header else {})
    assert (response.status_code, response.content) == (401, b"")
    assert response.headers["WWW-Authenticate"] == (
        f"Bearer authorization_uri={emulator.authority}/oauth2/authorize, resource_id={emulator.url}/"
    )


def test_who_am_i_names_user_business_unit_and_organization(wire):
    body = wire.who_am_i().json()
    assert set(body) == {"@odata.context", "BusinessUnitId", "UserId", "OrganizationId"}


def raw_headers(response):
    return [(name.lower(), value) for name, value in response.raw.headers.items()]


def test_the_headers_dataverse_sends_come_with_every_answer(wire):
    sent = raw_headers(wire.who_am_i())
    names = [name for name, _ in sent]
    assert names.count("x-ms-service-request-id") == 2
    assert names.count("x-source") == 2
    cookies = [value for name, value in sent if name == "set-cookie"]
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "ARRAffinity",
        "ReqClientId",
        "orgId",
        "ARRAffinity",
    ]
    headers = dict(sent)
    assert headers["odata-version"] == "4.0"
    assert headers["x-ms-ratelimit-time-remaining-xrm-requests"].startswith("1,1") or headers[
        "x-ms-ratelimit-time-remaining-xrm-requests"
    ].startswith("1,200.00")
    assert int(headers["x-ms-ratelimit-burst-remaining-xrm-requests"]) < 6000
    assert int(headers["x-ms-dop-hint"]) > 0
    assert headers["req_id"] in [value for name, value in sent if name == "x-ms-service-request-id"]


def test_a_refusal_carries_them_too(wire):
    response = wire.get("/nonsense")
    assert response.status_code >= 400
    assert response.headers["x-ms-service-request-id"]


def test_a_big_body_is_compressed_when_asked_for_and_not_otherwise(wire):
    plain = wire.get("/accounts", headers={"Accept-Encoding": "identity"})
    zipped = wire.get("/accounts", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    packed = zipped.raw.read(decode_content=False)
    assert len(packed) < len(plain.content)
    assert json.loads(gzip.decompress(packed))["value"] == plain.json()["value"]


def test_a_small_body_is_not_worth_compressing(wire):
    assert "Content-Encoding" not in wire.who_am_i(headers={"Accept-Encoding": "gzip"}).headers


def test_a_url_of_more_than_32_kilobytes_is_turned_away(wire):
    assert wire.get(f"/accounts?$select=name&$filter=name ne '{'x' * 33_000}'").status_code == 414


def test_links_name_the_host_the_client_asked(emulator, wire):
    local = emulator.url.replace("127.0.0.1", "localhost")
    body = wire("GET", f"{local}/api/data/v9.2/WhoAmI").json()
    assert body["@odata.context"].startswith(f"{local}/api/data/v9.2/$metadata#")


def test_requests_are_recorded_without_the_token(emulator, wire):
    emulator.reset()
    wire.get("/accounts?$select=name&$top=1", headers={"Prefer": "odata.maxpagesize=2"})
    wire("POST", "/api/data/v9.2/accounts", json={"name": "A"})
    read, written = emulator.requests
    assert (read.method, read.path, read.status) == ("GET", "/api/data/v9.2/accounts", 200)
    assert "top=1" in read.query
    assert read.headers["prefer"] == "odata.maxpagesize=2"
    assert (written.method, written.status, written.body_size) == ("POST", 204, len(b'{"name": "A"}'))
    assert wire.token not in json.dumps([one.as_dict() for one in emulator.requests])


def test_a_token_request_is_recorded_without_its_secret(emulator, wire):
    emulator.reset()
    wire.token = None
    wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/token", data={"client_secret": emulator.client_secret})
    recorded = wire("GET", "/_emulator/requests").json()
    assert [one["path"] for one in recorded] == [f"/{emulator.tenant_id}/oauth2/v2.0/token"]
    assert emulator.client_secret not in json.dumps(recorded)


def test_rows_can_be_read_and_reset_out_of_band(emulator, wire):
    before = wire("GET", "/_emulator/rows/account").json()
    wire("POST", "/api/data/v9.2/accounts", json={"name": "One more"})
    assert len(wire("GET", "/_emulator/rows/account").json()) == len(before) + 1
    wire("POST", "/_emulator/reset")
    assert wire("GET", "/_emulator/rows/account").json() == before == emulator.rows("account")


def test_the_tables_can_be_filled_anew_out_of_band(emulator, wire):
    wire("POST", "/_emulator/seed", json={"seed": None, "rows": {"account": 7}})
    assert len(emulator.rows("account")) == 7
    wire("POST", "/_emulator/seed", json={"seed": "sample"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/_emulator/nonsense", 404, id="an unknown control"),
        pytest.param("POST", "/_emulator/faults", 400, id="a fault without a kind"),
    ],
)
def test_a_wrong_control_request_is_answered_in_words(wire, method, path, status):
    response = wire(method, path)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize(
    "body", ["[1]", "7", "[]", "{", '{"rows": 7}', '{"latency": []}', '{"aggregate": "x"}']
)
@pytest.mark.parametrize("control", ["seed", "settings", "query_limits", "expire_delta_tokens", "sign_ins"])
def test_a_control_request_of_the_wrong_form_never_breaks_the_emulator(wire, control, body):
    response = wire("POST", f"/_emulator/{control}", data=body)
    assert response.status_code in {200, 400}
    response.json()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/api/data/v8.2/accounts", id="an old version"),
        pytest.param("/api/search/v2.0/query", id="search"),
        pytest.param("/favicon.ico", id="anything else"),
    ],
)
def test_what_is_not_served_says_not_emulated(wire, path):
    response = wire("GET", path)
    assert response.status_code == 501
    assert response.json()["error"]["message"].startswith("not emulated: ")


class Broken(WebApi):
    """A data side with a programming error."""

    def handle(self, request):
        raise ZeroDivisionError


def test_a_mistake_of_the_emulator_is_a_500_and_a_logged_traceback(caplog):
    import asyncio

    entra = Entra()
    app = App(Broken(None), Faults(), entra)
    token = entra.issue("https://127.0.0.1:1")
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "raw_path": b"/api/data/v9.2/accounts",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:1"), (b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 1),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    with caplog.at_level(logging.ERROR):
        asyncio.run(app(scope, receive, send))
    app.close()
    assert sent[0]["status"] == 500
    assert "ZeroDivisionError" in caplog.text


def test_the_connection_for_airflow_is_an_environment_variable_with_everything_in_it(emulator):
    ((name, value),) = emulator.airflow_connection("crm").items()
    assert name == "AIRFLOW_CONN_CRM"
    assert json.loads(value) == {
        "conn_type": "dynamics",
        "host": emulator.url,
        "login": emulator.client_id,
        "password": emulator.client_secret,
        "extra": {
            "tenant_id": emulator.tenant_id,
            "authority": f"{emulator.url}/{emulator.tenant_id}",
            "ca_bundle": emulator.ca_bundle,
        },
    }
