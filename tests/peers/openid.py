"""A certified OpenID provider that is not ours (npm `oidc-provider`), as a process of its own.

It judges the sign-in: what our credentials send, it must take; what they should refuse, it must be able to do.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from airflow_provider_dynamics.emulator.wire.tls import certificates
from tests.peers.node import program

__all__ = ["OpenIdProvider", "running", "self_signed"]

ENVIRONMENT = "https://contoso.crm4.dynamics.com"
REDIRECT_URI = "http://localhost:53123/callback"
START_SECONDS = 30


@dataclass(frozen=True)
class OpenIdProvider:
    """The running provider: its issuer, what a client must trust, and the apps that are registered with it."""

    issuer: str
    ca_bundle: str
    certificate: str
    private_key: str = field(repr=False)
    client_secret: str = field(repr=False)
    environment: str = ENVIRONMENT
    redirect_uri: str = REDIRECT_URI
    secret_app: str = "web-with-secret"
    certificate_app: str = "web-with-certificate"
    public_app: str = "native"
    device_app: str = "device"

    def endpoint(self, name: str) -> str:
        answer = requests.get(
            f"{self.issuer}/.well-known/openid-configuration", verify=self.ca_bundle, timeout=20
        )
        return str(answer.json()[name])

    def claims(self, access_token: str) -> dict[str, Any]:
        """Return the claims of an access token whose signature the provider's published keys confirm."""
        published = requests.get(self.endpoint("jwks_uri"), verify=self.ca_bundle, timeout=20).json()["keys"]
        key = jwt.PyJWK(published[0], algorithm="RS256")
        return dict(jwt.decode(access_token, key, algorithms=["RS256"], audience=self.environment))

    def token_requests(self) -> int:
        """Return how often the token endpoint was asked, by anybody."""
        address = self.issuer.rpartition("/")[0]
        return int(requests.get(f"{address}/token-requests", verify=self.ca_bundle, timeout=20).text)

    def is_active(self, refresh_token: str) -> bool:
        """Ask the provider itself whether a refresh token of the app with a secret still stands."""
        answer = requests.post(
            self.endpoint("introspection_endpoint"),
            data={
                "token": refresh_token,
                "client_id": self.secret_app,
                "client_secret": self.client_secret,
            },
            verify=self.ca_bundle,
            timeout=20,
        )
        return bool(answer.json()["active"])


@contextmanager
def running(folder: Path, certificate_folder: Path) -> Iterator[OpenIdProvider]:
    """Start the provider installed in `folder`, and stop it in the end."""
    tls = certificates(certificate_folder)
    certificate, private_key = self_signed()
    secret = secrets.token_urlsafe(32)
    settings = {
        "key": tls.server_key.read_text(),
        "cert": tls.server.read_text(),
        "cookieKey": secrets.token_urlsafe(32),
        "environment": ENVIRONMENT,
        "scopes": [f"{ENVIRONMENT}/.default", f"{ENVIRONMENT}/user_impersonation"],
        "defaultsFor": OpenIdProvider.device_app,
        "clients": _clients(secret, certificate),
    }
    log = (folder / "provider.log").open("w")
    with (
        log,
        subprocess.Popen(
            [program("node"), "provider.mjs"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={"PATH": os.environ["PATH"]},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
            assert said, f"the provider did not start: {(folder / 'provider.log').read_text()[-1000:]}"
            yield OpenIdProvider(
                json.loads(said)["issuer"], str(tls.ca), certificate, private_key, client_secret=secret
            )
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _clients(secret: str, certificate: str) -> list[Mapping[str, Any]]:
    person = ["authorization_code", "refresh_token"]
    return [
        {
            "client_id": OpenIdProvider.secret_app,
            "client_secret": secret,
            "token_endpoint_auth_method": "client_secret_post",
            "grant_types": [*person, "client_credentials"],
            "redirect_uris": [REDIRECT_URI],
            "application_type": "native",  # a web app may not come back to http://localhost here
        },
        {
            "client_id": OpenIdProvider.certificate_app,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "PS256",
            "jwks": {"keys": [_public_key(certificate)]},
            "grant_types": ["client_credentials"],
            "redirect_uris": [],
            "response_types": [],
        },
        {
            "client_id": OpenIdProvider.public_app,
            "token_endpoint_auth_method": "none",
            "application_type": "native",
            "grant_types": person,
            "redirect_uris": [REDIRECT_URI],
        },
        {
            "client_id": OpenIdProvider.device_app,
            "token_endpoint_auth_method": "none",
            "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
            "redirect_uris": [],
            "response_types": [],
        },
    ]


def _public_key(certificate: str) -> dict[str, Any]:
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    return {**public, "use": "sig", "alg": "PS256"}


def self_signed() -> tuple[str, str]:
    """Return a self-signed certificate and its private key, both as PEM text."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode(), private.decode()
