"""What a sign-in carries through the browser, signed or encrypted, since no API server remembers anything of it.

The state goes to the sign-in service and comes back; a cookie holds what only the browser that began may have.
Either alone is worth nothing, and the cookie is gone after its first use.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from itsdangerous import BadData, URLSafeSerializer

__all__ = ["Cipher", "Notice", "Pending", "Refused", "Seal"]

STATE_LIFE = 600.0  # seconds a person has at the sign-in service
FORM_LIFE = 12 * 3600.0  # seconds a page may stay open before its buttons are refused

_SIGN_IN = "sign-in"  # Airflow's Fernet encrypts other things too
AGAIN = "Go back to the list and press Sign in again."


class Refused(Exception):
    """What came back from the browser is not what was sent there; the text says how to go on."""


class Cipher(Protocol):
    """What Airflow's Fernet can do."""

    def encrypt(self, msg: bytes) -> bytes: ...

    def decrypt(self, msg: bytes | str, ttl: int | None = None) -> bytes: ...


@dataclass(frozen=True)
class Pending:
    """A sign-in that somebody has begun; `issued` in epoch seconds."""

    conn_id: str
    person: str
    nonce: str
    issued: float


@dataclass(frozen=True)
class Notice:
    """What the next page is to say about a connection."""

    conn_id: str
    kind: str
    text: str = field(default="")


class Seal:
    """Signs and encrypts what passes through the browser, with keys that all API servers share.

    :param key: Airflow's [api] secret_key
    :param cipher: returns Airflow's Fernet
    :param now: the time in epoch seconds
    """

    def __init__(self, key: str, cipher: Callable[[], Cipher], now: Callable[[], float]) -> None:
        self._key = key
        self._cipher = cipher
        self._now = now

    def begin(self, conn_id: str, person: str) -> tuple[str, str]:
        """Return a new sign-in's state, for the service, and its nonce, for the cookie."""
        nonce = secrets.token_urlsafe(24)
        pending = Pending(conn_id, person, nonce, self._now())
        return self._signer("state").dumps(asdict(pending)), nonce

    def pending(self, state: str, person: str) -> Pending:
        """Return the sign-in a state belongs to; raises Refused unless it is fresh and this person's own."""
        found = Pending(
            **self._read("state", state, f"This answer does not belong to a sign-in begun here. {AGAIN}")
        )
        if self._now() - found.issued > STATE_LIFE:
            raise Refused(f"This sign-in was begun more than {STATE_LIFE / 60:.0f} minutes ago. {AGAIN}")
        if found.person != person:
            raise Refused(f"This sign-in was begun by somebody else in Airflow. {AGAIN}")
        return found

    def lock(self, nonce: str, kept: Mapping[str, Any]) -> str:
        """Return a cookie's value: the nonce and what the code must be redeemed with, encrypted."""
        content = json.dumps({"what": _SIGN_IN, "nonce": nonce, "kept": kept})
        return self._cipher().encrypt(content.encode()).decode()

    def unlock(self, cookie: str | None, nonce: str) -> dict[str, Any]:
        """Return what `lock` was given; raises Refused unless the cookie is there and belongs to the nonce."""
        if not cookie:
            raise Refused(
                "This sign-in was used before, or it was begun in another browser or under another address of Airflow. "
                + AGAIN
            )
        try:
            content = json.loads(self._cipher().decrypt(cookie.encode(), int(STATE_LIFE)))
            mine = content["what"] == _SIGN_IN and secrets.compare_digest(
                content["nonce"].encode(), nonce.encode()
            )
            kept: dict[str, Any] = content["kept"]
        except Exception:  # noqa: BLE001 - every cipher has its own errors, and all mean the same
            mine, kept = False, {}
        if not mine:
            raise Refused(f"Another sign-in was begun in this browser meanwhile. {AGAIN}")
        return kept

    def form_token(self, person: str) -> str:
        """Return what a form must bring back to prove that this page made it for this person."""
        return self._signer("form").dumps({"person": person, "issued": self._now()})

    def check_form(self, token: str, person: str) -> None:
        """Raise Refused unless the form is one that this page made for this person, not long ago."""
        words = "The form was not made by this page for you, or it is too old. Open the list again and repeat it there."
        found = self._read("form", token, words)
        if found["person"] != person or self._now() - found["issued"] > FORM_LIFE:
            raise Refused(words)

    def notice(self, notice: Notice, person: str) -> str:
        """Return a notice for a person as a cookie's value."""
        return self._signer("notice").dumps({"person": person, "notice": asdict(notice)})

    def read_notice(self, cookie: str | None, person: str) -> Notice | None:
        """Return the notice a cookie holds, if this page wrote it for this person."""
        try:
            found = self._read("notice", cookie or "", "")
        except Refused:
            return None
        return Notice(**found["notice"]) if found["person"] == person else None

    def _read(self, what: str, text: str, refusal: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._signer(what).loads(text)
        except BadData:
            raise Refused(refusal) from None
        return found

    def _signer(self, what: str) -> URLSafeSerializer:
        # a salt of its own for each purpose: what was signed for one is nothing to another
        return URLSafeSerializer(
            self._key,
            salt=f"airflow-provider-dynamics {what}",
            signer_kwargs={"digest_method": hashlib.sha256},
        )
