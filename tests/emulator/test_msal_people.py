"""People sign in with Microsoft's own library: code with PKCE, device code, password, and refresh tokens after that."""

from __future__ import annotations

import base64
import json

import pytest

NATIVE = "http://localhost:53211"


@pytest.fixture
def web_redirect(emulator):
    uri = "https://airflow.example/dynamics/callback"
    emulator.redirect_uris.add(uri)
    yield uri
    emulator.redirect_uris.discard(uri)


@pytest.fixture
def scope(emulator):
    return [f"{emulator.url}/user_impersonation"]


def user_of(wire, result):
    wire.token = result["access_token"]
    answer = wire.who_am_i()
    assert answer.status_code == 200, answer.text
    return answer.json()["UserId"]


def user_id(emulator, name):
    found = (row for row in emulator.rows("systemuser") if row["domainname"] == name)
    return next(found)["systemuserid"]


def test_a_person_signs_in_to_the_web_app_with_code_and_pkce(
    emulator, web_app, browser, wire, *, scope, web_redirect
):
    app = web_app()
    flow = app.initiate_auth_code_flow(scope, redirect_uri=web_redirect, response_mode="form_post")
    browser.open(flow["auth_uri"]).sign_in(emulator.user_name, emulator.user_password)
    assert web_redirect in browser.text
    result = app.acquire_token_by_auth_code_flow(flow, browser.hidden)
    assert user_of(wire, result) == user_id(emulator, emulator.user_name)
    assert result["id_token_claims"]["preferred_username"] == emulator.user_name
    assert result["id_token_claims"]["aud"] == emulator.client_id
    assert result["refresh_token"]


@pytest.mark.filterwarnings("ignore:response_mode:UserWarning")
def test_a_person_signs_in_to_the_native_app_at_any_port_of_localhost(
    emulator, native_app, browser, wire, scope
):
    app = native_app()
    flow = app.initiate_auth_code_flow(scope, redirect_uri=NATIVE, login_hint=emulator.other_user_name)
    browser.open(flow["auth_uri"])
    assert f'value="{emulator.other_user_name}"' in browser.text
    browser.sign_in(emulator.other_user_name, emulator.other_user_password)
    assert browser.sent_to.startswith(NATIVE + "?")
    result = app.acquire_token_by_auth_code_flow(flow, browser.answer)
    assert user_of(wire, result) == user_id(emulator, emulator.other_user_name)
    assert app.get_accounts()[0]["username"] == emulator.other_user_name


@pytest.mark.filterwarnings("ignore:response_mode:UserWarning")
def test_the_person_s_second_factor_is_asked_for_at_the_page(emulator, native_app, browser, wire, scope):
    app = native_app()
    flow = app.initiate_auth_code_flow(scope, redirect_uri=NATIVE)
    browser.open(flow["auth_uri"]).sign_in(emulator.mfa_user_name, emulator.mfa_user_password)
    assert "Approve sign in request" in browser.text
    browser.submit(approve="yes")
    assert user_of(wire, app.acquire_token_by_auth_code_flow(flow, browser.answer))


@pytest.mark.filterwarnings("ignore:response_mode:UserWarning")
def test_someone_who_is_no_user_of_the_environment_gets_a_token_and_403(emulator, native_app, wire, scope):
    app = native_app()
    flow = app.initiate_auth_code_flow(scope, redirect_uri=NATIVE)
    sent_to = emulator.sign_in(flow["auth_uri"], emulator.outsider_name)
    code = dict(part.split("=", 1) for part in sent_to.partition("?")[2].split("&"))
    wire.token = app.acquire_token_by_auth_code_flow(flow, code)["access_token"]
    refused = wire.who_am_i()
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "0x80072560")


def test_a_person_signs_in_for_a_device(emulator, native_app, browser, wire, scope):
    app = native_app()
    flow = app.initiate_device_flow(scope)
    assert flow["user_code"] in flow["message"]
    waiting = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert (waiting["error"], waiting["error_codes"]) == ("authorization_pending", [70016])
    browser.open(flow["verification_uri"]).submit(otc="NONSENSE")
    assert browser.alert.startswith("That code didn't work.")
    browser.submit(otc=flow["user_code"].lower())
    browser.sign_in(emulator.user_name, emulator.user_password)
    assert "Are you trying to sign in to" in browser.text
    browser.submit(answer="accept")
    assert "You have signed in" in browser.text
    flow["latest_attempt_at"] = 0  # MSAL would have us wait five seconds
    result = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert user_of(wire, result) == user_id(emulator, emulator.user_name)
    assert result["refresh_token"]


