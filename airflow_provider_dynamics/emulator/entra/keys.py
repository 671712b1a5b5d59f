"""The keys of the emulated world: the Web app's certificate, the federated issuer's key, the tenant's own.

Made once in a process, at first use, because making one takes longer than most tests.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

BITS = 2048
LIFETIME = datetime.timedelta(days=365)


@dataclass(frozen=True)
class KeyPair:
    """A private key with its self-signed certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> str:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def private_key_pem(self, passphrase: str | None = None) -> str:
        """Return the private key as PEM text (PKCS #8), encrypted when a passphrase is given."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _encryption(passphrase)
        ).decode()

    def pfx(self, passphrase: str | None = None) -> str:
        """Return key and certificate as PFX (PKCS #12), base64."""
        content = pkcs12.serialize_key_and_certificates(
            b"emulator", self.key, self.certificate, None, _encryption(passphrase)
        )
        return base64.b64encode(content).decode()

    def thumbprint(self, name: str) -> str:
        """Return the certificate's thumbprint as a JWT header holds it: ``x5t`` (SHA-1) or ``x5t#S256``."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        digest = hashlib.sha256(der) if name == "x5t#S256" else hashlib.sha1(der, usedforsecurity=False)
        return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def make_key_pair(name: str, *, lifetime: datetime.timedelta = LIFETIME) -> KeyPair:
    """Make a key and a certificate that is valid from yesterday until ``lifetime`` from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lifetime) - datetime.timedelta(days=1))
        .not_valid_after(now + lifetime)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


@cache
def application_key() -> KeyPair:
    """The certificate that is registered on the Web app."""
    return make_key_pair("Contoso Airflow")


@cache
def federated_key() -> KeyPair:
    """The key of the trusted workload's issuer."""
    return make_key_pair("workloads.contoso.example")


@cache
def tenant_key() -> KeyPair:
    """The key that signs ID tokens; its public half is in the key set."""
    return make_key_pair("emulator.onmicrosoft.com")


def _encryption(passphrase: str | None) -> serialization.KeySerializationEncryption:
    if passphrase is None:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(passphrase.encode())
