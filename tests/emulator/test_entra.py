"""The token endpoint, with Microsoft's own library and by hand."""

from __future__ import annotations

import base64
import json
import time
import uuid
from urllib.parse import urlencode

import msal
import pytest
import requests

from airflow_provider_dynamics.emulator.entra import TENANT_DOMAIN, Entra
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.messages import Request

ORIGIN = "https://127.0.0.1:8765"


class NoRedirects(requests.Session):
    """What the research asks of a session given to MSAL: verify per request, redirects not followed."""

    def __init__(self, ca_bundle):
        super().__init__()
        self.ca_bundle = ca_bundle

    def request(self, *arguments, **options):
        options.update(verify=self.ca_bundle, allow_redirects=False, timeout=20)
        return super().request(*arguments, **options)


@pytest.fixture
def application(emulator):
    with NoRedirects(emulator.ca_bundle) as session:

        def build(**changes):
            options = {
                "client_id": emulator.client_id,
                "client_credential": emulator.client_secret,
                "authority": emulator.authority,
                "http_client": session,
                "instance_discovery": False,
                **changes,
            }
            return msal.ConfidentialClientApplication(**options)

        yield build


def test_msal_gets_a_token_that_the_web_api_takes(emulator, application, wire):
    result = application().acquire_token_for_client([f"{emulator.url}/.default"])
    assert result["token_type"] == "Bearer"
    assert 3500 < result["expires_in"] <= 3600
    wire.token = result["access_token"]
    assert wire.who_am_i().status_code == 200


def test_msal_takes_the_tenant_by_its_domain_name_too(emulator, application):
    app = application(authority=f"{emulator.url}/{TENANT_DOMAIN}")
    assert "access_token" in app.acquire_token_for_client([f"{emulator.url}/.default"])


def test_msal_takes_localhost_for_the_same_environment(emulator, application, wire):
    url = emulator.url.replace("127.0.0.1", "localhost")
    token = application().acquire_token_for_client([f"{url}/.default"])["access_token"]
    wire.token = token
    assert wire("GET", f"{url}/api/data/v9.2/WhoAmI").status_code == 200


def test_msal_reports_a_wrong_secret_as_entra_words_it(emulator, application):
    result = application(client_credential="wrong").acquire_token_for_client([f"{emulator.url}/.default"])
    assert result["error"] == "invalid_client"
    assert result["error_codes"] == [7000215]
    assert result["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")


def test_msal_refuses_an_unknown_tenant_while_discovering_it(emulator, application):
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        application(authority=f"{emulator.url}/{uuid.uuid4()}")


def form(entra, **changes):
    fields = {
        "grant_type": "client_credentials",
        "client_id": entra.client_id,
        "client_secret": entra.client_secret,
        "scope": f"{ORIGIN}/.default",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def post(entra, fields, tenant=None, headers=None, hit=None):
    body = urlencode(fields).encode()
    path = f"/{tenant or entra.tenant_id}/oauth2/v2.0/token"
    response = entra.handle(Request("POST", path, "", headers or {}, body, ORIGIN), hit)
    return response.status, json.loads(response.body)


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        pytest.param({"client_secret": "wrong"}, 401, "invalid_client", 7000215, id="a wrong secret"),
        pytest.param({"client_secret": None}, 401, "invalid_client", 7000218, id="no secret"),
        pytest.param(
            {"client_id": str(uuid.uuid4())}, 400, "unauthorized_client", 700016, id="an unknown client"
        ),
        pytest.param(
            {"scope": "https://other.crm.dynamics.com/.default"},
            400,
            "invalid_resource",
            500011,
            id="another environment",
        ),
        pytest.param(
            {"scope": "https://127.0.0.1:9/.default"}, 400, "invalid_resource", 500011, id="another port"
        ),
        pytest.param(
            {"scope": f"{ORIGIN}/user_impersonation"}, 400, "invalid_scope", 1002012, id="a delegated scope"
        ),
        pytest.param(
            {"scope": f"{ORIGIN}/.default https://graph.microsoft.com/.default"},
            400,
            "invalid_scope",
            70011,
            id="two resources at once",
        ),
        pytest.param({"scope": None}, 400, "invalid_request", 900144, id="no scope"),
        pytest.param({"grant_type": None}, 400, "invalid_request", 900144, id="no grant type"),
        pytest.param(
            {"grant_type": "nonsense"}, 400, "unsupported_grant_type", 70003, id="a grant that does not exist"
        ),
    ],
)
def test_a_bad_token_request_gets_entra_s_error(changes, status, error, code):
    entra = Entra()
    got, body = post(entra, form(entra, **changes))
    assert (got, body["error"], body["error_codes"]) == (status, error, [code])


