"""The ids a task has handed on, kept beside its files: what is no longer in the table can be named by comparing.

Kept as sorted segments, one or two a run, joined from time to time. For every id the record with the highest
stamp counts, so it never matters whether a segment is read once, twice, or also as part of a joined one: a
worker may die between any two steps.
"""

from __future__ import annotations

import heapq
import pathlib
import posixpath
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.following.sorting import ID_BYTES, merged

if TYPE_CHECKING:
    from airflow_provider_dynamics.formats.storage import Place

__all__ = [
    "CERTAIN",
    "GONE",
    "RECORD",
    "UNCERTAIN",
    "VALUE_BYTES",
    "Keys",
    "both",
    "names_in",
    "only_left",
    "order_number",
    "record",
    "sweep",
]

STAMP_BYTES, VALUE_BYTES = 4, 8
RECORD = ID_BYTES + STAMP_BYTES + 1 + 2 * VALUE_BYTES
"""Bytes a record: the id, the stamp of the try that wrote it, what became of the row, its version, the run's place in time."""
HEADER = b"dynamics keys 1\n"
MOST_SEGMENTS = 16
BLOCK = 4096 * RECORD
_NAME = re.compile(r"(\d{10})-[0-9a-f]{8}\.keys")
GONE, UNCERTAIN, CERTAIN = 0, 1, 2
STATE = ID_BYTES + STAMP_BYTES  # where it stands in a record


