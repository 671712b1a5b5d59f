"""The token endpoint grant by grant, by hand: what comes back, and what each refusal is."""

from __future__ import annotations

import base64
import json

import jwt
import pytest

from airflow_provider_dynamics.emulator.entra.clients import ASSERTION_TYPE

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def post(emulator, wire):
    """Post to the token endpoint; None leaves a field out."""
    wire.token = None

    def send(tenant=None, **changes):
        form = {"client_id": emulator.client_id, "client_secret": emulator.client_secret, **changes}
        fields = {name: value for name, value in form.items() if value is not None}
        return wire("POST", f"/{tenant or emulator.tenant_id}/oauth2/v2.0/token", data=fields)

    return send


@pytest.fixture
def by_password(emulator, post):
    def send(**changes):
        form = {
            "grant_type": "password",
            "username": emulator.user_name,
            "password": emulator.user_password,
            "scope": f"{emulator.url}/.default openid profile offline_access",
            "client_info": "1",
            **changes,
        }
        return post(**form)

    return send


def test_a_person_s_answer_has_what_entra_s_has(emulator, by_password):
    body = by_password().json()
    assert list(body) == [
        "token_type",
        "scope",
        "expires_in",
        "ext_expires_in",
        "access_token",
        "refresh_token",
        "id_token",
        "client_info",
    ]
    info = json.loads(base64.urlsafe_b64decode(body["client_info"] + "=="))
    assert info["utid"] == emulator.tenant_id


def test_an_id_token_can_be_checked_with_the_published_keys(emulator, wire, by_password):
    token = by_password().json()["id_token"]
    keys = jwt.PyJWKSet.from_dict(wire("GET", f"/{emulator.tenant_id}/discovery/v2.0/keys").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    issuer = f"{emulator.authority}/v2.0"
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=emulator.client_id, issuer=issuer)
    assert claims["preferred_username"] == emulator.user_name
    assert claims["tid"] == emulator.tenant_id


@pytest.mark.parametrize(
    ("left_out", "member"),
    [
        pytest.param("offline_access", "refresh_token", id="no refresh token"),
        pytest.param("openid", "id_token", id="no ID token"),
    ],
)
def test_what_the_scope_does_not_ask_for_does_not_come(emulator, by_password, left_out, member):
    words = {"openid", "profile", "offline_access"} - {left_out}
    assert member not in by_password(scope=" ".join([f"{emulator.url}/user_impersonation", *words])).json()


def test_an_app_s_answer_has_no_refresh_token(emulator, post):
    body = post(grant_type="client_credentials", scope=f"{emulator.url}/.default").json()
    assert list(body) == ["token_type", "expires_in", "ext_expires_in", "access_token"]


def test_a_refresh_may_leave_out_the_scope(emulator, post):
    body = post(grant_type="refresh_token", refresh_token=emulator.refresh_token()).json()
    assert f"{emulator.url}/.default" in body["scope"]


@pytest.mark.parametrize(
    ("tenant", "code"),
    [
        pytest.param("common", 9001023, id="common"),
        pytest.param("consumers", 9001023, id="consumers"),
        pytest.param("organizations", None, id="organizations"),
    ],
)
def test_a_password_is_taken_where_the_grant_is_allowed(by_password, tenant, code):
    body = by_password(tenant=tenant).json()
    assert body.get("error_codes") == (None if code is None else [code])


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        pytest.param({"scope": "https://other.example/.default"}, "invalid_resource", 500011, id="elsewhere"),
        pytest.param({"scope": "{url}/read_all"}, "invalid_grant", 65005, id="an unknown permission"),
        pytest.param(
            {"scope": "{url}/.default {url}/user_impersonation"}, "invalid_scope", 70011, id="a mixture"
        ),
        pytest.param(
            {"scope": "{url}/.default https://other.example/.default"},
            "invalid_request",
            28000,
            id="two resources",
        ),
        pytest.param({"scope": None}, "invalid_request", 900144, id="no scope"),
        pytest.param({"username": None}, "invalid_request", 900144, id="no user name"),
        pytest.param({"client_secret": None}, "invalid_client", 7000218, id="no secret"),
        pytest.param({"claims": "not JSON"}, "invalid_request", 9002313, id="claims that are none"),
    ],
)
def test_a_bad_request_gets_its_error(emulator, by_password, changes, error, code):
    given = {name: value and value.format(url=emulator.url) for name, value in changes.items()}
    body = by_password(**given).json()
    assert (body["error"], body["error_codes"]) == (error, [code])


