"""Reads the private key and certificates of an app, whichever way they were pasted, and says what is wrong with them.

A password field holds one line, so PEM arrives with its line breaks lost or written out, or in base64; files
hold PEM, DER or PKCS #12.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["KeyPair", "ProofError", "read_key_pair"]

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_OLD_ENCRYPTION = re.compile(  # the vector's length tells it from the key, where no line break is left between them
    r"Proc-Type:\s*4,ENCRYPTED\s*DEK-Info:\s*(AES[A-Z0-9-]*,[0-9A-Fa-f]{32}|[A-Z0-9-]+,[0-9A-Fa-f]{16})\s*(.*)",
    re.DOTALL,
)
_KEY, _CERTIFICATE, _PASSPHRASE = "Private key", "Certificate", "Private key passphrase"
_LARGEST = 1_000_000  # bytes; no key file is larger


class ProofError(ValueError):
    """What an app is to prove itself with cannot be used: `cause` and `remedy` are sentences that name the form's fields."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy[0].upper()}{remedy[1:]}.")
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True)
class KeyPair:
    """A private key, the certificate that belongs to it, and the certificates that vouch for that one."""

    private_key: RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def not_after(self) -> datetime:
        """The moment from which the certificate is no longer accepted."""
        return _utc(self.certificate, "not_valid_after")

    @property
    def not_before(self) -> datetime:
        """The moment from which the certificate is accepted."""
        return _utc(self.certificate, "not_valid_before")

    @property
    def thumbprint(self) -> str:
        """The SHA-1 fingerprint in hexadecimal capitals, as the Entra admin center shows it."""
        from cryptography.hazmat.primitives import hashes

        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name, not a protection

    def key_pem(self) -> str:
        """Return the private key as PEM without a passphrase."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def certificates_pem(self) -> list[str]:
        """Return the certificate and then its chain, each as PEM."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return [one.public_bytes(Encoding.PEM).decode() for one in (self.certificate, *self.chain)]


def read_key_pair(private_key: str, passphrase: str | None = None, certificate: str | None = None) -> KeyPair:
    """Return what a connection's fields hold, each as text or as a path; raises ProofError."""
    key_content = _content(_KEY, private_key)
    key, found = _pkcs12(key_content, passphrase) or _pem_or_der(key_content, passphrase)
    if certificate:
        found = [*_certificates(_content(_CERTIFICATE, certificate)), *found]
    if not found:
        raise ProofError(
            f"{_CERTIFICATE} is missing: {_KEY} holds a key but not the certificate that belongs to it.",
            f"enter the certificate in PEM, or its path, into {_CERTIFICATE}",
        )
    own = [one for one in found if _belongs(one, key)]
    if not own:
        raise ProofError(
            f"{_KEY} and {_CERTIFICATE} do not belong together: the certificate was made for another key.",
            f"enter the {_KEY} and the {_CERTIFICATE} of one and the same key pair",
        )
    return KeyPair(key, own[0], tuple(one for one in found if one not in own))