@pytest.mark.parametrize(
    ("tenant", "code"),
    [
        pytest.param("contoso.onmicrosoft.com", 90002, id="a tenant that does not exist"),
        pytest.param("common", 50059, id="no tenant named"),
    ],
)
def test_the_tenant_of_the_url_must_be_this_one(tenant, code):
    entra = Entra()
    assert post(entra, form(entra), tenant)[1]["error_codes"] == [code]


def test_an_error_body_has_every_member_entra_s_has():
    entra = Entra()
    correlation = str(uuid.uuid4())
    _, body = post(entra, form(entra, client_secret="wrong"), headers={"client-request-id": correlation})
    assert list(body) == [
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    ]
    assert body["correlation_id"] == correlation
    tail = f"Trace ID: {body['trace_id']} Correlation ID: {correlation} Timestamp: {body['timestamp']}"
    assert body["error_description"].endswith(tail)


def test_the_secret_may_come_in_a_basic_authorization_header():
    entra = Entra()
    pair = base64.b64encode(f"{entra.client_id}:{entra.client_secret}".encode()).decode()
    fields = form(entra, client_id=None, client_secret=None)
    assert post(entra, fields, headers={"authorization": f"Basic {pair}"})[0] == 200


def test_a_token_is_a_jwt_that_says_who_and_for_what():
    entra = Entra()
    token = post(entra, form(entra))[1]["access_token"]
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["typ"] == "JWT"
    assert (claims["aud"], claims["tid"], claims["appid"]) == (ORIGIN, entra.tenant_id, entra.client_id)
    assert claims["exp"] - claims["iat"] == 3600
    assert signature


def test_a_token_counts_until_it_expires():
    moment = [1_000_000.0]
    entra = Entra(now=lambda: moment[0])
    token = entra.issue(ORIGIN, 60)
    assert entra.check(token, ORIGIN) is not None
    moment[0] += 61
    assert entra.check(token, ORIGIN) is None


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda token: token[:-2] + "xx", id="a changed signature"),
        pytest.param(lambda token: "e30." + token.partition(".")[2], id="a changed head"),
        pytest.param(lambda _: "nonsense", id="no token at all"),
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: Entra().issue(ORIGIN), id="a token of another emulator"),
    ],
)
def test_a_forged_token_is_not_taken(spoil):
    entra = Entra()
    assert entra.check(spoil(entra.issue(ORIGIN)), ORIGIN) is None


def test_a_token_for_another_audience_is_not_taken():
    entra = Entra()
    assert entra.check(entra.issue("https://graph.microsoft.com"), ORIGIN) is None


def test_the_lifetime_switch_shortens_tokens():
    faults = Faults()
    faults.set({"kind": "token_lifetime", "seconds": 120})
    entra = Entra(faults)
    _, body = post(entra, form(entra))
    assert body["expires_in"] == 120
    assert entra.check(body["access_token"], ORIGIN) is not None
    later = Entra(faults, now=lambda: time.time() + 200)
    later.tokens.key = entra.tokens.key
    assert later.check(body["access_token"], ORIGIN) is None


def test_an_expired_secret_is_reported_as_such():
    faults = Faults()
    faults.set({"kind": "secret_expired"})
    entra = Entra(faults)
    hit = entra.strike(Request("POST", f"/{entra.tenant_id}/oauth2/v2.0/token", "", {}, b"", ORIGIN))
    status, body = post(entra, form(entra), hit=hit)
    assert (status, body["error"], body["error_codes"]) == (401, "invalid_client", [7000222])


def test_discovery_names_this_origin_only(emulator, wire):
    document = wire("GET", f"/{emulator.tenant_id}/v2.0/.well-known/openid-configuration").json()
    assert document["issuer"] == f"{emulator.authority}/v2.0"
    assert document["token_endpoint"] == f"{emulator.authority}/oauth2/v2.0/token"
    assert all(
        value.startswith(emulator.url) for name, value in document.items() if name.endswith("_endpoint")
    )


def test_a_path_of_the_sign_in_service_that_is_not_served_says_so(emulator, wire):
    response = wire("GET", f"/{emulator.tenant_id}/oauth2/v2.0/logout")
    assert response.status_code == 501
    assert response.json()["error_description"].startswith("not emulated: ")
