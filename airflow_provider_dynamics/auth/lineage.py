"""How refresh tokens descend from one another, and what one process knows of that and no store does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_provider_dynamics.auth.store import Record, StoreError, held_too_long

__all__ = ["Memory", "Seed", "Unsaved"]


@dataclass(frozen=True)
class Seed:
    """The connection's own refresh token and its fingerprint, or a stored one of a newer sign-in and that one's."""

    token: str = field(repr=False)
    mark: str
    stored: bool = False

    def descendant(self, record: Record | None) -> str:
        """Return the refresh token that descends from this seed as far as a record knows."""
        return (record is not None and record.seed == self.mark and record.refresh_token) or self.token

    def is_former(self, record: Record | None) -> bool:
        """Say whether somebody has signed in anew since this seed was read from the connection."""
        return record is not None and self.mark in record.former

    def was_renewed(self, before: Record | None, after: Record | None) -> bool:
        """Say whether another process has saved a token of this seed in between; both live, or it had not got one."""
        then = (before or Record()).rotated_at
        return after is not None and after.seed == self.mark and after.rotated_at != then

    def successor(self, record: Record | None) -> Seed:
        """Return the newer sign-in's in place of a former one, where its token is known."""
        if record is None or not record.refresh_token or not self.is_former(record):
            return self
        return Seed(record.refresh_token, record.seed, stored=True)


@dataclass(frozen=True)
class Unsaved:
    """A record that no store is known to have taken, what it held before, and the tokens from which this one descends.

    A store may have taken one of those and only its answer was lost.
    """

    stored: Record | None
    record: Record
    chain: frozenset[str] = field(repr=False)


@dataclass
class Memory:
    """What one process knows and no store does: tokens that could not be saved, and who is signing in just now."""

    unsaved: dict[str, Unsaved] = field(default_factory=dict)
    locks: dict[str, threading.Lock] = field(default_factory=dict)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Let one thread at a time sign in with a credential; raises StoreError when that takes too long."""
        lock = self.locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=timeout):
            raise StoreError(held_too_long("in this process", timeout), retryable=True)
        try:
            yield
        finally:
            lock.release()
