"""Uses a refresh token so that its successor is never lost, however many processes use it at once.

Every use of a refresh token may make another one of it, and a server may allow each a single use. So the newest
is read before it is used, its successor is saved before the access token is handed out, and where another
process was faster, what that one saved is looked for before anybody is told to sign in anew.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.lineage import Memory, Seed, Unsaved
from airflow_provider_dynamics.auth.marks import Marks
from airflow_provider_dynamics.auth.store import (
    CredentialStore,
    NoStore,
    Record,
    StoreError,
    following,
    generation,
)
from airflow_provider_dynamics.auth.threads import briefly, uninterrupted

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.authority import Signed

__all__ = ["Memory", "Rotation"]

log = logging.getLogger(__name__)

LOCK_TIMEOUT = 60.0  # seconds to wait for another process to finish signing in
READ_WAITS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)  # seconds before each look for what others saved
SAVE_WAITS = (0.0, 0.2, 0.5, 1.0)  # seconds before each attempt to save
FORMER_SEEDS = 5  # replaced seeds that are remembered
PATIENCE = 1.0  # seconds that an app's sign-in, which needs no store, waits for one


MEMORY = Memory()


class Rotation:
    """One credential's way through a store; `identity` is what a secret is bound to: authority, tenant, client.

    `on_token` is told each refresh token before it is used or saved, to have it masked in logs.
    """

    def __init__(
        self,
        store: CredentialStore,
        key: str,
        *,
        identity: tuple[str, ...] = (),
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        on_token: Callable[[str], object] | None = None,
        memory: Memory = MEMORY,
    ) -> None:
        self._store = store
        self._key = key
        self._now = now
        self._sleep = sleep
        self._listener = on_token
        self._memory = memory
        self._marks = Marks(store, key, identity, now)

    def read(self) -> Record | None:
        """Return what is stored; raises StoreError."""
        return self._store.load(self._key)

    def redeem(self, seed: str, sign_in: Callable[[str], Signed]) -> Signed:
        """Sign in with the newest descendant of `seed`, the connection's own refresh token, and save the next one.

        A newly pasted seed goes before whatever is stored. Raises AuthenticationError: the service's own, the
        remembered one where the token is known to be dead, or one about the store where that cannot be used.
        Whatever interrupts the caller, a token that the service hands out is still saved.
        """
        return uninterrupted(lambda: self._redeemed(seed, sign_in))

    def _redeemed(self, seed: str, sign_in: Callable[[str], Signed]) -> Signed:
        mine = Seed(seed, self._marks.fingerprint(seed))
        with self._alone():
            record = self._load()
            record = self._marks.check(record, self._newest(record, mine))
            used: set[str] = set()
            while True:
                token = self._newest(record, mine)
                try:
                    signed = sign_in(token)
                except AuthenticationError as error:
                    used.add(token)
                    record, mine = self._moved_on(record, mine, used, error)
                else:
                    self._keep(record, mine, token, signed)
                    return signed

    def guard(self, secret: str, sign_in: Callable[[], Signed]) -> Signed:
        """Sign in with a secret that does not change, a person's password, unless it is known to be wrong.

        Each wrong try brings the person's account nearer to being locked. Raises AuthenticationError.
        """
        with self._alone():
            record = self._marks.check(self._load(), secret)
            try:
                signed = sign_in()
            except AuthenticationError as error:
                self._marks.remember(record, error, secret)
                raise
            self._marks.clear(record)
            return signed

    def note(self, error: AuthenticationError) -> None:
        """Keep why a sign-in without a person failed for good, for people to read; raises nothing."""
        self._marks.note(error)

    def worked(self, patience: float = PATIENCE) -> None:
        """Take back what `note` kept, since such a sign-in worked; raises nothing, and waits `patience` seconds at most.

        What takes longer goes on by itself, and ends with the process. A store that says it is `of_one_thread` is
        waited for.
        """
        if type(self._store) is NoStore or getattr(self._store, "of_one_thread", False):
            self._take_back()
            return
        briefly(self._take_back, patience)

    def _take_back(self) -> None:
        try:
            self._marks.clear(self.read())
        except Exception as reason:  # noqa: BLE001 - an app signs in without a store, so none may stop it
            log.debug("Whether an earlier sign-in failed is unknown: %s", reason)

    def _newest(self, record: Record | None, mine: Seed) -> str:
        """Return the youngest known descendant of the seed, at first the seed itself."""
        unsaved = self._memory.unsaved.get(self._key)
        token = mine.descendant(record)
        if unsaved and token in self._chain(mine):
            token = mine.descendant(unsaved.record)  # nobody else has gone on from there
        self._on_token(token)
        return token

    def _moved_on(
        self, record: Record | None, mine: Seed, used: set[str], error: AuthenticationError
    ) -> tuple[Record | None, Seed]:
        """Return a record with a token that was not used yet, or raise the error, having marked a dead token.

        Another process may have redeemed the token and not have saved the next one yet, and somebody may have
        signed in anew since a long task began.
        """
        if error.dead:
            for wait in READ_WAITS:
                self._pause(wait * random.uniform(0.7, 1.3))  # so that processes do not stay in step
                record = self._load()
                for known in (mine, mine.successor(record)):
                    if self._newest(record, known) not in used:
                        return record, known
        if not mine.is_former(record):
            self._marks.remember(record, error, self._newest(record, mine))
        raise error

    def _keep(self, record: Record | None, mine: Seed, token: str, signed: Signed) -> None:
        """Save what follows, or keep it in this process and say so: it may be the only one that still works."""
        newest = signed.refresh_token or token
        older = (self._chain(mine) | {mine.descendant(record), token}) - {newest}
        for wait in SAVE_WAITS:
            self._pause(wait)
            after = self._after(record, mine, newest, signed.user)
            self._memory.unsaved[self._key] = Unsaved(record, after, older | {newest})
            try:
                if mine.is_former(record):
                    reason = (
                        "A newer sign-in has replaced the one this process started with (to go back to the older "
                        "one on purpose, delete what is stored first)."
                    )
                    break
                saved = self._store.save(self._key, after, expected=generation(record))
                before, record = record, record if saved else self.read()
                if saved or (mine.was_renewed(before, record) and mine.descendant(record) not in older):
                    del self._memory.unsaved[self._key]
                    return
                reason = "It was changed by others at every attempt."
            except StoreError as error:
                reason = str(error)
                if not error.retryable:
                    break
        log.error(
            "The new refresh token could not be saved as %s: %s This process goes on with it; other processes "
            "have an older one, and may need the connection to be signed in again.",
            self._key,
            reason,
        )

    def _chain(self, mine: Seed) -> frozenset[str]:
        """Return the tokens of which this process holds a descendant that is not known to be saved."""
        unsaved = self._memory.unsaved.get(self._key)
        return unsaved.chain if unsaved and unsaved.record.seed == mine.mark else frozenset()

    def _after(self, record: Record | None, mine: Seed, newest: str, user: str) -> Record:
        """Return the record that follows a sign-in; a server that sent no new refresh token goes on with the old one."""
        self._on_token(newest)
        before = record or Record()
        known = before.seed == mine.mark
        former = before.former if known or not before.seed else (*before.former, before.seed)
        same = known and newest == mine.descendant(record)
        return following(
            record,
            refresh_token=None if newest == mine.token and not mine.stored else newest,
            seed=mine.mark,
            user=user or (before.user if known else ""),
            rotated_at=self._now(),
            failure=None,
            former=former[-FORMER_SEEDS:],
            issued_at=before.issued_at if same else self._now(),
        )

    def _on_token(self, token: str) -> None:
        """Tell it, whatever the listener raises: a token that is not saved yet must not be lost over that."""
        if self._listener is None:
            return
        try:
            self._listener(token)
        except Exception:
            log.warning("A refresh token could not be told to whoever masks it in logs.", exc_info=True)

    def _pause(self, seconds: float) -> None:
        if seconds:
            self._sleep(seconds)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads and, where the store can do that, other processes from the same credential."""
        with ExitStack() as held:
            try:
                held.enter_context(self._memory.lock(self._key, LOCK_TIMEOUT))
            except StoreError as reason:
                raise _unusable(reason) from reason
            try:
                held.enter_context(self._store.lock(self._key, LOCK_TIMEOUT))
            except StoreError as reason:
                if self._key not in self._memory.unsaved:
                    raise _unusable(reason) from reason
            yield

    def _load(self) -> Record | None:
        """Return what is stored; while a token of this process waits to be saved, it goes on without the store."""
        try:
            return self.read()
        except StoreError as reason:
            unsaved = self._memory.unsaved.get(self._key)
            if unsaved is None:
                raise _unusable(reason) from reason
            return unsaved.stored


def _unusable(reason: StoreError) -> AuthenticationError:
    return AuthenticationError(
        f"The sign-in was not tried, because what is stored of it could not be used: {reason}",
        kind="transient" if reason.retryable else "permanent",
        retryable=reason.retryable,
        remedy="",
    )
