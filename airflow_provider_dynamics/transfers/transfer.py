"""What every transfer does: find its file, say how far it is, and report how long it was kept waiting."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import ObjectStoragePath

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider_dynamics.dataverse import Client

__all__ = ["Progress", "counted", "effort", "rows_about", "seconds_throttled", "storage_path"]

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0
MINUTE, HOUR = 60, 3600


class Says(Protocol):
    """A log."""

    def info(self, text: str, /, *parts: Any) -> Any: ...


class Waits(Protocol):
    """A client, as far as it has been kept waiting."""

    @property
    def throttled_seconds(self) -> float: ...


@dataclass
class Progress:
    """Says every five seconds how far a long transfer is, and inside a `with` also while nothing arrives.

    `text` names what is counted, ``"Read %d rows of account"``; rows a second, pages, throttled seconds and an
    estimate of the rest follow where they are known. `client` tells the throttled seconds, `expected` how
    many rows there will be about (`estimate` is asked when it is first to be said), `already` how many were
    there before this try.
    """

    log: Says
    text: str
    client: Waits | None = None
    expected: int | None = None
    already: int = 0
    every: float = PROGRESS_SECONDS
    now: Callable[[], float] = time.monotonic
    estimate: Callable[[], int | None] | None = None
    rows: int = field(default=0, init=False)
    pages: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.rows = self.already
        self._began = self._said = self.now()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="dynamics-progress", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def reached(self, rows: int, *, pages: int = 0, expected: int | None = None) -> None:
        """Take note of how many rows, and pages, there are by now; say it if the last time is long enough ago."""
        self.rows, self.pages, self.expected = rows, pages, expected or self.expected
        self.tick()

    def tick(self) -> None:
        """Say how far it is, if the last time is long enough ago."""
        with self._lock:
            now = self.now()
            if now - self._said < self.every:
                return
            self._said = now
        done = self.text.removesuffix(" so far.").replace("%d", f"{self.rows:,}")
        self.log.info("%s so far%s.", done, self._details(now - self._began))

    def _details(self, seconds: float) -> str:
        speed = (self.rows - self.already) / seconds if seconds > 0 else 0.0
        told = [
            f"{speed:,.0f} rows/s",
            counted(self.pages, "page") if self.pages else "",
            f"{self.client.throttled_seconds:.1f} s throttled" if self.client is not None else "",
            self._rest(speed),
        ]
        return "".join(f", {one}" for one in told if one)

    def _rest(self, speed: float) -> str:
        """Return how long the rest may take, by the speed so far."""
        if self.expected is None and self.estimate is not None:
            self.expected, self.estimate = self.estimate(), None
        if self.expected is None or speed <= 0 or self.expected <= self.rows:
            return ""
        return f"about {duration((self.expected - self.rows) / speed)} to go for about {self.expected:,} rows"

    def _watch(self) -> None:
        while not self._ended.wait(self.every / 5):
            self.tick()


def rows_about(client: Client, table: str) -> int | None:
    """Return the service's last count of a table's rows, up to a day old; None where it has none to give."""
    from airflow_provider_dynamics.auth.causes import AuthenticationError
    from airflow_provider_dynamics.dataverse.errors import DataverseError

    try:
        return client.record_counts([table]).get(table)
    except (DataverseError, AuthenticationError) as error:
        log.debug("How many rows %s has is not known: %s", table, error)
        return None


def duration(seconds: float) -> str:
    """Return a time in the words of a log: "40 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def counted(number: int, what: str) -> str:
    """Return a number of things in the words of a log: "1 page", "1,200 pages"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def seconds_throttled(client: Client) -> float:
    """Return how long the service has kept the client waiting, to a tenth of a second."""
    return round(client.throttled_seconds, 1)


def effort(client: Client) -> str:
    """Say what it took, for the line a task logs at its end."""
    return f"{counted(client.requests_sent, 'request')}, {client.throttled_seconds:.1f} s throttled"


def storage_path(path: str | ObjectStoragePath, conn_id: str | None) -> ObjectStoragePath:
    """Return a path on any storage; a path that brings its own connection keeps it."""
    if isinstance(path, ObjectStoragePath) and not conn_id:
        return path
    return ObjectStoragePath(str(path), conn_id=conn_id or None)
