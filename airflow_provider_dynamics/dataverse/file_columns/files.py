"""File and image columns: a file up, down, away; a block at a time, so that memory does not grow with it.

https://learn.microsoft.com/power-apps/developer/data-platform/file-column-data
https://learn.microsoft.com/power-apps/developer/data-platform/image-column-data
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.file_columns.file_blocks import BLOCK, Told, content_of, telling
from airflow_provider_dynamics.dataverse.file_columns.file_uploads import Typed, Upload
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table, did_you_mean
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Files", "StoredFile"]

KINDS = {"File": "FileAttributeMetadata", "Image": "ImageAttributeMetadata"}
_WHOLE_ONLY = "0x80090017"  # files that the environment keeps in its database cannot be had in blocks
_NO_SUCH_RANGE = 416  # what a range of an empty file is answered with
_OF_A_FILE = frozenset({"x-ms-file-size", "x-ms-file-name", "content-range"})
_PLAIN = re.compile(
    r"[ -$&-~]*"
)  # a name that no header changes: ASCII, and nothing that looks percent-encoded


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a column: its name as Dynamics knows it, its bytes, its MIME type; `data` where it was asked for in memory."""

    name: str
    size: int
    content_type: str | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """A row's column, and where it is in the Web API."""

    table: Table
    column: Column
    row: str

    @property
    def target(self) -> str:
        return f"{self.row}/{self.column.name}"

    def __str__(self) -> str:
        return f"{self.table.logical_name}.{self.column.name}"


