"""What MSAL does that would surprise somebody: each is shown with MSAL alone, and then how a sign-in here takes it.

The first half of a test holds what MSAL does today. Should a new version fail it, MSAL has become better, and what
is done about it here can go.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msal
import pytest
import requests
from requests_mock import Mocker

from airflow_provider_dynamics.auth import (
    AuthenticationError,
    Authority,
    ClientSecret,
    Network,
    RefreshToken,
    UsernamePassword,
)
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import TokenCache
from tests.auth.services import (
    CLIENT,
    ENVIRONMENT,
    SECRET,
    TENANT,
    FakeService,
    issued,
    issued_to_ann,
    refusal,
)

SCOPES = [f"{ENVIRONMENT}/.default"]
REFUSED = refusal("unauthorized_client", "AADSTS700016: no such app", error_codes=[700016])


@pytest.fixture
def service(requests_mock: Mocker) -> FakeService:
    return FakeService(requests_mock)


@pytest.fixture
def mine(clock):
    return ClientSecret(TENANT, CLIENT, SECRET, store=NoStore(), cache=TokenCache(now=clock.now))


def bare(service, **options):
    """Return MSAL as anybody would use it."""
    return msal.ConfidentialClientApplication(
        CLIENT,
        client_credential=SECRET,
        authority=f"{service.url}/{TENANT}",
        **{"instance_discovery": False, **options},
    )


@dataclass
class Slow:
    """A client that answers when four have asked."""

    gate: threading.Barrier

    def get(self, url, **options):
        return requests.get(url, timeout=5, **options)

    def post(self, url, **options):
        self.gate.wait()
        return requests.post(url, timeout=5, **options)

    def close(self):
        pass


def get(credential, **options):
    return credential.get_token(ENVIRONMENT, network=Network(), **options)


def failure(credential, **options):
    with pytest.raises(AuthenticationError) as caught:
        get(credential, **options)
    return caught.value


def test_it_takes_no_plain_http_and_neither_does_a_sign_in(clock):
    """1: an http authority is refused, on this machine too; the emulator therefore speaks TLS."""
    address = f"http://localhost:8080/{TENANT}"
    with pytest.raises(ValueError, match="https url"):
        msal.ConfidentialClientApplication(CLIENT, client_credential=SECRET, authority=address)
    plain = ClientSecret(
        TENANT,
        CLIENT,
        SECRET,
        authority=Authority(url="http://localhost:8080"),
        cache=TokenCache(now=clock.now),
    )
    assert "Authority must start with https." in str(failure(plain))


def test_the_environments_ca_bundle_does_not_beat_the_connections(service, mine, monkeypatch):
    """2: requests prefers REQUESTS_CA_BUNDLE to a session's `verify`, so it goes with each request."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/company/ca.pem")
    bare(service, verify="/own/ca.pem").acquire_token_for_client(SCOPES)
    assert {asked.verify for asked in service.mocker.request_history} == {"/company/ca.pem"}
    service.mocker.reset_mock()
    mine.get_token(ENVIRONMENT, network=Network(ca_bundle="/own/ca.pem"))
    assert {asked.verify for asked in service.mocker.request_history} == {"/own/ca.pem"}


def test_a_refusal_is_not_repeated_after_it_was_cured(service, mine):
    """3: MSAL answers a 400 out of its own cache for a minute."""
    service.answers(REFUSED, issued())
    app = bare(service)
    assert "error" in app.acquire_token_for_client(SCOPES)
    assert "error" in app.acquire_token_for_client(SCOPES)
    assert len(service.asked) == 1

    service.answers(REFUSED, issued())
    failure(mine)
    assert get(mine).secret == "access-1"


def test_a_busy_service_does_not_cost_the_token_that_is_still_good(service, mine, clock):
    """4: MSAL raises for a 5xx during an early renewal, although the token in its cache is valid."""
    busy = {"status_code": 503, "text": "busy"}
    service.answers(issued(expires_in=86_400, refresh_in=-1), busy)
    app = bare(service)
    app.acquire_token_for_client(SCOPES)
    with pytest.raises(msal.exceptions.MsalServiceError):
        app.acquire_token_for_client(SCOPES)

    service.answers(issued(expires_in=86_400, refresh_in=43_200), busy)
    first = get(mine)
    clock.move(43_300)
    assert get(mine) is first
    assert len(service.asked) == 4


