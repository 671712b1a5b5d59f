"""What goes in and out of the emulator's rooms: requests, responses and the faults that become error bodies.

Kept apart from both the wire (TLS, Starlette) and the data, so that either side can be tested without the
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """Whom a good token speaks for: an application, or a person who signed in through one.

    A person is known by the object id of the account (Entra) or by the user name alone (AD FS).
    """

    client_id: str
    object_id: str | None = None
    user_name: str | None = None
    answers_challenge: bool = False

    @property
    def key(self) -> str:
        """Who it is, for counting requests."""
        return self.object_id or self.user_name or self.client_id


@dataclass(frozen=True)
class Request:
    """One HTTP request as received.

    ``path`` is percent-encoded and follows the origin, ``query`` is raw and without its question mark,
    ``headers`` has lower-case names (a repeated header is joined by ", "), ``origin`` is
    "https://127.0.0.1:8765" without a slash at its end. ``principal`` is whom its token speaks for, None for
    requests made in process.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    origin: str
    principal: Principal | None = None


@dataclass(frozen=True)
class Response:
    """One HTTP response; a header name may come more than once, as Dataverse does it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Fault(Exception):
    """A refusal in Dataverse's words; becomes ``{"error": {"code", "message"}}``.

    ``details`` are members that are added when annotations are asked for, by name without "@Microsoft.PowerApps.CDS.".

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
    """

    def __init__(
        self, status: int, code: str, message: str, details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.details = details or {}
        self.status = status
        self.code = code
        self.message = message


class NotEmulated(Fault):
    """Something the real service can do and the emulator does not: 501, said plainly."""

    def __init__(self, what: str) -> None:
        super().__init__(501, "0x80060888", f"not emulated: {what}")
