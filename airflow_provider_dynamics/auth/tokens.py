"""Keeps one access token per identity for the whole process, and lets one thread at a time renew it.

MSAL has a cache of its own, but it answers yesterday's error for a minute, forgets a valid token when a
renewal meets a 5xx, and lets several threads ask at once; so the sign-in is stateless and everything that
lasts is here.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from airflow_provider_dynamics.auth.causes import AuthenticationError

__all__ = ["SHARED", "AccessToken", "TokenCache"]

log = logging.getLogger(__name__)

EARLY = 300.0  # seconds before its end from which a token is no longer handed out without trying to renew it
LAST_RESORT = 60.0  # seconds a token must still live to be used when a renewal failed
PAUSE = 30.0  # seconds until a failed renewal is tried again while the old token serves


@dataclass(frozen=True)
class AccessToken:
    """A bearer token; `expires_at` and `refresh_at` (the service's hint to renew early) are epoch seconds."""

    secret: str = field(repr=False)
    expires_at: float
    refresh_at: float | None = None


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    attempts: int = 0
    token: AccessToken | None = None
    due_at: float = 0.0
    failure: AuthenticationError | None = None


class TokenCache:
    """Tokens by identity, at most `size` of them; the least recently used is forgotten first.

    An identity is every value that could change the token, the secret included: a corrected secret is another
    identity and therefore seen at once.
    """

    def __init__(self, now: Callable[[], float] = time.time, size: int = 1024) -> None:
        self.now = now
        self._size = size
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self,
        identity: Hashable,
        sign_in: Callable[[], AccessToken],
        *,
        rejected: AccessToken | None = None,
        renew: bool = False,
    ) -> AccessToken:
        """Return the identity's token, calling `sign_in` when there is none, it is due, or it is the `rejected` one.

        While one thread renews, the others use the old token as long as it is valid; where there is none, they
        wait and share the attempt's outcome, good or bad. With `renew` the token is replaced even though it is
        fresh, unless somebody already replaced the rejected one.
        """
        slot, seen = self._slot(identity)
        if not slot.lock.acquire(blocking=False):
            token = slot.token
            if token is not None and not rejected and not renew and self._lasts(token, LAST_RESORT):
                return token  # somebody is renewing it
            slot.lock.acquire()
        try:
            token = slot.token
            if token is not None and (token.secret == rejected.secret if rejected else renew):
                slot.token = token = None
            if token is not None and self.now() < slot.due_at:
                return token
            if slot.failure is not None and slot.attempts != seen:
                raise copy.copy(slot.failure)
            return self._renewed(slot, token, sign_in)
        finally:
            slot.lock.release()

    def clear(self) -> None:
        """Forget every token."""
        with self._lock:
            self._slots.clear()

    def _renewed(
        self, slot: _Slot, usable: AccessToken | None, sign_in: Callable[[], AccessToken]
    ) -> AccessToken:
        slot.failure = None
        try:
            slot.token = token = sign_in()
        except AuthenticationError as error:
            # a renewal that was only suggested may fail for good and leave the token its time
            if usable is None or not self._lasts(usable, LAST_RESORT if error.retryable else EARLY):
                slot.failure = copy.copy(error)
                raise
            pause = max(PAUSE, error.retry_after or 0.0) if error.retryable else EARLY
            slot.due_at = min(self.now() + pause, usable.expires_at - LAST_RESORT)
            log.warning("The access token could not be renewed yet and is used on: %s", error)
            return usable
        finally:
            slot.attempts += 1
        slot.due_at = _due_at(token, self.now())
        return token

    def _lasts(self, token: AccessToken, seconds: float) -> bool:
        return self.now() <= token.expires_at - seconds

    def _slot(self, identity: Hashable) -> tuple[_Slot, int]:
        """Return the identity's place, and how often its token had been asked for when the caller came."""
        with self._lock:
            slot = self._slots.setdefault(identity, _Slot())
            self._slots.move_to_end(identity)
            if len(self._slots) > self._size:
                self._slots.popitem(last=False)
            return slot, slot.attempts


def _due_at(token: AccessToken, obtained_at: float) -> float:
    """Return the epoch second from which to renew: the margin, but never more than half of a short life."""
    early = min(EARLY, (token.expires_at - obtained_at) / 2)
    return min(token.expires_at - early, token.refresh_at or token.expires_at)


SHARED = TokenCache()