def test_what_refused_a_refresh_token_is_not_hidden_by_a_look_up(service, clock):
    """5: after invalid_grant MSAL asks where else the host might be known, and raises when that fails."""
    service.mocker.get(
        "https://login.microsoftonline.com/common/discovery/instance", exc=requests.ConnectionError("blocked")
    )
    expired = refusal("invalid_grant", "AADSTS700082: expired", error_codes=[700082])
    service.answers(issued_to_ann(sub="ann"), expired)
    app = bare(service, instance_discovery=True)
    app.acquire_token_by_refresh_token("refresh-1", SCOPES)
    (account,) = app.get_accounts()
    with pytest.raises(requests.ConnectionError, match="blocked"):
        app.acquire_token_silent_with_error(SCOPES, account, force_refresh=True)

    service.mocker.reset_mock()
    service.answers(issued_to_ann(), expired)
    credential = RefreshToken(
        TENANT, CLIENT, "refresh-1", SECRET, store=NoStore(), cache=TokenCache(now=clock.now)
    )
    get(credential)
    clock.move(3600)
    assert failure(credential).code == "AADSTS700082"
    assert not [asked for asked in service.mocker.request_history if "discovery/instance" in asked.url]


def test_threads_that_need_a_token_at_once_ask_once(service, mine):
    """6: MSAL is safe for threads, but lets all of them ask."""
    app = bare(service, http_client=Slow(threading.Barrier(4, timeout=20)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: app.acquire_token_for_client(SCOPES), range(4)))
    assert len(service.asked) == 4

    with ThreadPoolExecutor(16) as pool:
        tokens = {token.secret for token in pool.map(lambda _: get(mine), range(16))}
    assert tokens == {"access-1"}
    assert len(service.asked) == 5


def test_a_refresh_token_without_a_successor_is_not_lost(requests_mock, clock):
    """7: MSAL caches no refresh token that the answer does not repeat, and afterwards has nothing to go on with."""
    service = FakeService(requests_mock, "adfs")
    service.answers(issued_to_ann(successor=None, sub="ann"))
    app = msal.ConfidentialClientApplication(CLIENT, client_credential=SECRET, authority=service.url)
    app.acquire_token_by_refresh_token("refresh-1", ["openid-x"])
    assert not list(app.token_cache.search(msal.TokenCache.CredentialType.REFRESH_TOKEN))

    credential = RefreshToken(
        None,
        CLIENT,
        "refresh-1",
        SECRET,
        authority=service.authority,
        store=NoStore(),
        cache=TokenCache(now=clock.now),
    )
    get(credential)
    clock.move(3600)
    get(credential)
    assert [sent["refresh_token"] for sent in service.asked] == ["refresh-1"] * 3


def test_an_answer_it_cannot_cache_does_not_cost_the_successor(service, clock):
    """An ID token without `sub` makes MSAL raise when the old refresh token is already used up."""
    service.answers(issued_to_ann(sub=None))
    with pytest.raises(KeyError):
        bare(service).acquire_token_by_refresh_token("refresh-1", SCOPES)
    store = NoStore()
    credential = RefreshToken(
        TENANT, CLIENT, "refresh-1", SECRET, store=store, cache=TokenCache(now=clock.now)
    )
    get(credential)
    record = store.load(credential.key(ENVIRONMENT))
    assert record is not None
    assert record.refresh_token == "refresh-2"


def test_a_rejected_token_is_renewed_although_force_refresh_is_not_allowed(service, mine):
    """8: `force_refresh` raises for apps; a stateless sign-in has nothing to refresh."""
    with pytest.raises(ValueError, match="force_refresh"):
        bare(service).acquire_token_for_client(SCOPES, force_refresh=True)
    service.answers(issued(), issued("access-2"))
    first = get(mine)
    assert get(mine, rejected=first).secret == "access-2"


