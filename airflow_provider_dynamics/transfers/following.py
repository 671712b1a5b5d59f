"""One try to follow a table's changes into a file: where it starts, what it writes, and what it leaves to the next.

The order of the steps is what makes it safe to die between any two of them: ids are kept before the file gets its
name, the cursor moves after it, and what is gone for good is written down last.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.following.window_place import PREFIX
from airflow_provider_dynamics.transfers.change_files import ChangeFile, Torn, Written
from airflow_provider_dynamics.transfers.keys import Keys, order_number, sweep
from airflow_provider_dynamics.transfers.snapshots import Previous, Snapshot

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.following.feed import Feed
    from airflow_provider_dynamics.formats import Field
    from airflow_provider_dynamics.formats.storage import Place
    from airflow_provider_dynamics.state import Cursor, CursorStore

__all__ = ["Followed", "Following", "keys_folder"]

READINGS = 3
"""How often changes are read anew because rows were deleted while they were read."""


def _nothing(*_: object) -> None:
    """Take no note."""


@dataclass(frozen=True)
class Followed:
    """What a run came to, for its summary."""

    written: Written
    mode: str
    reason: str


@dataclass(frozen=True)
class Following:
    """A run of one task, whichever of its tries this is.

    :param feed: makes the feed that starts at a place; None for every row
    :param primary_id: the table's column of row ids
    :param fields: its columns in the file
    :param new_columns: those that the files so far do not have, which asks for every row
    :param cursors: where the task's place is kept
    :param run_id: the DAG run
    :param order: its place in time, from `run_order`
    :param path: the file, as a path
    :param place: the same, as `formats.storage` knows it
    :param output: "changes" or "snapshot"
    :param keys: where ids are kept; None not to keep any. A cursor that knows another place is followed
    :param keys_fixed: whether `keys` counts all the same
    :param keys_at: turns what the cursor keeps into a place
    :param progress: told how many rows the file has, and how many pages were read
    :param reached: told of every step that leaves something behind
    """

    feed: Callable[[str | None], Feed]
    primary_id: str
    fields: tuple[Field, ...]
    new_columns: tuple[str, ...]
    cursors: CursorStore
    run_id: str
    order: str
    path: Any
    place: Place
    file_format: str
    if_exists: str
    output: str
    keys: str | None
    keys_fixed: bool
    keys_at: Callable[[str], Place]
    progress: Callable[[int, int], None] = _nothing
    reached: Callable[[str], None] = _nothing

    def run(self) -> Followed:
        """Write the file and move the cursor; raises DataverseError, FormatError."""
        sweep(self.place)
        since = self.cursors.begin(self.run_id, self.order, keys=self._keys_path())
        self.reached("the run has begun")
        return self._read(since, READINGS)

    def _read(self, since: str | None, left: int) -> Followed:
        from airflow_provider_dynamics.dataverse.errors import BadResponse

        try:
            return self._snapshot(since) if self.output == "snapshot" else self._changes(since)
        except Torn as torn:
            if left == 1:
                raise BadResponse(
                    "Rows were deleted while their changes were read, again and again",
                    remedy="Try again later.",
                ) from torn
        return self._read(since, left - 1)

    def _keys_path(self) -> str | None:
        """Return where ids are kept: where they were, wherever the file of this run stands."""
        known = self.cursors.load().keys
        return self.keys if self.keys is None or self.keys_fixed or not known else str(known["path"])

    def _changes(self, since: str | None) -> Followed:
        cursor = self.cursors.load()
        keys = None if self.keys is None else Keys(self.keys_at(str(self._keys_path())), self.reached)
        lost = keys is not None and keys.newest < cursor.keys_stamp
        problem = self._problem(cursor, since, lost=lost)
        feed = self.feed(None if problem else since)
        with ChangeFile(
            *(feed, self.fields, self.path, self.file_format),
            if_exists=self.if_exists,
            keys=keys,
            order=order_number(self.order),
            newest=cursor.is_newest(self.run_id, self.order),
            relist=lost and since is not None and not problem,
            progress=self.progress,
            reached=self.reached,
        ) as file:
            written = file.write()
            stamp = None if keys is None else {"path": self._keys_path(), "stamp": keys.newest}
            if self._commit(since, written, stamp):
                file.settle()
        reason = problem or feed.reason
        if feed.complete and reason and keys is not None and not lost:
            return Followed(written, "reconcile", reason)
        return Followed(written, "full" if feed.complete else feed.mode, reason)

    def _snapshot(self, since: str | None) -> Followed:
        previous = Previous(self.place, self.file_format, self.fields, self.primary_id)
        problem = "" if since is None else self._anew() or previous.problem
        feed = self.feed(None if problem else since)
        with Snapshot(
            *(feed, self.fields, self.path, self.file_format),
            previous=previous,
            progress=self.progress,
            reached=self.reached,
        ) as snapshot:
            written = snapshot.write()
        self._commit(since, written, None)
        reason = problem or feed.reason
        return Followed(written, "reconcile" if reason else feed.mode, reason)

    def _commit(self, since: str | None, written: Written, keys: Mapping[str, Any] | None) -> bool:
        """Move the cursor; say whether no later run has begun meanwhile."""
        after = self.cursors.commit(self.run_id, self.order, since=since, until=written.until, keys=keys)
        self.reached("the cursor has moved")
        return after.is_newest(self.run_id, self.order)

    def _problem(self, cursor: Cursor, since: str | None, *, lost: bool) -> str:
        """Say why this run reads every row although a place is known; "" if it does not."""
        if cursor.is_forgotten(self.run_id, self.order):
            return "this run is older than those whose place is remembered"
        if since is None:
            return ""
        if lost and since.startswith(PREFIX):
            return f"the ids in {self._keys_path()} are not those that were left there, so deleted rows cannot be told"
        return self._anew()

    def _anew(self) -> str:
        return f"the table has new columns: {', '.join(self.new_columns)}" if self.new_columns else ""


def keys_folder(destination: str, table: str, *consumer: object) -> str:
    """Return the folder beside a file where the ids are kept that a task has handed on; engines skip hidden ones."""
    folder = posixpath.dirname(destination)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", "-".join(map(str, (table, *consumer))))[:150]
    return posixpath.join(folder, f".{name}.keys")
