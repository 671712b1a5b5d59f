"""Pictures in image columns: what counts as one, its thumbnail, and the columns that go with it.

The thumbnail has the size Dataverse would give it and one colour made from the picture: nobody's pixels are read here.
https://learn.microsoft.com/power-apps/developer/data-platform/image-column-data
"""

from __future__ import annotations

import base64
import hashlib
import struct
import uuid
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.storage import FILES
from airflow_provider_dynamics.emulator.store import Store

LARGEST_SIDE = 144
_TICKS_FROM = datetime(1, 1, 1, tzinfo=timezone.utc)
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
Size = tuple[int, int]


class Pictures:
    """Keeps whole pictures in the store and works out what a row shows of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def values(
        self, table: Table, row_id: str, given: Mapping[str, Any], now: datetime, *, creating: bool = False
    ) -> dict[str, Any]:
        """``given`` with the image columns among it (base64, or None) as they are stored, companions included."""
        values = dict(given)
        for name in table.images & given.keys():
            column = table.by_name[name]
            if creating and given[name] is not None and not column.primary_image:
                raise Fault(
                    400,
                    "0x80090487",
                    f"Non-primary image attribute {name} of entity {table.name} is not allowed to upload during "
                    "Create operation.",
                )
            content = None if given[name] is None else base64.b64decode(given[name])
            values.update(self.put(table, column, row_id, content, now))
        return values

    def put(
        self, table: Table, column: Column, row_id: str, content: bytes | None, now: datetime
    ) -> dict[str, Any]:
        """Keep one picture (None: none from now on) and return the stored values of the columns that tell of it."""
        name = column.name
        shown: Mapping[str, Any] = dict.fromkeys((name, f"{name}id", f"{name}_timestamp", f"{name}_url"))
        size = _checked(table, column, row_id, content) if content is not None else None
        self._store.run(sa.delete(FILES).where(FILES.c.row_id == row_id, FILES.c.column_name == name))
        if content is None or size is None:
            return dict(shown)
        picture = str(uuid.uuid4())
        if column.full_image:
            kept = (picture, table.name, row_id, name, content)
            self._store.run(sa.insert(FILES).values(dict(zip(FILES.c.keys(), kept, strict=True))))
        ticks = _ticks(now)
        url = f"/Image/download.aspx?Entity={table.name}&Attribute={name}&Id={picture}&Timestamp={ticks}"
        thumbnail = base64.b64encode(_thumbnail(content, size)).decode()
        return dict(zip(shown, (thumbnail, picture, ticks, url), strict=True))


def _ticks(now: datetime) -> int:
    """A moment as .NET counts it: steps of 100 nanoseconds from the year 1."""
    passed = now.astimezone(timezone.utc) - _TICKS_FROM
    return (passed.days * 86_400 + passed.seconds) * 10_000_000 + passed.microseconds * 10


def _checked(table: Table, column: Column, row_id: str, content: bytes) -> Size:
    if len(content) > (column.max_kilobytes or 0) * 1024:
        limit, size = (column.max_kilobytes or 0) // 1024, len(content) // 2**20
        raise _refused(f"File size is too big. MaxSize: {limit} MB, Uploaded filesize: {size} MB.")
    found = measure(content)
    if found is None:
        raise _refused(
            f"Update image properties failed for objectid: {row_id}, logicalName: {table.name}, "
            f"attribute: {column.name}"
        )
    return found


def _refused(reason: str) -> Fault:
    return Fault(400, "0x80072553", f"Error occured when processing image. Reason: {reason}")


# -- formats --------------------------------------------------------------------------------------------


def measure(content: bytes) -> Size | None:
    """Width and height in pixels of a GIF, JPEG, TIFF, BMP or PNG picture; None when it is none of these."""
    for mark, read in _READERS.items():
        if content.startswith(mark):
            try:
                return read(content)
            except (struct.error, IndexError):
                return None
    return None


def _two(layout: str, content: bytes, at: int) -> Size:
    width, height = struct.unpack_from(layout, content, at)
    return width, abs(height)


def _jpeg(content: bytes) -> Size | None:
    at = 2
    while content[at] == 0xFF:
        marker, length = content[at + 1], struct.unpack_from(">H", content, at + 2)[0]
        if marker in _JPEG_SIZES:
            height, width = _two(">HH", content, at + 5)
            return width, height
        at += 2 + length
    return None


def _tiff(content: bytes) -> Size | None:
    order = "<" if content.startswith(b"II") else ">"
    at = struct.unpack_from(f"{order}I", content, 4)[0]
    found: dict[int, int] = {}
    for entry in range(struct.unpack_from(f"{order}H", content, at)[0]):
        tag, kind = struct.unpack_from(f"{order}HH", content, at + 2 + 12 * entry)
        found[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", content, at + 10 + 12 * entry)[
            0
        ]
    return (found[256], found[257]) if {256, 257} <= found.keys() else None


_READERS: Mapping[bytes, Callable[[bytes], Size | None]] = {
    b"\x89PNG\r\n\x1a\n": lambda content: _two(">II", content, 16),
    b"GIF87a": lambda content: _two("<HH", content, 6),
    b"GIF89a": lambda content: _two("<HH", content, 6),
    b"BM": lambda content: _two("<ii", content, 18),
    b"\xff\xd8\xff": _jpeg,
    b"II*\x00": _tiff,
    b"MM\x00*": _tiff,
}


def _thumbnail(content: bytes, size: Size) -> bytes:
    """Make a square PNG: 144 pixels, or the picture's smaller side where both are smaller."""
    side = LARGEST_SIDE if max(size) > LARGEST_SIDE else min(size)
    line = b"\x00" + hashlib.sha256(content).digest()[:3] * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(line * side)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
