"""Looking at a table that does not track its changes: what has a new version number or time of change since the last look.

A version number is given when a row is written and seen when its transaction ends, so what was written up to ten
minutes before the last look is read again, and only what is new among it is told. Deleted rows are not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.triggers.payloads import Change, change_event
from airflow_provider_dynamics.triggers.watching import MODIFIED, Ask, Gathered, Log, Step, Watch, events_of

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.following.window_place import WindowPlace

__all__ = ["MAX_KEPT", "Versions"]

VERSION = "versionnumber"

MAX_KEPT = 400
"""Rows whose version is kept with the place, so that a restart does not tell of them again; in memory are more."""

MAX_RECENT = 100_000
"""Rows of the last ten minutes whose version is known; what is beyond may be told again."""

Recent = dict[str, Any]


@dataclass(frozen=True)
class _Pass:
    """How far the back-fill has come: `next` is where to read on, `mark` where changes count from behind it."""

    mark: str
    next: str | None = None
    rows: int = 0


@dataclass
class _Look:
    """What was written since a place, as far as it has been read: `next` is where to read on."""

    since: str
    mark: WindowPlace
    gathered: Gathered
    next: str | None = None
    recent: Recent = field(default_factory=dict)


@dataclass(frozen=True)
class _Read:
    """One page: each row as an event names it with the version it has, and where to read on."""

    found: list[tuple[Change, Any]]
    position: str | None = None


class Versions:
    """Version numbers and times of change: new and changed rows, for a table without change tracking."""

    def __init__(self, watch: Watch, log: Log) -> None:
        self._watch = watch
        self._log = log
        self._look: _Look | None = None
        self._recent: Recent | None = None
        self._gave_up = False  # the back-fill began anew, and has not come to a second page since
        self._settled = ""  # the place behind which nothing can appear any more unless the version goes up

    async def step(self, ask: Ask, reached: Mapping[str, Any] | None) -> Step:
        """Read one page of the back-fill, or everything that was written since the place reached."""
        environment = await ask(lambda client: client.environment)
        if reached is None or reached.get("environment") != environment:
            return await self._begin(ask, environment)
        if self._recent is None:
            self._recent = dict(reached.get("recent") or {})
        if "link" in reached:
            return await self._follow(ask, environment, str(reached["link"]))
        return await self._pass(ask, environment, _Pass(**reached["pass"]))

    async def _begin(self, ask: Ask, environment: str, *, lost: bool = False) -> Step:
        """Mark this moment, and note what was written right before it: those rows will be read again."""
        await ask(self._check)
        self._log.info(
            "%s is watched by its version numbers: new and changed rows are seen, deleted rows are not.",
            self._watch.table,
        )
        mark = await ask(self._mark)
        look = _Look("", mark, Gathered(0))
        await self._read_on(ask, look, mark)
        self._recent = {row: version for row, version in look.recent.items() if not _later(version, mark)}
        if lost:
            told = change_event(self._watch.table, environment, "poll", [], mode="full", until=_name(mark))
            return self._at(environment, {"link": str(mark)}, [told])
        if self._watch.start is None:
            return self._at(environment, {"link": str(mark)})
        return self._at(environment, {"pass": asdict(_Pass(str(mark)))}, more=True)

    def _check(self, client: Client) -> None:
        self._watch.check(client).column(MODIFIED)

    def _mark(self, client: Client) -> WindowPlace:
        from airflow_provider_dynamics.dataverse.following.window_place import WindowPlace

        select = [client.table(self._watch.table).primary_id]
        feed = client.feed(
            self._watch.table, select, mode="window", detect_deletes=False, filter=self._watch.filter
        )
        place = WindowPlace.parse(feed.mark())
        assert place is not None  # noqa: S101 - it wrote it itself
        return place

    async def _pass(self, ask: Ask, environment: str, done: _Pass) -> Step:
        """Read one page of what was written since the start."""
        from airflow_provider_dynamics.dataverse.errors import BadRequest, NotFound

        where = f"{MODIFIED} ge {self._watch.start}"
        size = min(self._watch.most_named, 5_000)
        try:
            read = await ask(partial(self._read, where=where, after=done.next, page_size=size))
        except (BadRequest, NotFound) as error:
            if done.next is None or self._gave_up:
                raise
            self._gave_up = True
            self._log.warning("The reading of what was written since the start begins anew: %s", error)
            return self._at(environment, {"pass": asdict(_Pass(done.mark))}, more=True)
        self._gave_up = self._gave_up and done.next is None
        gathered = Gathered(self._watch.most_named)
        gathered.add(one for one, _ in read.found)
        events = events_of(self._watch, environment, gathered, self._watch.start, None)
        done = replace(done, next=read.position, rows=done.rows + len(read.found))
        if read.position is not None:
            return self._at(environment, {"pass": asdict(done)}, events, more=True)
        self._log.info("%s rows of %s were written since the start.", f"{done.rows:,}", self._watch.table)
        return self._at(environment, {"link": done.mark}, events)

    async def _follow(self, ask: Ask, environment: str, link: str) -> Step:
        """Read what was written since a place; what was read is not read again after a problem between two pages."""
        from airflow_provider_dynamics.dataverse.following.window_place import WindowPlace

        earlier, look = WindowPlace.parse(link), self._look
        if look is None or look.since != link:
            mark = await ask(self._mark)
            look = self._look = _Look(link, mark, Gathered(self._watch.most_named))
        if earlier is None or look.mark.misfit(earlier):
            self._look = None
            self._log.warning(
                "The watcher of %s has lost its place: %s", self._watch.table, look.mark.misfit(earlier)
            )
            return await self._begin(ask, environment, lost=True)
        if not (_unmoved(earlier, look.mark) and self._settled == link):
            await self._window(ask, look, earlier)
        self._look = None
        until = _until(earlier, look.mark)
        events = events_of(self._watch, environment, look.gathered, _name(earlier), _name(until))
        return self._at(environment, {"link": str(until)}, events)

    async def _window(self, ask: Ask, look: _Look, earlier: WindowPlace) -> None:
        """Read all pages of a window; one of which a page is gone is read anew the next time."""
        from airflow_provider_dynamics.dataverse.errors import BadRequest, NotFound
        from airflow_provider_dynamics.dataverse.following.feed import OVERLAP

        try:
            await self._read_on(ask, look, earlier)
        except (BadRequest, NotFound):
            self._look = None
            raise
        self._recent = look.recent
        if _unmoved(earlier, look.mark) and look.mark.began - earlier.began >= OVERLAP:
            self._settled = look.since

    async def _read_on(self, ask: Ask, look: _Look, since: WindowPlace) -> None:
        """Read the window page by page, and gather what nobody has been told of in its present version."""
        from airflow_provider_dynamics.dataverse.following.feed import OVERLAP

        told = self._recent or {}
        while True:
            read = await ask(partial(self._read, where=since.condition(OVERLAP), after=look.next))
            news = (one for one, version in read.found if told.get(one["row_id"]) != version)
            look.gathered.add(news)
            room = MAX_RECENT - len(look.recent)
            look.recent.update((one["row_id"], version) for one, version in islice(read.found, max(room, 0)))
            look.next = read.position
            if look.next is None:
                return

    def _read(
        self, client: Client, *, where: str | None, after: str | None, page_size: int | None = None
    ) -> _Read:
        from airflow_provider_dynamics.dataverse.queries.conditions import combined
        from airflow_provider_dynamics.dataverse.queries.query import Query

        table = client.table(self._watch.table)
        counts_by = VERSION if VERSION in table.columns else MODIFIED
        query = Query(
            self._watch.table,
            select=list(dict.fromkeys([table.primary_id, counts_by, *self._watch.select])),
            filter=combined(self._watch.filter, where),
            page_size=page_size,
        )
        page = next(iter(client.pages(query, after=after)))
        found = [(self._watch.changed(table, row), row.get(counts_by)) for row in page.rows]
        return _Read(found, page.position)

    def _at(
        self,
        environment: str,
        place: Mapping[str, Any],
        events: Sequence[dict[str, Any]] = (),
        *,
        more: bool = False,
    ) -> Step:
        """Return a step whose place has the versions told last with it, the latest ones where there are many."""
        latest = nlargest(MAX_KEPT, (self._recent or {}).items(), key=lambda item: str(item[1]).zfill(20))
        return Step({"environment": environment, **place, "recent": dict(latest)}, events, more=more)


def _later(version: Any, mark: WindowPlace) -> bool:
    """Say whether a row was written after a mark was made."""
    from airflow_provider_dynamics.dataverse.following.window_place import time_of

    if version is None or mark.high is None:
        return True
    if mark.column == MODIFIED:
        return time_of(str(version)) > time_of(str(mark.high))
    return int(version) > int(mark.high)


def _unmoved(earlier: WindowPlace, mark: WindowPlace) -> bool:
    """Say whether nothing was written between two places, as far as a version number can tell."""
    return mark.column == VERSION and None not in (mark.high, mark.modified) and mark.high == earlier.high


def _until(earlier: WindowPlace, mark: WindowPlace) -> WindowPlace:
    """Return the place behind a look: the earlier one where nothing was written, so that it stays known how old it is.

    Its time of change never goes back, as the latest one does when that row is deleted: older rows would be told again.
    """
    from airflow_provider_dynamics.dataverse.following.feed import OVERLAP
    from airflow_provider_dynamics.dataverse.following.window_place import time_of

    if _unmoved(earlier, mark):
        return earlier
    moments = [moment for moment in (earlier.modified, mark.modified) if moment is not None]
    return replace(mark.after(earlier, OVERLAP), modified=max(moments, key=time_of, default=None))


def _name(place: WindowPlace) -> str:
    """Return a place's short name for events: where the column stood, such as ``versionnumber 919042``."""
    return f"{place.column} {place.high}"
