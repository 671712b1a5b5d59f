"""Tells a refresh token from what people paste in its place: a damaged one, an ID token, an access token."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

__all__ = ["damage", "mistaken"]

_QUOTES = "'\"`"


def damage(token: str) -> str:
    """Return what copying has added to a refresh token, or an empty text: with it came perhaps the loss of a piece."""
    if len(token.split()) > 1 or re.search(r"\\[nrt]", token):
        return "has a line break or a space in it, which no refresh token has: paste it again, whole and in one line"
    if token[0] in _QUOTES or token[-1] in _QUOTES + ",;":
        return "has quotes or a comma around it, which do not belong to it: paste it again without them"
    if token[0] == "{":
        return "holds the whole answer of the sign-in service: paste the value of its refresh_token only"
    return ""


def mistaken(token: str, client_id: str | None, authority_kind: str) -> str:
    """Return the kind of token that was pasted instead of a refresh token, or an empty text.

    Entra's and AD FS's refresh tokens are no JWTs; a generic provider's can be.
    """
    claims = _jwt(token)
    if claims is None or str(claims.get("typ")).lower() in {"refresh", "offline"}:
        return ""
    if claims.get("aud") == client_id or "nonce" in claims or claims.get("typ") == "ID":
        return "an ID token"
    is_access_token = bool({"scp", "scope", "roles", "appid"} & claims.keys())
    return "an access token" if is_access_token or authority_kind != "oidc" else ""


def _jwt(token: str) -> dict[str, Any] | None:
    """Return what a JWT says, None for every other text."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2]
        )
    except ValueError:
        return None
    signed = isinstance(header, dict) and "alg" in header and isinstance(claims, dict)
    return claims if signed else None
