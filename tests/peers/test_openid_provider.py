"""Our sign-in judged by a certified OpenID provider that is not ours: what it takes is right, what it refuses must be said.

An emulator that we wrote could share our misunderstandings; this one cannot.
https://github.com/panva/node-oidc-provider
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from airflow_provider_dynamics.auth.authorities import Authority
from airflow_provider_dynamics.auth.authority import Signed, SignIn
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.code_flow import (
    CodeFlow,
    finish_code_flow,
    poll_device_flow,
    start_code_flow,
    start_device_flow,
)
from airflow_provider_dynamics.auth.credentials import (
    ClientCertificate,
    ClientSecret,
    Credential,
    RefreshToken,
)
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.proofs import Secret
from airflow_provider_dynamics.auth.store import Record
from airflow_provider_dynamics.auth.tokens import TokenCache
from tests.peers import renewing
from tests.peers.openid import OpenIdProvider, self_signed
from tests.peers.person import Person


@pytest.fixture
def authority(provider: OpenIdProvider) -> Authority:
    return Authority("oidc", provider.issuer, provider.environment)


@pytest.fixture
def sign_in(provider: OpenIdProvider, authority: Authority) -> Callable[..., SignIn]:
    """Describe a person's sign-in to an app: `sign_in(provider.public_app)`."""

    def describe(client_id: str, mode: str = "authorization code") -> SignIn:
        proof = Secret(provider.client_secret) if client_id == provider.secret_app else None
        network = Network(ca_bundle=provider.ca_bundle)
        return SignIn(provider.environment, authority, None, client_id, proof, mode, network=network)

    return describe


@pytest.fixture
def signed_in(provider: OpenIdProvider, ann: Person, sign_in: Callable[..., SignIn]) -> Callable[[], Signed]:
    """Let Ann sign in to the app with a secret, in a browser."""

    def signed() -> Signed:
        s = sign_in(provider.secret_app)
        flow = start_code_flow(s, provider.redirect_uri)
        return finish_code_flow(s, flow.kept, ann.sign_in(flow.url))

    return signed


def access_token(provider: OpenIdProvider, credential: Credential) -> str:
    network = Network(ca_bundle=provider.ca_bundle)
    return credential.get_token(provider.environment, network=network).secret


def test_a_client_secret(provider: OpenIdProvider, authority: Authority) -> None:
    credential = ClientSecret(
        None, provider.secret_app, provider.client_secret, authority=authority, cache=TokenCache()
    )

    claims = provider.claims(access_token(provider, credential))

    assert (claims["sub"], claims["client_id"]) == (provider.secret_app, provider.secret_app)


def test_a_wrong_client_secret_is_refused_and_not_repeated(
    provider: OpenIdProvider, authority: Authority
) -> None:
    wrong = "wr0ng~secret/of+the=app"
    credential = ClientSecret(None, provider.secret_app, wrong, authority=authority, cache=TokenCache())

    with pytest.raises(AuthenticationError, match="invalid_client") as refused:
        access_token(provider, credential)

    error = refused.value
    assert (error.kind, error.retryable, error.dead) == ("permanent", False, False)
    assert provider.secret_app in str(error)
    assert wrong not in str(error)


def as_pfx(certificate: str, private_key: str, passphrase: str) -> str:
    key = serialization.load_pem_private_key(private_key.encode(), None)
    public = x509.load_pem_x509_certificate(certificate.encode())
    locked = serialization.BestAvailableEncryption(passphrase.encode())
    assert isinstance(key, rsa.RSAPrivateKey)
    return base64.b64encode(
        pkcs12.serialize_key_and_certificates(b"airflow", key, public, None, locked)
    ).decode()


def test_a_certificate_in_pem(provider: OpenIdProvider, authority: Authority) -> None:
    credential = ClientCertificate(
        None,
        provider.certificate_app,
        provider.private_key,
        certificate=provider.certificate,
        authority=authority,
        cache=TokenCache(),
    )

    assert provider.claims(access_token(provider, credential))["sub"] == provider.certificate_app


