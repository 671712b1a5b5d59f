"""One run's change file: rows to upsert, rows to delete, and the version by which one state follows another."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.following.sorting import ID_BYTES, Sorter, pack, unpack
from airflow_provider_dynamics.dataverse.following.window_place import VERSION
from airflow_provider_dynamics.transfers.keys import (
    CERTAIN,
    GONE,
    RECORD,
    UNCERTAIN,
    VALUE_BYTES,
    Keys,
    both,
    only_left,
    record,
)

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.following.feed import Feed
    from airflow_provider_dynamics.formats import Field, Writer

__all__ = ["ChangeFile", "Torn", "Written", "change_fields"]

UPSERT, DELETE = "upsert", "delete"
ROWS_AT_ONCE = 5_000


class Torn(Exception):
    """A row was deleted between two pages, so that it is among the rows and among the deleted."""


@dataclass(frozen=True)
class Written:
    """What a try wrote: `rows` in the file, of which `upserts` changed and `deleted` went, and where the reading ended."""

    rows: int
    upserts: int
    deleted: int
    until: str


class ChangeFile:
    """Writes what a feed brings to one file; made for one try, used in a `with`.

    :param feed: what changed; nothing of it has been read yet
    :param fields: the table's columns
    :param path: where the file stands when it is complete
    :param keys: what earlier runs handed on; None to do without, so that nothing is found deleted by comparing
    :param order: the run's place in time, in microseconds since 1970
    :param newest: whether no later run has begun
    :param relist: whether the keys are not those that this task left, so that they have to be made anew
    :param progress: told how many rows the file has, and how many pages were read
    :param reached: told of every step that leaves something behind
    """

    def __init__(
        self,
        feed: Feed,
        fields: Sequence[Field],
        path: Any,
        file_format: str,
        *,
        if_exists: str,
        keys: Keys | None,
        order: int,
        newest: bool,
        relist: bool,
        progress: Callable[[int, int], None],
        reached: Callable[[str], None],
    ) -> None:
        self._feed = feed
        self._fields, self._operation, self._version = change_fields(fields)
        self._path = path
        self._format = file_format
        self._if_exists = if_exists
        self._keys = keys
        self._order = order
        self._newest = newest
        self._relist = relist
        self._progress = progress
        self._pages = 0
        self._reached = reached
        self._closing = ExitStack()
        self._handed = self._sorter(RECORD)  # records of the rows in the file
        self._gone = self._sorter(ID_BYTES)  # ids that are deleted, unless a row comes under them
        self._doubtful = self._sorter(ID_BYTES)  # ids whose rows a window may not show
        self._deleted = self._sorter(ID_BYTES)  # ids of the deletions in the file
        self._fetched = self._sorter(RECORD)  # versions that hold once the file is committed

    def __enter__(self) -> ChangeFile:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _sorter(self, width: int) -> Sorter:
        return self._closing.enter_context(Sorter(width))

    def write(self) -> Written:
        """Write the file; the ids in it are kept before it gets its name. Raises Torn."""
        from airflow_provider_dynamics.formats import writer

        if self._relist:
            self._list_anew()
        self._compare()
        extra = {self._operation: "string"}
        with writer(self._path, self._format, self._fields, if_exists=self._if_exists, extra=extra) as file:
            self._write_rows(file)
            upserts = file.rows
            self._write_deletions(file)
            if self._keys is not None:
                self._keys.save(self._handed, even_empty=not self._keys.newest)
            self._reached("the file is complete")
        self._reached("the file is in place")
        return Written(file.rows, upserts, file.rows - upserts, self._feed.until)

    def settle(self) -> None:
        """Keep, after the cursor has moved, what is gone for good and which versions hold."""
        if self._keys is not None:
            version = self._last_version() or 0
            gone = (self._record(GONE, row_id, version) for row_id in self._deleted)
            self._keys.save(heapq.merge(gone, self._fetched))
            self._keys.compact()

    # -- what is gone, and what a window may not show -----------------------------------------------

    def _list_anew(self) -> None:
        """Keep the ids of all rows of this moment: the rows handed on before are among them, or deleted after it."""
        if self._keys is not None:
            with Sorter(RECORD) as listed:
                listed.update(self._records(self._feed.everything(), known=False))
                self._keys.save(listed)

    def _compare(self) -> None:
        """Compare the rows handed on so far with those there are, before the window is read."""
        listing = self._feed.listing()
        if listing is None:
            return
        with Sorter(ID_BYTES + VALUE_BYTES) as present:
            present.update(pack(row_id) + version.to_bytes(VALUE_BYTES, "big") for row_id, version in listing)
            if self._keys is None:
                return
            for row_id, before, now in _side_by_side(self._keys.held(self._order), present):
                if now is None:
                    self._gone.add(row_id)
                elif before != now:
                    self._doubtful.add(row_id)

    def _going(self) -> Iterator[bytes]:
        """Return the ids to hand on as deleted, when every row has been; raises Torn."""
        if self._feed.mode == "delta":
            if next(both(self._gone, self._handed), None) is not None:
                raise Torn
            return iter(self._gone)
        if self._feed.complete and self._keys is not None:
            return only_left((row_id for row_id, _ in self._keys.held(self._order)), self._handed)
        return only_left(self._gone, self._handed)

    # -- rows ---------------------------------------------------------------------------------------

    def _write_rows(self, file: Writer) -> None:
        for page in self._feed.pages():
            self._handed.update(self._records(self._feed.identities(page), known=self._newest))
            self._gone.update(pack(gone.row_id) for gone in page.deleted)
            self._write(file, page)
        missed = only_left(self._doubtful, self._handed)
        for page in self._feed.fetch(unpack(row_id) for row_id in missed):
            found = self._feed.identities(page)
            # no later window shows them: should this file not be committed, they must be found doubtful again
            self._handed.update(self._records(found, known=False))
            self._fetched.update(self._records(found, known=True))
            self._write(file, page)

    def _write(self, file: Writer, page: Any) -> None:
        file.write(page, {self._operation: UPSERT})
        self._pages += 1
        self._progress(file.rows, self._pages)

    def _write_deletions(self, file: Writer) -> None:
        self._deleted.update(self._going())
        primary_id, version = self._feed.table.primary_id, self._last_version()
        going = iter(self._deleted)
        while ids := list(islice(going, ROWS_AT_ONCE)):
            rows = [{primary_id: unpack(row_id), self._version: version} for row_id in ids]
            file.write(rows, {self._operation: DELETE})
            self._progress(file.rows, self._pages)

    def _last_version(self) -> int | None:
        """Return a version that no row handed on so far is above; None where rows have none."""
        held = 0 if self._keys is None else self._keys.highest
        return max(self._feed.version or 0, held) or None

    def _records(self, rows: Iterable[tuple[str, int]], *, known: bool) -> Iterator[bytes]:
        state = CERTAIN if known else UNCERTAIN
        return (self._record(state, pack(row_id), version) for row_id, version in rows)

    def _record(self, state: int, row_id: bytes, version: int) -> bytes:
        stamp = 0 if self._keys is None else self._keys.stamp
        return record(stamp, state, row_id, version, self._order)


def change_fields(fields: Sequence[Field]) -> tuple[tuple[Field, ...], str, str]:
    """Return a change file's columns but the operation's, and what the operation's and the version's are called.

    Where the table has a column of such a name itself, ``change_`` stands before it.
    """
    from airflow_provider_dynamics.formats import Field

    taken = {field.name for field in fields}
    operation, version = (
        name if name not in taken else f"change_{name}" for name in ("operation", "version")
    )
    return (*fields, Field(version, "int64", 0, "BigInt", (VERSION,))), operation, version


def _side_by_side(
    held: Iterator[tuple[bytes, int]], present: Iterable[bytes]
) -> Iterator[tuple[bytes, int | None, int | None]]:
    """Yield each id with its version in what is held and in what is there, None where it is not."""
    there = iter(present)
    now = next(there, None)
    for row_id, version in held:
        while now is not None and now[:ID_BYTES] < row_id:
            yield now[:ID_BYTES], None, int.from_bytes(now[ID_BYTES:], "big")
            now = next(there, None)
        same = now is not None and now[:ID_BYTES] == row_id
        yield row_id, version, int.from_bytes(now[ID_BYTES:], "big") if now is not None and same else None
        if same:
            now = next(there, None)
    while now is not None:
        yield now[:ID_BYTES], None, int.from_bytes(now[ID_BYTES:], "big")
        now = next(there, None)
