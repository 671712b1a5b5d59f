"""One try of reading a source into a file: lanes in, segments out, and a place kept to go on from.

The operators say what; how a try begins, ends well and ends badly is here, once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.retry import reason_of
from airflow_provider_dynamics.state.progress import Checkpoint, Checkpoints
from airflow_provider_dynamics.transfers.segments import Segment, Segments
from airflow_provider_dynamics.transfers.transfer import Progress, rows_about

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, LaneRead, Source, Window
    from airflow_provider_dynamics.formats import Field, Prepared
    from airflow_provider_dynamics.formats.storage import Place

__all__ = ["Extract", "Extracted"]

log = logging.getLogger(__name__)

LONG = 3
"""Pages of a reading that is worth a request for an estimate of the rest."""


@dataclass(frozen=True)
class Extracted:
    """What became of a reading: `resumed_rows` of the `rows` were read by earlier tries."""

    rows: int
    resumed_rows: int
    pages: int
    lanes: int


@dataclass
class Extract:
    """Reads `source` into the file `target` with the columns `fields`.

    Every `checkpoint_seconds` what was read is completed as a segment and noted in `checkpoints`; None for
    never. `key` names the task, for its segments. `first_try` says that nobody can have left anything.
    """

    client: Client
    source: Source
    fields: tuple[Field, ...]
    target: Place
    file_format: str
    if_exists: str
    checkpoints: Checkpoints
    key: str
    lanes: int | None = None
    window_column: str | None = None
    window: Window | None = None
    checkpoint_seconds: float | None = 30.0
    first_try: bool = True
    progress: Callable[..., Progress] = Progress
    now: Callable[[], float] = time.monotonic
    clock: Callable[[], float] = time.time

    def run(self) -> Extracted:
        """Read everything that no earlier try has read, and put the file in its place.

        Whatever is raised, nothing has changed under the file's name. Where trying again can help, what was
        read is kept for the next try.
        """
        self._fingerprint = self._fingerprinted()
        self._segments, position = self._begin()
        self._resumed = self._segments.rows
        self._whole, self._pages, self._saved = True, 0, self.now()
        try:
            lanes = self._read_on(position)
            self._close()
            if len(self._segments.complete) > 1:
                self._note()  # joining takes its time too
                log.info("Joining %d segments into %s.", len(self._segments.complete), self.target.label)
            self._segments.finish(self.if_exists)
        except BaseException as error:
            self._failed(error)
            raise
        done = Extracted(self._rows, self._resumed, self._pages, lanes)
        if not self.first_try:
            self._segments.remove(others=True)
        self.checkpoints.clear()
        return done

    def _begin(self) -> tuple[Segments, Mapping[str, Any] | None]:
        """Take up what an earlier try left, if it is whole and of the same reading."""
        found = None if self.first_try else self.checkpoints.load(self._fingerprint)
        kept = [Segment(*file) for file in found.files] if found is not None else []
        segments = Segments(self.target, self.file_format, self.fields, self.key, kept)
        try:
            whole = segments.still_there()
        except BaseException:
            segments.abandon()
            raise
        if not whole:
            log.warning(
                "Files that the last try left beside %s are not whole; starting over.", self.target.label
            )
            segments.complete.clear()
            found = None
        self._at = self.clock() if found is None else found.at
        self._position = None if found is None else found.position
        if found is not None:
            log.info("Going on after %s rows that the last try has read.", f"{segments.rows:,}")
        return segments, self._position

    def _read_on(self, position: Mapping[str, Any] | None) -> int:
        """Read what is left; from the beginning where the service, or a newer version of ours, has no use for the place."""
        try:
            return self._read(position)
        except Exception as error:
            if position is None or not _may_be_the_place(error):
                raise
            log.warning("Reading cannot go on where the last try stopped (%s); starting over.", error)
        self._segments.remove()
        self.checkpoints.clear()
        self._position, self._resumed, self._at, self._whole = None, 0, self.clock(), True
        return self._read(None)

    def _read(self, position: Mapping[str, Any] | None) -> int:
        with self._lanes(position) as read:
            watch = self.progress(
                log,
                f"Read %d rows of {self.source.table}",
                client=self.client,
                already=self._resumed,
            )
            with watch:
                for page in read:
                    self._append(page.made, read)
                    watch.reached(self._segments.rows, pages=self._pages, expected=self._expected(read))
            self._rows = self._segments.rows
            return read.lanes

    def _expected(self, read: LaneRead[Prepared]) -> int | None:
        """Return how many rows there will be about; a reading in one lane, which counts nothing, takes the last count of all."""
        if read.rows_expected is not None or self._pages != LONG or not self._is_whole_table():
            return read.rows_expected
        return rows_about(self.client, self.source.table)

    def _is_whole_table(self) -> bool:
        from airflow_provider_dynamics.dataverse import Query

        source = self.source
        if self.window is not None or not isinstance(source, Query):
            return False
        return source.filter is None and source.apply is None and source.top is None

    def _lanes(self, position: Mapping[str, Any] | None) -> LaneRead[Prepared]:
        try:
            return self.client.lanes(
                self.source,
                lanes=self.lanes,
                window_column=self.window_column,
                window=self.window,
                position=None if position is None else dict(position),
                work=self._segments.prepare,
            )
        except ValueError as error:
            raise AirflowFailException(f"{error}.") from error

    def _append(self, prepared: Prepared, read: LaneRead[Prepared]) -> None:
        self._whole = False
        self._segments.append(prepared)
        self._position = read.position
        self._whole = True
        self._pages += 1
        if self._is_due():
            self._close()
            self._note()
            self._saved = self.now()

    def _close(self) -> None:
        """Complete the open segment; if that fails, it does not hold what `_position` says."""
        self._whole = False
        self._segments.close()
        self._whole = True

    def _is_due(self) -> bool:
        if self.checkpoint_seconds is None or not self.checkpoints.kept or not self._segments.open_rows:
            return False
        return self.now() - self._saved >= self.checkpoint_seconds

    def _note(self) -> None:
        if not self._segments.complete:
            return
        files = tuple((one.name, one.rows, one.size) for one in self._segments.complete)
        self.checkpoints.save(Checkpoint(self._fingerprint, files, self._position, self._at))

    def _failed(self, error: BaseException) -> None:
        """Keep what was read if another try can go on from it, else leave nothing behind."""
        if _hopeless(error) or not self.checkpoints.kept:
            self._segments.remove(others=not self.first_try)
            self.checkpoints.clear()
            return
        try:
            if self._whole:
                self._close()
                self._note()
        except Exception as another:  # noqa: BLE001  # the storage may be what failed; the first error is the one to tell
            log.warning("What was read since the last checkpoint could not be kept: %s", another)
        self._segments.abandon()
        if rows := self._segments.rows:
            log.warning("Kept %s rows; the next try goes on from there.", f"{rows:,}")

    def _fingerprinted(self) -> str:
        """Return a hash of everything that makes it this reading into this file."""
        from airflow_provider_dynamics.formats import fields_to_json

        parts = [
            self.client.environment,
            repr(self.source),
            None if self.window is None else self.window.to_json(),
            self.window_column,
            self.target.label,
            self.file_format,
            fields_to_json(self.fields),
        ]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _hopeless(error: BaseException) -> bool:
    """Say whether trying the same again cannot help."""
    reason = reason_of(error)
    return isinstance(error, AirflowFailException) or (reason is not None and not reason.retryable)


def _may_be_the_place(error: BaseException) -> bool:
    """Say whether it may be where reading was to go on that is wrong, and not what is asked."""
    from airflow_provider_dynamics.dataverse.errors import BadRequest, NotFound

    return isinstance(error, (BadRequest, NotFound, ValueError, AirflowFailException))
