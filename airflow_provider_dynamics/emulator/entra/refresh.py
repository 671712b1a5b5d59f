"""Refresh tokens: what they stand for, how long, and what becomes of one that was used.

Entra's live 90 days since their last use; each use brings a new one, and the old one stays good. Other
authorities are stricter, so the rule can be changed.
https://learn.microsoft.com/entra/identity-platform/refresh-tokens
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_provider_dynamics.emulator.directory import Person
from airflow_provider_dynamics.emulator.entra.errors import EntraError, invalid_grant, malformed

INACTIVE_AFTER = 90 * 24 * 3600.0
# reusable: as Entra; one_use: a used token is refused; family: a used token revokes all that came of it;
# none: the answer brings no new token
ROTATIONS = ("reusable", "one_use", "family", "none")


@dataclass
class RefreshToken:
    """What a refresh token stands for."""

    family: str
    person: Person
    client_id: str
    scopes: tuple[str, ...]
    issued_at: float
    used_at: float
    is_used: bool = False
    is_revoked: bool = False


class RefreshTokens:
    """Every refresh token that was issued; safe to use from several threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.rotation = "reusable"
        self._now = now
        self._lock = threading.Lock()
        self._tokens: dict[str, RefreshToken] = {}

    def issue(
        self, person: Person, client_id: str, scopes: tuple[str, ...], family: str | None = None
    ) -> str:
        """Return a new refresh token."""
        text = f"1.{secrets.token_urlsafe(96)}"
        moment = self._now()
        token = RefreshToken(family or secrets.token_hex(8), person, client_id, scopes, moment, moment)
        with self._lock:
            self._tokens[text] = token
        return text

    def redeem(self, text: str, client_id: str) -> tuple[RefreshToken, str | None]:
        """Use a token; returns what it stands for and its successor. Raises ``EntraError`` when it is dead."""
        with self._lock:
            token = self._tokens.get(text)
            if token is None or token.client_id != client_id:
                raise malformed() if token is None else _not_valid()
            self._refuse_dead(token)
            token.is_used, token.used_at = True, self._now()
        if self.rotation == "none":
            return token, None
        return token, self.issue(token.person, client_id, token.scopes, token.family)

    def peek(self, text: str, client_id: str) -> RefreshToken | None:
        """Return what a token stands for without using it; None when it is not this client's."""
        with self._lock:
            token = self._tokens.get(text)
        return token if token and token.client_id == client_id else None

    def revoke(self, user_name: str | None = None) -> int:
        """Revoke the tokens of one person, or of all; returns how many."""
        with self._lock:
            found = [one for one in self._tokens.values() if user_name in (None, one.person.user_name)]
            for one in found:
                one.is_revoked = True
        return len(found)

    def expire(self) -> int:
        """Let every token be unused for longer than it may; returns how many."""
        with self._lock:
            for one in self._tokens.values():
                one.used_at = one.issued_at = self._now() - INACTIVE_AFTER - 24 * 3600
            return len(self._tokens)

    def _refuse_dead(self, token: RefreshToken) -> None:
        if token.is_revoked:
            raise _revoked(token, self._now())
        if self._now() - token.used_at > INACTIVE_AFTER:
            raise invalid_grant(
                700082,
                f"The refresh token has expired due to inactivity. The token was issued on {_when(token.issued_at)} and "
                "was inactive for 90.00:00:00.",
                "bad_token",
            )
        if token.is_used and self.rotation in ("one_use", "family"):
            if self.rotation == "family":
                for one in self._tokens.values():
                    one.is_revoked |= one.family == token.family
            raise _not_valid()


def _not_valid() -> EntraError:
    return invalid_grant(70000, "Provided grant is invalid or malformed.", "bad_token")


def _revoked(token: RefreshToken, now: float) -> EntraError:
    return invalid_grant(
        50173,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
        f"changed or reset their password. The grant was issued on '{_when(token.issued_at)}' and the TokensValidFrom "
        f"date (before which tokens are not valid) for this user is '{_when(now)}'.",
        "bad_token",
    )


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
