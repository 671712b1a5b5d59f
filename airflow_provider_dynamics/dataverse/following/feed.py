"""One run's reading of what changed in a table, by whichever means the table offers.

Delta links where the table tracks changes; else a window of version numbers or modification times; else every
row. Whatever makes the place of the last run useless leads to every row, with the reason in words.
https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import chain
from typing import Any, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.following.identities import identifier
from airflow_provider_dynamics.dataverse.following.sorting import Sorter, pack
from airflow_provider_dynamics.dataverse.following.window_place import MODIFIED, PREFIX, VERSION, WindowPlace
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.dataverse.queries.query import Query

__all__ = ["MODES", "OVERLAP", "Feed", "FeedMode", "FeedSource", "Means"]

FeedMode = Literal["full", "delta", "window", "reconcile"]
Means = Literal["auto", "delta", "window"]
MODES: tuple[str, ...] = ("auto", "delta", "window")
OVERLAP = 600.0
"""Seconds a transaction of the service may last: Dataverse ends a plug-in, and with it its transaction, after two minutes."""

_AT_ONCE = 100  # rows asked for by their ids in one request
_TOKEN = re.compile(r"[?&]\$?(?:%24)?deltatoken=(\d+)(?:!|%21)", re.IGNORECASE)


class FeedSource(Protocol):
    """What a feed needs of a client."""

    @property
    def environment(self) -> str: ...

    def pages(self, source: Query) -> Iterator[Page]: ...

    def changes(
        self,
        table: str,
        select: Iterable[str] = (),
        since: str | None = None,
        page_size: int | None = None,
        *,
        labels: bool = False,
    ) -> Iterator[Page]: ...


class Feed:
    """What changed in a table since a place, or every row; made by `Client.feed`, and read once.

    Ask for `present()` first where it is not None, then for `pages()`, then for `until`. Rows come in their
    latest state, new and changed ones alike, with `versionnumber` where the table has it. A row that is among
    both the rows and the deleted of one feed is gone: it was deleted while the feed was read.
    """

    def __init__(
        self,
        source: FeedSource,
        table: Table,
        select: Iterable[str] = (),
        since: str | None = None,
        *,
        mode: Means = "auto",
        detect_deletes: bool = True,
        overlap: float = OVERLAP,
        page_size: int | None = None,
        labels: bool = False,
        filter: str | None = None,
        now: Callable[[], float],
    ) -> None:
        self._source = source
        self.table = table
        self._select = _with_version(table, select)
        self._since = since
        self._tracked = _tracked(table, mode, filter)
        self._detect_deletes = detect_deletes
        self._overlap = overlap
        self._page_size = page_size
        self._labels = labels
        self._filter = filter
        self._now = now
        self._opened: Iterator[Page] | None = None
        self._mode: FeedMode = "full"
        self._reason = ""
        self._until: str | None = None
        self._place: WindowPlace | None = None
        self._earlier: WindowPlace | None = None
        self._seen = 0
        self._listed = False
        self._identify = identifier(table)

    @property
    def mode(self) -> FeedMode:
        """How it is read: "full" (there was no place), "delta", "window", or "reconcile" (it was lost, so every row is read)."""
        self._open()
        return self._mode

    @property
    def reason(self) -> str:
        """Why every row is read although there was a place, as a sentence; "" in the other modes."""
        self._open()
        return self._reason

    @property
    def complete(self) -> bool:
        """Whether `pages` lists every row of the table, so that what a consumer holds beyond them is gone."""
        return self.mode in {"full", "reconcile"}

    @property
    def until(self) -> str:
        """The place to give as `since` the next time; raises RuntimeError before `pages` has ended."""
        if self._until is None:
            raise RuntimeError("a feed knows where it ends after its last page")
        return self._until

    @property
    def version(self) -> int | None:
        """A number as high as every version number handed out so far, for what is gone; None where nothing has one."""
        found = _TOKEN.search(self.until)
        if found is not None:
            return int(found[1])
        return self._seen or None

    def mark(self) -> str:
        """Return the place of this moment, for a window, without reading a row: what changes from now on is read from there."""
        return str(self._now_at())

    def present(self) -> Iterator[str] | None:
        """Return the ids of all rows, in "window" mode with `detect_deletes`: what a consumer holds beyond them is gone.

        None in every other mode. It must be read to its end before `pages`.
        """
        listed = self.listing()
        return None if listed is None else (row_id for row_id, _ in listed)

    def listing(self) -> Iterator[tuple[str, int]] | None:
        """Return what `present` does, each id with its row's version number, 0 where it has none."""
        if self.mode != "window" or not self._detect_deletes:
            return None
        return self.everything()

    def everything(self) -> Iterator[tuple[str, int]]:
        """Yield the ids of all rows that are there now, with their version numbers, in any mode."""
        names = [name for name in (self.table.primary_id, VERSION) if name in self.table.columns]
        for page in self._query(self._filter, names):
            yield from self._identify(page)
        self._listed = True

    def pages(self) -> Iterator[Page]:
        """Yield the pages, each with its rows and with what is deleted; raises RuntimeError before `present` was read.

        Raises ChangeTrackingOff, UnknownColumn, Forbidden as `Client.changes` and `Client.pages` do, and
        DeltaLinkExpired, to be tried again, where the place expires between two pages.
        """
        opened = self._open()
        if self._mode == "window" and self._detect_deletes and not self._listed:
            raise RuntimeError("a feed's present() is read before its pages()")
        return self._followed(opened) if self._tracked else self._windowed(opened)

    def fetch(self, row_ids: Iterable[str]) -> Iterator[Page]:
        """Yield the rows with these ids that exist now, in any order."""
        waiting: list[str] = []
        for row_id in row_ids:
            waiting.append(row_id)
            if len(waiting) == _AT_ONCE:
                yield from self._by_ids(waiting)
                waiting = []
        if waiting:
            yield from self._by_ids(waiting)

    def identities(self, page: Page) -> list[tuple[str, int]]:
        """Return the ids of a page's rows with their version numbers (0 where there is none), at little cost."""
        return self._identify(page)

    # -- how the reading starts ---------------------------------------------------------------------

    def _open(self) -> Iterator[Page]:
        """Decide how to read, which takes the first answer: only the service knows whether a place is still good."""
        if self._opened is None:
            self._opened = self._delta() if self._tracked else self._window()
        return self._opened

    def _delta(self) -> Iterator[Page]:
        if self._since is not None:
            problem = self._misfit(self._since)
            if not problem:
                try:
                    opened = _begun(self._changes(self._since))
                except (
                    errors.BadRequest,
                    errors.DeltaLinkExpired,
                    errors.ForeignLink,
                    errors.NotFound,
                ) as error:
                    said = f"{error.message.rstrip('. ')} ({error.code})" if error.code else error.message
                    problem = f"the service does not go on from where the last run stopped: {said}"
                else:
                    self._mode = "delta"
                    return opened
            self._mode, self._reason = "reconcile", problem
        return _begun(self._changes(None))

    def _misfit(self, link: str) -> str:
        """Say why a link cannot be gone on from, as far as that can be seen without asking; "" if it can."""
        if link.startswith(PREFIX):
            return f"the table {self.table.logical_name} tracks changes now"
        parts = urlsplit(link)
        there = (parts.netloc + parts.path.partition("/api/data/")[0]).lower()
        if there != self._environment:
            return f"the place was reached in another environment, {there}"
        if parts.path.rpartition("/")[2].lower() != self.table.entity_set.lower():
            return f"the place was reached in another table, {parts.path.rpartition('/')[2]}"
        selected = parse_qs(parts.query).get("$select", [""])[0]
        if selected and {name.strip() for name in selected.split(",")} != set(
            self.table.wire_names(self._select)
        ):
            return "the place was reached with other columns"
        return ""

    def _changes(self, since: str | None) -> Iterator[Page]:
        return self._source.changes(
            self.table.logical_name, self._select, since, self._page_size, labels=self._labels
        )

    def _window(self) -> Iterator[Page]:
        self._place = self._now_at()
        if self._since is None:
            return _begun(self._query(self._filter))
        earlier = WindowPlace.parse(self._since)
        problem = self._place.misfit(earlier)
        if earlier is None or problem:
            self._mode, self._reason = "reconcile", problem
            return _begun(self._query(self._filter))
        self._mode, self._earlier = "window", earlier
        self._seen = earlier.seen
        # nothing is asked for yet: the list of all rows has to come first
        return self._query(_both(self._filter, earlier.condition(self._overlap)))

    def _now_at(self) -> WindowPlace:
        """Return the place of this moment, taken before any row is read."""
        column = next((name for name in (VERSION, MODIFIED) if name in self.table.columns), None)
        began = self._now()
        modified = self._highest(MODIFIED)
        high = self._highest(VERSION) if column == VERSION else modified
        return WindowPlace(self._about(), column, high, modified, began)

    @property
    def _environment(self) -> str:
        """The environment's host, on premises with the organization's path behind it."""
        parts = urlsplit(self._source.environment.lower())
        return parts.netloc + parts.path.rstrip("/")

    def _about(self) -> str:
        """Return a short name of what is read, to know a place of something else by."""
        parts = [
            self._environment,
            self.table.logical_name,
            *sorted(self.table.wire_names(self._select)),
            self._filter or "",
        ]
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _highest(self, column: str) -> Any:
        if column not in self.table.columns:
            return None
        query = Query(self.table.logical_name, select=[column], order_by=f"{column} desc", top=1)
        return next((row.get(column) for page in self._source.pages(query) for row in page.rows), None)

    # -- what is read -------------------------------------------------------------------------------

    def _query(self, condition: str | None, select: Iterable[str] | None = None) -> Iterator[Page]:
        chosen = self._select if select is None else tuple(select)
        labels = self._labels and select is None
        query = Query(
            self.table.logical_name, select=chosen, filter=condition, page_size=self._page_size, labels=labels
        )
        return self._source.pages(query)

    def _followed(self, opened: Iterator[Page]) -> Iterator[Page]:
        with Sorter() as upserted:
            try:
                for page in opened:
                    if self._mode == "delta":
                        upserted.update(pack(row_id) for row_id, _ in self._identify(page))
                    self._until = page.delta_link or self._until
                    yield self._settled(page, upserted) if page.deleted else page
            except errors.DeltaLinkExpired as error:
                error.retryable = True  # the next try finds it at the first page, and reads every row
                raise

    def _settled(self, page: Page, upserted: Sorter) -> Page:
        """Return a page without the deletions of rows that are there again under the same id."""
        doubtful = [gone.row_id for gone in page.deleted if pack(gone.row_id) in upserted]
        if not doubtful:
            return page
        alive = {row_id for found in self.fetch(doubtful) for row_id, _ in self._identify(found)}
        return page.holding(page.rows, [gone for gone in page.deleted if gone.row_id.lower() not in alive])

    def _windowed(self, opened: Iterator[Page]) -> Iterator[Page]:
        place = self._place
        for page in opened:
            self._seen = max(self._seen, max((version for _, version in self._identify(page)), default=0))
            yield page
        if place is not None:
            ended = WindowPlace(
                place.of,
                place.column,
                place.high,
                place.modified,
                place.began,
                max(self._seen, _number(place.high)),
            ).after(self._earlier, self._overlap)
            self._seen = ended.seen
            self._until = str(ended)

    def _by_ids(self, row_ids: list[str]) -> Iterator[Page]:
        wanted = " or ".join(f"{self.table.primary_id} eq {odata.guid(row_id)}" for row_id in row_ids)
        return self._query(_both(self._filter, wanted))