class Keys:
    """The key snapshot in one folder, as it stood when this was made; `stamp` is this try's, higher than any there.

    `highest` is the highest version of the rows that `held` has yielded.

    :param folder: where the segments are
    :param reached: told of every step that leaves something behind
    """

    def __init__(self, folder: Place, reached: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._reached = reached
        self._segments = tuple(sorted(name for name in names_in(folder) if _NAME.fullmatch(name)))
        self.highest = 0
        self.stamp = 1 + max((_stamp(name) for name in self._segments), default=0)

    @property
    def newest(self) -> int:
        """The highest stamp there is; 0 where there is nothing."""
        return max((_stamp(name) for name in self._segments), default=0)

    def held(self, order: int) -> Iterator[tuple[bytes, int]]:
        """Yield, sorted, the id of every row that files of runs before `order` may hold, with its version there.

        The version is 0 where it is not certain. Rows whose deletion only this run or a later one has told are
        among them: this run's file may be made anew.
        """
        with ExitStack() as files:
            for found in merged(*(self._read(name, files) for name in self._segments)):
                state, version, run = found[STATE], _number(found, STATE + 1), _number(found, -VALUE_BYTES)
                if state == GONE and run < order:
                    continue
                self.highest = max(self.highest, version)
                yield found[:ID_BYTES], version if state == CERTAIN and run < order else 0

    def save(self, records: Iterable[bytes], *, even_empty: bool = False) -> None:
        """Write sorted records as a segment of this try."""
        found = iter(records)
        first = next(found, None)
        if first is None and not even_empty:
            return
        name = f"{self.stamp:010}-{uuid.uuid4().hex[:8]}.keys"
        self._write(name, [] if first is None else heapq.merge([first], found))
        self._segments = (*self._segments, name)
        self._reached("key segment written")

    def compact(self) -> None:
        """Join segments when there are many; the largest is left alone while the others are small beside it."""
        if len(self._segments) <= MOST_SEGMENTS:
            return
        sizes = sorted((_size(self._at(name)), name) for name in self._segments)
        largest = sizes[-1]
        if sum(size for size, _ in sizes[:-1]) * 4 < largest[0]:
            sizes = sizes[:-1]
        old = [name for _, name in sizes]
        joined = f"{max(map(_stamp, old)):010}-{uuid.uuid4().hex[:8]}.keys"
        with ExitStack() as files:
            self._write(joined, merged(*(self._read(name, files) for name in old)))
        self._reached("key segments joined")
        for name in old:
            self._at(name).remove()
            self._reached("key segment removed")
        self._segments = (*(set(self._segments) - set(old)), joined)

    def _write(self, name: str, records: Iterable[bytes]) -> None:
        target = self._at(name)
        unfinished = target.beside()
        try:
            with closing(unfinished.open("wb")) as file:
                file.write(HEADER)
                for block in _blocks(records):
                    file.write(block)
            unfinished.move_to(target)
        except BaseException:
            with suppress(Exception):
                unfinished.remove()
            raise

    def _read(self, name: str, files: ExitStack) -> Iterator[bytes]:
        from airflow_provider_dynamics.formats import FormatError

        place = self._at(name)
        file = files.enter_context(closing(place.open("rb")))
        if file.read(len(HEADER)) != HEADER:
            raise FormatError(
                f"{place.label} is not a key snapshot: remove its folder, and all rows are read anew"
            )
        return _records(file)

    def _at(self, name: str) -> Place:
        return replace(
            self._folder, path=posixpath.join(self._folder.path, name), label=f"{self._folder.label}/{name}"
        )


def order_number(order: str) -> int:
    """Return a run's place in time, as `run_order` writes it, in microseconds since 1970."""
    return int(datetime.fromisoformat(order.replace("Z", "+00:00")).timestamp() * 1_000_000)


def record(stamp: int, state: int, row_id: bytes, version: int, order: int) -> bytes:
    """Return what is kept of a row by the try with this stamp, in the run at this place in time.

    :param state: CERTAIN, UNCERTAIN where the files may yet have another version, or GONE
    """
    return b"".join(
        (
            row_id,
            stamp.to_bytes(STAMP_BYTES, "big"),
            bytes((state,)),
            version.to_bytes(VALUE_BYTES, "big"),
            order.to_bytes(VALUE_BYTES, "big"),
        )
    )


def _number(found: bytes, start: int) -> int:
    return int.from_bytes(found[start:][:VALUE_BYTES], "big")


def only_left(left: Iterable[bytes], right: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the ids of the left records that no right record has; both are sorted by id."""
    return (row_id for row_id, there in _compared(left, right) if not there)


def both(left: Iterable[bytes], right: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the ids that a left record and a right record have; both are sorted by id."""
    return (row_id for row_id, there in _compared(left, right) if there)


def _compared(left: Iterable[bytes], right: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    others = iter(right)
    other = next(others, None)
    last = None
    for record in left:
        row_id = record[:ID_BYTES]
        if row_id == last:
            continue
        last = row_id
        while other is not None and other[:ID_BYTES] < row_id:
            other = next(others, None)
        yield row_id, other is not None and other[:ID_BYTES] == row_id


def names_in(folder: Place) -> list[str]:
    """Return the names in a folder; none where there is no such folder."""
    try:
        if folder.local:
            return [entry.name for entry in pathlib.Path(folder.path).iterdir()]
        folder.fs.invalidate_cache(folder.path)
        return [posixpath.basename(str(name).rstrip("/")) for name in folder.fs.ls(folder.path, detail=False)]
    except FileNotFoundError:
        return []


def sweep(target: Place) -> None:
    """Remove what tries that were killed have left of a file; never raises."""
    folder, name = posixpath.split(target.path)
    with suppress(Exception):
        for found in names_in(replace(target, path=folder)):
            if found.startswith(f".{name}.") and found.endswith(".part"):
                replace(target, path=posixpath.join(folder, found)).remove()


def _stamp(name: str) -> int:
    return int(name[:10])


def _size(place: Place) -> int:
    return int(pathlib.Path(place.path).stat().st_size if place.local else place.fs.info(place.path)["size"])


def _blocks(records: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for record in records:
        waiting += record
        if len(waiting) >= BLOCK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _records(file: Any) -> Iterator[bytes]:
    left = b""
    while block := file.read(BLOCK):
        block = left + block if left else block
        whole = len(block) - len(block) % RECORD
        for start in range(0, whole, RECORD):
            yield block[start : start + RECORD]
        left = block[whole:]
    if left:
        raise EOFError("a key segment ends in the middle of a record")