def test_a_certificate_in_a_locked_pfx(provider: OpenIdProvider, authority: Authority) -> None:
    credential = ClientCertificate(
        None,
        provider.certificate_app,
        as_pfx(provider.certificate, provider.private_key, "pass phrase"),
        passphrase="pass phrase",
        authority=authority,
        cache=TokenCache(),
    )

    assert provider.claims(access_token(provider, credential))["sub"] == provider.certificate_app


def test_a_certificate_that_is_not_registered_is_refused(
    provider: OpenIdProvider, authority: Authority
) -> None:
    certificate, private_key = self_signed()
    credential = ClientCertificate(
        None,
        provider.certificate_app,
        private_key,
        certificate=certificate,
        authority=authority,
        cache=TokenCache(),
    )

    with pytest.raises(AuthenticationError, match="invalid_client"):
        access_token(provider, credential)


@pytest.mark.parametrize("app", ["secret_app", "public_app"])
def test_an_authorization_code_with_pkce(
    provider: OpenIdProvider, ann: Person, sign_in: Callable[..., SignIn], app: str
) -> None:
    s = sign_in(getattr(provider, app))
    flow = start_code_flow(s, provider.redirect_uri)
    assert "code_challenge_method=S256" in flow.url

    signed = finish_code_flow(s, flow.kept, ann.sign_in(flow.url))

    assert signed.user == ann.name
    assert signed.refresh_token
    assert provider.claims(signed.token.secret)["sub"] == ann.name


def with_another_verifier(flow: CodeFlow) -> dict[str, Any]:
    return {**flow.kept, "code_verifier": flow.kept["code_verifier"][::-1]}


def test_a_code_is_worthless_without_its_verifier(
    provider: OpenIdProvider, ann: Person, sign_in: Callable[..., SignIn]
) -> None:
    s = sign_in(provider.public_app)
    flow = start_code_flow(s, provider.redirect_uri)

    with pytest.raises(AuthenticationError, match="invalid_grant"):
        finish_code_flow(s, with_another_verifier(flow), ann.sign_in(flow.url))


def test_a_code_is_good_once(provider: OpenIdProvider, ann: Person, sign_in: Callable[..., SignIn]) -> None:
    s = sign_in(provider.secret_app)
    flow = start_code_flow(s, provider.redirect_uri)
    answer = ann.sign_in(flow.url)
    first = finish_code_flow(s, flow.kept, answer)

    with pytest.raises(AuthenticationError, match="invalid_grant"):
        finish_code_flow(s, flow.kept, answer)

    assert not provider.is_active(first.refresh_token or "")  # whoever had it first may have stolen it


def test_another_sign_ins_answer_is_not_taken(
    provider: OpenIdProvider, ann: Person, sign_in: Callable[..., SignIn]
) -> None:
    s = sign_in(provider.public_app)
    mine, theirs = (start_code_flow(s, provider.redirect_uri) for _ in range(2))

    with pytest.raises(AuthenticationError):
        finish_code_flow(s, mine.kept, ann.sign_in(theirs.url))


def test_a_declined_consent_says_so(
    provider: OpenIdProvider, ann: Person, sign_in: Callable[..., SignIn]
) -> None:
    s = sign_in(provider.public_app)
    flow = start_code_flow(s, provider.redirect_uri)

    with pytest.raises(AuthenticationError, match="declined"):
        finish_code_flow(s, flow.kept, ann.decline(flow.url))


def test_a_device_code(
    provider: OpenIdProvider, ann: Person, authority: Authority, sign_in: Callable[..., SignIn]
) -> None:
    s = sign_in(provider.device_app, "device code")
    flow = start_device_flow(s)
    assert flow.user_code in flow.message or flow.verification_uri
    assert poll_device_flow(s, flow) is None

    assert ann.enter_code(flow.verification_uri, flow.user_code) == "Sign-in Success"
    signed = poll_device_flow(s, flow)

    assert signed is not None
    assert signed.user == ann.name
    claims = provider.claims(signed.token.secret)
    assert (claims["sub"], claims["client_id"]) == (ann.name, provider.device_app)
    assert signed.refresh_token
    credential = RefreshToken(
        None, provider.device_app, signed.refresh_token, authority=authority, cache=TokenCache()
    )
    assert provider.claims(access_token(provider, credential))["sub"] == ann.name


