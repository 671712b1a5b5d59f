"""Reads one source over several lanes at a time, bounded in memory, and can go on where it was left.

A lane is a thread that reads one window after the other; what windows there are is `planning`'s affair, the threads
are `crew`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, TypeVar

from airflow_provider_dynamics.dataverse.errors import Interrupted
from airflow_provider_dynamics.dataverse.lanes import planning
from airflow_provider_dynamics.dataverse.lanes.crew import Crew, LanePage, Open
from airflow_provider_dynamics.dataverse.lanes.planning import Plan
from airflow_provider_dynamics.dataverse.lanes.statistics import Asked, windowed
from airflow_provider_dynamics.dataverse.lanes.windows import Window
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.queries.query import Query, Source
from airflow_provider_dynamics.dataverse.reading import sources
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchSender

__all__ = ["LanePage", "LaneRead", "check"]

T = TypeVar("T")


class LaneRead(Generic[T]):
    """Pages of one source, from several lanes in no particular order. Use it in a `with`, and iterate it once.

    `work` is called in threads of the reading, for two pages at a time. Everything that happens there may raise:
    then all lanes end, and the error is raised where the next page is awaited. A row that exists throughout and
    whose window column does not change is read exactly once, also when reading goes on from a `position`; rows
    that are created meanwhile may come or not.
    """

    def __init__(
        self,
        transport: BatchSender,
        tables: Tables,
        source: Source,
        *,
        lanes: int,
        automatic: bool = False,
        window_column: str | None = None,
        window: Window | None = None,
        position: Mapping[str, Any] | None = None,
        work: Callable[[Page], T] | None = None,
        stop: Stop,
        ahead: bool = True,
    ) -> None:
        self._transport, self._tables, self._source = transport, tables, source
        self._root = window or Window()
        self._columns = self._dividing(window_column) if lanes > 1 and ahead else []
        self.lanes = lanes if self._columns else 1
        self._automatic = automatic
        self._work = work
        self._stop = stop.child()
        self._ahead = ahead
        self._mark = _mark(source, window)
        self._fresh = position is None
        self._open = [Open(self._root)] if position is None else self._opened(position)
        self._expected: int | None = (position or {}).get("rows") or self._root.rows
        self._read = _Reading(transport, tables, source, divided=self.lanes > 1)
        self._plan: Plan | None = None
        self._crew: Crew[T] | None = None
        self._pages = self._all()

    @property
    def rows_expected(self) -> int | None:
        """How many rows there are in all, those handed out before included, as far as that is known by now."""
        return (self._plan.rows if self._plan else None) or self._expected

    @property
    def position(self) -> dict[str, Any]:
        """Where to go on behind the pages handed out so far, for JSON to hold."""
        return {"of": self._mark, "rows": self.rows_expected, "left": [one.to_json() for one in self._left]}

    @property
    def _left(self) -> list[Open]:
        return self._crew.left() if self._crew else self._open

    def __enter__(self) -> LaneRead[T]:  # typing.Self is newer than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[LanePage[T]]:
        return self

    def __next__(self) -> LanePage[T]:
        """Return the next page; raises Interrupted where the reading was ended before its last one."""
        try:
            return next(self._pages)
        except StopIteration:
            if self._left:
                raise Interrupted("The reading was closed before its end") from None
            raise

    def close(self) -> None:
        """End the lanes, from any thread; what they have not handed out is read again from `position`."""
        self._stop.set()
        with suppress(ValueError):  # another thread waits for a page, which the switch ends
            self._pages.close()

    def _dividing(self, window_column: str | None) -> list[Column]:
        """Return the columns that windows may be made of, none where there is to be one lane."""
        source = self._source
        if not isinstance(source, Query) or source.apply or source.top or source.order_by:
            return []
        table = self._tables.outline(source.table)
        return planning.candidates(table, self._root.column or window_column)

    def _opened(self, position: Mapping[str, Any]) -> list[Open]:
        if position.get("of") != self._mark or not isinstance(position.get("left"), list):
            raise ValueError(
                "The position to go on from does not belong to this query: read from the beginning"
            )
        return [Open.from_json(one) for one in position["left"]]

    def _all(self) -> Generator[LanePage[T], None, None]:
        """Yield every page. What fits one page costs no more than its one request, as long as nobody asks for lanes."""
        if self.lanes == 1:
            for opened in list(self._open):
                yield from self._straight(opened)
            return
        first = self._first_page() if self._automatic and self._fresh else None
        if first is not None and first.position is None:
            yield self._handed(self._open[0], first)
        else:
            yield from self._by_crew(first)

    def _straight(self, opened: Open) -> Iterator[LanePage[T]]:
        with closing(self._read(opened.window, opened.after, stop=self._stop, ahead=self._ahead)) as pages:
            for page in pages:
                yield self._handed(opened, page)

    def _handed(self, opened: Open, page: Page) -> LanePage[T]:
        made: Any = self._work(page) if self._work else None
        item: LanePage[T] = LanePage(page, made, opened.window)
        opened.after = page.position
        if opened.after is None:
            self._open.remove(opened)
        return item

    def _first_page(self) -> Page | None:
        if (self._root.rows or 0) > self._page_rows:
            return None
        with closing(self._read(self._root, None, stop=self._stop, ahead=False)) as pages:
            return next(pages)

    def _by_crew(self, first: Page | None) -> Iterator[LanePage[T]]:
        begun = [one for one in self._open if one.planned]
        roots = [one.window for one in self._open if not one.planned]
        if self._fresh and self._worth_dividing:
            begun, roots = [], [self._root]
        asked = Asked(self._transport, self._tables, self._query)
        self._plan = Plan(asked, self._columns, roots, lanes=self.lanes, page_rows=self._page_rows)
        crew = Crew(self._read, self._work, self._plan, lanes=self.lanes, stop=self._stop)
        crew.start(begun, None if first is None else Open(self._root, first=first))
        self._crew = crew
        with closing(crew):
            while (item := crew.next()) is not None:
                yield item

    @property
    def _worth_dividing(self) -> bool:
        """Whether a window that was counted when the table was divided for several readers holds enough for several lanes."""
        return not self._root.nulls_alone and (self._root.rows or 0) > 2 * self._page_rows

    @property
    def _query(self) -> Query:
        if not isinstance(self._source, Query):
            raise TypeError(f"{type(self._source).__name__} is not divided")
        return self._source

    @property
    def _page_rows(self) -> int:
        return min(self._source.page_size or LARGEST_PAGE, LARGEST_PAGE)


@dataclass(frozen=True)
class _Reading:
    """Reads windows of a source. It knows nothing of the LaneRead, so that one which nobody holds any more can end."""

    transport: BatchSender
    tables: Tables
    source: Source
    divided: bool

    def __call__(
        self, window: Window, after: str | None, *, stop: Stop, ahead: bool
    ) -> Generator[Page, None, None]:
        source = self.source
        if isinstance(source, Query) and window.column is not None:
            source = windowed(source, window, self.tables)
        if self.divided and isinstance(source, Query):
            source = replace(source, count=False)  # of a window it would say nothing
        yield from sources.read(self.transport, source, self.tables, stop=stop, ahead=ahead, after=after)


def check(source: Source, lanes: int | None, window_column: str | None, window: Window | None) -> None:
    """Raise ValueError for what cannot be read over lanes or in windows."""
    if lanes is not None and (isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1):
        raise ValueError(f"lanes is {lanes!r}; it must be a whole number from 1 up")
    divided = (
        "lanes" if (lanes or 1) > 1 else "window_column" if window_column else "window" if window else ""
    )
    if not divided:
        return
    if isinstance(source, Query) and source.top is not None:
        raise ValueError(
            f"top and {divided} do not go together: the first {source.top:,} rows are those of one reading. "
            f"Leave out {divided}, or top"
        )
    whole = not isinstance(source, Query) or source.apply is not None
    if whole and divided != "lanes":
        kind = type(source).__name__ if not isinstance(source, Query) else "apply"
        raise ValueError(f"{divided} does not go with {kind}: only a query of rows can be divided")
    if window is not None and window_column not in {None, window.column}:
        raise ValueError(f"The window is of {window.column}, so window_column cannot be {window_column}")


def _mark(source: Source, window: Window | None) -> str:
    """Return what tells one query's positions from another's."""
    root = None if window is None else replace(window, rows=None)
    return hashlib.sha256(repr((source, root)).encode()).hexdigest()[:16]
