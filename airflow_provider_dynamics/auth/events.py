"""What happens at a sign-in, told to whoever wants to count it: how, where, how long, with which outcome.

Nothing here says who signed in or with what, so an event may go into any metric.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_dynamics.auth.causes import AuthenticationError

__all__ = ["OnEvent", "SignInEvent", "watched"]

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignInEvent:
    """One question to a sign-in service; `seconds` it took, `outcome` "success" or the failure's kind.

    `mode` is how ("client secret", "refresh token"), `authority` the kind of service ("entra", "adfs", "oidc");
    `rotated` says whether the service handed out a new refresh token.
    """

    mode: str
    authority: str
    outcome: str
    seconds: float
    rotated: bool = False


OnEvent = Callable[[SignInEvent], None]


def watched(
    sign_in: Callable[[], T],
    *,
    mode: str,
    authority: str,
    on_event: OnEvent | None,
    now: Callable[[], float] = time.monotonic,
) -> T:
    """Return what `sign_in` returns, and tell `on_event` about it, also when it raises AuthenticationError."""
    if on_event is None:
        return sign_in()
    started = now()
    try:
        signed = sign_in()
    except AuthenticationError as error:
        _tell(on_event, SignInEvent(mode, authority, error.kind, now() - started))
        raise
    rotated = bool(getattr(signed, "refresh_token", None))
    _tell(on_event, SignInEvent(mode, authority, "success", now() - started, rotated))
    return signed


def _tell(on_event: OnEvent, event: SignInEvent) -> None:
    """Tell it, whatever the listener raises: the refresh token that this sign-in brought is not saved yet."""
    try:
        on_event(event)
    except Exception:
        log.warning("A sign-in could not be counted.", exc_info=True)
