"""A long file is written in segments, so that what a try has read is kept even if the try ends badly.

Segments are whole files of the same format, hidden beside the destination; at the end one is moved under the
destination's name, several are joined there, and none stays.
"""

from __future__ import annotations

import contextlib
import pathlib
import posixpath
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.formats import Field, Prepared
    from airflow_provider_dynamics.formats.storage import Place
    from airflow_provider_dynamics.formats.writers import Format

__all__ = ["Segment", "Segments", "ready"]

JOIN_ROWS = 50_000  # rows held at a time while Parquet segments are joined
JOIN_BYTES = 4 * 1024 * 1024  # bytes of text held at a time

HOPELESS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
NOT_THERE = frozenset({"ResourceNotFoundError", "NoSuchBucket", "ContainerNotFound"})
"""What file systems of other people raise, by name, where they do not use Python's own errors."""


def ready(target: Place, if_exists: str) -> None:
    """Make sure that a file can be put at `target`, by putting an empty one beside it and taking it away again.

    :raises FormatError: it stands there and must not be replaced, it is a folder, its bucket or folder is missing, or may
        not be written to
    """
    from airflow_provider_dynamics.formats.storage import check_if_exists

    check_if_exists(target, if_exists)
    probe = target.beside()
    try:
        _refuse_folder(target)
        probe.open("wb").close()
        probe.remove()
    except Exception as error:
        refused = _refused(target, error)
        if refused is None:
            raise
        raise refused from error


def _refuse_folder(target: Place) -> None:
    """Refuse a folder: a local disk would at the end, and a store of objects would put the file into it."""
    from airflow_provider_dynamics.formats import FormatError

    if target.folder():
        raise FormatError(
            f"{target.label} is a folder, and no row was read: add the file's name to destination_path"
        )


def _refused(target: Place, error: Exception) -> Exception | None:
    """Return what to tell of a place that cannot be written to; None for what may pass."""
    from airflow_provider_dynamics.formats import FormatError

    if not isinstance(error, HOPELESS) and type(error).__name__ not in NOT_THERE:
        return None
    said = " ".join(str(error).split())[:300] or type(error).__name__
    where = "folder" if target.local else f"bucket {target.path.lstrip('/').split('/')[0]!r}"
    return FormatError(
        f"{target.label} is no place to write to: {said}. No row was read. Make sure that the {where} exists and that "
        "destination_conn_id may write and delete there, or correct destination_path"
    )


@dataclass(frozen=True)
class Segment:
    """A complete file beside the destination: its name there, its rows, its size in bytes."""

    name: str
    rows: int
    size: int


