"""The managed-identity endpoints, with Microsoft's own library and by hand."""

from __future__ import annotations

import msal
import pytest

PATH = "/metadata/identity/oauth2/token"


@pytest.fixture(params=["imds", "app_service"], ids=["a virtual machine", "an App Service"])
def machine(request, emulator, monkeypatch):
    for name, value in emulator.managed_identity_environment(request.param).items():
        monkeypatch.setenv(name, value)
    return request.param


def client(session, client_id=None):
    identity = (
        msal.UserAssignedManagedIdentity(client_id=client_id)
        if client_id
        else msal.SystemAssignedManagedIdentity()
    )
    return msal.ManagedIdentityClient(identity, http_client=session)


@pytest.mark.parametrize("assigned", [False, True], ids=["the machine's own", "user-assigned"])
@pytest.mark.usefixtures("machine")
def test_an_identity_gets_a_token_that_the_web_api_takes(emulator, msal_session, wire, assigned):
    chosen = emulator.managed_identity_client_id if assigned else None
    result = client(msal_session, chosen).acquire_token_for_client(resource=emulator.url)
    wire.token = result["access_token"]
    answer = wire.who_am_i()
    assert answer.status_code == 200
    rows = {row["systemuserid"]: row for row in emulator.rows("systemuser")}
    user = rows[answer.json()["UserId"]]
    assert (user["applicationid"] == emulator.managed_identity_client_id) == assigned
    assert 86_000 < result["expires_in"] <= 86_400


@pytest.mark.usefixtures("machine")
def test_an_identity_that_is_not_assigned_is_refused(emulator, msal_session):
    result = client(msal_session, "deadbeef-0000-0000-0000-000000000000").acquire_token_for_client(
        resource=emulator.url
    )
    assert "Identity not found" in result["error_description"]


@pytest.mark.usefixtures("machine")
def test_another_resource_is_refused(msal_session):
    result = client(msal_session).acquire_token_for_client(resource="https://other.example")
    assert "AADSTS500011" in result["error_description"]


def ask(wire, emulator, *, path=PATH, headers=None, **changes):
    wire.token = None
    query = {"api-version": "2018-02-01", "resource": emulator.url, **changes}
    given = {"Metadata": "true"} if headers is None else headers
    return wire("GET", path, params={name: value for name, value in query.items() if value}, headers=given)


@pytest.mark.parametrize(
    ("changes", "headers", "error"),
    [
        pytest.param({}, {}, "bad_request_102", id="no Metadata header"),
        pytest.param({}, {"Metadata": "True"}, "bad_request_102", id="the header in other letters"),
        pytest.param({"api-version": None}, None, "invalid_request", id="no api-version"),
        pytest.param({"api-version": "2017-09-01"}, None, "invalid_request", id="an old api-version"),
        pytest.param({"resource": None}, None, "invalid_request", id="no resource"),
    ],
)
def test_a_virtual_machine_s_bad_request_is_refused(emulator, wire, changes, headers, error):
    answer = ask(wire, emulator, headers=headers, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_virtual_machine_s_numbers_are_text(emulator, wire):
    body = ask(wire, emulator).json()
    assert body["expires_in"] == "86400"
    assert body["expires_on"].isdigit()
    assert body["token_type"] == "Bearer"


@pytest.mark.parametrize("status", [410, 429, 503])
def test_trouble_at_the_endpoint_is_json(emulator, wire, status):
    emulator.fault("token_status", status=status, retry_after=3)
    answer = ask(wire, emulator)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "3")
    assert set(answer.json()) == {"error", "error_description"}


def test_an_app_service_wants_its_own_header(emulator, wire):
    answer = ask(
        wire,
        emulator,
        path="/msi/token",
        headers={"X-IDENTITY-HEADER": "wrong"},
        **{"api-version": "2019-08-01"},
    )
    assert answer.status_code == 401
    assert answer.json()["statusCode"] == 401


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        pytest.param("/metadata/identity/info", {}, id="another path"),
        pytest.param(PATH, {"msi_res_id": "/subscriptions/x"}, id="another way to choose an identity"),
    ],
)
def test_what_is_not_known_is_refused_in_words(emulator, wire, path, changes):
    answer = ask(wire, emulator, path=path, **changes)
    assert answer.status_code == 501
    assert answer.json()["error_description"].startswith("not emulated: ")


def test_the_header_of_an_app_service_is_not_recorded(emulator, wire):
    secret = emulator.managed_identity_environment("app_service")["IDENTITY_HEADER"]
    ask(wire, emulator, path="/msi/token", headers={"X-IDENTITY-HEADER": secret})
    assert secret not in str([one.as_dict() for one in emulator.requests])


def test_an_unknown_machine_is_an_error(emulator):
    with pytest.raises(ValueError, match="imds, app_service"):
        emulator.managed_identity_environment("toaster")
