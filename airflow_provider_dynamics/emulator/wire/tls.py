"""A throw-away certificate authority and one server certificate for this machine's own names.

MSAL refuses plain http authorities and Dataverse has no other door than TLS, so the emulator needs a
certificate that a client can be told to trust; the authority's private key is forgotten as soon as it has
signed.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST_NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
LIFETIME = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(days=1)
LEAST_LEFT = datetime.timedelta(days=1)  # less than this left: make new ones


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: what a client must trust, and what the server presents."""

    ca: Path
    server: Path
    server_key: Path


def certificates(folder: Path, now: datetime.datetime | None = None) -> Certificates:
    """Return the certificates in ``folder``, made anew when missing, unreadable or about to expire.

    Raises OSError when the folder cannot be written.
    """
    moment = now or datetime.datetime.now(datetime.timezone.utc)
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
    if not _still_good(files, moment):
        folder.mkdir(parents=True, exist_ok=True)
        _make(files, moment)
    return files


def _still_good(files: Certificates, now: datetime.datetime) -> bool:
    try:
        authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
        server = x509.load_pem_x509_certificate(files.server.read_bytes())
        key = serialization.load_pem_private_key(files.server_key.read_bytes(), password=None)
        server.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - whatever is wrong with the files, the answer is to make new ones
        return False
    fresh = min(authority.not_valid_after_utc, server.not_valid_after_utc) - now > LEAST_LEFT
    return fresh and key.public_key() == server.public_key()


def _make(files: Certificates, now: datetime.datetime) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Dynamics emulator throw-away CA")
    authority = _authority(ca_key, ca_name, now)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server(server_key, authority, ca_key, now)
    pem = serialization.Encoding.PEM
    _write(files.ca, authority.public_bytes(pem), 0o644)
    _write(files.server, server.public_bytes(pem), 0o644)
    private = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(files.server_key, private, 0o600)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(key: ec.EllipticCurvePrivateKey, name: x509.Name, now: datetime.datetime) -> x509.Certificate:
    return (
        _draft(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in HOST_NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    return (
        _draft(_name("localhost"), authority.subject, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
