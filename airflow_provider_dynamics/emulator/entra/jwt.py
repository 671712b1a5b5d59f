"""JSON Web Tokens by hand: what is signed here is little, and what is checked must say exactly what is wrong.

https://www.rfc-editor.org/rfc/rfc7515
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from airflow_provider_dynamics.emulator.entra.keys import KeyPair

_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
PADDINGS: Mapping[str, padding.AsymmetricPadding] = {"RS256": padding.PKCS1v15(), "PS256": _PSS}


@dataclass(frozen=True)
class Token:
    """A token taken apart; the signature is not checked yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def encode(content: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read base64url with or without padding; ValueError when it is none."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def sign_secret(claims: Mapping[str, Any], secret: bytes) -> str:
    """Sign with HMAC: tokens that only this process can check."""
    signed = f"{_part({'typ': 'JWT', 'alg': 'HS256', 'kid': 'emulator'})}.{_part(claims)}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def read_secret(token: str, secret: bytes) -> dict[str, Any] | None:
    """Return the claims of a token of our own; None when it is forged or no token at all."""
    signed, _, signature = token.rpartition(".")
    wanted = encode(hmac.digest(secret, signed.encode(), hashlib.sha256))
    if not hmac.compare_digest(signature.encode(), wanted.encode()):
        return None
    claims: dict[str, Any] = json.loads(decode(signed.partition(".")[2]))
    return claims


def sign(claims: Mapping[str, Any], pair: KeyPair, **header: Any) -> str:
    """Sign with RS256."""
    signed = f"{_part({'typ': 'JWT', 'alg': 'RS256', **header})}.{_part(claims)}"
    return f"{signed}.{encode(pair.key.sign(signed.encode(), PADDINGS['RS256'], hashes.SHA256()))}"


def read(token: str) -> Token:
    """Take a token apart; ValueError when it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("a JWT has three parts")
    header, claims = json.loads(decode(parts[0])), json.loads(decode(parts[1]))
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("a JWT's parts are objects")  # noqa: TRY004 - the text is wrong, not the call
    return Token(header, claims, f"{parts[0]}.{parts[1]}".encode(), decode(parts[2]))


def is_signed_by(token: Token, key: rsa.RSAPublicKey) -> bool:
    """Whether a key's private half made the signature, with the algorithm the header names."""
    try:
        key.verify(token.signature, token.signed, PADDINGS[str(token.header.get("alg"))], hashes.SHA256())
    except (InvalidSignature, KeyError):
        return False
    return True


def public_key(pair: KeyPair) -> dict[str, str]:
    """Return the public half as a member of a key set (RFC 7517)."""
    numbers = pair.key.public_key().public_numbers()
    identifier = pair.thumbprint("x5t")
    return {
        "kty": "RSA",
        "use": "sig",
        "kid": identifier,
        "x5t": identifier,
        "n": encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
        "e": encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
    }


def _part(content: Mapping[str, Any]) -> str:
    return encode(json.dumps(content).encode())
