"""Row ids by the million in little memory: packed, sorted in runs on the disk, merged as they are read.

Who compares the ids of two readings, or asks whether one was among them, starts here.
"""

from __future__ import annotations

import heapq
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import BinaryIO

__all__ = ["ID_BYTES", "Sorter", "merged", "pack", "unpack"]

ID_BYTES = 16
RUN_RECORDS = 200_000  # about 15 MB while they are in memory
_BLOCK_RECORDS = 4096


def pack(row_id: str) -> bytes:
    """Return a row id as 16 bytes; raises ValueError when it is no GUID."""
    return bytes.fromhex(row_id.replace("-", "")) if len(row_id) == 36 else uuid.UUID(row_id).bytes


def unpack(record: bytes) -> str:
    """Return the row id that a record starts with, in lower case with hyphens."""
    text = record[:ID_BYTES].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def merged(*sources: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one record for each id of sources that are sorted: the largest of those that begin with it."""
    last: bytes | None = None
    for record in heapq.merge(*sources):
        if last is not None and record[:ID_BYTES] != last[:ID_BYTES]:
            yield last
        last = record
    if last is not None:
        yield last


class Sorter:
    """Any number of records of `width` bytes, given back in order; close it, or use it in a `with`.

    Memory holds `most` records and what a merge looks at; the rest waits in unnamed temporary files.
    """

    def __init__(self, width: int = ID_BYTES, *, most: int = RUN_RECORDS) -> None:
        self._width = width
        self._most = most
        self._fresh: set[bytes] = set()
        self._runs: list[_Run] = []

    def __enter__(self) -> Sorter:  # noqa: PYI034  # typing.Self is newer than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk back."""
        for run in self._runs:
            run.close()
        self._runs.clear()
        self._fresh.clear()

    def add(self, record: bytes) -> None:
        """Take one record; the very same one twice counts once, as long as both are in memory."""
        self._fresh.add(record)
        if len(self._fresh) >= self._most:
            self._runs.append(_Run(sorted(self._fresh), self._width))
            self._fresh = set()

    def update(self, records: Iterable[bytes]) -> None:
        """Take many records."""
        for record in records:
            self.add(record)

    def __bool__(self) -> bool:
        return bool(self._fresh or self._runs)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the records in order; nothing may be added meanwhile."""
        return heapq.merge(*self._runs, sorted(self._fresh))

    def __contains__(self, record: bytes) -> bool:
        return record in self._fresh or any(record in run for run in self._runs)


class _Run:
    """Sorted records in a temporary file, read in blocks or looked up by halving."""

    def __init__(self, records: list[bytes], width: int) -> None:
        self._width = width
        self._count = len(records)
        # its life is the run's: closed with it, and by the system when the process dies
        self._file: BinaryIO = tempfile.TemporaryFile(prefix="dynamics-ids-")  # noqa: SIM115
        for start in range(0, self._count, _BLOCK_RECORDS):
            self._file.write(b"".join(records[start : start + _BLOCK_RECORDS]))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _read(self, start: int, count: int) -> bytes:
        return os.pread(self._file.fileno(), count * self._width, start * self._width)

    def __iter__(self) -> Iterator[bytes]:
        width = self._width
        for start in range(0, self._count, _BLOCK_RECORDS):
            block = self._read(start, _BLOCK_RECORDS)
            for place in range(0, len(block), width):
                yield block[place : place + width]

    def __contains__(self, record: bytes) -> bool:
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._read(middle, 1) < record:
                low = middle + 1
            else:
                high = middle
        return low < self._count and self._read(low, 1) == record