def test_an_answer_that_is_no_json_is_worded_and_not_logged(service, mine, caplog):
    """9: MSAL raises JSONDecodeError for an empty 403, and logs the body it could not read."""
    service.answers({"status_code": 403, "text": f"<html>{SECRET}</html>"})
    with pytest.raises(ValueError, match="Expecting value"):
        bare(service).acquire_token_for_client(SCOPES)
    assert SECRET in caplog.text
    caplog.clear()
    error = failure(mine)
    assert "is not a sign-in service" in str(error)
    assert SECRET not in caplog.text + str(error)


def test_an_unknown_tenant_keeps_entras_own_words(service, mine):
    """10: a failing discovery becomes "Unable to get authority configuration", and AADSTS90002 is lost."""
    service.mocker.get(
        f"{service.url}/{TENANT}/v2.0/.well-known/openid-configuration",
        **refusal("invalid_tenant", f"AADSTS90002: Tenant '{TENANT}' not found.", error_codes=[90002]),
    )
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        bare(service)
    error = failure(mine)
    assert error.code == "AADSTS90002"
    assert f"There is no tenant '{TENANT}'" in str(error)


def test_a_redirect_does_not_take_the_secret_elsewhere(service, mine):
    """Over a plain session, MSAL sends the secret again to whatever host a 307 names."""
    service.answers({"status_code": 307, "headers": {"Location": "https://evil.example/token"}})
    service.mocker.post("https://evil.example/token", json=issued()["json"])
    bare(service).acquire_token_for_client(SCOPES)
    assert service.mocker.last_request.hostname == "evil.example"
    service.mocker.reset_mock()
    assert "redirect" in str(failure(mine))
    assert {asked.hostname for asked in service.mocker.request_history} == {"login.microsoftonline.com"}


def test_a_region_of_the_worker_changes_nothing(service, mine, monkeypatch):
    """MSAL_FORCE_REGION moves the sign-in to Microsoft's own regional hosts."""
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    get(mine)
    assert {asked.hostname for asked in service.mocker.request_history} == {"login.microsoftonline.com"}


def test_a_password_of_a_public_client_brings_no_python_warning(service, clock):
    """MSAL warns through `warnings`, which nobody sees in a task, and which tests take for an error; we log it once."""
    app = msal.PublicClientApplication(CLIENT, authority=f"{service.url}/{TENANT}")
    with pytest.warns(DeprecationWarning, match="deprecated for public client flows"):
        app.acquire_token_by_username_password("ann@contoso.com", "p4ssw0rd", SCOPES)
    credential = UsernamePassword(
        TENANT, CLIENT, "ann@contoso.com", "p4ssw0rd", store=NoStore(), cache=TokenCache(now=clock.now)
    )
    assert get(credential).secret == "access-1"


def test_a_users_realm_is_looked_up_on_the_authoritys_own_port(requests_mock, clock):
    """MSAL leaves the port out of that address, and would ask another server there."""
    at = "https://127.0.0.1:8765"
    base = f"{at}/{TENANT}"
    requests_mock.get(
        f"{base}/v2.0/.well-known/openid-configuration",
        json={
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
        },
    )
    requests_mock.get(f"{at}/common/userrealm/ann@contoso.com", json={"account_type": "Managed"})
    requests_mock.post(f"{base}/token", **issued())
    credential = UsernamePassword(
        TENANT,
        CLIENT,
        "ann@contoso.com",
        "p4ssw0rd",
        authority=Authority(url=at),
        store=NoStore(),
        cache=TokenCache(now=clock.now),
    )
    assert get(credential).secret == "access-1"
    assert {asked.port for asked in requests_mock.request_history} == {8765}


def test_its_own_log_tells_no_secret(service, mine, caplog):
    caplog.set_level(logging.DEBUG)
    service.answers(issued("the-access-token"))
    get(mine)
    assert SECRET not in caplog.text
    assert "the-access-token" not in caplog.text