def test_a_public_client_must_not_send_a_secret(emulator, by_password):
    refused = by_password(client_id=emulator.public_client_id)
    assert (refused.status_code, refused.json()["error_codes"]) == (401, [700025])
    assert by_password(client_id=emulator.public_client_id, client_secret=None).status_code == 200


def test_a_public_client_has_no_token_of_its_own(emulator, post):
    body = post(
        grant_type="client_credentials",
        client_id=emulator.public_client_id,
        client_secret=None,
        scope=f"{emulator.url}/.default",
    ).json()
    assert body["error_codes"] == [7000218]


@pytest.mark.parametrize(
    ("assertion", "kind", "code"),
    [
        pytest.param("not a JWT", ASSERTION_TYPE, 50027, id="no JWT"),
        pytest.param("e30.e30.e30", None, 900144, id="no assertion type"),
    ],
)
def test_an_assertion_that_is_none_is_refused(emulator, post, assertion, kind, code):
    body = post(
        grant_type="client_credentials",
        scope=f"{emulator.url}/.default",
        client_secret=None,
        client_assertion=assertion,
        client_assertion_type=kind,
    ).json()
    assert body["error_codes"] == [code]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"aud": "https://login.example/token"}, 700023, id="another audience"),
        pytest.param({"sub": "someone else"}, 700021, id="another subject"),
        pytest.param({"exp": None}, 50027, id="no expiry"),
    ],
)
def test_an_assertion_s_claims_are_checked(emulator, post, claims, code):
    from airflow_provider_dynamics.emulator.entra.keys import application_key

    address = f"{emulator.authority}/oauth2/v2.0/token"
    made = {"iss": emulator.client_id, "sub": emulator.client_id, "aud": address, "exp": 4_000_000_000}
    payload = {name: value for name, value in {**made, **claims}.items() if value is not None}
    header = {"x5t#S256": application_key().thumbprint("x5t#S256")}
    assertion = jwt.encode(payload, emulator.private_key_pem, algorithm="PS256", headers=header)
    body = post(
        grant_type="client_credentials",
        scope=f"{emulator.url}/.default",
        client_secret=None,
        client_assertion=assertion,
        client_assertion_type=ASSERTION_TYPE,
    ).json()
    assert body["error_codes"] == [code]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"scope": "User.Read"}, id="Microsoft Graph"),
        pytest.param({"scope": "openid profile"}, id="no resource"),
        pytest.param({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, id="on behalf of"),
    ],
)
def test_what_is_not_known_is_refused_in_words(by_password, changes):
    answer = by_password(**changes)
    assert answer.status_code == 501
    assert answer.json()["error_description"].startswith("not emulated: ")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("alex.reed@contoso.example", "Managed"), ("someone@elsewhere.example", "Unknown")],
    ids=["a name of the tenant", "another name"],
)
def test_a_user_name_s_realm_can_be_asked_for(wire, name, kind):
    assert wire("GET", f"/common/UserRealm/{name}?api-version=1.0").json()["account_type"] == kind


def test_a_device_s_code_is_for_one_client_and_one_use(emulator, wire, post):
    form = {"client_id": emulator.public_client_id, "scope": f"{emulator.url}/user_impersonation"}
    flow = wire("POST", "/organizations/oauth2/v2.0/devicecode", data=form).json()
    emulator.sign_ins.approve_device(flow["user_code"])
    asked = {"grant_type": DEVICE, "device_code": flow["device_code"]}
    assert post(**asked).json()["error"] == "bad_verification_code"
    asked |= {"client_id": emulator.public_client_id, "client_secret": None}
    assert post(**asked).status_code == 200
    assert post(**asked).json()["error"] == "bad_verification_code"
