"""AD FS, with Microsoft's own library: a resource in place of a scope, MSIS errors, refresh tokens that stay."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

WEB = "https://airflow.example/dynamics/callback"


@pytest.fixture
def farm_app(emulator, web_app):
    return lambda **changes: web_app(authority=emulator.adfs_authority, **changes)


@pytest.fixture
def resource(emulator):
    return {"resource": emulator.adfs_resource}


def test_a_secret_signs_the_app_in(farm_app, wire, resource):
    result = farm_app().acquire_token_for_client([], data=resource)
    wire.token = result["access_token"]
    assert wire.who_am_i().status_code == 200


def test_a_certificate_signs_the_app_in(emulator, farm_app, wire, resource):
    credential = {"private_key": emulator.private_key_pem, "public_certificate": emulator.certificate_pem}
    result = farm_app(client_credential=credential).acquire_token_for_client([], data=resource)
    wire.token = result["access_token"]
    assert wire.who_am_i().status_code == 200


def test_a_certificate_that_is_not_registered_does_not(emulator, farm_app, resource):
    certificate, key = emulator.new_certificate(registered=False)
    credential = {"private_key": key, "public_certificate": certificate}
    result = farm_app(client_credential=credential).acquire_token_for_client([], data=resource)
    assert result["error"] == "invalid_client"
    assert result["error_description"].startswith("MSIS9622: ")


@pytest.mark.parametrize(
    ("client", "data", "error", "number"),
    [
        pytest.param({"client_credential": "wrong"}, {}, "invalid_client", "MSIS9622", id="a wrong secret"),
        pytest.param({"client_id": "nobody"}, {}, "invalid_client", "MSIS9607", id="an unknown client"),
        pytest.param(
            {}, {"resource": "https://other.example/"}, "invalid_resource", "MSIS9602", id="another resource"
        ),
        pytest.param({}, {"resource": None}, "invalid_resource", "MSIS9601", id="no resource"),
    ],
)
def test_a_refusal_has_an_msis_number_and_nothing_of_entra_s(
    farm_app, resource, *, client, data, error, number
):
    asked = {name: value for name, value in {**resource, **data}.items() if value}
    result = farm_app(**client).acquire_token_for_client([], data=asked)
    assert result["error"] == error
    assert result["error_description"].startswith(f"{number}: ")
    assert "error_codes" not in result


def test_a_resource_without_its_slash_is_another_one(emulator, farm_app):
    result = farm_app().acquire_token_for_client([], data={"resource": emulator.url})
    assert result["error_description"].startswith("MSIS9602: ")


def user_of(wire, result):
    wire.token = result["access_token"]
    return wire.who_am_i().json()["UserId"]


def user_id(emulator, name):
    return next(row["systemuserid"] for row in emulator.rows("systemuser") if row["domainname"] == name)


def test_a_refresh_token_is_redeemed_again_and_again_without_a_new_one(emulator, farm_app, wire, resource):
    token = emulator.refresh_token(emulator.other_user_name, authority_type="adfs")
    for _ in range(2):
        result = farm_app().acquire_token_by_refresh_token(token, [], data=resource)
        assert "refresh_token" not in result
        assert user_of(wire, result) == user_id(emulator, emulator.other_user_name)


@pytest.mark.parametrize(
    ("spoil", "number"),
    [
        pytest.param(lambda knobs: knobs.expire_refresh_tokens(), "MSIS9615", id="after eight hours"),
        pytest.param(lambda knobs: knobs.revoke(), "MSIS9614", id="revoked"),
    ],
)
def test_a_dead_refresh_token_says_how(emulator, farm_app, resource, spoil, number):
    token = emulator.refresh_token(authority_type="adfs")
    spoil(emulator.sign_ins)
    result = farm_app().acquire_token_by_refresh_token(token, [], data=resource)
    assert result["error"] == "invalid_grant"
    assert result["error_description"].startswith(f"{number}: ")


def test_a_refresh_token_of_entra_is_none_here(emulator, farm_app, resource):
    result = farm_app().acquire_token_by_refresh_token(emulator.refresh_token(), [], data=resource)
    assert result["error_description"].startswith("MSIS9614: ")


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_a_person_signs_in_by_password(emulator, farm_app, wire, resource, password):
    given = emulator.user_password if password == "right" else password
    result = farm_app().acquire_token_by_username_password(emulator.user_name, given, [], data=resource)
    if password == "wrong":
        assert result["error_description"] == "MSIS9659: Invalid 'username' or 'password'."
        return
    assert user_of(wire, result) == user_id(emulator, emulator.user_name)
    assert result["id_token_claims"]["upn"] == emulator.user_name
    assert result["refresh_token"]


@pytest.fixture
def flow(emulator, farm_app, resource):
    """An app with its code flow, and the address a browser is sent to."""
    emulator.redirect_uris.add(WEB)
    app = farm_app()
    started = app.initiate_auth_code_flow([], redirect_uri=WEB, response_mode="form_post")
    address = started["auth_uri"].replace("form_post", "query")
    yield app, started, f"{address}&{urlencode(resource)}"
    emulator.redirect_uris.discard(WEB)


def test_a_person_signs_in_at_the_page(emulator, browser, wire, flow):
    app, started, address = flow
    browser.open(address).submit(UserName=emulator.user_name, Password="wrong")
    assert browser.alert.startswith("Incorrect user ID or password.")
    browser.submit(UserName=emulator.user_name, Password=emulator.user_password)
    result = app.acquire_token_by_auth_code_flow(started, browser.answer)
    assert user_of(wire, result) == user_id(emulator, emulator.user_name)
    assert result["refresh_token"]
    again = app.acquire_token_by_auth_code_flow(started, browser.answer)
    assert again["error_description"].startswith("MSIS9612: ")


def test_the_helper_signs_in_without_a_browser(emulator, wire, flow):
    app, started, address = flow
    query = parse_qs(urlsplit(emulator.sign_in(address, emulator.other_user_name)).query)
    result = app.acquire_token_by_auth_code_flow(started, {name: values[0] for name, values in query.items()})
    assert user_of(wire, result) == user_id(emulator, emulator.other_user_name)


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        pytest.param("airflow.example", "evil.example", "MSIS9224", id="an unknown redirect URI"),
        pytest.param("client_id=c0ffee00", "client_id=deadbeef", "MSIS9223", id="an unknown client"),
    ],
)
def test_what_cannot_be_trusted_ends_on_an_error_page(browser, flow, old, new, number):
    browser.open(flow[2].replace(old, new))
    assert "Location" not in browser.page.headers
    assert number in browser.text


def test_an_unknown_resource_is_told_to_the_app(browser, flow):
    browser.open(flow[2].partition("&resource=")[0] + "&resource=https%3A%2F%2Fother.example%2F")
    assert browser.answer["error_description"].startswith("MSIS9602: ")


def test_what_is_not_known_is_refused_in_words(wire):
    answer = wire("POST", "/adfs/oauth2/devicecode", data={})
    assert answer.status_code == 501
    assert answer.json()["error_description"].startswith("not emulated: ")


def test_the_error_switch_is_worded_by_whoever_sets_it(emulator, farm_app, resource):
    emulator.fault("token_error", error="access_denied", message="MSIS9605: Not allowed.", status=400)
    result = farm_app().acquire_token_for_client([], data=resource)
    assert (result["error"], result["error_description"]) == ("access_denied", "MSIS9605: Not allowed.")
