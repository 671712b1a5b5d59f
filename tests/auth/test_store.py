"""What is kept of a sign-in, under which name, and how two secrets are told apart."""

from __future__ import annotations

import re

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.store import Failure, Record, fingerprint, store_key

FAILURES = st.builds(
    Failure,
    text=st.text(),
    at=st.floats(0, 1e12),
    kind=st.sampled_from(["permanent", "needs-admin", "needs-interaction", "transient"]),
    code=st.text(),
    error=st.text(),
    message=st.text(),
    remedy=st.text(),
    correlation_id=st.none() | st.text(),
    dead=st.text(),
    probed_at=st.floats(0, 1e12),
)
RECORDS = st.builds(
    Record,
    generation=st.integers(0, 10**9),
    refresh_token=st.none() | st.text(),
    seed=st.text(),
    user=st.text(),
    rotated_at=st.none() | st.floats(0, 1e12),
    failure=st.none() | FAILURES,
    former=st.lists(st.text()).map(tuple),
)
NAMES = st.text(max_size=300)

ENVIRONMENT = "https://contoso.crm4.dynamics.com"
AUTHORITY = "https://login.microsoftonline.com"
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record):
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '"***"', '{"generation": 1}', Record().to_json().replace("seed", "sead")]
)
def test_what_is_no_record_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match=r"^not a record of a credential$") as caught:
        Record.from_json(text)
    assert caught.value.__cause__ is None


def test_a_record_does_not_show_its_token():
    assert "r3fresh" not in repr(Record(refresh_token="r3fresh"))


def test_a_failure_is_raised_again_as_it_was():
    error = AuthenticationError(
        "Sign-in failed: AADSTS700082",
        code="AADSTS700082",
        error="invalid_grant",
        message="expired",
        remedy="Sign in again",
        kind="needs-interaction",
        correlation_id="0d1a5c28",
        dead=True,
    )
    again = Failure.of(error, at=1.0, dead="fingerprint").as_error()
    assert (str(again), vars(again)) == (str(error), vars(error))


@given(NAMES, NAMES, st.none() | NAMES, st.none() | NAMES, NAMES)
def test_every_name_fits_into_every_store(environment, authority, tenant, client, user):
    key = store_key(environment, authority, tenant, client, user)
    assert re.fullmatch(r"dynamics_token\.[a-z0-9.-]+", key)
    assert len(key) + len(".failure") <= 250


def test_the_longest_name_is_also_a_files(tmp_path):
    key = store_key(f"https://{'e' * 250}", AUTHORITY, "t" * 250, "c" * 250, "u" * 250)
    store = FileStore(tmp_path, Fernet.generate_key().decode())
    with store.lock(key, 1):
        assert store.save(key, Record(1), expected=0)


def test_a_name_can_be_read():
    assert store_key(ENVIRONMENT, AUTHORITY, TENANT, CLIENT, "Anne@contoso.com").startswith(
        f"dynamics_token.contoso.crm4.dynamics.com.{TENANT}.{CLIENT}.anne-contoso.com."
    )


def test_the_same_identity_has_one_name_however_it_is_written():
    assert store_key(ENVIRONMENT, AUTHORITY, TENANT, CLIENT) == store_key(
        "https://Contoso.crm4.dynamics.com/", f"{AUTHORITY}/", TENANT.upper(), CLIENT.upper()
    )


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(("https://fabrikam.crm4.dynamics.com", AUTHORITY, TENANT, CLIENT, ""), id="environment"),
        pytest.param((ENVIRONMENT, "https://login.microsoftonline.us", TENANT, CLIENT, ""), id="authority"),
        pytest.param((ENVIRONMENT, AUTHORITY, None, CLIENT, ""), id="tenant"),
        pytest.param((ENVIRONMENT, AUTHORITY, TENANT, TENANT, ""), id="client"),
        pytest.param((ENVIRONMENT, AUTHORITY, TENANT, CLIENT, "anne"), id="user"),
    ],
)
def test_another_identity_has_another_name(changed):
    assert store_key(*changed) != store_key(ENVIRONMENT, AUTHORITY, TENANT, CLIENT)


def test_a_fingerprint_tells_secrets_and_identities_apart_and_gives_nothing_away():
    seen = {
        fingerprint("one", "a"),
        fingerprint("two", "a"),
        fingerprint("one", "b"),
        fingerprint("one", "a", "b"),
        fingerprint("one"),
    }
    assert len(seen) == 5
    assert fingerprint("one", "a") in seen
    assert all(re.fullmatch("[0-9a-f]{40}", one) for one in seen)
