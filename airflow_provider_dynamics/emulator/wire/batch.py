"""$batch: many requests in one multipart body, change sets as one transaction each.

Every part is replayed through the same handler as a request of its own.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api
"""

from __future__ import annotations

import http
import itertools
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Request, Response
from airflow_provider_dynamics.emulator.schema import BY_SET

LIMIT = 1000  # requests in one batch
# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview names the length, not the answer
LONGEST_URL = 65_536
ODATA_ERROR = "0x80060888"
API = re.compile(r"(?:/[^/]+)?/api/data/v\d+\.\d+/")
SET_NAME = re.compile(r"(?:/[^/]+)?/api/data/v\d+\.\d+/(\w+)")
REFERENCE = re.compile(r"\$([^/?()]+)")
VERSION = re.compile(r"\s+HTTP/\d(?:\.\d)?\s*$")
# Numbers pass as they are written: a fraction loses no digit.
_DECODER = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode()))
MINIMAL = "application/json; odata.metadata=minimal"
# Part headers that say how the body is framed, not what is asked.
FRAMING = frozenset({"content-length", "host", "transfer-encoding"})

Handle = Callable[[Request], Response]
Transaction = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Part:
    """One request of a batch, still in the words of the multipart body."""

    content_id: str | None
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class ChangeSet:
    """Requests that are committed together or not at all."""

    parts: tuple[Part, ...]


