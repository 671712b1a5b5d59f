"""What is asked for most often must cost next to nothing: a fresh token, and a sign-in that is known to be dead."""

from __future__ import annotations

import time

import pytest
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth import AuthenticationError, Network, RefreshToken
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.tokens import TokenCache
from benchmarks.tokens import CALLS, measure
from tests.auth.services import CLIENT, ENVIRONMENT, TENANT, FakeService, refusal

ALLOWED = 20.0  # milliseconds of processor time for all calls
MILLISECONDS = 0.05  # seconds: some milliseconds, on a machine that has other things to do


def test_a_thousand_calls_of_a_warm_get_token_take_at_most_twenty_milliseconds():
    assert CALLS == 1_000
    assert min(measure() for _ in range(5)) <= ALLOWED


def test_a_dead_sign_in_fails_in_milliseconds_and_asks_nobody(requests_mock, tmp_path):
    """The tenant is empty, too: nobody may look for it first."""
    key = Fernet.generate_key().decode()

    def another_process():
        mine = RefreshToken(
            None, CLIENT, "refresh-1", "secret", store=FileStore(tmp_path, key), cache=TokenCache()
        )
        with pytest.raises(AuthenticationError) as caught:
            mine.get_token(ENVIRONMENT, network=Network())
        return str(caught.value)

    service = FakeService(requests_mock)
    challenge = f"Bearer authorization_uri={service.url}/{TENANT}/oauth2/authorize"
    requests_mock.get(
        f"{ENVIRONMENT}/api/data/v9.2/", status_code=401, headers={"WWW-Authenticate": challenge}
    )
    service.answers(refusal("invalid_grant", "AADSTS700082: expired", error_codes=[700082]))
    first = another_process()
    assert "AADSTS700082" in first
    requests_mock.reset_mock()

    took = []
    for _ in range(5):
        began = time.monotonic()
        assert another_process() == first
        took.append(time.monotonic() - began)

    assert requests_mock.request_history == []
    assert min(took) < MILLISECONDS
