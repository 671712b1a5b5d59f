"""A sign-in service that is away for ninety seconds, in every way that it can be, costs a task nothing but the time."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError, Authority, ClientSecret, RefreshToken
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import TokenCache
from airflow_provider_dynamics.dataverse import Client
from tests.dataverse.conftest import FakeClock

OUTAGE = 90.0  # seconds
DISCOVERY = "openid-configuration"
OUTAGES = {
    "a gateway's page": {"kind": "token_status", "status": 503},
    "a gateway's page from the start": {"kind": "token_status", "status": 502, "path": DISCOVERY},
    "connections that break off": {"kind": "token_reset"},
    "connections that break off from the start": {"kind": "token_reset", "path": DISCOVERY},
    "too many requests": {"kind": "token_status", "status": 429, "retry_after": 20},
    "its own word for it": {"kind": "token_error", "error": "temporarily_unavailable", "status": 503},
}


class Ending(FakeClock):
    """A clock by which the outage ends."""

    def __init__(self, emulator):
        super().__init__()
        self.emulator = emulator
        self.ends = self.time + OUTAGE

    def sleep(self, seconds, stop):
        super().sleep(seconds, stop)
        if self.time >= self.ends:
            requests.delete(
                f"{self.emulator.url}/_emulator/faults", verify=self.emulator.ca_bundle, timeout=10
            )


def app(emulator, tenant_id):
    return ClientSecret(
        tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=Authority(url=emulator.url),
        cache=TokenCache(),
    )


def person(emulator, tenant_id):
    return RefreshToken(
        tenant_id,
        emulator.client_id,
        emulator.refresh_token(),
        emulator.client_secret,
        authority=Authority(url=emulator.url),
        store=NoStore(),
        cache=TokenCache(),
    )


@pytest.mark.parametrize("way", [app, person], ids=["an app", "a signed-in person"])
@pytest.mark.parametrize("outage", OUTAGES.values(), ids=list(OUTAGES))
def test_ninety_seconds_are_ridden_out(emulator, way, outage):
    clock = Ending(emulator)
    emulator.fault(**outage)
    credential = way(emulator, emulator.tenant_id)
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as client:
        assert client.who_am_i()["UserId"]
    assert OUTAGE <= sum(clock.slept) <= 120
    asked = [request for request in emulator.requests if request.path.endswith(("/token", DISCOVERY))]
    assert len(asked) < 60


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=list(OUTAGES))
def test_what_lasts_longer_is_an_error_that_airflow_may_retry(emulator, clock, outage):
    emulator.fault(**outage)
    credential = app(emulator, emulator.tenant_id)
    with (
        Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.who_am_i()
    assert (caught.value.kind, caught.value.retryable) == ("transient", True)
    assert sum(clock.slept) <= 120


@pytest.mark.parametrize("status", [502, 503])
def test_an_environment_that_is_away_while_its_tenant_is_looked_for_is_waited_for(emulator, status):
    clock = Ending(emulator)
    emulator.fault("status", status=status)
    credential = app(emulator, None)
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as client:
        assert client.who_am_i()["UserId"]