class _RolledBack(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Batch:
    """One $batch request on its way through the handler."""

    def __init__(self, request: Request, handle: Handle, transaction: Transaction) -> None:
        self._request = request
        self._handle = handle
        self._transaction = transaction
        self._created: dict[str, str] = {}  # Content-ID -> URL of the row it made or addressed

    def answer(self, *, midway: bool = False) -> Response:
        """Run the parts in order; the first error ends the batch unless continue-on-error was asked for.

        ``midway``: only the first half is run, as when the service is lost under way.
        """
        try:
            operations = read(self._request)
            if midway:
                operations = operations[: len(operations) // 2]
            on = "odata.continue-on-error" in self._request.headers.get("prefer", "").lower()
            return self._run(operations, keep_going=on)
        except Fault as fault:
            return _refused(fault)
        except UnicodeDecodeError:
            return _refused(Fault(400, ODATA_ERROR, "A batch is text in UTF-8."))

    def _run(self, operations: Sequence[Part | ChangeSet], *, keep_going: bool) -> Response:
        blocks: list[bytes] = []
        for operation in operations:
            failed, block = self._one(operation)
            if failed and not keep_going:
                return _multipart(400, [block])
            blocks.append(block)
        return _multipart(200, blocks)

    def _one(self, operation: Part | ChangeSet) -> tuple[bool, bytes]:
        if isinstance(operation, ChangeSet):
            return self._change_set(operation)
        response = self._send(operation)
        return response.status >= 400, _http_block(response, operation.content_id)

    def _change_set(self, change_set: ChangeSet) -> tuple[bool, bytes]:
        """One answer for each part, or, when one failed, its error as the answer to the whole set."""
        answers: list[bytes] = []
        known = dict(self._created)
        kept: list[Part] = []
        try:
            with self._transaction():
                for part in change_set.parts:
                    response = _or_roll_back(self._send(part))
                    answers.append(_http_block(response, part.content_id))
                    if _is_elastic(part):
                        kept.append(part)
        except _RolledBack as rolled_back:
            for part in kept:  # what was written to elastic tables stays written
                self._send(part)
            self._created = known
            return True, _http_block(rolled_back.response, None)
        boundary = f"changesetresponse_{uuid.uuid4()}"
        head = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
        return False, head + _joined(answers, boundary)

    def _send(self, part: Part) -> Response:
        request = self._resolved(part)
        try:
            response = self._handle(request)
        except Fault as fault:
            response = _refused(fault)
        if part.content_id and response.status < 400:
            entity = next(
                (value for name, value in response.headers if name.lower() == "odata-entityid"), None
            )
            made = entity or _row_url(request, response)
            if made:
                self._created[part.content_id] = made
        return response

    def _resolved(self, part: Part) -> Request:
        """Turn a part into a request: references to earlier parts replaced, the URL cut to path and query."""
        target = part.target.strip()
        if target.lstrip("/").startswith("$") and not target.lstrip("/").startswith("$batch"):
            target = REFERENCE.sub(lambda found: self._reference(found[1]), target.lstrip("/"), count=1)
        origin = self._request.origin
        if "://" in target:
            target = "/" + target.split("://", 1)[1].partition("/")[2]
        if len(part.target) > LONGEST_URL:
            raise NotEmulated(
                f"a batch part with a URL of more than {LONGEST_URL:,} characters: the service has none"
            )
        if not API.match(target):
            raise NotEmulated(
                f"a batch part with the URL {part.target!r}; use /api/data/v9.2/... or the whole URL"
            )
        if API.sub("", target, count=1).startswith("$batch"):
            raise Fault(400, ODATA_ERROR, "A batch request cannot contain another batch request.")
        path, _, query = target.replace(" ", "%20").partition("?")
        body = self._with_references(part.body)
        return replace(
            self._request,
            method=part.method,
            path=path,
            query=query,
            headers=part.headers,
            body=body,
            origin=origin,
        )

    def _reference(self, name: str) -> str:
        if name not in self._created:
            # https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api#reference-uris-in-an-operation
            raise Fault(
                400, ODATA_ERROR, f"Content-ID Reference: '${name}' does not exist in the batch context."
            )
        return self._created[name]

    def _with_references(self, body: bytes) -> bytes:
        if b'"$' not in body and b'"/$' not in body:
            return body
        try:
            content = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return body  # the handler will say what is wrong with it
        return msgspec.json.encode(self._replaced(content))

    def _replaced(self, content: Any) -> Any:
        if isinstance(content, list):
            return [self._replaced(one) for one in content]
        if not isinstance(content, dict):
            return content
        return {
            name: self._link(value) if name.endswith(("@odata.bind", "@odata.id")) else self._replaced(value)
            for name, value in content.items()
        }

    def _link(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._link(one) for one in value]
        if isinstance(value, str) and value.lstrip("/").startswith("$"):
            return REFERENCE.sub(lambda found: self._reference(found[1]), value.lstrip("/"), count=1)
        return value


def _is_elastic(part: Part) -> bool:
    found = SET_NAME.search(part.target)
    table = BY_SET.get(found[1]) if found else None
    return table is not None and table.elastic


def _or_roll_back(response: Response) -> Response:
    if response.status >= 400:
        raise _RolledBack(response)
    return response


def read(request: Request) -> list[Part | ChangeSet]:
    """Parse a batch's body; a Fault says which rule it breaks."""
    operations: list[Part | ChangeSet] = []
    content_type = request.headers.get("content-type", "")
    for headers, content in _split(request.body, _boundary(content_type)):
        kind = headers.get("content-type", "").lower()
        if kind.startswith("multipart/mixed"):
            operations.append(_read_change_set(headers["content-type"], content))
        elif kind.startswith("application/http"):
            operations.append(_read_part(headers, content))
        else:
            raise Fault(
                400,
                ODATA_ERROR,
                f"The content type '{kind}' of a batch part is not multipart/mixed or application/http.",
            )
    total = sum(len(one.parts) if isinstance(one, ChangeSet) else 1 for one in operations)
    if total > LIMIT:
        raise Fault(
            400,
            ODATA_ERROR,
            f"The batch holds {total} requests; a batch request can contain up to {LIMIT} of them.",
        )
    return operations


def _read_change_set(content_type: str, content: bytes) -> ChangeSet:
    parts: list[Part] = []
    for headers, inner in _split(content, _boundary(content_type)):
        part = _read_part(headers, inner)
        if part.method == "GET":
            raise Fault(400, ODATA_ERROR, "A change set cannot contain GET requests.")
        if not part.content_id:
            raise Fault(400, ODATA_ERROR, "Content-ID header not present in the request of a change set.")
        if any(part.content_id == other.content_id for other in parts):
            # https://github.com/OData/odata.net/pull/1516: within a change set, not across the batch. That Dataverse
            # words it as the library it is built on does is a guess.
            raise Fault(
                400,
                ODATA_ERROR,
                f"The content ID '{part.content_id}' was found more than once in the same change set. "
                "Content IDs have to be unique across all operations of a change set.",
            )
        parts.append(part)
    return ChangeSet(tuple(parts))


def _read_part(headers: Mapping[str, str], content: bytes) -> Part:
    line, _, rest = content.lstrip(b"\r\n").partition(b"\n")
    method, _, target = line.decode("utf-8").strip().partition(" ")
    if not (method.isalpha() and VERSION.search(target)):
        raise Fault(
            400, ODATA_ERROR, f"The request line '{line.decode('utf-8', 'replace').strip()}' is not valid."
        )
    inner, body = _headers(rest)
    content_id = headers.get("content-id") or inner.get("content-id")
    kept = {name: value for name, value in inner.items() if name not in FRAMING}
    return Part(content_id, method.upper(), VERSION.sub("", target), kept, body)


def _boundary(content_type: str) -> bytes:
    found = re.search(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))', content_type, re.IGNORECASE)
    if not content_type.lower().lstrip().startswith("multipart/mixed") or not found:
        raise Fault(
            400,
            ODATA_ERROR,
            f"A batch needs the Content-Type multipart/mixed with a boundary; this is '{content_type}'.",
        )
    return (found[1] or found[2]).encode()


def _split(body: bytes, boundary: bytes) -> list[tuple[Mapping[str, str], bytes]]:
    """Cut a multipart body into (headers, content); line ends may be CRLF, as they should, or LF."""
    cut = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|$)")
    marks = list(cut.finditer(body))
    if len(marks) < 2 or not marks[-1][1]:
        raise Fault(400, ODATA_ERROR, "The batch does not end with its closing boundary.")
    spans = itertools.pairwise(marks)
    return [_headers(body[left.end() : right.start()].lstrip(b"\r\n")) for left, right in spans]


