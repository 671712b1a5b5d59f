"""A throw-away certificate authority and key pairs, in every shape that people keep them in."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

NOW = datetime(2027, 1, 15, 8, tzinfo=timezone.utc)
PASSPHRASE = "open s3same"


@cache
def rsa_key(name: str = "own") -> rsa.RSAPrivateKey:  # noqa: ARG001 - each name has a key of its own
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def elliptic_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Pair:
    """A key, its certificate, and the certificates that vouch for it."""

    key: Any
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def chain_pem(self) -> str:
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in self.chain)

    def key_pem(self, passphrase: str | None = None, *, old: bool = False) -> str:
        form = PrivateFormat.TraditionalOpenSSL if old else PrivateFormat.PKCS8
        found: bytes = self.key.private_bytes(Encoding.PEM, form, _encryption(passphrase))
        return found.decode()

    def key_der(self) -> bytes:
        found: bytes = self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, serialization.NoEncryption())
        return found

    def pfx(self, passphrase: str | None = None) -> bytes:
        return pkcs12.serialize_key_and_certificates(
            b"app", self.key, self.certificate, self.chain or None, _encryption(passphrase)
        )

    def pfx_text(self, passphrase: str | None = None) -> str:
        return base64.b64encode(self.pfx(passphrase)).decode()


def pair(
    *,
    key: Any = None,
    signed_by: str = "",
    begins: datetime = NOW - timedelta(days=10),
    ends: datetime = NOW + timedelta(days=90),
) -> Pair:
    """Return a key pair; `signed_by` adds an issuing authority of that name to it."""
    key = key or rsa_key()
    issuer_key = rsa_key(signed_by) if signed_by else key
    certificate = _certificate(("airflow", key), (signed_by or "airflow", issuer_key), begins, ends)
    if not signed_by:
        return Pair(key, certificate)
    return Pair(
        key, certificate, (_certificate((signed_by, issuer_key), (signed_by, issuer_key), begins, ends),)
    )


def _certificate(
    subject: tuple[str, Any], issuer: tuple[str, Any], begins: datetime, ends: datetime
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject[0]))
        .issuer_name(_name(issuer[0]))
        .public_key(subject[1].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(issuer[1], hashes.SHA256())
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _encryption(passphrase: str | None) -> serialization.KeySerializationEncryption:
    if passphrase is None:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(passphrase.encode())
