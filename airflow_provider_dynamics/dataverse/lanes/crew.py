"""The threads behind `lanes`: each asks or reads what is to be done next, and hands pages to the one who iterates.

One lock guards everything they share; whatever goes wrong in one of them ends all, and is raised where the pages are
awaited.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_dynamics.dataverse.errors import Interrupted
from airflow_provider_dynamics.dataverse.lanes.planning import Job, Plan
from airflow_provider_dynamics.dataverse.lanes.windows import Window
from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Crew", "LanePage", "Open", "Reader"]

T = TypeVar("T")

_HANDS = 2  # threads for `work`, a fraction of a page's way; in each of them memory would be kept
_LOOK_UP = 0.2  # seconds between looks at whether the work was cancelled, which no lock can tell
_PATIENCE = (
    2.0  # seconds that answers still on their way may take before their threads are left to themselves
)


@dataclass(frozen=True)
class LanePage(Generic[T]):
    """A page, what `work` made of it (None without), and the window it belongs to."""

    page: Page
    made: T
    window: Window


@dataclass
class Open:
    """A window that is not read to its end: `after` is the position of the last page handed out, None before the first."""

    window: Window
    after: str | None = None
    first: Page | None = field(default=None, repr=False)  # read already, but not handed out

    @property
    def planned(self) -> bool:
        """Whether it is to be read as it is: it was begun or counted, or cannot be divided."""
        return self.after is not None or self.window.rows is not None or self.window.nulls_alone

    def to_json(self) -> dict[str, Any]:
        return {**self.window.to_json(), "after": self.after}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Open:
        return cls(Window.from_json(found), found.get("after"))


class Reader(Protocol):
    """Reads a window's pages, from behind a position."""

    def __call__(self, window: Window, after: str | None, *, stop: Stop, ahead: bool) -> Iterator[Page]: ...


class Crew(Generic[T]):
    """At most `lanes` threads; each holds no more than the page it works on and one that waits to be taken."""

    def __init__(
        self, read: Reader, work: Callable[[Page], T] | None, plan: Plan, *, lanes: int, stop: Stop
    ) -> None:
        self._read = read
        self._work = work
        self._plan = plan
        self._stop = stop.child()
        self._change = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._asked = 0
        self._todo: list[tuple[float, int, Open]] = []
        self._order = itertools.count()
        self._open: list[Open] = []
        self._ready: deque[tuple[Open, LanePage[T], int]] = deque()
        self._waiting: set[int] = set()
        self._error: BaseException | None = None
        self._first: Open | None = None
        self._working = lanes
        self._hands = ThreadPoolExecutor(_HANDS, "dynamics-lane-work")
        self._threads = [
            threading.Thread(target=self._lane, args=(number,), name=f"dynamics-lane-{number}", daemon=True)
            for number in range(lanes)
        ]

    def start(self, opened: Sequence[Open] = (), first: Open | None = None) -> None:
        """Begin with these windows, and with what the plan says; `first` is what was read already, if it is not divided."""
        with self._change:
            self._first = first
            self._take_up(opened)
            self._advance()
        for thread in self._threads:
            thread.start()

    def next(self) -> LanePage[T] | None:
        """Return the next page, None after the last; raises what went wrong in a lane."""
        with self._change:
            while not self._ready or self._error:
                if self._error:
                    raise self._error
                if not self._working:
                    return None
                self._change.wait(_LOOK_UP)
                if self._error is None:
                    self._stop.check()
            opened, item, lane = self._ready.popleft()
            self._waiting.discard(lane)
            opened.after = item.page.position
            if opened.after is None:
                self._open.remove(opened)
            self._change.notify_all()
            return item

    def left(self) -> list[Open]:
        """Return all that has not been handed out, whether it is planned or not."""
        with self._change:
            pending = [
                Open(replace(window, rows=None)) for window in self._plan.pending
            ]  # still to be divided
            return [*pending, *(Open(one.window, one.after) for one in self._open)]

    def close(self) -> None:
        """End the threads; one whose answer is still on its way ends when that comes."""
        self._stop.set()
        with self._change:
            self._ready.clear()
            self._change.notify_all()
        self._hands.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + _PATIENCE
        for thread in self._threads:
            if thread is not threading.current_thread():  # which collects what somebody abandoned
                thread.join(max(0.0, deadline - time.monotonic()))

    # -- in the threads

    def _lane(self, number: int) -> None:
        try:
            while (task := self._task(number)) is not None:
                task()
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that awaits the pages
            self._fail(error)
        finally:
            with self._change:
                self._working -= 1
                self._change.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._change:
            if self._error is None or isinstance(self._error, Interrupted):
                self._error = error
            self._change.notify_all()
        self._stop.set()

    def _task(self, lane: int) -> Callable[[], None] | None:
        """Return what to do next, questions first; None when there is nothing and nothing will come."""
        with self._change:
            while True:
                self._stop.check()
                if self._jobs:
                    return partial(self._ask, self._jobs.popleft())
                if self._todo:
                    return partial(self._read_window, heapq.heappop(self._todo)[2], lane)
                if not self._asked:
                    return None
                self._change.wait(_LOOK_UP)

    def _ask(self, job: Job) -> None:
        job.answer = job.ask(self._stop)
        with self._change:
            self._asked -= 1
            if not self._asked:
                self._advance()
                self._change.notify_all()

    def _advance(self) -> None:
        jobs = self._plan.next()
        self._jobs.extend(jobs)
        self._asked = len(jobs)
        self._take_up([Open(window) for window in self._plan.take()])
        if not jobs:
            self._first = None

    def _take_up(self, opened: Sequence[Open]) -> None:
        for one in opened:
            if self._first and one.after is None and one.window.covers(self._first.window):
                one.first = self._first.first
            self._open.append(one)
            rows = one.window.rows
            heapq.heappush(self._todo, (float("-inf") if rows is None else -rows, next(self._order), one))

    def _read_window(self, opened: Open, lane: int) -> None:
        after, first = opened.after, opened.first
        opened.first = None
        if first is not None:
            self._hand(opened, first, lane)
            after = first.position
            if after is None:
                return
        alone = len(self._open) == 1 and not self._asked
        for page in self._read(opened.window, after, stop=self._stop, ahead=alone):
            self._hand(opened, page, lane)

    def _hand(self, opened: Open, page: Page, lane: int) -> None:
        """Give a page to whoever iterates, as soon as the one before it has been taken."""
        made: Any = self._hands.submit(self._work, page).result() if self._work else None
        item = LanePage(page, made, opened.window)
        with self._change:
            self._stop.check()
            while lane in self._waiting:
                self._change.wait(_LOOK_UP)
                self._stop.check()
            self._waiting.add(lane)
            self._ready.append((opened, item, lane))
            self._change.notify_all()