class Files:
    """Work on the file and image columns of one environment. Safe to use from several threads."""

    def __init__(
        self,
        transport: Sender,
        tables: Tables,
        stop: Stop,
        on_use: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._transport = transport
        self._tables = tables
        self._stop = stop
        self._on_use = on_use
        self._largest: dict[str, int | None] = {}

    def upload(
        self,
        table: str,
        row_id_or_key: str | Mapping[str, Any],
        column: str,
        data: bytes | BinaryIO,
        *,
        name: str,
        content_type: str | None = None,
        size: int | None = None,
        progress: Told | None = None,
        options: WriteOptions = NO_OPTIONS,
    ) -> StoredFile:
        """Put a file into a column, in place of the one there; it takes effect as a whole or not at all.

        `size` is the number of bytes where a stream cannot tell; a stream that cannot go back is copied to a
        temporary file first. `progress` is told (bytes sent, bytes in all). `content_type` decides the MIME
        type, which else follows from `name`. Raises RowNotFound, UnknownColumn, TooLarge before a byte is
        sent where the column says how much it holds, BadRequest for another kind of column.
        """
        place = self._place(table, row_id_or_key, column)
        self._on_use("write", table)
        if not name.strip():
            raise errors.BadRequest("The file has no name", remedy="Dynamics keeps each file under a name.")
        if not name.isprintable():
            raise errors.BadRequest(
                f"The file's name {name[:100]!a} has characters that cannot be seen",
                remedy="Give it another name.",
            )
        with ExitStack() as opened:
            content = content_of(data, name, size, opened)
            self._check_size(place, content.length)
            sending = Upload(
                *(self._transport, self._stop, place.target, content, telling(progress)),
                stamp=partial(self._stamp, place),
                options=options,
            )
            if content_type is not None:
                row = self._reference(place, row_id_or_key)
                sending.typed = Typed(row, place.column.name, content_type)
            sending.run()
        return StoredFile(name, content.length, content_type)

    def download(
        self,
        table: str,
        row_id_or_key: str | Mapping[str, Any],
        column: str,
        into: BinaryIO | None = None,
        *,
        thumbnail: bool = False,
        progress: Told | None = None,
    ) -> StoredFile:
        """Write a column's file to `into`, or return its bytes where none is given.

        Of an image column it is the image at full size, or with `thumbnail` the small one that Dynamics makes
        of each (at most 144 by 144 pixels). Raises NoFile where the column is empty, Conflict where the file
        is replaced while it is read: what is in `into` then is no whole file.
        """
        place = self._place(table, row_id_or_key, column)
        self._on_use("read", table)
        if thumbnail and place.column.type != "Image":
            raise errors.BadRequest(
                f"{place} holds files, and thumbnails are for images", remedy="Leave thumbnail out."
            )
        sink = io.BytesIO() if into is None else into
        full = "?size=full" if place.column.type == "Image" and not thumbnail else ""
        request = Request("GET", f"{place.target}/$value{full}", binary=True)
        size, headers = self._read(place, request, sink, telling(progress))
        data = sink.getvalue() if into is None and isinstance(sink, io.BytesIO) else None
        return StoredFile(self._name(place, headers), size, headers.get("mimetype"), data)

    def delete(
        self,
        table: str,
        row_id_or_key: str | Mapping[str, Any],
        column: str,
        *,
        options: WriteOptions = NO_OPTIONS,
    ) -> None:
        """Empty a column; one that is empty stays so. Raises RowNotFound."""
        place = self._place(table, row_id_or_key, column)
        self._on_use("write", table)
        target = options.addressed(place.target)
        try:
            self._transport.send(Request("DELETE", target, options.headers(), repeatable=True), self._stop)
        except errors.NotFound as error:
            if not (error.repeated or _says_no_file(error)):
                raise

    def largest(self, table: str, column: str) -> int | None:
        """Return how many bytes a column holds at most, None where the service does not say; raises UnknownColumn, BadRequest."""
        found = self._tables.outline(table)
        return self._limit(_Place(found, _checked(found, column), ""))

    # --- where ---

    def _place(self, table: str, row_id_or_key: str | Mapping[str, Any], column: str) -> _Place:
        found = self._tables.outline(table)
        row = f"{found.entity_set}{found.predicate(row_id_or_key)}"
        return _Place(found, _checked(found, column), row)

    def _reference(self, place: _Place, row_id_or_key: str | Mapping[str, Any]) -> dict[str, str]:
        """Return the row as actions want it named: by its id, which has to be asked for where a key is given."""
        key, row_id = place.table.primary_id, row_id_or_key
        if isinstance(row_id_or_key, Mapping):
            request = Request("GET", f"{place.row}?$select={key}")
            row_id = decoded(self._transport.send(request, self._stop), request)[key]
        return {"@odata.type": f"Microsoft.Dynamics.CRM.{place.table.logical_name}", key: odata.guid(row_id)}

    def _stamp(self, place: _Place) -> str | None:
        """Return the id of the file that a column holds now: each upload makes a new one."""
        name = f"{place.column.name}id" if place.column.type == "Image" else place.column.name
        request = Request("GET", f"{place.row}?$select={name}")
        found: str | None = decoded(self._transport.send(request, self._stop), request).get(name)
        return found

    def _check_size(self, place: _Place, length: int) -> None:
        largest = self._limit(place)
        if largest is not None and length > largest:
            raise errors.TooLarge(
                f"The file has {length:,} bytes; {place} takes {largest:,}",
                remedy="Whoever customises the environment can raise the column's maximum file size.",
            )

    def _limit(self, place: _Place) -> int | None:
        if str(place) not in self._largest:
            table, column = place.table.logical_name, place.column
            target = (
                f"EntityDefinitions(LogicalName='{table}')/Attributes(LogicalName='{column.name}')"
                f"/Microsoft.Dynamics.CRM.{KINDS[column.type]}?$select=MaxSizeInKB"
            )
            request = Request("GET", target, optional=True)
            try:
                found = decoded(self._transport.send(request, self._stop), request).get("MaxSizeInKB")
            except (errors.BadRequest, errors.NotFound, errors.Forbidden, errors.ServerError):
                found = None  # then the service itself will say when it is too much
            self._largest[str(place)] = found * 1024 if found else None
        return self._largest[str(place)]

    # --- down ---

    def _read(
        self, place: _Place, request: Request, sink: BinaryIO, told: Told
    ) -> tuple[int, Mapping[str, str]]:
        """Write the file block by block; return its size and the headers that describe it."""
        first = self._block(place, request, 0)
        if first.status != 206:  # all of it: small, or kept where nobody can take a part
            _check_whole(first, request)
            sink.write(first.body)
            told(len(first.body), len(first.body))
            return len(first.body), first.headers
        size = _size_of(first)
        if size is None:
            raise errors.BadResponse("The service did not say how large the file is", asked=request.asked)
        done, block = 0, first
        while True:
            _check_same(first, block, size, place)
            if len(block.body) != min(BLOCK, size - done):
                raise errors.BadResponse(
                    f"{len(block.body):,} bytes came from place {done:,} of a file of {size:,}",
                    asked=request.asked,
                )
            sink.write(block.body)
            done += len(block.body)
            told(done, size)
            if done >= size:
                return size, first.headers
            block = self._block(place, request, done)

    def _block(self, place: _Place, request: Request, start: int) -> Response:
        headers = {"Range": f"bytes={start}-{start + BLOCK - 1}", "Accept-Encoding": "identity"}
        asked = Request(request.method, request.target, headers, binary=True)
        try:
            found = self._transport.send(asked, self._stop)
        except errors.BadRequest as error:
            if start or not (error.code == _WHOLE_ONLY or error.status == _NO_SUCH_RANGE):
                raise
            found = self._transport.send(request, self._stop)
        except errors.NotFound as error:
            if not _says_no_file(error):
                raise
            raise _no_file(place, error) from error
        if found.status == 204:
            raise _no_file(place)
        if not any(name.lower() in _OF_A_FILE for name in found.headers):
            raise errors.BadResponse("The answer is no file", asked=request.asked, retryable=False)
        return found

    def _name(self, place: _Place, headers: Mapping[str, str]) -> str:
        """Return the file's name, from the row where a header may have changed it."""
        name = headers.get("x-ms-file-name") or ""
        if (name and _PLAIN.fullmatch(name)) or place.column.type == "Image":
            return name
        request = Request("GET", f"{place.row}?$select={place.column.name}_name")
        found = decoded(self._transport.send(request, self._stop), request)
        return str(found.get(f"{place.column.name}_name") or name)


def _checked(table: Table, name: str) -> Column:
    """Return a file or image column; raises UnknownColumn, and BadRequest for another kind."""
    column = table.column(name)
    if column.type not in KINDS:
        those = [one.name for one in table.columns.values() if one.type in KINDS]
        raise errors.BadRequest(
            f"{table.logical_name}.{name} is a column of type {column.type}; it holds no file",
            remedy=did_you_mean(name, those)
            or f"File and image columns of {table.logical_name}: {', '.join(those) or 'none'}.",
        )
    return column


def _size_of(block: Response) -> int | None:
    """Return the whole file's size, as either header of an answer to a range tells it."""
    told = block.headers.get("x-ms-file-size") or block.headers.get("Content-Range", "").rpartition("/")[2]
    return int(told) if told.isdecimal() else None


def _check_whole(found: Response, request: Request) -> None:
    size = _size_of(found)
    if size is not None and size != len(found.body):
        raise errors.BadResponse(
            f"{len(found.body):,} bytes came of a file of {size:,}", asked=request.asked, retryable=True
        )


def _check_same(first: Response, block: Response, size: int, place: _Place) -> None:
    names = {one.headers.get("x-ms-file-name") for one in (first, block)}
    if len(names) > 1 or _size_of(block) not in {size, None}:
        raise errors.Conflict(
            f"The file in {place} was replaced while it was read", remedy="Read it again.", retryable=True
        )


def _says_no_file(error: errors.NotFound) -> bool:
    """Say whether it is the file that is not there; the service has one code for that and for the row."""
    return "file" in error.message.lower()


def _no_file(place: _Place, error: errors.DataverseError | None = None) -> errors.NoFile:
    image = place.column.type == "Image"
    remedy = (
        "Upload one first; a column that keeps no images at full size has thumbnails only." if image else None
    )
    return errors.NoFile(
        f"{place} of this row holds no {'image' if image else 'file'}",
        asked=error.asked if error else f"GET {place.target}",
        status=error.status if error else None,
        code=error.code if error else "",
        request_id=error.request_id if error else None,
        remedy=remedy,
    )