def _tracked(table: Table, mode: str, condition: str | None) -> bool:
    """Say whether delta links are used; raises ValueError, ChangeTrackingOff, BadRequest."""
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
    if mode == "delta" and not table.change_tracking:
        raise errors.ChangeTrackingOff(f"The table {table.logical_name} does not keep track of changes")
    tracked = mode != "window" and table.change_tracking
    if tracked and condition:
        raise errors.BadRequest(
            f"The changes of {table.logical_name} cannot be filtered: with change tracking Dataverse takes no $filter",
            remedy='Leave the filter out and filter what was read, or set mode="window".',
        )
    return tracked


def _with_version(table: Table, select: Iterable[str]) -> tuple[str, ...]:
    """Return the columns to ask for: the version number tells which of two states of a row is the later one."""
    chosen = tuple(table.column(name).name for name in select)
    if not chosen or VERSION in chosen or VERSION not in table.columns:
        return chosen
    return (*chosen, VERSION)


def _both(first: str | None, second: str | None) -> str | None:
    if first and second:
        return f"({first}) and ({second})"
    return first or second


def _begun(pages: Iterator[Page]) -> Iterator[Page]:
    """Ask for the first page, so that a refusal shows now."""
    first = next(pages, None)
    return iter(()) if first is None else chain([first], pages)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
