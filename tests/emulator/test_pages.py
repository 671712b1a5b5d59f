"""The pages a person sees, driven through their own HTML; wrong addresses never get an answer."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

import pytest

from airflow_provider_dynamics.emulator.entra import jwt

WEB = "https://airflow.example/dynamics/callback"
VERIFIER = "a" * 64


@pytest.fixture
def authorize(emulator):
    """The address of an authorization request of the Web app, with changes; None leaves a member out."""
    emulator.redirect_uris.add(WEB)

    def address(tenant=None, **changes):
        members = {
            "client_id": emulator.client_id,
            "response_type": "code",
            "redirect_uri": WEB,
            "scope": f"{emulator.url}/.default openid profile offline_access",
            "state": "a state/with &=?",
            "code_challenge": jwt.encode(hashlib.sha256(VERIFIER.encode()).digest()),
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({name: value for name, value in members.items() if value is not None})
        return f"{emulator.url}/{tenant or emulator.tenant_id}/oauth2/v2.0/authorize?{query}"

    yield address
    emulator.redirect_uris.discard(WEB)


@pytest.fixture
def redeem(emulator, wire):
    wire.token = None

    def post(code, **changes):
        form = {
            "grant_type": "authorization_code",
            "client_id": emulator.client_id,
            "client_secret": emulator.client_secret,
            "redirect_uri": WEB,
            "code": code,
            "code_verifier": VERIFIER,
            **changes,
        }
        return wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/token", data=form)

    return post


def sign_in(browser, emulator):
    return browser.sign_in(emulator.user_name, emulator.user_password)


def test_a_sign_in_ends_at_the_redirect_uri_with_code_and_state(emulator, browser, authorize, redeem):
    answer = sign_in(browser.open(authorize()), emulator).answer
    assert browser.sent_to.startswith(WEB + "?")
    assert answer["state"] == "a state/with &=?"
    body = redeem(answer["code"]).json()
    assert {"access_token", "refresh_token", "id_token"} <= set(body)


def test_the_answer_may_come_in_the_fragment(emulator, browser, authorize):
    sign_in(browser.open(authorize(response_mode="fragment")), emulator)
    assert browser.sent_to.startswith(WEB + "#code=")


@pytest.mark.parametrize("tenant", ["common", "organizations", "emulator.onmicrosoft.com"])
def test_the_tenant_may_be_named_in_other_ways(emulator, browser, authorize, tenant):
    assert "code" in sign_in(browser.open(authorize(tenant)), emulator).answer


def test_a_wrong_password_shows_the_page_again_and_the_next_try_counts(emulator, browser, authorize):
    browser.open(authorize()).sign_in(emulator.user_name, "wrong")
    assert browser.alert.startswith("Your account or password is incorrect.")
    assert emulator.user_name in browser.text
    assert "code" in sign_in(browser, emulator).answer


def test_an_unknown_name_is_told_apart(browser, authorize):
    browser.open(authorize()).sign_in("nobody@contoso.example", "x")
    assert browser.alert.startswith("This username may be incorrect.")


def test_what_was_typed_is_shown_as_text(browser, authorize):
    browser.open(authorize()).sign_in('"><script>alert(1)</script>', "x")
    assert "<script>" not in browser.page.text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"redirect_uri": "https://evil.example/"}, "AADSTS50011", id="an unknown redirect URI"),
        pytest.param({"redirect_uri": WEB + "/"}, "AADSTS50011", id="one slash more"),
        pytest.param({"redirect_uri": WEB.upper()}, "AADSTS50011", id="other letters"),
        pytest.param({"redirect_uri": "http://localhost:9/"}, "AADSTS50011", id="localhost for a Web app"),
        pytest.param({"client_id": "c0ffee00-0000-0000-0000-000000000000"}, "AADSTS700016", id="no such app"),
        pytest.param({"client_id": None}, "AADSTS900144", id="no app"),
    ],
)
def test_what_cannot_be_trusted_ends_on_an_error_page(browser, authorize, changes, code):
    browser.open(authorize(**changes))
    assert "Location" not in browser.page.headers
    assert code in browser.text
    assert "loginfmt" not in browser.text


def test_an_unknown_tenant_ends_on_an_error_page(browser, authorize):
    assert "AADSTS90002" in browser.open(authorize("other.onmicrosoft.com")).text


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        pytest.param("http://localhost", True, id="as registered"),
        pytest.param("http://localhost:8400", True, id="any port"),
        pytest.param("http://localhost:8400/", True, id="any port, with a slash"),
        pytest.param("http://localhost:8400/other", False, id="another path"),
        pytest.param("http://127.0.0.1:8400", False, id="another name of this machine"),
        pytest.param("https://localhost:8400", False, id="https"),
        pytest.param("http://localhost:nonsense", False, id="no port at all"),
    ],
)
def test_the_native_app_s_localhost_has_any_port(emulator, browser, authorize, uri, allowed):
    browser.open(authorize(client_id=emulator.public_client_id, redirect_uri=uri))
    assert ("loginfmt" in browser.text) == allowed


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"scope": None}, "invalid_request", id="no scope"),
        pytest.param(
            {"scope": "https://other.example/.default"}, "invalid_resource", id="another environment"
        ),
        pytest.param({"prompt": "none"}, "login_required", id="nobody is signed in"),
        pytest.param({"prompt": "nonsense"}, "invalid_request", id="an unknown prompt"),
        pytest.param({"code_challenge_method": "S1"}, "invalid_request", id="an unknown challenge"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_to_the_app(browser, authorize, changes, error):
    browser.open(authorize(**changes))
    assert browser.answer["error"] == error
    assert browser.answer["error_description"].startswith("AADSTS")
    assert browser.answer["state"] == "a state/with &=?"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"response_type": "id_token"}, id="implicit flow"),
        pytest.param({"scope": "openid User.Read"}, id="Microsoft Graph"),
        pytest.param({"redirect_uri": None}, id="no redirect URI"),
    ],
)
def test_what_is_not_known_is_refused_in_words(browser, authorize, changes):
    browser.open(authorize(**changes))
    assert browser.status == 501
    assert browser.page.json()["error_description"].startswith("not emulated: ")


def test_consent_is_asked_for_and_may_be_given(emulator, browser, authorize, redeem):
    sign_in(browser.open(authorize(prompt="consent")), emulator)
    assert "Permissions requested" in browser.text
    assert ">Accept</button>" in browser.text
    assert ">Cancel</button>" in browser.text
    code = browser.submit(answer="accept").answer["code"]
    assert redeem(code).status_code == 200


def test_consent_may_be_denied(emulator, browser, authorize):
    sign_in(browser.open(authorize(prompt="consent")), emulator).submit(answer="cancel")
    assert browser.answer["error"] == "access_denied"
    assert browser.answer["error_description"].startswith("AADSTS65004: ")
    assert browser.answer["state"] == "a state/with &=?"


def test_withdrawn_consent_is_asked_for_again_once(emulator, browser, authorize):
    emulator.sign_ins.consent_given = False
    sign_in(browser.open(authorize()), emulator)
    assert "code" in browser.submit(answer="accept").answer
    assert "code" in sign_in(browser.open(authorize()), emulator).answer


def test_consent_cannot_be_given_without_signing_in(emulator, browser, authorize):
    browser.open(authorize(prompt="consent"))
    ctx = browser.hidden["ctx"]
    address = f"{emulator.url}/{emulator.tenant_id}/consent"
    answer = browser.session.post(
        address, data={"ctx": ctx, "answer": "accept"}, verify=emulator.ca_bundle, timeout=20
    )
    assert "loginfmt" in answer.text


def test_a_finished_page_cannot_be_sent_again(emulator, browser, authorize):
    browser.open(authorize())
    first = browser.page
    sign_in(browser, emulator)
    browser.page = first
    assert "AADSTS50089" in sign_in(browser, emulator).text


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        pytest.param({"code_verifier": "b" * 64}, "invalid_grant", 501481, id="another verifier"),
        pytest.param({"code_verifier": ""}, "invalid_grant", 501481, id="no verifier"),
        pytest.param({"redirect_uri": WEB + "x"}, "invalid_client", 500112, id="another redirect URI"),
        pytest.param({"code": "garbled"}, "invalid_grant", 9002313, id="no such code"),
        pytest.param({"client_secret": "wrong"}, "invalid_client", 7000215, id="a wrong secret"),
    ],
)
def test_a_code_is_redeemed_by_whom_it_is_for_only(
    emulator, browser, authorize, redeem, *, changes, error, code
):
    answer = sign_in(browser.open(authorize()), emulator).answer
    body = redeem(**{"code": answer["code"], **changes}).json()
    assert (body["error"], body["error_codes"]) == (error, [code])


def test_a_code_is_redeemed_once(emulator, browser, authorize, redeem):
    code = sign_in(browser.open(authorize()), emulator).answer["code"]
    assert redeem(code).status_code == 200
    assert redeem(code).json()["error_codes"] == [54005]


def test_a_code_ends_after_ten_minutes(emulator, browser, authorize, redeem):
    code = sign_in(browser.open(authorize()), emulator).answer["code"]
    emulator.sign_ins.skew(601)
    assert redeem(code).json()["error_codes"] == [70008]


def admin_consent(emulator, version, **changes):
    members = {"client_id": emulator.client_id, "redirect_uri": WEB, "state": "12345", **changes}
    return f"{emulator.url}/{emulator.tenant_id}{version}/adminconsent?{urlencode(members)}"


@pytest.mark.parametrize("version", ["", "/v2.0"])
@pytest.mark.usefixtures("authorize")
def test_an_administrator_consents_for_everyone(emulator, browser, version):
    emulator.sign_ins.consent_given = False
    sign_in(browser.open(admin_consent(emulator, version)), emulator).submit(answer="accept")
    assert browser.answer == {"admin_consent": "True", "tenant": emulator.tenant_id, "state": "12345"}
    assert emulator.sign_ins.consent_given


@pytest.mark.usefixtures("authorize")
def test_an_administrator_may_decline(emulator, browser):
    sign_in(browser.open(admin_consent(emulator, "")), emulator).submit(answer="cancel")
    assert browser.answer["error"] == "consent_required"


@pytest.mark.usefixtures("authorize")
def test_only_an_administrator_consents_for_everyone(emulator, browser):
    browser.open(admin_consent(emulator, "/v2.0"))
    browser.sign_in(emulator.other_user_name, emulator.other_user_password)
    assert "AADSTS90094" in browser.text
    assert "Accept" not in browser.text


def test_the_helper_signs_in_without_a_browser(emulator, authorize):
    assert emulator.sign_in(authorize()).startswith(WEB + "?code=")
    assert "error=access_denied" in emulator.sign_in(authorize(prompt="consent"), accept=False)
    assert "code=" in emulator.sign_in(authorize(), emulator.mfa_user_name)
    with pytest.raises(ValueError, match="AADSTS50011"):
        emulator.sign_in(authorize(redirect_uri="https://evil.example/"))