def _headers(content: bytes) -> tuple[dict[str, str], bytes]:
    """Take the header lines off; what follows the first empty line is the content."""
    found = re.search(rb"(?:^|\r?\n)\r?\n", content)
    head, rest = (content[: found.start()], content[found.end() :]) if found else (content, b"")
    headers: dict[str, str] = {}
    for line in head.decode("utf-8").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers, rest


def _row_url(request: Request, response: Response) -> str | None:
    """Find the row a part with return=representation made or changed, since that answer has no OData-EntityId."""
    if request.method == "PATCH":
        return request.origin + request.path
    table = BY_SET.get(request.path.rpartition("/")[2])
    if table is None or not response.body:
        return None
    row_id = json.loads(response.body).get(table.primary_id)
    return f"{request.origin}{request.path}({row_id})" if row_id else None


def _http_block(response: Response, content_id: str | None) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"HTTP/1.1 {response.status} {http.HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in _part_headers(response)]
    return "\r\n".join([*lines, "", ""]).encode() + response.body


def _part_headers(response: Response) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in response.headers if name.lower() != "content-length"]
    if response.status >= 400:
        return [("REQ_ID", str(uuid.uuid4())), *kept]
    return [(name, value.replace(MINIMAL, f"{MINIMAL}; odata.streaming=true")) for name, value in kept]


def _multipart(status: int, blocks: Sequence[bytes]) -> Response:
    boundary = f"batchresponse_{uuid.uuid4()}"
    headers = (("Content-Type", f"multipart/mixed; boundary={boundary}"), ("OData-Version", "4.0"))
    return Response(status, headers, _joined(blocks, boundary))


def _joined(blocks: Sequence[bytes], boundary: str) -> bytes:
    mark = f"--{boundary}".encode()
    return b"".join(mark + b"\r\n" + block + b"\r\n" for block in blocks) + mark + b"--\r\n"


def _refused(fault: Fault) -> Response:
    body = json.dumps({"error": {"code": fault.code, "message": fault.message}}).encode()
    headers = (("Content-Type", "application/json; odata.metadata=minimal"), ("OData-Version", "4.0"))
    return Response(fault.status, headers, body)