@dataclass(frozen=True)
class Deployment:
    """A credential store that outlives processes, and the connection whose refresh tokens are in it."""

    provider: OpenIdProvider
    folder: Path
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())

    @property
    def store(self) -> FileStore:
        return FileStore(self.folder, self.key)

    @property
    def record(self) -> Record:
        (path,) = self.folder.glob("*.fernet")
        record = self.store.load(path.name.removesuffix(".fernet"))
        assert record is not None
        return record

    def user(self, seed: str) -> str:
        """Renew as a new process does, which knows the connection and the store; return whom the access token is for."""
        credential = RefreshToken(
            None,
            self.provider.secret_app,
            seed,
            client_secret=self.provider.client_secret,
            authority=Authority("oidc", self.provider.issuer, self.provider.environment),
            store=self.store,
            cache=TokenCache(),
        )
        return str(self.provider.claims(access_token(self.provider, credential))["sub"])


@pytest.fixture
def deployment(provider: OpenIdProvider, tmp_path: Path) -> Deployment:
    return Deployment(provider, tmp_path / "store")


def test_each_renewal_is_kept_and_the_next_process_goes_on_from_there(
    deployment: Deployment, ann: Person, signed_in: Callable[[], Signed]
) -> None:
    seed = signed_in().refresh_token or ""
    kept = [seed]

    for generation in range(1, 4):
        assert deployment.user(seed) == ann.name
        assert (deployment.record.generation, deployment.record.user) == (generation, ann.name)
        kept.append(deployment.record.refresh_token or "")

    assert len(set(kept)) == 4
    assert [deployment.provider.is_active(token) for token in kept] == [False, False, False, True]
    files = b"".join(path.read_bytes() for path in deployment.folder.iterdir())
    assert not any(token.encode() in files for token in kept)


def replay(provider: OpenIdProvider, refresh_token: str) -> requests.Response:
    """Use a refresh token past our classes, as somebody would who found it."""
    return requests.post(
        provider.endpoint("token_endpoint"),
        data={
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": provider.secret_app,
            "client_secret": provider.client_secret,
        },
        verify=provider.ca_bundle,
        timeout=20,
    )


def test_a_revoked_grant_is_dead_until_somebody_signs_in_again(
    provider: OpenIdProvider, deployment: Deployment, ann: Person, signed_in: Callable[[], Signed]
) -> None:
    seed = signed_in().refresh_token or ""
    assert deployment.user(seed) == ann.name
    assert replay(provider, seed).status_code == 400  # a second use: the provider revokes the whole grant

    with pytest.raises(AuthenticationError, match="invalid_grant") as refused:
        deployment.user(seed)
    assert (refused.value.dead, refused.value.kind) == (True, "needs-interaction")
    failure = deployment.record.failure
    assert failure is not None
    assert failure.dead

    asked = provider.token_requests()
    with pytest.raises(AuthenticationError) as remembered:
        deployment.user(seed)
    assert str(refused.value) in str(remembered.value)
    assert provider.token_requests() == asked  # nobody was asked again

    assert deployment.user(signed_in().refresh_token or "") == ann.name
    assert deployment.record.failure is None


def test_a_wrong_refresh_token_is_dead_too(deployment: Deployment) -> None:
    with pytest.raises(AuthenticationError, match="invalid_grant") as refused:
        deployment.user("never-issued-by-anybody")

    assert refused.value.dead
    assert "never-issued-by-anybody" not in str(refused.value)


PROCESSES, RENEWALS = 4, 5


def test_processes_that_renew_at_once_lose_nothing_though_a_second_use_would_revoke_all(
    provider: OpenIdProvider, deployment: Deployment, ann: Person, signed_in: Callable[[], Signed]
) -> None:
    seed = signed_in().refresh_token or ""
    told = json.dumps(
        {
            "times": RENEWALS,
            "folder": str(deployment.folder),
            "key": deployment.key,
            "seed": seed,
            **{name: getattr(provider, name) for name in renewing.NEEDED},
        }
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.peers.renewing"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(told)
        process.stdin.close()
        process.stdin = None

    said = [process.communicate(timeout=60)[0] for process in running]

    assert said == [f"{RENEWALS} renewed\n"] * PROCESSES
    assert deployment.record.generation == PROCESSES * RENEWALS
    assert deployment.user(seed) == ann.name