def _content(label: str, value: str) -> bytes:
    text = value.strip()
    if "-----BEGIN" in text:
        return text.encode()
    if text[:1] in "/~." or (len(text) < 260 and _is_file(text)):
        return _file(label, text)
    try:
        return base64.b64decode(re.sub(r"\s|\\[nr]", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(label) from None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _file(label: str, text: str) -> bytes:
    try:
        path = Path(text).expanduser()
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except (OSError, ValueError, RuntimeError):
        raise ProofError(
            f"{label} names the file '{text[:200]}', which cannot be read on this machine.",
            f"correct {label}, or put the file on every worker, triggerer and API server",
        ) from None


def _pkcs12(content: bytes, passphrase: str | None) -> tuple[RSAPrivateKey, list[x509.Certificate]] | None:
    """Return what a PFX holds, or None if the content is something else."""
    from cryptography.hazmat.primitives.serialization import pkcs12

    if b"-----BEGIN" in content:
        return None
    try:
        key, own, others = pkcs12.load_key_and_certificates(
            content, passphrase.encode() if passphrase else None
        )
    except ValueError as error:
        if "pass" in str(error).lower():
            raise _locked(passphrase) from None
        return None
    except Exception:  # noqa: BLE001 - an algorithm that this build of OpenSSL leaves out, or a structure nobody expects
        raise _unreadable(_KEY) from None
    return _rsa(key), [one for one in (own, *others) if one is not None]


def _pem_or_der(content: bytes, passphrase: str | None) -> tuple[RSAPrivateKey, list[x509.Certificate]]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    blocks = _blocks(content)
    keys = [block for kind, block in blocks if kind.endswith("PRIVATE KEY")]
    if blocks and not keys:
        raise ProofError(
            f"{_KEY} holds a certificate but no private key.", f"enter the private key itself into {_KEY}"
        )
    load, found = (load_pem_private_key, keys[0].encode()) if keys else (load_der_private_key, content)
    encrypted = b"ENCRYPTED" in found
    try:
        key = load(found, passphrase.encode() if passphrase and (encrypted or not keys) else None)
    except TypeError:
        raise _locked(passphrase) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        if encrypted or "password" in str(error).lower():
            raise _locked(passphrase) from None
        raise _unreadable(_KEY) from None
    return _rsa(key), _certificates(content) if len(blocks) > 1 else []


def _certificates(content: bytes) -> list[x509.Certificate]:
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

    blocks = [block for kind, block in _blocks(content) if kind.endswith("CERTIFICATE")]
    try:
        if b"-----BEGIN" in content:
            return [load_pem_x509_certificate(block.encode()) for block in blocks]
        return [load_der_x509_certificate(content)]
    except ValueError:
        raise _unreadable(_CERTIFICATE) from None


def _blocks(content: bytes) -> list[tuple[str, str]]:
    """Return each PEM block with its kind, its line breaks restored."""
    text = content.decode("utf-8", "replace").replace("\\r", "").replace("\\n", "\n")
    return [(found[1], _rewrapped(found[1], found[2])) for found in _BLOCK.finditer(text)]


def _rewrapped(kind: str, body: str) -> str:
    old = _OLD_ENCRYPTION.search(body)
    headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {old[1]}\n\n" if old else ""
    lines = textwrap.wrap(re.sub(r"\s", "", old[2] if old else body), 64)
    return f"-----BEGIN {kind}-----\n{headers}" + "\n".join(lines) + f"\n-----END {kind}-----\n"


def _rsa(key: Any) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if key is None:
        raise ProofError(
            f"{_KEY} is a PFX that holds no private key.",
            "export the PFX again together with its private key",
        )
    if not isinstance(key, RSAPrivateKey):
        raise ProofError(
            f"{_KEY} is not an RSA key, and the sign-in service takes no other.",
            "create a certificate with an RSA key of 2048 bits or more",
        )
    return key


def _belongs(certificate: x509.Certificate, key: RSAPrivateKey) -> bool:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    public = certificate.public_key()
    return isinstance(public, RSAPublicKey) and public.public_numbers() == key.public_key().public_numbers()


def _utc(certificate: x509.Certificate, name: str) -> datetime:
    moment: datetime = getattr(certificate, f"{name}_utc")
    return moment.astimezone(timezone.utc)


def _locked(passphrase: str | None) -> ProofError:
    if passphrase:
        return ProofError(f"{_PASSPHRASE} does not open {_KEY}.", f"correct {_PASSPHRASE}")
    return ProofError(f"{_KEY} is encrypted and {_PASSPHRASE} is empty.", f"fill in {_PASSPHRASE}")


def _unreadable(label: str) -> ProofError:
    return ProofError(
        f"{label} cannot be read: it is neither PEM nor {'a PFX' if label == _KEY else 'DER'} in base64 nor a path.",
        f"paste {label} again, whole, with its BEGIN and END lines, or enter the path of its file",
    )
