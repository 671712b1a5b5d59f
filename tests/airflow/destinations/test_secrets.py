"""What a connection keeps secret goes to the sign-in service it belongs to, and to no other host, whoever names one.

Airflow's Test button merges stored secrets into whatever a form says, so a changed field is the first attack; the second
is a sign-in service that is not what it should be.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from airflow_provider_dynamics.hooks import DynamicsHook
from tests.airflow.destinations.contoso import (
    ADFS,
    CLIENT_SECRET,
    EVIL,
    HOST,
    IDP,
    LOGIN,
    MODES,
    ON_PREMISES,
    TENANT,
    Contoso,
    Mode,
)
from tests.world import Answer, Asked, World, world

Connect = Callable[..., DynamicsHook]

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@every_mode
def test_a_secret_goes_to_the_clouds_sign_in_and_a_token_to_its_environment(
    contoso: Contoso, connect: Connect, mode: Mode
) -> None:
    passed, text = connect(mode).test_connection()

    assert passed, text
    assert contoso.world.reached == {LOGIN, HOST}
    assert [contoso.world.holders(secret) for secret in mode.sent] == [{LOGIN}] * len(mode.sent)
    assert not any(contoso.world.holders(secret) for secret in mode.kept)
    (token,) = contoso.issued
    assert contoso.world.holders(token) == {HOST}


FOREIGN = {
    "any host": {"authority": f"https://{EVIL}"},
    "a host that begins like the cloud's": {"authority": f"https://{LOGIN}.{EVIL}"},
    "the cloud's host as a path": {"authority": f"https://{EVIL}/{LOGIN}"},
    "the cloud's host as a user name": {"authority": f"https://{LOGIN}@{EVIL}"},
    "the cloud's host as a fragment": {"authority": f"https://{EVIL}#@{LOGIN}"},
    "the cloud's host after a backslash": {"authority": f"https://{EVIL}\\@{LOGIN}"},
    "the cloud's host in clear text": {"authority": f"http://{LOGIN}"},
    "another port of the cloud's host": {"authority": f"https://{LOGIN}:8443"},
    "another cloud's host": {"authority": "https://login.partner.microsoftonline.cn"},
    "another cloud": {"cloud": "china"},
    "an AD FS that is not listed": {"authority": f"https://{EVIL}/adfs", "authority_type": "adfs"},
    "an issuer that is not listed": {"authority": f"https://{EVIL}/tenant", "authority_type": "oidc"},
    "nearly a listed AD FS": {"authority": f"https://{ADFS}.{EVIL}/adfs", "authority_type": "adfs"},
    "a listed AD FS in clear text": {"authority": f"http://{ADFS}/adfs", "authority_type": "adfs"},
    "another port of a listed AD FS": {"authority": f"https://{ADFS}:8443/adfs", "authority_type": "adfs"},
}


@every_mode
@pytest.mark.parametrize("changes", FOREIGN.values(), ids=FOREIGN)
def test_a_stored_connection_tested_with_a_foreign_authority_sends_nothing(
    contoso: Contoso,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    changes: Mapping[str, str],
) -> None:
    monkeypatch.setenv("AIRFLOW__DYNAMICS__ALLOWED_AUTHORITIES", ADFS)

    passed, text = connect(mode, **changes).test_connection()

    assert not passed
    assert "Authority" in text or "Cloud" in text
    assert contoso.world.asked == []
    assert not mode.holds(text)


LISTED = {
    "AD FS": {"host": ON_PREMISES, "authority": f"https://{ADFS}/adfs", "authority_type": "adfs"},
    "an OpenID provider": {"host": HOST, "authority": f"https://{IDP}/tenant", "authority_type": "oidc"},
}
LISTED_MODES = ("client secret", "certificate", "signed-in user")


@pytest.mark.parametrize("mode", [MODES[name] for name in LISTED_MODES], ids=LISTED_MODES)
@pytest.mark.parametrize("changes", LISTED.values(), ids=LISTED)
def test_an_authority_the_deployment_lists_gets_the_secret_alone(
    contoso: Contoso,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    changes: Mapping[str, str],
) -> None:
    monkeypatch.setenv("AIRFLOW__DYNAMICS__ALLOWED_AUTHORITIES", f"{ADFS} {IDP}")
    resource = f"https://{changes['host']}/"

    passed, text = connect(mode, **changes, tenant_id=None, resource=resource).test_connection()

    assert passed, text
    host = ADFS if ADFS in changes["authority"] else IDP
    assert contoso.world.reached == {host, changes["host"]}
    assert [contoso.world.holders(secret) for secret in mode.sent] == [{host}] * len(mode.sent)
    assert [contoso.world.holders(token) for token in contoso.issued] == [{changes["host"]}]


@every_mode
@pytest.mark.parametrize("status", [302, 308])
@pytest.mark.parametrize("asked_for", ["/token", "/openid-configuration"])
def test_a_redirect_of_the_sign_in_service_is_not_followed(
    contoso: Contoso, connect: Connect, mode: Mode, status: int, asked_for: str
) -> None:
    def redirect(asked: Asked) -> Answer | None:
        there = {"Location": f"https://{EVIL}{asked.path}"}
        return Answer(status, None, there) if asked.path.endswith(asked_for) else None

    contoso.sign_in = redirect

    passed, text = connect(mode).test_connection()

    assert not passed
    assert contoso.world.reached == {LOGIN}
    assert not mode.holds(text)


ELSEWHERE = {
    "another host": f"https://{EVIL}/{TENANT}/oauth2/v2.0/token",
    "a host that begins like it": f"https://{LOGIN}.{EVIL}/{TENANT}/oauth2/v2.0/token",
    "its name as a user": f"https://{LOGIN}@{EVIL}/token",
    "its name after a backslash": f"https://{EVIL}\\@{LOGIN}/token",
    "clear text": f"http://{LOGIN}/{TENANT}/oauth2/v2.0/token",
    "another port": f"https://{LOGIN}:8443/{TENANT}/oauth2/v2.0/token",
}


@every_mode
@pytest.mark.parametrize("url", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_discovery_document_cannot_send_the_secret_elsewhere(
    contoso: Contoso, connect: Connect, mode: Mode, url: str
) -> None:
    contoso.discovery = {"token_endpoint": url}

    passed, text = connect(mode).test_connection()

    assert not passed
    assert contoso.world.reached == {LOGIN}
    assert not any(asked.host == "proxy" and asked.method != "CONNECT" for asked in contoso.world.asked)
    assert not mode.holds(text)


def test_a_federated_realm_elsewhere_does_not_get_the_password(contoso: Contoso, connect: Connect) -> None:
    def federated(asked: Asked) -> Answer | None:
        return (
            Answer(
                200,
                {
                    "account_type": "Federated",
                    "federation_protocol": "WSTrust",
                    "cloud_audience_urn": "urn:federation:MicrosoftOnline",
                    "federation_metadata_url": f"https://{EVIL}/adfs/services/trust/mex",
                    "federation_active_auth_url": f"https://{EVIL}/adfs/services/trust/2005/usernamemixed",
                },
            )
            if "/userrealm/" in asked.path
            else None
        )

    contoso.sign_in = federated

    passed, text = connect(MODES["user name and password"]).test_connection()

    assert not passed
    assert contoso.world.reached == {LOGIN}
    assert not MODES["user name and password"].holds(text)


@pytest.fixture
def interceptor(tmp_path: Path) -> Iterator[World]:
    """A proxy that opens TLS with certificates of its own making, which nobody trusts."""
    with world(tmp_path, (LOGIN, HOST)) as running:
        yield running


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # were it made, the proxy should hear it
@every_mode
def test_a_proxy_of_the_environment_that_opens_tls_gets_nothing(
    contoso: Contoso,
    interceptor: World,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, interceptor.proxy)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, interceptor.ca_bundle)  # the connection's own bundle counts

    interceptor.servers |= contoso.world.servers

    passed, text = connect(mode, proxy=None).test_connection()

    assert not passed
    assert interceptor.reached == {LOGIN}
    assert {asked.method for asked in interceptor.asked} == {"CONNECT"}
    assert contoso.world.asked == []
    assert not mode.holds(text)


def test_a_proxys_password_goes_to_the_proxy_alone(contoso: Contoso, connect: Connect) -> None:
    address = contoso.world.proxy.removeprefix("http://")

    passed, text = connect(proxy=f"http://airflow:pl4nted-proxy-password@{address}").test_connection()

    assert passed, text
    sent = base64.b64encode(b"airflow:pl4nted-proxy-password").decode()
    assert {asked.host for asked in contoso.world.asked if sent in str(asked.headers)} == {"proxy"}
    assert contoso.world.holders("pl4nted-proxy-password") == {"proxy"}
    assert contoso.world.holders(CLIENT_SECRET) == {LOGIN}
