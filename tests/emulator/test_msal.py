"""Applications sign in with Microsoft's own library: secret, certificate in every form, another issuer's token."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest


def app_token(app, emulator, **options):
    return app.acquire_token_for_client([f"{emulator.url}/.default"], **options)


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
def pfx(emulator, tmp_path):
    def write(passphrase):
        path = tmp_path / "app.pfx"
        path.write_bytes(base64.b64decode(emulator.pfx(passphrase)))
        return str(path)

    return write


def thumbprint(emulator):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    certificate = x509.load_pem_x509_certificate(emulator.certificate_pem.encode())
    return certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - MSAL's older form names it so


CERTIFICATES = [
    pytest.param(
        lambda emulator, _: {
            "private_key": emulator.private_key_pem,
            "public_certificate": emulator.certificate_pem,
        },
        id="PEM with its certificate, PS256 and the chain",
    ),
    pytest.param(
        lambda emulator, _: {"private_key": emulator.private_key_pem, "thumbprint": thumbprint(emulator)},
        id="PEM with a SHA-1 thumbprint, RS256",
    ),
    pytest.param(
        lambda emulator, _: {
            "private_key": emulator.encrypted_private_key_pem("open sesame"),
            "passphrase": "open sesame",
            "thumbprint": thumbprint(emulator),
        },
        id="encrypted PEM",
    ),
    pytest.param(
        lambda _, pfx: {"private_key_pfx_path": pfx("open sesame"), "passphrase": "open sesame"},
        id="PFX with a passphrase",
    ),
    pytest.param(
        lambda _, pfx: {"private_key_pfx_path": pfx(None), "public_certificate": True},
        id="PFX without a passphrase, with the chain",
    ),
]


@pytest.mark.parametrize("material", CERTIFICATES)
def test_a_certificate_signs_the_app_in(emulator, web_app, wire, pfx, material):
    result = app_token(web_app(client_credential=material(emulator, pfx)), emulator)
    assert claims_of(result["access_token"])["appidacr"] == "2"
    wire.token = result["access_token"]
    assert wire.who_am_i().status_code == 200


def test_a_second_registered_certificate_does_too(emulator, web_app):
    certificate, key = emulator.new_certificate()
    app = web_app(client_credential={"private_key": key, "public_certificate": certificate})
    assert "access_token" in app_token(app, emulator)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"registered": False}, "The key was not found.", id="not registered"),
        pytest.param({"days": -1}, "The key used is expired.", id="expired"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(emulator, web_app, options, reason):
    certificate, key = emulator.new_certificate(**options)
    app = web_app(client_credential={"private_key": key, "public_certificate": certificate})
    result = app_token(app, emulator)
    assert (result["error"], result["error_codes"]) == ("invalid_client", [700027])
    assert reason in result["error_description"]


def test_another_key_under_the_registered_certificate_s_name_is_refused(emulator, web_app):
    _, key = emulator.new_certificate(registered=False)
    app = web_app(client_credential={"private_key": key, "public_certificate": emulator.certificate_pem})
    assert app_token(app, emulator)["error_codes"] == [700027]


def test_an_expired_registration_is_reported_as_such(emulator, web_app, pfx):
    emulator.fault("certificate_expired")
    app = web_app(client_credential={"private_key_pfx_path": pfx("x"), "passphrase": "x"})
    assert app_token(app, emulator)["error_codes"] == [700027]


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["the service is ahead", "the service is behind"])
def test_an_assertion_outside_its_time_is_refused(emulator, web_app, pfx, seconds):
    emulator.sign_ins.skew(seconds)
    app = web_app(client_credential={"private_key_pfx_path": pfx("x"), "passphrase": "x"})
    result = app_token(app, emulator)
    assert (result["error"], result["error_codes"]) == ("invalid_client", [700024])
    assert "expiry time of assertion" in result["error_description"]


def test_another_issuer_s_token_signs_the_app_in(emulator, web_app, wire):
    path = Path(emulator.federated_token_file())
    app = web_app(client_credential={"client_assertion": path.read_text})
    wire.token = app_token(app, emulator)["access_token"]
    assert wire.who_am_i().status_code == 200


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"subject": "system:serviceaccount:other:one"}, 700213, id="another subject"),
        pytest.param({"issuer": "https://other.example/"}, 700211, id="another issuer"),
        pytest.param({"audience": "sts.amazonaws.com"}, 700212, id="another audience"),
        pytest.param({"lifetime": -3600}, 700024, id="expired"),
    ],
)
def test_another_issuer_s_token_that_does_not_fit_is_refused(emulator, web_app, claims, code):
    token = emulator.federated_token(**claims)
    result = app_token(web_app(client_credential={"client_assertion": lambda: token}), emulator)
    assert (result["error"], result["error_codes"]) == ("invalid_client", [code])


def test_a_forged_token_of_the_trusted_issuer_is_refused(emulator, web_app):
    head, body, _ = emulator.federated_token().split(".")
    forged = f"{head}.{body}.{'A' * 342}"
    result = app_token(web_app(client_credential={"client_assertion": lambda: forged}), emulator)
    assert result["error_codes"] == [700027]


def test_a_claims_challenge_is_answered_by_msal_s_own_parameter(emulator, web_app, wire):
    emulator.fault("claims")
    app = web_app(client_capabilities=["CP1"])
    wire.token = app_token(app, emulator)["access_token"]
    refused = wire.who_am_i()
    assert refused.status_code == 401
    encoded = refused.headers["WWW-Authenticate"].partition('claims="')[2].partition('"')[0]
    challenge = base64.b64decode(encoded).decode()
    wire.token = app_token(app, emulator, claims_challenge=challenge)["access_token"]
    assert wire.who_am_i().status_code == 200
    assert claims_of(wire.token)["xms_cc"] == ["CP1"]


def test_a_long_lived_token_comes_with_the_time_to_refresh_it(emulator, web_app):
    emulator.fault("token_lifetime", seconds=86_400)
    app = web_app()
    assert app_token(app, emulator)["expires_in"] == 86_400
    (kept,) = app.token_cache.search("AccessToken")
    assert int(kept["refresh_on"]) - int(kept["cached_at"]) == 43_200


def test_a_removed_application_user_gets_403_with_a_good_token(emulator, web_app, wire):
    wire.token = app_token(web_app(), emulator)["access_token"]
    emulator.sign_ins.application_user = False
    refused = wire.who_am_i()
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "0x80072560")
    emulator.sign_ins.application_user = True
    assert wire.who_am_i().status_code == 200


@pytest.mark.parametrize(
    ("kind", "error", "code", "suberror"),
    [
        pytest.param("consent_required", "invalid_grant", 65001, "consent_required", id="no consent"),
        pytest.param("conditional_access", "invalid_grant", 53003, "message_only", id="blocked by a policy"),
        pytest.param("mfa_required", "invalid_grant", 50076, "basic_action", id="a second factor"),
        pytest.param("password_expired", "invalid_grant", 50055, "user_password_expired", id="old password"),
        pytest.param("sign_in_frequency", "invalid_grant", 70043, "bad_token", id="sign in again"),
        pytest.param("app_disabled", "unauthorized_client", 7000112, None, id="a disabled app"),
        pytest.param("claims_needed", "interaction_required", 50158, "basic_action", id="claims"),
        pytest.param("secret_expired", "invalid_client", 7000222, None, id="an expired secret"),
    ],
)
def test_each_switch_answers_with_its_error_once(emulator, web_app, *, kind, error, code, suberror):
    emulator.fault(kind, count=1)
    result = app_token(web_app(), emulator)
    assert (result["error"], result["error_codes"], result.get("suberror")) == (error, [code], suberror)
    assert "access_token" in app_token(web_app(), emulator)


@pytest.mark.parametrize("kind", ["conditional_access", "mfa_required", "claims_needed"])
def test_a_policy_s_refusal_carries_the_claims_to_ask_for(emulator, web_app, kind):
    emulator.fault(kind)
    assert "capolids" in json.loads(app_token(web_app(), emulator)["claims"])["access_token"]


def test_a_policy_s_refusal_may_be_worded_as_interaction_required(emulator, web_app):
    emulator.fault("conditional_access", error="interaction_required")
    assert app_token(web_app(), emulator)["error"] == "interaction_required"


def test_a_switch_with_a_path_reaches_discovery_too(emulator, web_app):
    emulator.fault("token_status", path="openid-configuration", status=503, count=1)
    with pytest.raises(Exception, match=r"503|authority"):
        web_app()
    assert "access_token" in app_token(web_app(), emulator)
