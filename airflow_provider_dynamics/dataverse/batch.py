"""Several requests in one: `$batch` as multipart text, and the answers taken apart again.

It also carries the one request whose address is too long for a line of HTTP.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from requests.structures import CaseInsensitiveDict

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.exchange import Request, Response
from airflow_provider_dynamics.dataverse.session import sendable

__all__ = ["MOST", "BatchOutcome", "Part", "parts", "parts_of", "request"]

MOST = 1000  # requests in one batch


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What came of one request of a batch: its answer, or the error that stands for it."""

    request: Request
    response: Response | None = None
    error: DataverseError | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One answer among those of a batch."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(
    requests: Sequence[tuple[Request, str]], headers: Mapping[str, str], *, name: str | None = None
) -> Request:
    """Return the batch of these (request, whole address) that goes on when one of them fails; raises BadRequest.

    `headers` go into each request. `name` sets the boundary, which is new otherwise. The batch may be sent
    again where each of its requests may.
    """
    if not 1 <= len(requests) <= MOST:
        raise errors.BadRequest(f"A batch holds 1 to {MOST:,} requests, not {len(requests):,}")
    boundary = f"batch_{name or uuid.uuid4()}"
    lines: list[bytes] = []
    for one, address in requests:
        lines += [f"--{boundary}".encode(), *_lines(one, address, headers)]
    lines += [f"--{boundary}--".encode(), b""]
    return Request(
        "POST",
        "$batch",
        {"Content-Type": f'multipart/mixed; boundary="{boundary}"', "Prefer": "odata.continue-on-error"},
        b"\r\n".join(lines),
        repeatable=all(one.reads or one.repeatable for one, _ in requests),
    )


def parts_of(response: Response, expected: int) -> list[Part]:
    """Return the answers in a batch's answer, in the order of its requests; raises BadResponse unless there is one each."""
    found = parts(response.headers.get("Content-Type", ""), response.body)
    if len(found) != expected:
        raise errors.BadResponse(f"The answer to a batch of {expected:,} holds {len(found):,} answers")
    return found


def parts(content_type: str, body: bytes) -> list[Part]:
    """Return the answers in a batch's answer, in their order; raises BadResponse for what is none."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    boundary = found[1].encode() if found else body.lstrip().partition(b"\n")[0].strip().removeprefix(b"--")
    pieces = re.split(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?:\r?\n|$)", body)
    if not boundary or len(pieces) < 3:
        raise errors.BadResponse("The answer to a batch is not multipart text")
    return [part for piece in pieces[1:-1] for part in _parts(piece)]


def _lines(request: Request, address: str, headers: Mapping[str, str]) -> Iterator[bytes]:
    yield from (b"Content-Type: application/http", b"Content-Transfer-Encoding: binary", b"")
    path = re.sub(r"^https?://[^/]+", "", sendable(address))
    yield f"{request.method} {path} HTTP/1.1".encode()
    for name, value in {**headers, **_fresh(request), **request.headers}.items():
        yield f"{name}: {value}".encode()
    if request.body is not None:
        yield b"Content-Type: application/json; type=entry"
    yield b""
    yield request.body or b""


def _fresh(request: Request) -> dict[str, str]:
    return {"If-None-Match": "null"} if request.reads else {}


def _parts(piece: bytes) -> Iterator[Part]:
    above, _, rest = _cut(piece)
    kind = _headers(above).get("content-type", "")
    if kind.startswith("multipart/mixed"):  # a change set's answers
        yield from parts(kind, rest)
        return
    inside, _, body = _cut(rest)
    line, _, lines = inside.partition("\n")
    found = re.match(r"HTTP/[\d.]+ (\d{3})", line.strip())
    if found is None:
        raise errors.BadResponse("A part of a batch's answer has no status")
    yield Part(int(found[1]), _headers(lines), body)


def _cut(piece: bytes) -> tuple[str, bytes, bytes]:
    """Return the lines before the first empty one as text, and what comes behind it."""
    found = re.search(rb"\r?\n\r?\n", piece)
    if found is None:
        return piece.decode("utf-8", "replace").strip(), b"", b""
    return piece[: found.start()].decode("utf-8", "replace").strip(), found[0], piece[found.end() :]


def _headers(text: str) -> CaseInsensitiveDict[str]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return CaseInsensitiveDict((name.strip(), value.strip()) for name, _, value in pairs)
