"""Posts become events of assets here, each once: what was seen and what was told are one transaction of Airflow's database.

So a post that was answered is never lost, and one that comes twice, to whichever API server, is told once. What
was seen is kept in a table of our own in Airflow's database, which is made when it is first needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from airflow.configuration import conf
from sqlalchemy import Column, DateTime, MetaData, String, Table, delete, insert, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from airflow_provider_dynamics.triggers.payloads import BATCH_SIZE, batched, change_event

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_dynamics.webhooks.posts import Post

__all__ = ["KEPT", "Entry", "Ledger", "NotRecorded", "Outcome", "seen_posts"]

log = logging.getLogger(__name__)

T = TypeVar("T")

Outcome = Literal["told", "duplicate", "nobody"]
"""`nobody`: no DAG of this deployment knows the table's asset, so there is nobody to tell."""

KEPT = timedelta(days=7)
"""How long a post is remembered; the platform sends one again within minutes, an administrator may within days."""

_TRIES = 8
_PAUSE = 0.05  # seconds, doubled each time: 6 s in all, and the platform waits 60
_PRUNE_EVERY = timedelta(minutes=10)
_PRUNED_AT_ONCE = 5_000

seen_posts = Table(
    "dynamics_webhook_post",
    MetaData(
        schema=conf.get("database", "sql_alchemy_schema", fallback="") or None
    ),  # where Airflow's own are
    Column("post_key", String(64), primary_key=True),
    Column("seen_at", DateTime, nullable=False, index=True),  # UTC
)


class NotRecorded(Exception):
    """Airflow's database did not take the events; the text says why, without a statement's values."""


@dataclass(frozen=True)
class Entry:
    """A post to a place: whose table's asset it is about."""

    post: Post
    uri: str
    """The table's asset."""
    environment: str
    team: str | None = None

    @property
    def key(self) -> str:
        return sha256(f"{self.uri}\n{self.post.key}".encode()).hexdigest()


class Ledger(Generic[T]):
    """Writes posts down, many in a transaction. One thread of a process at a time; any number of processes.

    `session` opens a session whose end commits; `assets` returns which of some URIs are assets here, with their
    ids; `register` makes an event, and `told` is handed all that were made, when they are safe.
    """

    def __init__(
        self,
        session: Callable[[], Any],
        assets: Callable[[Session, Sequence[str]], dict[str, int]],
        register: Callable[[Session, int, str | None, dict[str, Any]], T],
        *,
        told: Callable[[Sequence[T]], object],
        now: Callable[[], datetime],
        sleep: Callable[[float], object],
    ) -> None:
        self._session, self._assets, self._register = session, assets, register
        self._told, self._now, self._sleep = told, now, sleep
        self._there = False
        self._pruned: datetime | None = None

    def record(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Tell what was not told before, and say of each what became of it; raises NotRecorded, and then none was told."""
        pause = _PAUSE
        for left in reversed(range(_TRIES)):
            try:
                return self._record(entries)
            except (IntegrityError, OperationalError, ProgrammingError) as error:
                # another API server was at the same posts or at the table's making, or SQLite is being written to
                if not left:
                    raise NotRecorded(_said(error)) from None
                self._there = False
            except DBAPIError as error:
                raise NotRecorded(_said(error)) from None
            self._sleep(pause)
            pause *= 2
        raise AssertionError  # the last try returns or raises

    def _record(self, entries: Sequence[Entry]) -> list[Outcome]:
        made: list[T] = []
        with self._session() as session:
            self._make_table(session)
            known = self._assets(session, sorted({entry.uri for entry in entries}))
            outcomes, fresh = _sorted_out(entries, known, _seen(session, {one.key for one in entries}))
            if fresh:
                now = _plain(self._now())
                # in one order everywhere, so that no two servers wait for each other
                rows = [{"post_key": key, "seen_at": now} for key in sorted(one.key for one in fresh)]
                session.execute(insert(seen_posts), rows)
                for uri, team, payload in _events(fresh):
                    made.append(self._register(session, known[uri], team, payload))
        self._told(made)
        self._prune()
        return outcomes

    def _make_table(self, session: Session) -> None:
        if self._there:
            return
        connection = session.connection()
        if not inspect(connection).has_table(seen_posts.name, schema=seen_posts.schema):
            seen_posts.create(connection, checkfirst=True)
            session.commit()
        self._there = True

    def _prune(self) -> None:
        """Forget what is older than `KEPT`, now and then; that it fails is no reason to refuse a post."""
        now = _plain(self._now())
        if self._pruned is not None and now - self._pruned < _PRUNE_EVERY:
            return
        self._pruned = now
        old = select(seen_posts.c.post_key).where(seen_posts.c.seen_at < now - KEPT).limit(_PRUNED_AT_ONCE)
        try:
            with self._session() as session:
                keys = list(session.scalars(old))
                if keys:
                    session.execute(delete(seen_posts).where(seen_posts.c.post_key.in_(keys)))
        except DBAPIError as error:
            log.info("Posts of webhooks that are long over could not be forgotten: %s", _said(error))


def _seen(session: Session, keys: set[str]) -> set[str]:
    return set(session.scalars(select(seen_posts.c.post_key).where(seen_posts.c.post_key.in_(keys))))


def _sorted_out(
    entries: Sequence[Entry], known: dict[str, int], seen: set[str]
) -> tuple[list[Outcome], list[Entry]]:
    outcomes: list[Outcome] = []
    fresh: dict[str, Entry] = {}
    for entry in entries:
        if entry.uri not in known:
            outcomes.append("nobody")
        elif entry.key in seen or entry.key in fresh:
            outcomes.append("duplicate")
        else:
            fresh[entry.key] = entry
            outcomes.append("told")
    return outcomes, list(fresh.values())


def _events(entries: Sequence[Entry]) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield the events of posts: those to one asset that came together share one, up to a hundred rows."""
    of: dict[tuple[str, str | None], list[Entry]] = {}
    for entry in entries:
        of.setdefault((entry.uri, entry.team), []).append(entry)
    for (uri, team), several in of.items():
        first = several[0]
        # posts overtake each other, and nothing happens to a row after it was deleted
        changes = sorted(
            (one for entry in several for one in entry.post.changes),
            key=lambda one: bool(one["operation"] == "delete"),
        )
        for batch in batched(changes, BATCH_SIZE):
            yield uri, team, change_event(first.post.table, first.environment, "webhook", batch)
        if not all(entry.post.complete for entry in several):
            yield uri, team, change_event(first.post.table, first.environment, "webhook", [], mode="full")


def _plain(moment: datetime) -> datetime:
    """Return a moment as the table keeps it: not every database has zones."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def _said(error: DBAPIError) -> str:
    """Return a database's words without the statement and its values."""
    return f"{type(error).__name__}: {str(error.orig).splitlines()[0] if error.orig else 'no reason given'}"
