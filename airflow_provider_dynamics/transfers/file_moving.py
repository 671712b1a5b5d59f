"""What files do on their way in either direction: which row, several at a time, what has become of each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, whole_number
from airflow_provider_dynamics.transfers.transfer import effort, seconds_throttled

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.formats.storage import Place

__all__ = ["FileMover", "RowId", "Tally", "side_by_side", "unchanged"]

T = TypeVar("T")

_VERSIONS = (
    "size",
    "ETag",
    "etag",
    "md5",
    "generation",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)
"""By which file systems tell one content of a file from the next."""
_NAMED = 20  # files that were set aside, in a summary
_WORDS = {"on_file_error": ("fail", "collect"), "if_none": ("fail", "skip"), "on_missing": ("fail", "skip")}
RowId = str | Mapping[str, Any]


@dataclass
class Tally:
    """What has become of files so far; several threads add to it."""

    files: int = 0
    bytes: int = 0
    empty: int = 0
    rejected: int = 0
    rejects: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def moved(self, size: int) -> None:
        with self._lock:
            self.files += 1
            self.bytes += size

    def without_file(self) -> None:
        with self._lock:
            self.empty += 1

    def reject(self, path: str, row: RowId, error: Exception) -> None:
        with self._lock:
            self.rejected += 1
            if len(self.rejects) < _NAMED:
                told = {"path": path, "row": row, "code": getattr(error, "code", ""), "message": str(error)}
                self.rejects.append(told)

    def summary(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "bytes": self.bytes,
            "empty": self.empty,
            "rejected": self.rejected,
            "rejects": self.rejects,
        }


class FileMover(DynamicsOperator):
    """What both directions share: the column, the row or the many rows, several files at a time, and the summary."""

    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        column: str,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        on_file_error: Literal["fail", "collect"] = "fail",
        concurrency: int | str = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.column = column
        self.row_id = row_id
        self.key = key
        self.on_file_error = on_file_error
        self.concurrency = concurrency

    def _row(self) -> RowId | None:
        """Return the one row that is named, None where the path says which rows."""
        if self.row_id and self.key:
            raise AirflowFailException("row_id and key were both given: keep one of them.")
        return self.row_id or self.key or None

    def _checked(self, name: str) -> str:
        value = str(getattr(self, name))
        if value not in _WORDS[name]:
            raise AirflowFailException(f"{name} is {value!r}: use {' or '.join(map(repr, _WORDS[name]))}.")
        return value

    def _one(self, tally: Tally, path: str, row: RowId, work: Callable[[], int]) -> None:
        """Move one file; what is the file's or the row's own fault is set aside where that is wanted."""
        from airflow_provider_dynamics.dataverse import errors

        try:
            tally.moved(work())
        except errors.NoFile:
            tally.without_file()
        except (errors.BadRequest, errors.NotFound, errors.Conflict) as error:
            beyond = (errors.UnknownTable, errors.UnknownColumn, errors.UnknownKey)
            if error.retryable or isinstance(error, beyond) or self.on_file_error == "fail":
                raise
            self.log.warning("%s was set aside: %s", path, error)
            tally.reject(path, row, error)

    def _all(self, items: Iterable[T], work: Callable[[T], None]) -> None:
        side_by_side(items, work, whole_number("concurrency", self.concurrency) or 1)

    def _told(self, client: Client, tally: Tally, label: str) -> dict[str, Any]:
        self.log.info(
            "Moved %s files, %s bytes; %s rows without a file, %s files set aside; %s.",
            *(f"{one:,}" for one in (tally.files, tally.bytes, tally.empty, tally.rejected)),
            effort(client),
        )
        return {
            **tally.summary(),
            "path": label,
            "requests": client.requests_sent,
            "throttled_seconds": seconds_throttled(client),
        }


@contextmanager
def unchanged(file: Place) -> Iterator[None]:
    """Read a file inside; raises Conflict where it is not the same one afterwards: half of each may have been read."""
    from airflow_provider_dynamics.dataverse import errors

    before = _version(file)
    yield
    if _version(file) != before:
        raise errors.Conflict(
            f"{file.label} changed while it was sent, so Dynamics may hold half of each",
            remedy="Send it again when it is complete.",
            retryable=True,
        )


def _version(file: Place) -> tuple[Any, ...] | None:
    """Return what tells a file's contents apart, None for a file that is gone."""
    try:
        if file.local:
            stat = Path(file.path).stat()
            return stat.st_ino, stat.st_size, stat.st_mtime_ns
        file.fs.invalidate_cache()
        info = file.fs.info(file.path)
    except FileNotFoundError:
        return None
    return tuple(info.get(name) for name in _VERSIONS)


def side_by_side(items: Iterable[T], work: Callable[[T], None], width: int) -> None:
    """Do the work for all items, so many at a time; the first error ends it, and is raised when those under way are done."""
    with ThreadPoolExecutor(width, thread_name_prefix="dynamics-files") as pool:
        under_way: deque[Future[None]] = deque()
        try:
            for item in items:
                if len(under_way) >= width:
                    under_way.popleft().result()
                under_way.append(pool.submit(work, item))
            while under_way:
                under_way.popleft().result()
        finally:
            for left in under_way:
                left.cancel()
