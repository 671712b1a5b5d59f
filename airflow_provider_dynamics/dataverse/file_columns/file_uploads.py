"""One file on its way up: in one request, in ranges, or by messages, the one way that tells its MIME type.

https://learn.microsoft.com/power-apps/developer/data-platform/file-column-data#upload-files
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.file_columns.file_blocks import BLOCK, Content, Told
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Typed", "Upload"]


_TIMES = 3
_PLAIN = re.compile(r"[!-$&-~]([ -$&-~]*[!-$&-~])?")  # as it is in a header: ASCII, no blanks around it, no %


@dataclass(frozen=True)
class Typed:
    """Where a file goes, as messages name it, and its MIME type."""

    row: Mapping[str, str]
    column: str
    content_type: str


@dataclass
class Upload:
    """Sends `content` to `target`, a row's column in the Web API; with `typed` by messages.

    `stamp` asks for what changes with the column's file, None where there is none.
    """

    transport: Sender
    stop: Stop
    target: str
    content: Content
    told: Told
    stamp: Callable[[], str | None]
    options: WriteOptions = NO_OPTIONS
    typed: Typed | None = None
    _sent: int = field(default=0, init=False)

    def run(self) -> None:
        """Send it. Where a session ended and nobody said how, look whether the file is there, and else send it again."""
        before = None if self._at_once else self.stamp()
        for left in reversed(range(_TIMES)):
            if self._arrived(before, last=not left):
                return

    def _arrived(self, before: str | None, *, last: bool) -> bool:
        try:
            self._send()
        except (errors.BadRequest, errors.NotFound, errors.Conflict) as error:
            if isinstance(error, errors.TooLarge) or last or not self._in_doubt(error):
                raise
            return not self._at_once and self.stamp() not in {before, None}
        return True

    @property
    def _at_once(self) -> bool:
        """Whether one request does it all, which may be repeated as it is."""
        return self.typed is None and self.content.length <= BLOCK

    def _in_doubt(self, error: errors.DataverseError) -> bool:
        """Say whether the service may have ended the session, with or without the file; what is wrong here has no request."""
        return bool(error.asked) and bool(self._sent or error.repeated)

    def _send(self) -> None:
        if self.typed is not None:
            self._by_messages(self.typed)
        elif not self._at_once:
            self._in_ranges()
        else:
            body = b"".join(block for _, block in self.content.blocks())
            target = self.target if self._named else self._addressed
            self._put(self.options.addressed(target), self._named, body)
            self._moved(self.content.length)

    @property
    def _named(self) -> dict[str, str]:
        """The header with the file's name; a name that a header could change goes into the address."""
        name = self.content.name
        return {"x-ms-file-name": name} if _PLAIN.fullmatch(name) else {}

    @property
    def _addressed(self) -> str:
        return f"{self.target}?x-ms-file-name={quote(self.content.name, safe='')}"

    def _moved(self, done: int) -> None:
        self._sent = done
        self.told(done, self.content.length)

    def _in_ranges(self) -> None:
        headers = {**self.options.headers(), "x-ms-transfer-mode": "chunked"}
        request = Request("PATCH", self.options.addressed(self._addressed), headers, repeatable=True)
        opened = self.transport.send(request, self.stop)
        session = opened.headers.get("Location")
        if not session:
            raise errors.BadResponse("The service opened no session for the file", asked=request.asked)
        wished = opened.headers.get("x-ms-chunk-size", "")
        size = int(wished) if wished.isdecimal() and int(wished) else BLOCK
        status = 0
        for start, block in self.content.blocks(size):
            end = start + len(block)
            ranged = {**self._named, "Content-Range": f"bytes {start}-{end - 1}/{self.content.length}"}
            status = self._put(session, ranged, block).status
            self._moved(end)
        if status == 206:
            raise errors.BadResponse("The service waits for more than the whole file", asked=request.asked)

    def _put(self, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        sent = {**self.options.headers(), **headers, "Content-Type": "application/octet-stream"}
        return self.transport.send(Request("PATCH", target, sent, body, repeatable=True), self.stop)

    def _by_messages(self, typed: Typed) -> None:
        begin = {"Target": typed.row, "FileName": self.content.name, "FileAttributeName": typed.column}
        token = self._act("InitializeFileBlocksUpload", begin)["FileContinuationToken"]
        ids = []
        for number, (start, block) in enumerate(self.content.blocks()):
            ids.append(
                base64.b64encode(b"block-%09d" % number).decode()
            )  # all of one length, as they must be
            data = base64.b64encode(block).decode()
            self._act("UploadBlock", {"BlockId": ids[-1], "BlockData": data, "FileContinuationToken": token})
            self._moved(start + len(block))
        self._act(
            "CommitFileBlocksUpload",
            {
                "FileName": self.content.name,
                "MimeType": typed.content_type,
                "BlockList": ids,
                "FileContinuationToken": token,
            },
        )
        self._moved(self.content.length)

    def _act(self, action: str, body: dict[str, Any]) -> Any:
        """Carry out a message; doing it twice makes the same file."""
        target, headers = self.options.addressed(action), self.options.headers()
        request = Request("POST", target, headers, odata.encode(body), repeatable=True)
        response = self.transport.send(request, self.stop)
        return decoded(response, request) if response.body else {}
