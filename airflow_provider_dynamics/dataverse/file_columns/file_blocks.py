"""A file's bytes as something that can be sent twice and taken apart, whatever they come from."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_dynamics.dataverse import errors

__all__ = ["BLOCK", "Content", "Told", "content_of", "telling"]

BLOCK = 4 * 1024 * 1024
"""Bytes at a time: the most that the service takes in one block."""

Told = Callable[[int, int], None]
"""Is told how many bytes of how many have been moved."""


def telling(progress: Told | None) -> Told:
    return progress if progress is not None else lambda _done, _all: None


@dataclass(frozen=True)
class Content:
    """`length` bytes of a stream from `start` on, and the name they go under; `all_of_it`: up to the stream's end."""

    stream: BinaryIO
    start: int
    length: int
    name: str
    all_of_it: bool = False

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, bytes]]:
        """Yield place and bytes of each block, from the beginning.

        Raises Conflict for a stream that has fewer bytes, and before the last block for one that has grown.
        """
        self.stream.seek(self.start)
        done = 0
        while done < self.length:
            wanted = min(size, self.length - done)
            block = _filled(self.stream, wanted)
            if len(block) < wanted:
                raise errors.Conflict(
                    f"The file was to have {self.length:,} bytes and ended after {done + len(block):,}",
                    remedy="It changed while it was read: send it again when it is complete.",
                )
            if done + wanted == self.length and self.all_of_it and self.stream.read(1):
                raise errors.Conflict(
                    f"The file had {self.length:,} bytes when it was opened, and has more now",
                    remedy="It changed while it was read: send it again when it is complete.",
                )
            yield done, block
            done += wanted


def content_of(data: bytes | BinaryIO, name: str, size: int | None, opened: ExitStack) -> Content:
    """Return what is to be sent; a stream that cannot go back is copied to a temporary file, which `opened` closes."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return Content(io.BytesIO(data), 0, len(data), name)
    if not data.seekable():
        copy = opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        data = _copied(data, copy)
        size = None
    start = data.tell()
    if size is not None:
        return Content(data, start, size, name)
    return Content(data, start, data.seek(0, io.SEEK_END) - start, name, all_of_it=True)


def _copied(data: BinaryIO, copy: BinaryIO) -> BinaryIO:
    shutil.copyfileobj(data, copy, BLOCK)
    copy.seek(0)
    return copy


def _filled(stream: BinaryIO, size: int) -> bytes:
    """Return so many bytes, of a stream that may give fewer at a time; fewer only at its end."""
    block = stream.read(size)
    while block and len(block) < size:
        more = stream.read(size - len(block))
        if not more:
            break
        block += more
    return block