@pytest.mark.parametrize(
    ("outcome", "error", "code"),
    [
        pytest.param("decline", "authorization_declined", 70018, id="declined"),
        pytest.param("expire", "expired_token", 70019, id="too late"),
        pytest.param("garble", "bad_verification_code", 70020, id="another code"),
        pytest.param("slow_down", "slow_down", 70016, id="polled too fast"),
    ],
)
def test_a_device_flow_that_ends_badly_says_why(emulator, native_app, scope, *, outcome, error, code):
    app = native_app()
    flow = app.initiate_device_flow(scope)
    if outcome == "decline":
        emulator.sign_ins.decline_device(flow["user_code"])
    elif outcome == "expire":
        emulator.sign_ins.expire_devices()
    elif outcome == "garble":
        flow["device_code"] = "garbled"
    else:
        emulator.fault("slow_down")
    result = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert (result["error"], result["error_codes"]) == (error, [code])


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["web_app", "native_app"])
def test_a_person_signs_in_by_password(request, emulator, wire, scope, kind):
    app = request.getfixturevalue(kind)()
    result = app.acquire_token_by_username_password(emulator.user_name, emulator.user_password, scope)
    assert user_of(wire, result) == user_id(emulator, emulator.user_name)


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        pytest.param("user_name", "wrong", 50126, id="a wrong password"),
        pytest.param("nobody@contoso.example", "wrong", 50034, id="an unknown user"),
        pytest.param("mfa_user_name", "mfa_user_password", 50076, id="a second factor is needed"),
    ],
)
def test_a_password_that_is_not_enough_is_refused(emulator, web_app, scope, *, user, password, code):
    user, password = getattr(emulator, user, user), getattr(emulator, password, password)
    result = web_app().acquire_token_by_username_password(user, password, scope)
    assert (result["error"], result["error_codes"]) == ("invalid_grant", [code])


def test_msal_redeems_a_refresh_token_and_keeps_its_successor(emulator, web_app, wire):
    app = web_app()
    scope = [f"{emulator.url}/.default"]
    old = emulator.refresh_token(emulator.other_user_name)
    result = app.acquire_token_by_refresh_token(old, scope)
    assert user_of(wire, result) == user_id(emulator, emulator.other_user_name)
    assert result["refresh_token"] != old
    assert result["scope"].split() == [f"{emulator.url}/user_impersonation", f"{emulator.url}/.default"]
    account = app.get_accounts()[0]
    again = app.acquire_token_silent_with_error(scope, account, force_refresh=True)
    assert user_of(wire, again) == user_id(emulator, emulator.other_user_name)
    assert "access_token" in app.acquire_token_by_refresh_token(old, scope)


def test_a_token_asked_for_with_claims_answers_a_challenge_for_people_too(emulator, web_app, wire):
    emulator.fault("claims")
    app = web_app(client_capabilities=["CP1"])
    scope = [f"{emulator.url}/.default"]
    wire.token = app.acquire_token_by_refresh_token(emulator.refresh_token(), scope)["access_token"]
    header = wire.who_am_i().headers["WWW-Authenticate"]
    challenge = base64.b64decode(header.partition('claims="')[2].partition('"')[0]).decode()
    assert "access_token" in json.loads(challenge)
    result = app.acquire_token_silent_with_error(scope, app.get_accounts()[0], claims_challenge=challenge)
    assert user_of(wire, result)


def refresh(app, emulator, token):
    return app.acquire_token_by_refresh_token(token, [f"{emulator.url}/.default"])


def test_a_one_use_token_is_dead_after_its_use_and_its_successor_lives(emulator, web_app):
    emulator.sign_ins.rotation = "one_use"
    old = emulator.refresh_token()
    new = refresh(web_app(), emulator, old)["refresh_token"]
    assert refresh(web_app(), emulator, old)["error"] == "invalid_grant"
    assert "access_token" in refresh(web_app(), emulator, new)


def test_using_an_old_token_of_a_family_revokes_them_all(emulator, web_app):
    emulator.sign_ins.rotation = "family"
    old, other = emulator.refresh_token(), emulator.refresh_token()
    new = refresh(web_app(), emulator, old)["refresh_token"]
    assert refresh(web_app(), emulator, old)["error"] == "invalid_grant"
    assert refresh(web_app(), emulator, new)["error"] == "invalid_grant"
    assert "access_token" in refresh(web_app(), emulator, other)


def test_without_rotation_no_new_token_comes(emulator, web_app):
    emulator.sign_ins.rotation = "none"
    old = emulator.refresh_token()
    assert "refresh_token" not in refresh(web_app(), emulator, old)
    assert "access_token" in refresh(web_app(), emulator, old)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(lambda emulator: emulator.sign_ins.revoke(), 50173, id="everyone's revoked"),
        pytest.param(
            lambda emulator: emulator.sign_ins.revoke(emulator.user_name), 50173, id="the person's revoked"
        ),
        pytest.param(
            lambda emulator: emulator.sign_ins.expire_refresh_tokens(), 700082, id="unused too long"
        ),
        pytest.param(
            lambda emulator: setattr(emulator.sign_ins, "consent_given", False), 65001, id="consent withdrawn"
        ),
    ],
)
def test_a_refresh_token_that_died_says_how(emulator, web_app, spoil, code):
    token = emulator.refresh_token()
    spoil(emulator)
    result = refresh(web_app(), emulator, token)
    assert (result["error"], result["error_codes"]) == ("invalid_grant", [code])


def test_another_person_s_revocation_does_no_harm(emulator, web_app):
    token = emulator.refresh_token()
    emulator.sign_ins.revoke(emulator.other_user_name)
    assert "access_token" in refresh(web_app(), emulator, token)


@pytest.mark.parametrize("garble", ["not a token", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_refresh_token_is_called_malformed(emulator, web_app, garble):
    assert refresh(web_app(), emulator, garble)["error_codes"] == [9002313]


def test_another_client_s_refresh_token_is_refused(emulator, web_app):
    token = emulator.refresh_token(client_id=emulator.public_client_id)
    assert refresh(web_app(), emulator, token)["error"] == "invalid_grant"
