"""How long a credential lasts: worked out by hand for each way of signing in, at a moment that stands still."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_provider_dynamics.auth.store import Failure, Record, fingerprint
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.connection.health import credential_health

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SEED = "0.AXoA-a-refresh-token-of-the-connection"
ROTATED = "0.AXoA-a-refresh-token-that-came-after-it"
DEAD = "AADSTS700082: the refresh token has expired. Sign in again."


def settings(auth_type="refresh_token", **extra):
    secrets = {"refresh_token": {"refresh_token": SEED}, "client_secret": {}}
    password = {"client_secret": "s3cret", "refresh_token": "s3cret"}.get(auth_type)
    return Settings.from_fields(
        host=extra.pop("host", "https://contoso.crm4.dynamics.com"),
        login=None if auth_type == "managed_identity" else "66666666-7777-8888-9999-000000000000",
        password=extra.pop("password", password),
        extra={"auth_type": auth_type, "tenant_id": "contoso.com", **secrets.get(auth_type, {}), **extra},
        allowed_authorities=["adfs.contoso.com", "id.contoso.com"],
    )


def seed_of(made, token=SEED):
    return fingerprint(token, *made.credential().identity)


def renewed(made, days_ago, **more):
    at = (NOW - days_ago * DAY).timestamp()
    return Record(1, ROTATED, seed_of(made), "ann@contoso.com", at, **more)


def health(made, record=None):
    return credential_health(made, record, NOW.timestamp())


def failed(dead=""):
    return Failure(text=DEAD, at=NOW.timestamp(), code="AADSTS700082", dead=dead)


def key_and_certificate(ends):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - 365 * DAY)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"private_key": private, "certificate": made.public_bytes(Encoding.PEM).decode()}


def test_entra_keeps_a_refresh_token_for_ninety_days_after_its_last_renewal():
    made = settings()

    found = health(made, renewed(made, days_ago=60))

    assert (found.what, found.days_since_rotation, found.days_left) == ("refresh token", 60, 30)
    assert found.expires_at == datetime(2026, 12, 22, 12, tzinfo=timezone.utc)
    assert (found.user, found.assumed, found.dead) == ("ann@contoso.com", False, False)


@pytest.mark.parametrize(("days_ago", "soon"), [(59.9, False), (60.1, True), (120, True)])
def test_it_ends_soon_when_less_than_the_days_asked_for_are_left(days_ago, soon):
    made = settings()

    assert health(made, renewed(made, days_ago)).ends_within(30) is soon


def test_a_token_that_was_never_renewed_here_has_no_known_end():
    found = health(settings(username="ann@contoso.com"))

    assert (found.what, found.days_left, found.ends_within(90)) == ("refresh token", None, False)
    assert found.user == "ann@contoso.com"
    assert "first renewal" in found.sentence


def test_ad_fs_is_taken_at_its_default_of_eight_hours_from_the_issue_and_says_so():
    made = settings(
        host="https://crm.contoso.com", authority_type="adfs", authority="https://adfs.contoso.com/adfs"
    )

    issued = (NOW - timedelta(hours=6)).timestamp()

    found = health(made, renewed(made, days_ago=0.01, issued_at=issued))

    assert found.expires_at == NOW + timedelta(hours=2)
    assert found.assumed
    assert "default" in found.sentence


def test_what_another_openid_provider_does_is_not_guessed():
    made = settings(authority_type="oidc", authority="https://id.contoso.com/tenant", tenant_id=None)

    found = health(made, renewed(made, days_ago=300))

    assert (found.days_since_rotation, found.days_left) == (300, None)


def test_a_newly_pasted_token_owes_nothing_to_the_record_of_the_old_one():
    made = settings()
    before = renewed(made, days_ago=89, failure=failed(dead=seed_of(made, ROTATED)))

    found = health(settings(refresh_token="0.AXoA-somebody-has-signed-in-again"), before)

    assert (found.days_left, found.dead, found.failure) == (None, False, None)


@pytest.mark.parametrize("token", [SEED, ROTATED], ids=["the connection's own", "one that came after it"])
def test_a_token_that_was_refused_for_good_is_dead_however_young_it_is(token):
    made = settings()

    found = health(made, renewed(made, days_ago=1, failure=failed(dead=seed_of(made, token))))

    assert found.dead
    assert found.ends_within(0)
    assert found.sentence == DEAD


def test_a_token_that_died_before_its_first_renewal_is_dead_too():
    made = settings()

    assert health(made, Record(1, failure=failed(dead=seed_of(made)))).dead


def test_a_refusal_that_was_only_noted_kills_nothing():
    made = settings()

    found = health(made, renewed(made, days_ago=1, failure=failed()))

    assert found.failure is not None
    assert not found.dead
    assert not found.ends_within(30)


def test_a_password_known_to_be_wrong_is_dead():
    made = settings("username_password", username="ann@contoso.com", user_password="hunter2!")

    found = health(made, Record(1, failure=failed(dead=seed_of(made, "hunter2!"))))

    assert (found.mode, found.what, found.dead) == ("user name and password", "", True)


def test_a_certificate_says_its_own_end():
    made = settings("certificate", **key_and_certificate(NOW + 10 * DAY))

    found = health(made)

    assert (found.what, found.days_left) == ("certificate", 10)
    assert "ends on 2026-12-02 12:00 UTC, in 10.0 days" in found.sentence


def test_a_certificate_that_has_ended_has_less_than_no_days():
    found = health(settings("certificate", **key_and_certificate(NOW - DAY)))

    assert found.days_left == -1
    assert "ended on 2026-11-21" in found.sentence


def test_a_key_that_cannot_be_read_is_an_error_of_the_connection():
    broken = {**key_and_certificate(NOW), "private_key_passphrase": "", "private_key": "/not/here.pem"}

    with pytest.raises(SettingsError, match="Private key"):
        health(settings("certificate", **broken))


def test_a_client_secret_ends_when_its_last_day_begins():
    found = health(settings("client_secret", credential_end_date="2026-12-01"))

    assert (found.what, found.days_left) == ("client secret", 8.5)


def test_a_client_secret_without_an_end_date_says_where_to_enter_it():
    found = health(settings("client_secret"))

    assert (found.days_left, found.ends_within(1000)) == (None, False)
    assert "Client secret's end date" in found.sentence


def test_an_app_keeps_its_last_failure_but_nothing_of_a_person_with_the_same_app():
    made = settings("client_secret")

    found = health(made, Record(3, ROTATED, "some seed", "ann@contoso.com", NOW.timestamp(), failed()))

    assert (found.user, found.rotated_at, found.dead) == ("", None, False)
    assert found.failure == failed()


@pytest.mark.parametrize("auth_type", ["managed_identity", "workload_identity"])
def test_an_identity_of_the_platform_does_not_end(auth_type):
    found = health(settings(auth_type))

    assert (found.what, found.days_left) == ("", None)
    assert found.sentence == f"Nothing of this connection expires by itself ({auth_type.replace('_', ' ')})."


def test_it_becomes_json_without_a_secret():
    made = settings()

    text = json.dumps(health(made, renewed(made, 60.123456, failure=failed())).to_json())

    assert json.loads(text)["days_left"] == 29.88
    assert json.loads(text)["expires_at"] == "2026-12-22T09:02:13+00:00"
    assert not [secret for secret in (SEED, ROTATED, "s3cret", seed_of(made)) if secret in text]
