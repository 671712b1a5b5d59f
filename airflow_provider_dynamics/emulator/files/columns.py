"""File and image columns: uploads and downloads in all the ways Dataverse documents, and how they end.

One request, chunks behind ``x-ms-transfer-mode``, or the block messages; what is unfinished is kept in memory and goes
with a reset. ``IsChunkingSupported`` is true unless the fault ``files_in_database`` is set.
https://learn.microsoft.com/power-apps/developer/data-platform/file-column-data
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from airflow_provider_dynamics.emulator.address import Segment
from airflow_provider_dynamics.emulator.call import Call, no_content, reply
from airflow_provider_dynamics.emulator.files.contents import (
    OCTETS,
    Content,
    FileContents,
    no_file,
    not_in_chunks,
    refuse_blocked,
    too_big,
)
from airflow_provider_dynamics.emulator.files.uploads import Upload, Uploads
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.writing.rows import Place

CHUNK = 4_194_304  # bytes, what x-ms-chunk-size recommends
LARGEST_REQUEST = 128 * 2**20  # bytes of a file sent or fetched in one piece
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})(?:/\d+)?")  # older pages give the size, too
_NOT_IN_HEADERS = re.compile(r'[^\x20-\x7e]|"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class Files:
    """Answers requests on the contents of columns; ``uploads`` are those that have begun."""

    def __init__(self, contents: FileContents) -> None:
        self.contents = contents
        self.uploads = Uploads()

    def forget(self) -> None:
        """The store was emptied or filled: unfinished uploads lead nowhere."""
        self.uploads.forget()

    # -- over the column's own URL ------------------------------------------------------------------

    def serves(self, call: Call, table: Table, rest: Sequence[Segment]) -> bool:
        """Whether this request is about the content of a column rather than about its value."""
        column = table.binaries.get(rest[0].name)
        if column is None:
            return False
        if call.method == "GET":
            # Microsoft shows $value only; a part of the property itself is what npm dynamics-web-api asks for.
            return (len(rest) == 2 and rest[1].name == "$value") or (
                len(rest) == 1 and "range" in call.headers
            )
        if call.method == "DELETE":
            return len(rest) == 1 and column.kind == "File"
        return len(rest) == 1 and (call.method == "PATCH" or OCTETS in call.headers.get("content-type", ""))

    def answer(self, call: Call, place: Place, name: str) -> Response:
        """One request on the content of a column."""
        row_id, column = place.existing(), place.table.binaries[name]
        if call.method == "GET":
            answer = self._download(call, place.table, row_id, column)
            return answer if unquote(call.resource).endswith("/$value") else _in_json(call, answer)
        if call.method == "DELETE":
            self.contents.clear(call, place.table, row_id, column)
            return no_content()
        if call.method != "PATCH":
            raise NotEmulated(f"{call.method} of a file; PATCH is what Microsoft shows")
        return self._upload(call, place.table, row_id, column)

    def _upload(self, call: Call, table: Table, row_id: str, column: Column) -> Response:
        token = call.options.get("sessiontoken")
        if token is not None:
            return self._chunk(call, self.uploads.of(token), token)
        name = call.headers.get("x-ms-file-name") or call.options.get("x-ms-file-name")
        if not name:
            raise NotEmulated("an upload without x-ms-file-name")
        if call.headers.get("x-ms-transfer-mode", "").lower() == "chunked":
            return self._open(call, Upload(table.name, row_id, column.name, name))
        if len(call.body) > LARGEST_REQUEST:
            raise too_big()
        self.contents.put(call, table, row_id, column, Content("", name, _mime_type(name), call.body))
        return no_content()

    def _open(self, call: Call, upload: Upload) -> Response:
        refuse_blocked(upload.name)
        token = self.uploads.open(upload)
        location = f"{call.root}/{call.resource}?sessiontoken={quote(token, safe='')}"
        headers = (
            ("OData-Version", "4.0"),
            ("Accept-Ranges", "bytes"),
            ("Location", location),
            ("x-ms-chunk-size", str(CHUNK)),
            ("Access-Control-Expose-Headers", "x-ms-chunk-size"),
        )
        return Response(200, headers, b"")

    def _chunk(self, call: Call, upload: Upload, token: str) -> Response:
        """Take one part: 206, or 204 when it is the end of the file."""
        found = _CONTENT_RANGE.fullmatch(call.headers.get("content-range", "").strip())
        if found is None:
            raise _bad("A chunk needs the header Content-Range: bytes <start>-<end>/<size>.")
        start, end, total = (int(part) for part in found.groups())
        if end - start + 1 != len(call.body) or end >= total:
            raise _bad(f"The chunk has {len(call.body)} bytes; Content-Range says {found[0]}.")
        column = TABLES[upload.table].binaries[upload.column]
        if total > (column.max_kilobytes or 0) * 1024:
            raise too_big()
        upload.parts[start] = call.body
        if end + 1 < total:
            return Response(206, (("OData-Version", "4.0"),), b"")
        data = upload.joined(total)
        self.contents.put(
            call,
            TABLES[upload.table],
            upload.row_id,
            column,
            Content("", upload.name, _mime_type(upload.name), data),
        )
        self.uploads.close(token)
        return no_content()

    def _download(self, call: Call, table: Table, row_id: str, column: Column) -> Response:
        held = self.contents.found(table, row_id, column, full=call.options.get("size") == "full")
        if held is None:
            if column.kind == "Image":
                return no_content()
            raise no_file(table, row_id, column)
        told = ["x-ms-file-size", "x-ms-file-name", "mimetype"]
        span = _span(call.headers.get("range"), len(held.data))
        headers = [
            ("Content-Type", OCTETS),
            ("OData-Version", "4.0"),
            ("Content-Disposition", f'inline; filename="{_in_a_header(held.name)}"'),
            ("x-ms-file-size", str(len(held.data))),
            ("x-ms-file-name", _in_a_header(held.name)),
            ("mimetype", _in_a_header(held.mime_type)),
        ]
        if span is not None:
            if self.contents.in_database and span != (0, len(held.data)):
                raise not_in_chunks()
            told.insert(2, "x-ms-chunk-size")
            headers.append(("x-ms-chunk-size", str(CHUNK)))
        headers.append(("Access-Control-Expose-Headers", "; ".join(told)))
        if span is None:
            return Response(200, tuple(headers), held.data)
        headers.append(("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{len(held.data)}"))
        return Response(206, tuple(headers), held.data[span[0] : span[1]])


def _bad(reason: str) -> Fault:
    # Microsoft does not say which error this is.
    return Fault(400, "0x80040203", reason)


def _mime_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or OCTETS


def _in_a_header(name: str) -> str:
    # A header holds one line of Latin-1; how the service sends other names is not documented.
    return quote(name) if _NOT_IN_HEADERS.search(name) else name


def _in_json(call: Call, answer: Response) -> Response:
    """The same answer with its content as Base64 in JSON, as the property itself shows it."""
    headers = [pair for pair in answer.headers if pair[0] not in {"Content-Type", "OData-Version"}]
    content = {"@odata.context": call.context("Edm.Binary"), "value": base64.b64encode(answer.body).decode()}
    return reply(answer.status, content, *headers)


def _span(header: str | None, size: int) -> tuple[int, int] | None:
    """The part a Range header asks for, first byte and the one behind the last; None without one."""
    if header is None:
        return None
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        raise NotEmulated(f"Range: {header}")
    start = int(found[1])
    if start >= size or (found[2] and int(found[2]) < start):
        raise Fault(
            416, "0x80060888", f"The file has {size} bytes; the range {header[:100]} is beyond its end."
        )
    return start, min(size, int(found[2]) + 1 if found[2] else size)
