"""Every way of signing in at Entra and AD FS over real TLS, up to the question who we are; the emulator plays both."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from airflow_provider_dynamics.auth import (
    AuthenticationError,
    Authority,
    BearerAuth,
    ClientCertificate,
    ClientSecret,
    ManagedIdentity,
    Network,
    RefreshToken,
    UsernamePassword,
    WorkloadIdentity,
)
from airflow_provider_dynamics.auth.authority import SignIn
from airflow_provider_dynamics.auth.code_flow import (
    finish_code_flow,
    poll_device_flow,
    start_code_flow,
    start_device_flow,
)
from airflow_provider_dynamics.auth.proofs import Secret
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import TokenCache

BACK = "http://localhost:53682"


@pytest.fixture
def network(emulator):
    return Network(ca_bundle=emulator.ca_bundle, timeout=(5, 5))


def at(emulator, kind="entra"):
    if kind == "adfs":
        return Authority("adfs", emulator.adfs_authority)
    return Authority(url=emulator.url)


def options(emulator, kind="entra"):
    return {"authority": at(emulator, kind), "store": NoStore(), "cache": TokenCache()}


def secret(emulator, kind):
    return ClientSecret(
        emulator.tenant_id, emulator.client_id, emulator.client_secret, **options(emulator, kind)
    )


def secret_without_a_tenant(emulator, kind):
    return replace(secret(emulator, kind), tenant_id=None)


def pem(emulator, kind):
    return ClientCertificate(
        emulator.tenant_id,
        emulator.client_id,
        emulator.private_key_pem,
        certificate=emulator.certificate_pem,
        **options(emulator, kind),
    )


def encrypted_pem(emulator, kind):
    return ClientCertificate(
        emulator.tenant_id,
        emulator.client_id,
        emulator.encrypted_private_key_pem("open").replace("\n", ""),
        "open",
        emulator.certificate_pem.replace("\n", "\\n"),
        **options(emulator, kind),
    )


def pfx(emulator, kind):
    return ClientCertificate(
        emulator.tenant_id, emulator.client_id, emulator.pfx("open"), "open", **options(emulator, kind)
    )


def chain(emulator, kind):
    return replace(pfx(emulator, kind), send_x5c=True)


def federated(emulator, kind):
    file = emulator.federated_token_file()
    return WorkloadIdentity(emulator.tenant_id, emulator.client_id, file, **options(emulator, kind))


def web_user(emulator, kind):
    token = emulator.refresh_token(authority_type=kind)
    return RefreshToken(
        emulator.tenant_id, emulator.client_id, token, emulator.client_secret, **options(emulator, kind)
    )


def native_user(emulator, kind):
    token = emulator.refresh_token(client_id=emulator.public_client_id, authority_type=kind)
    return RefreshToken(emulator.tenant_id, emulator.public_client_id, token, **options(emulator, kind))


def web_password(emulator, kind):
    return replace(
        native_password(emulator, kind), client_id=emulator.client_id, client_secret=emulator.client_secret
    )


def native_password(emulator, kind):
    return UsernamePassword(
        emulator.tenant_id,
        emulator.public_client_id,
        emulator.user_name,
        emulator.user_password,
        **options(emulator, kind),
    )


ANYWHERE = (
    secret,
    secret_without_a_tenant,
    pem,
    encrypted_pem,
    pfx,
    chain,
    web_user,
    native_user,
    web_password,
    native_password,
)
WAYS = [*((way, kind) for way in ANYWHERE for kind in ("entra", "adfs")), (federated, "entra")]


def who_am_i(emulator, credential, network):
    return requests.get(
        f"{emulator.url}/api/data/v9.2/WhoAmI",
        auth=BearerAuth(credential, emulator.url, network),
        verify=network.verify,
        timeout=5,
    )


def failure(emulator, credential, network):
    with pytest.raises(AuthenticationError) as caught:
        credential.get_token(emulator.url, network=network)
    assert emulator.client_secret not in str(caught.value)
    assert emulator.user_password not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("way", "kind"), WAYS, ids=[f"{way.__name__} at {kind}" for way, kind in WAYS])
def test_whoever_signs_in_may_ask_who_they_are(emulator, network, way, kind):
    answer = who_am_i(emulator, way(emulator, kind), network)
    assert answer.status_code == 200, answer.text
    assert answer.json()["UserId"]


@pytest.mark.parametrize("kind", ["imds", "app_service"])
@pytest.mark.parametrize("assigned", [False, True], ids=["the machine's own", "an assigned one"])
def test_a_managed_identity_signs_in_on_each_platform(emulator, network, monkeypatch, kind, assigned):
    for name, value in emulator.managed_identity_environment(kind).items():
        monkeypatch.setenv(name, value)
    client_id = emulator.managed_identity_client_id if assigned else ""
    mine = ManagedIdentity(client_id, **options(emulator))
    assert who_am_i(emulator, mine, network).status_code == 200


def test_an_identity_that_is_not_assigned_is_told(emulator, network, monkeypatch):
    for name, value in emulator.managed_identity_environment().items():
        monkeypatch.setenv(name, value)
    mine = ManagedIdentity("66666666-7777-8888-9999-000000000000", **options(emulator))
    error = failure(emulator, mine, network)
    assert "no managed identity that would answer" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("kind", ["entra", "adfs"])
@pytest.mark.parametrize("public", [True, False], ids=["a native app", "a Web app"])
def test_a_browser_brings_a_refresh_token_that_signs_in(emulator, network, kind, public):
    emulator.redirect_uris.add(BACK)
    client_id = emulator.public_client_id if public else emulator.client_id
    client_secret = None if public else emulator.client_secret
    s = SignIn(
        environment=emulator.url,
        authority=at(emulator, kind),
        tenant_id=None,
        client_id=client_id,
        proof=Secret(client_secret) if client_secret else None,
        mode="refresh token",
        network=network,
    )
    flow = start_code_flow(s, BACK)
    back = dict(parse_qsl(urlsplit(emulator.sign_in(flow.url)).query))
    signed = finish_code_flow(s, json.loads(json.dumps(flow.kept)), back)
    assert signed.user == emulator.user_name
    mine = RefreshToken(
        signed.tenant_id or None,
        client_id,
        signed.refresh_token or "",
        client_secret,
        user=signed.user,
        **options(emulator, kind),
    )
    assert who_am_i(emulator, mine, network).status_code == 200
    emulator.redirect_uris.discard(BACK)


@pytest.mark.parametrize("approved", [True, False], ids=["approved", "declined"])
def test_a_code_on_another_device(emulator, network, approved):
    s = SignIn(
        emulator.url,
        at(emulator),
        emulator.tenant_id,
        emulator.public_client_id,
        None,
        "refresh token",
        None,
        network,
    )
    flow = start_device_flow(s)
    assert poll_device_flow(s, flow) is None
    emulator.fault("slow_down", count=1)
    assert poll_device_flow(s, flow) is None
    assert flow.interval == 10
    if not approved:
        emulator.sign_ins.decline_device(flow.user_code)
        with pytest.raises(AuthenticationError, match="Whoever was asked to sign in declined"):
            poll_device_flow(s, flow)
        return
    emulator.sign_ins.approve_device(flow.user_code)
    signed = poll_device_flow(s, flow)
    assert signed is not None
    assert (signed.user, bool(signed.refresh_token)) == (emulator.user_name, True)


def test_a_challenge_for_a_person_is_answered(emulator, network):
    emulator.fault("claims")
    assert who_am_i(emulator, web_user(emulator, "entra"), network).status_code == 200


def test_each_use_of_a_refresh_token_goes_on_from_the_last(emulator, network, clock):
    emulator.sign_ins.rotation = "one_use"
    told: list[str] = []
    mine = replace(web_user(emulator, "entra"), cache=TokenCache(now=clock.now), on_token=told.append)
    for _ in range(3):
        mine.get_token(emulator.url, network=network)
        clock.move(3600)
    assert told[0] == mine.refresh_token
    assert len(set(told)) == 4


def test_a_revoked_sign_in_asks_for_a_new_one_and_then_takes_it(emulator, network):
    store = NoStore()
    mine = replace(web_user(emulator, "entra"), store=store)
    emulator.sign_ins.revoke()
    error = failure(emulator, mine, network)
    assert (error.code, error.kind) == ("AADSTS50173", "needs-interaction")
    anew = replace(mine, refresh_token=emulator.refresh_token())
    assert anew.get_token(emulator.url, network=network).secret


@pytest.mark.parametrize(
    "fault", ["consent_required", "conditional_access", "mfa_required", "sign_in_frequency"]
)
def test_what_an_administrator_or_a_person_can_cure_does_not_bury_the_sign_in(emulator, network, fault):
    emulator.fault(fault, count=1)
    mine = web_user(emulator, "entra")
    error = failure(emulator, mine, network)
    assert error.kind in {"needs-admin", "needs-interaction"}
    assert (error.retryable, error.dead) == (False, False)
    assert mine.get_token(emulator.url, network=network).secret


def test_a_person_with_a_second_factor_is_not_signed_in_by_password(emulator, network):
    mine = replace(
        native_password(emulator, "entra"),
        username=emulator.mfa_user_name,
        password=emulator.mfa_user_password,
    )
    error = failure(emulator, mine, network)
    assert error.kind == "needs-interaction"
    assert "second factor" in str(error)


def test_a_certificate_that_is_not_registered_is_told(emulator, network):
    certificate, key = emulator.new_certificate(registered=False)
    error = failure(
        emulator, replace(pem(emulator, "entra"), private_key=key, certificate=certificate), network
    )
    assert error.code == "AADSTS700027"


def test_an_expired_certificate_is_told_before_anybody_is_asked(emulator, network):
    certificate, key = emulator.new_certificate(days=-1)
    error = failure(
        emulator, replace(pem(emulator, "entra"), private_key=key, certificate=certificate), network
    )
    assert " expired on " in str(error)
    assert not emulator.requests


def test_a_token_of_another_workload_is_told(emulator, network):
    file = emulator.federated_token_file(subject="system:serviceaccount:other:other")
    error = failure(
        emulator,
        WorkloadIdentity(emulator.tenant_id, emulator.client_id, file, **options(emulator)),
        network,
    )
    assert error.code.startswith("AADSTS7002")
    assert "Federated credentials" in error.remedy
