"""A sign-in service that only knows refresh tokens, with each of the ways services renew them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from airflow_provider_dynamics.auth.authority import Signed
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.tokens import AccessToken


def dead(code="AADSTS700082"):
    return AuthenticationError(
        f"Sign-in failed: {code} The refresh token is not valid any more. What to do: Sign in again.",
        code=code,
        error="invalid_grant",
        message="The refresh token has expired",
        remedy="Sign in again",
        kind="needs-interaction",
        dead=True,
        correlation_id="0d1a5c28-3487-4767-a690-9cc680689523",
    )


@dataclass
class RefreshServer:
    """Redeems refresh tokens; `rotation` is "reusable" (Entra), "one_use", "family" (revokes all on reuse) or "none" (AD FS).

    Tokens are `<family>-<number>`; `newest` is the last one issued, by family.
    """

    rotation: str = "reusable"
    valid: set[str] = field(default_factory=set)
    spent: set[str] = field(default_factory=set)
    newest: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failure: AuthenticationError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self, family="seed"):
        """Sign somebody in: return a first refresh token."""
        return self._issue(family, 0)

    def redeem(self, token):
        """Return what a sign-in with this refresh token brings, or raise."""
        with self.lock:
            self.asked.append(token)
            if self.failure is not None:
                raise self.failure
            family = token.rpartition("-")[0]
            if token not in self.valid:
                if self.rotation == "family" and token in self.spent:
                    self.revoke(family)
                raise dead()
            if self.rotation == "none":
                return self._signed(token, None)
            if self.rotation != "reusable":
                self.valid.discard(token)
                self.spent.add(token)
            return self._signed(token, self._issue(family, int(self.newest[family].rpartition("-")[2]) + 1))

    def revoke(self, family="seed"):
        self.valid = {token for token in self.valid if not token.startswith(f"{family}-")}

    def _issue(self, family, number):
        token = f"{family}-{number}"
        self.valid.add(token)
        self.newest[family] = token
        return token

    def _signed(self, token, following):
        return Signed(AccessToken(f"access by {token}", 1e12), following, "anne@contoso.com")
