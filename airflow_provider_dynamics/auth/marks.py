"""The mark beside a dead credential: one task asks the service, the others say its answer again in milliseconds.

It is bound to the credential's fingerprint, so that whatever replaces the credential is tried at once; and one
try passes now and then, since what was dead may have been revived on the other side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.store import (
    CredentialStore,
    Failure,
    Record,
    StoreError,
    fingerprint,
    following,
    generation,
)

__all__ = ["Marks"]

log = logging.getLogger(__name__)

PROBE_EVERY = 600.0  # seconds until a dead credential is tried again, once


@dataclass(frozen=True)
class Marks:
    """The failure that is kept under a key; `identity` is what a secret is bound to: authority, tenant, client."""

    store: CredentialStore
    key: str
    identity: tuple[str, ...]
    now: Callable[[], float]

    def fingerprint(self, secret: str) -> str:
        return fingerprint(secret, *self.identity)

    def check(self, record: Record | None, secret: str) -> Record | None:
        """Raise the remembered error if `secret` is dead and it is not for us to probe it; return the record as it is now.

        The time of a probe is saved before it, so that one process does it.
        """
        failure = record.failure if record else None
        if failure is None or not failure.dead or failure.dead != self.fingerprint(secret):
            return record
        if self._recent(max(failure.at, failure.probed_at)):
            raise failure.as_error()
        probing = following(record, failure=replace(failure, probed_at=self.now()))
        if not self._save(probing, record):
            raise failure.as_error()
        return probing

    def remember(self, record: Record | None, error: AuthenticationError, secret: str) -> None:
        """Mark `secret` as dead where the error says so, else only note the error."""
        if not error.dead:
            self.note(error)
            return
        failure = Failure.of(error, at=self.now(), dead=self.fingerprint(secret))
        self._save(following(record, failure=failure), record)

    def note(self, error: AuthenticationError) -> None:
        """Keep a failure that will not pass, for people to read; the same one again only after a while."""
        if error.retryable or error.kind == "transient":
            return
        try:
            record = self.store.load(self.key)
        except Exception as reason:  # noqa: BLE001 - the sign-in's own error is the one to be raised
            log.debug("The failed sign-in could not be noted: %s", reason)
            return
        known = record.failure if record else None
        if known and _same(known, error) and self._recent(known.at):
            return
        self._save(following(record, failure=Failure.of(error, at=self.now())), record)

    def clear(self, record: Record | None) -> None:
        """Take the failure back: the credential works."""
        if record is not None and record.failure is not None:
            self._save(following(record, failure=None), record)

    def _recent(self, moment: float) -> bool:
        """Say whether it was less than ten minutes ago, on this machine's clock or on one that is a little ahead."""
        return abs(self.now() - moment) < PROBE_EVERY

    def _save(self, record: Record, before: Record | None) -> bool:
        """Save a record of which only the failure is new; a mark is worth no error of its own."""
        try:
            return self.store.save(self.key, record, expected=generation(before))
        except StoreError as reason:
            log.warning("Other tasks cannot know how this sign-in ended: %s", reason)
            return False


def _same(known: Failure, error: AuthenticationError) -> bool:
    """Compare what does not change from one try to the next, as a text's correlation ID does."""
    return (known.code, known.error, known.message) == (error.code, error.error, error.message)
