"""Looking at a table that tracks its changes: one pass over the ids to the first delta link, then link after link.

https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_dynamics.triggers.payloads import Change, change, change_event, mark_of
from airflow_provider_dynamics.triggers.watching import (
    IDS_AT_ONCE,
    MAX_ASKED,
    MODIFIED,
    Ask,
    Gathered,
    Log,
    Step,
    Watch,
    events_of,
    matching,
    matching_now,
    record_count,
)

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.protocol.odata import Row

__all__ = ["PAGE", "Tracking"]

PAGE = 5_000
"""Rows of a page of the pass; Dataverse gives no more."""

_TELL_EVERY = 20  # pages


class _LostError(Exception):
    """The service does not go on from a link of ours; the text is what it said."""


@dataclass(frozen=True)
class _Pass:
    """How far the pass over the ids has come: `next` is the next page's link, `about` how many rows there may be.

    `lost`: it replaces a place that was lost, so that its end tells everybody to read the whole table.
    """

    next: str | None = None
    pages: int = 0
    rows: int = 0
    about: int | None = None
    lost: bool = False


@dataclass
class _Look:
    """What changed since a link, as far as it has been read: `link` is where to read on, `until` where it ended."""

    since: str
    link: str
    gathered: Gathered
    until: str | None = None
    asked: int = 0
    seen: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    deletions: int = 0


@dataclass(frozen=True)
class _Read:
    """One page: the rows as events name them, out of `rows` that there were, and what is deleted."""

    changes: list[Change]
    rows: int
    deleted: list[str]
    next_link: str | None
    delta_link: str | None


class Tracking:
    """Delta links: every change and every deletion, for a table that tracks changes."""

    def __init__(self, watch: Watch, log: Log) -> None:
        self._watch = watch
        self._log = log
        self._look: _Look | None = None
        self._gave_up = False  # a link was of no use, and none has been of use since
        self._again = False  # the pages behind the link are read for a second time

    async def step(self, ask: Ask, reached: Mapping[str, Any] | None) -> Step:
        """Read one page of the pass, or everything that changed since the link reached."""
        environment = await ask(lambda client: client.environment)
        if reached is None or reached.get("environment") != environment:
            return await self._pass(ask, environment, await self._begin(ask))
        if "link" in reached:
            return await self._follow(ask, environment, str(reached["link"]))
        return await self._pass(ask, environment, _Pass(**reached["pass"]))

    async def _page(self, ask: Ask, link: str | None, *, first: bool) -> _Read:
        """Read one page; raises _LostError where the service does not go on from the link."""
        from airflow_provider_dynamics.dataverse.errors import (
            BadRequest,
            DeltaLinkExpired,
            ForeignLink,
            NotFound,
        )

        try:
            read = await ask(partial(self._read, link=link, first=first))
        except (BadRequest, DeltaLinkExpired, ForeignLink, NotFound) as error:
            if link is None or self._gave_up:  # another link would be refused as well
                self._gave_up = self._gave_up and not isinstance(
                    error, DeltaLinkExpired
                )  # after a pause it may do
                raise
            raise _LostError(str(error)) from error
        self._gave_up = self._gave_up and link is None
        return read

    def _read(self, client: Client, *, link: str | None, first: bool) -> _Read:
        table = client.table(self._watch.table)
        columns = [table.primary_id]
        if self._watch.filter is None:
            columns += [name for name in self._watch.select if name not in columns]
        if self._watch.start is not None and MODIFIED not in columns:
            columns.append(MODIFIED)
        page = next(iter(client.changes(self._watch.table, columns, link, self._page_size(first=first))))
        wanted = [row for row in page.rows if not first or self._since_start(row)]
        return _Read(
            [self._watch.changed(table, row) for row in wanted],
            len(page.rows),
            [gone.row_id.lower() for gone in page.deleted],
            page.next_link,
            page.delta_link,
        )

    def _page_size(self, *, first: bool) -> int:
        """Return how many rows a page has: in a back-fill, no more than the events of one page can name."""
        return min(PAGE, self._watch.most_named) if first and self._watch.start is not None else PAGE

    def _since_start(self, row: Row) -> bool:
        """Say whether the back-fill wants a row of the pass."""
        from airflow_provider_dynamics.dataverse.following.window_place import time_of

        if self._watch.start is None or not row.get(MODIFIED):
            return False
        return time_of(str(row[MODIFIED])) >= time_of(self._watch.start)

    # --- the pass ----------------------------------------------------------------------------------------------

    async def _begin(self, ask: Ask, *, lost: bool = False) -> _Pass:
        """Find out whether the table can be watched, and say what its beginning costs."""
        await ask(self._check)
        about = await ask(partial(record_count, table=self._watch.table))
        size = "nobody has counted its rows"
        if about is not None:
            requests = max(ceil(about / self._page_size(first=True)), 1)
            size = f"about {about:,} rows, so {_counted(requests)}"
        self._log.info(
            "Before the changes of %s can be followed, all its ids are read once (%s): Dataverse hands out the first "
            "delta link behind the last page. The place is kept page by page, and a restart goes on from there.",
            *(self._watch.table, size),
        )
        return _Pass(about=about, lost=lost)

    def _check(self, client: Client) -> None:
        """Find out now, and not at the first changes, whether they can be asked for with the filter."""
        from airflow_provider_dynamics.dataverse.errors import ChangeTrackingOff

        if not self._watch.check(client).change_tracking:
            error = ChangeTrackingOff(f"The table {self._watch.table} does not keep track of changes")
            error.remedy = (
                f"{ChangeTrackingOff.default_remedy} Or watch it by its version numbers, with "
                'DynamicsChangesTrigger(means="versions"): deleted rows are not seen then.'
            )
            raise error
        if self._watch.filter is not None:
            nobody = [str(UUID(int=number)) for number in range(IDS_AT_ONCE)]  # as long as a question gets
            matching_now(client, self._watch, nobody, self._watch.filter)

    async def _pass(self, ask: Ask, environment: str, done: _Pass) -> Step:
        try:
            read = await self._page(ask, done.next, first=True)
        except _LostError as error:
            self._log.warning("The reading of all ids of %s begins anew: %s", self._watch.table, error)
            return await self._anew(ask, environment, lost=done.lost)
        done = replace(done, next=read.next_link, pages=done.pages + 1, rows=done.rows + read.rows)
        gathered = Gathered(self._watch.most_named)
        if not done.lost:
            await self._gather(ask, gathered, read.changes)
        events = events_of(self._watch, environment, gathered, self._watch.start, mark_of(read.delta_link))
        if read.delta_link is None:
            self._tell(done)
            return Step({"environment": environment, "pass": asdict(done)}, events, more=True)
        return self._ended(done, environment, read.delta_link, events)

    async def _anew(self, ask: Ask, environment: str, *, lost: bool) -> Step:
        """Begin a pass in place of a link that is of no use; raises where that is so because of the table."""
        begun = await self._begin(ask, lost=lost)
        self._gave_up = True
        return Step({"environment": environment, "pass": asdict(begun)}, more=True)

    def _ended(self, done: _Pass, environment: str, link: str, events: list[dict[str, Any]]) -> Step:
        self._log.info(
            "All ids of %s are read, %s of them in %s; its changes are followed from here on.",
            *(self._watch.table, f"{done.rows:,}", _counted(done.pages)),
        )
        if done.lost:
            until = mark_of(link)
            events = [change_event(self._watch.table, environment, "poll", [], mode="full", until=until)]
        return Step({"environment": environment, "link": link}, events)

    def _tell(self, done: _Pass) -> None:
        if done.pages % _TELL_EVERY == 1:
            of = "" if done.about is None else f" of about {done.about:,}"
            self._log.info("Read %s%s ids of %s.", f"{done.rows:,}", of, self._watch.table)

    # --- from link to link -------------------------------------------------------------------------------------

    async def _follow(self, ask: Ask, environment: str, link: str) -> Step:
        """Read all pages behind a link; what was read is not read again after a problem between two of them."""
        look = self._look
        if look is None or look.since != link:
            look = self._look = _Look(link, link, Gathered(self._watch.most_named))
        try:
            until = await self._read_on(ask, look)
        except _LostError as error:
            self._look, self._again = None, look.link != link and not self._again
            if self._again:  # a next page is gone sooner than the link before it
                self._log.warning("What changed in %s is read anew: %s", self._watch.table, error)
                return Step({"environment": environment, "link": link}, more=True)
            self._log.warning("The watcher of %s has lost its place: %s", self._watch.table, error)
            return await self._anew(ask, environment, lost=True)
        self._look, self._again = None, False
        events = events_of(self._watch, environment, look.gathered, mark_of(link), mark_of(until))
        return Step({"environment": environment, "link": until}, events)

    async def _read_on(self, ask: Ask, look: _Look) -> str:
        """Gather until the last page, whose delta link is returned; `look` moves when all of a page is in it."""
        while look.until is None:
            read = await self._page(ask, look.link, first=False)
            await self._gather(ask, look.gathered, read.changes, look)
            self._note_deleted(look, read.deleted)
            look.link, look.until = read.next_link or look.link, read.delta_link
        await self._settle(ask, look)
        return look.until

    async def _gather(
        self, ask: Ask, gathered: Gathered, changes: Sequence[Change], look: _Look | None = None
    ) -> None:
        """Name the rows, those that match the filter where there is one; more than `MAX_ASKED` are not asked for."""
        row_ids = [str(one["row_id"]) for one in changes]
        named: Sequence[Change] = changes
        if self._watch.filter is not None and row_ids:
            if gathered.full or (look is not None and look.asked >= MAX_ASKED):
                gathered.unnamed += len(row_ids)
                return
            found = await matching(ask, self._watch, row_ids, self._watch.filter)
            named = list(found.values())
        if look is not None:
            look.asked += len(row_ids)
            look.seen.update(row_ids[: MAX_ASKED - len(look.seen)])
        gathered.add(named)

    @staticmethod
    def _note_deleted(look: _Look, row_ids: Sequence[str]) -> None:
        room = max(look.gathered.room - len(look.gathered.changes) - len(look.deleted), 0)
        look.deleted += row_ids[:room]
        look.deletions += len(row_ids)

    async def _settle(self, ask: Ask, look: _Look) -> None:
        """Add the deletions; a row named as written and as deleted is asked for, and counts as what it is now."""
        gathered = look.gathered
        doubtful = [row_id for row_id in look.deleted if row_id in look.seen]
        alive = await matching(ask, replace(self._watch, select=()), doubtful, None)
        dead = {row_id for row_id in doubtful if row_id not in alive}
        gathered.changes = [one for one in gathered.changes if one["row_id"] not in dead]
        gathered.unnamed += look.deletions - len(look.deleted)
        gathered.add(change(row_id, "delete") for row_id in look.deleted if row_id not in alive)


def _counted(requests: int) -> str:
    return "1 request" if requests == 1 else f"{requests:,} requests"