class Segments:
    """The segments of one file: what is appended goes into the open one, `close` completes it, `finish` makes the file.

    `key` is the same for every try of one task, so that a later one can sweep up; `kept` are complete
    segments of an earlier try. Not safe to use from several threads, but for `prepare`.
    """

    def __init__(
        self,
        target: Place,
        file_format: str,
        fields: Sequence[Field],
        key: str,
        kept: Sequence[Segment] = (),
    ) -> None:
        self._target = target
        self._format = file_format
        self._fields = fields
        self._prefix = f".{posixpath.basename(target.path)}.{key}."
        self._try = uuid.uuid4().hex[:8]  # an earlier try may still be writing its own
        self._made = 0
        self.complete = list(kept)
        self._open = self._next()
        self.prepare = self._open.content.prepare  # whichever segment is open: it depends on the columns only

    @property
    def rows(self) -> int:
        """How many rows there are in all segments, the open one included."""
        return sum(segment.rows for segment in self.complete) + self._open.rows

    @property
    def open_rows(self) -> int:
        """How many rows would be lost by dying now."""
        return self._open.rows

    def append(self, prepared: Prepared) -> None:
        """Put what `prepare` made of a page into the open segment."""
        if self._open.closed:
            self._open = self._next()
        self._open.content.append(prepared)

    def close(self, *, empty: bool = False) -> None:
        """Complete the open segment; one without rows is dropped unless `empty`."""
        if self._open.closed:
            return
        rows = self._open.rows
        self._open.close()
        if rows or empty:
            place = self._open.place
            self.complete.append(Segment(posixpath.basename(place.path), rows, _size(place)))
        else:
            self._open.place.remove()

    def finish(self, if_exists: str) -> None:
        """Put everything under the destination's name, in one step where the storage can.

        :raises FormatError: something stands there now and `if_exists` is "fail"
        """
        from airflow_provider_dynamics.formats.storage import check_if_exists

        self.close(empty=not self.complete)
        if not self.complete:
            self._open = self._next()
            self.close(empty=True)
        check_if_exists(self._target, if_exists)
        if len(self.complete) == 1:
            self._place(self.complete[0].name).move_to(self._target)
        else:
            self._joined().move_to(self._target)
            self.remove()

    def remove(self, *, others: bool = False) -> None:
        """Delete all segments; with `others` also what tries that were killed left behind. Never raises."""
        self.abandon()
        names = {segment.name for segment in self.complete}
        if others:
            with contextlib.suppress(Exception):
                names.update(_names_beside(self._target, self._prefix))
        for name in names:
            with contextlib.suppress(Exception):
                self._place(name).remove()
        self.complete.clear()

    def abandon(self) -> None:
        """Delete the open segment; what is complete stays. Never raises."""
        with contextlib.suppress(Exception):
            self._open.abandon()

    def still_there(self) -> bool:
        """Say whether every segment of the earlier try stands where it was left, whole; raises what keeps from knowing."""
        try:
            return all(_size(self._place(kept.name)) == kept.size for kept in self.complete)
        except Exception as error:
            if isinstance(error, FileNotFoundError) or type(error).__name__ in NOT_THERE:
                return False
            raise

    def _joined(self) -> Place:
        made = self._next()
        try:
            for segment in self.complete:
                for part in _parts(self._place(segment.name), self._format):
                    made.content.append(part)
            made.close()
        except BaseException:
            made.abandon()
            raise
        return made.place

    def _next(self) -> _Open:
        self._made += 1
        return _Open(
            self._place(f"{self._prefix}{self._try}.{self._made:05}.part"), self._format, self._fields
        )

    def _place(self, name: str) -> Place:
        path = posixpath.join(posixpath.dirname(self._target.path), name)
        return replace(self._target, path=path, label=f"{self._target.label} (unfinished)")


class _Open:
    """A segment that is being written."""

    def __init__(self, place: Place, file_format: str, fields: Sequence[Field]) -> None:
        from airflow_provider_dynamics.formats.writers import content

        self.place = place
        self.closed = False
        self._file = place.open("wb")
        self.content: Format = content(self._file, file_format, fields)

    @property
    def rows(self) -> int:
        return 0 if self.closed else self.content.rows

    def close(self) -> None:
        self.content.close()
        self._file.close()
        self.closed = True

    def abandon(self) -> None:
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(Exception):
            self.content.close()
        with contextlib.suppress(Exception):
            self._file.close()
        self.place.remove()


def _size(place: Place) -> int:
    return int(pathlib.Path(place.path).stat().st_size if place.local else place.fs.info(place.path)["size"])


def _names_beside(place: Place, prefix: str) -> list[str]:
    """Return the names in the same folder that start with `prefix`."""
    folder = posixpath.dirname(place.path)
    if place.local:
        names = [entry.name for entry in pathlib.Path(folder).iterdir()]
    else:
        place.fs.invalidate_cache(folder)
        names = [posixpath.basename(name) for name in place.fs.ls(folder, detail=False)]
    return [name for name in names if name.startswith(prefix)]


def _parts(place: Place, file_format: str) -> Iterator[Prepared]:
    """Yield what a complete segment holds, a bounded piece at a time, as what a writer appends."""
    with contextlib.closing(place.open("rb")) as file:
        yield from _batches(file) if file_format == "parquet" else _texts(file, file_format)


def _batches(file: Any) -> Iterator[Prepared]:
    from airflow_provider_dynamics.formats import Prepared
    from airflow_provider_dynamics.formats.arrow import need

    with need("pyarrow.parquet", "parquet", "Parquet").ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=JOIN_ROWS):
            yield Prepared(batch.num_rows, batch)


def _texts(file: Any, file_format: str) -> Iterator[Prepared]:
    from airflow_provider_dynamics.formats import Prepared

    if file_format == "csv":
        file.readline()  # the header: the file that is made has one already
    while text := file.read(JOIN_BYTES):
        yield Prepared(0, text)
