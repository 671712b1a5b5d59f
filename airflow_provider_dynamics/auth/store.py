"""What is remembered of a sign-in between processes, and what a place that keeps it must be able to do.

A refresh token changes with every use, and a dead one should be tried once instead of by every task; both need
a memory that outlives the process. Where it is belongs to the deployment: here are only the value and the shape.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.causes import AuthenticationError, Kind
from airflow_provider_dynamics.auth.texts import fitted

__all__ = ["CredentialStore", "Failure", "NoStore", "Record", "StoreError", "fingerprint", "store_key"]

# A Variable's name may have 250 characters and a file's 255, and both get endings of their own.
_LONGEST_KEY = 225
_ROUNDS = 10_000  # of PBKDF2, 3 ms: a fingerprint may be one of a person's password
_FOREIGN = re.compile(r"[^a-z0-9.-]+")


class StoreError(Exception):
    """The credential store could not be used; the text names it and says what to do. `retryable`: it may pass."""

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(fitted(text))
        self.retryable = retryable


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why the last sign-in failed, to be said again without asking the service; `at` and `probed_at` in epoch seconds.

    `dead` is the fingerprint of the credential that will never work again; "" where the failure is only worth
    knowing.
    """

    text: str
    at: float
    kind: Kind = "permanent"
    code: str = ""
    error: str = ""
    message: str = ""
    remedy: str = ""
    correlation_id: str | None = None
    dead: str = ""
    probed_at: float = 0.0

    @classmethod
    def of(cls, error: AuthenticationError, *, at: float, dead: str = "") -> Failure:
        """Return what is to be remembered of an error."""
        return cls(
            text=str(error),
            at=at,
            kind=error.kind,
            code=error.code,
            error=error.error,
            message=error.message,
            remedy=error.remedy,
            correlation_id=error.correlation_id,
            dead=dead,
        )

    def as_error(self) -> AuthenticationError:
        """Return the error as it was first raised."""
        return AuthenticationError(
            self.text,
            code=self.code,
            error=self.error,
            message=self.message,
            remedy=self.remedy,
            kind=self.kind,
            correlation_id=self.correlation_id,
            dead=bool(self.dead),
        )


@dataclass(frozen=True)
class Record:
    """What a store keeps under one key; `generation` counts its versions, times are in epoch seconds.

    `seed` is the fingerprint of the connection's own refresh token, from which `refresh_token` descends (None:
    the seed itself is still the newest); `former` are the fingerprints of seeds that a newer one has replaced.
    `issued_at` is when the token in use came, or was first used; `rotated_at` is when it was last used.
    """

    generation: int = 0
    refresh_token: str | None = field(default=None, repr=False)
    seed: str = ""
    user: str = ""
    rotated_at: float | None = None
    failure: Failure | None = None
    former: tuple[str, ...] = ()
    issued_at: float | None = None

    def to_json(self) -> str:
        """Return the record as text; it holds the refresh token."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what `to_json` wrote; raises ValueError, without the text, for anything else."""
        try:
            values = json.loads(text)
            failure = values["failure"]
            values |= {
                "generation": int(values["generation"]),
                "failure": None if failure is None else Failure(**failure),
                "former": tuple(values["former"]),
            }
            return cls(**values)
        except (ValueError, TypeError, KeyError):
            raise ValueError("not a record of a credential") from None


class CredentialStore(Protocol):
    """A place for records; all four raise `StoreError`, and all are safe to call from several threads and processes.

    `save` writes only when the stored generation is the `expected` one (0: nothing is stored) and says whether it
    did, as far as the place can compare before it writes. `lock` is held by one process at a time where the place
    can do that, is not re-entrant, ends with its holder's life, and is waited for at most `timeout` seconds.
    """

    def load(self, key: str) -> Record | None: ...

    def save(self, key: str, record: Record, *, expected: int) -> bool: ...

    def delete(self, key: str) -> None: ...

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]: ...


class NoStore:
    """Keeps records for as long as it lives itself, that is at most for this process."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._changing = threading.Lock()

    def __repr__(self) -> str:
        return "NoStore()"

    def load(self, key: str) -> Record | None:
        return self._records.get(key)

    def save(self, key: str, record: Record, *, expected: int) -> bool:
        with self._changing:
            if generation(self._records.get(key)) != expected:
                return False
            self._records[key] = record
            return True

    def delete(self, key: str) -> None:
        with self._changing:
            self._records.pop(key, None)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        with self._changing:
            lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=timeout):
            raise StoreError(held_too_long("this process", timeout), retryable=True)
        try:
            yield
        finally:
            lock.release()


def generation(record: Record | None) -> int:
    """Return the number a record is compared by; 0 where there is none."""
    return 0 if record is None else record.generation


def following(record: Record | None, **changes: Any) -> Record:
    """Return the next version of a record."""
    return replace(record or Record(), generation=generation(record) + 1, **changes)


def held_too_long(place: str, timeout: float) -> str:
    """Word a lock that was not obtained in `timeout` seconds."""
    return f"Another task has been signing in with the same credential ({place}) for more than {timeout:g} s."


def store_key(
    environment: str, authority_url: str, tenant_id: str | None, client_id: str | None, user: str = ""
) -> str:
    """Return the name a credential is kept under: made of who signs in where, never of a connection's id.

    It can be read by people, holds "token" so that Airflow masks the value, and has only characters that every
    place takes.
    """
    parts = [urlsplit(environment).netloc or environment, tenant_id or "auto", client_id or "", user]
    readable = ".".join(filter(None, (_FOREIGN.sub("-", part.lower()).strip("-.") for part in parts)))
    exact = json.dumps([part.lower().rstrip("/") for part in (authority_url, *parts)])
    digest = hashlib.sha256(exact.encode()).hexdigest()[:16]
    prefix = "dynamics_token"
    return f"{prefix}.{readable[: _LONGEST_KEY - len(prefix) - len(digest) - 2]}.{digest}"


def fingerprint(secret: str, *identity: str) -> str:
    """Return what tells two secrets apart without giving either away; `identity` is whom and what it is good for."""
    salt = json.dumps(identity).encode()
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, _ROUNDS).hex()[:40]
