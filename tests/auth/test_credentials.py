"""Credentials as values: what they show, what tells them apart, and the process-wide token they share."""

from __future__ import annotations

import math

import pytest

from airflow_provider_dynamics.auth import AccessToken, ClientSecret, Network, RefreshToken, StaticToken
from airflow_provider_dynamics.auth.tokens import TokenCache


def test_no_secret_shows_in_text(entra):
    shown = [
        entra.credential(),
        StaticToken("token-text"),
        AccessToken("token-text", 1.0),
        Network(proxy="http://user:pass@proxy"),
    ]
    for value in shown:
        text = f"{value} {value!r}"
        assert not any(secret in text for secret in (entra.secret, "token-text", "pass@"))


def test_equal_credentials_share_one_token(entra, clock):
    cache = TokenCache(now=clock.now)
    for _ in range(3):
        entra.credential(cache=cache).get_token(entra.environment, network=Network())
    assert len(entra.asked) == 1


@pytest.mark.parametrize(
    "changed",
    [{"client_secret": "another"}, {"client_id": "another"}, {"scope": "https://x/.default"}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_changed_field_is_seen_at_once(entra, clock, changed):
    cache = TokenCache(now=clock.now)
    entra.credential(cache=cache).get_token(entra.environment, network=Network())
    entra.credential(cache=cache, **changed).get_token(entra.environment, network=Network())
    assert len(entra.asked) == 2


def test_another_environment_and_another_network_have_tokens_of_their_own(entra, clock):
    credential = entra.credential(cache=TokenCache(now=clock.now))
    credential.get_token(entra.environment, network=Network())
    credential.get_token("https://fabrikam.crm.dynamics.com", network=Network())
    credential.get_token(entra.environment, network=Network(proxy="http://proxy:1"))
    assert len(entra.asked) == 3


def test_the_process_wide_cache_is_the_default():
    first, second = ClientSecret("t", "c", "s"), ClientSecret("t", "c", "s")
    assert first.cache is second.cache
    assert first == second
    assert hash(first) == hash(second)


def test_a_static_token_never_ends_and_cannot_be_renewed():
    credential = StaticToken("given")
    token = credential.get_token("https://contoso.crm.dynamics.com", network=Network())
    assert token.expires_at == math.inf
    assert (
        credential.get_token("https://contoso.crm.dynamics.com", network=Network(), rejected=token) == token
    )


def test_an_app_and_a_person_who_uses_it_are_kept_apart():
    app = ClientSecret("tenant", "client", "a-client-secret")
    person = RefreshToken("tenant", "client", "r3fresh-token", "a-client-secret")
    named = RefreshToken("tenant", "client", "r3fresh-token", "a-client-secret", user="ann@contoso.com")
    assert len({one.key("https://contoso.crm4.dynamics.com") for one in (app, person, named)}) == 3
