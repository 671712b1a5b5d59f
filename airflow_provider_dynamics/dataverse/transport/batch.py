"""Several requests in one: `$batch` as multipart text, and the answers taken apart again.

It also carries the one request whose address is too long for a line of HTTP.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from requests.structures import CaseInsensitiveDict

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response, Sender
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet
from airflow_provider_dynamics.dataverse.transport.row_requests import RowRequest
from airflow_provider_dynamics.dataverse.transport.session import sendable

__all__ = [
    "MOST",
    "Addressed",
    "BatchOutcome",
    "BatchSender",
    "Part",
    "checked",
    "failed_part",
    "parts",
    "parts_of",
    "request",
]

_CALLER = "CallerObjectId"

MOST = 1000  # requests in one batch, those of change sets included

Addressed = tuple[Request, str]
"""A request and its whole address; one that begins with `$` is the row that an earlier request makes."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What came of one request of a batch: its answer, or the error that stands for it.

    The requests of a change set that was refused have the same error, the one that undid them all.
    """

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
    items: Sequence[Addressed | list[Addressed]],
    headers: Mapping[str, str],
    *,
    name: str | None = None,
    continue_on_error: bool = True,
) -> Request:
    """Return the batch of these requests and change sets (lists of requests); raises BadRequest.

    `headers` go into each request. `name` sets the boundary, which is new otherwise. The batch goes on when
    something in it fails unless `continue_on_error` is off. It may be sent again where each of its requests may.
    A user whom all of them act for is named for the batch, too.
    """
    count = sum(len(item) if isinstance(item, list) else 1 for item in items)
    if not 1 <= count <= MOST:
        raise errors.BadRequest(f"A batch holds 1 to {MOST:,} requests, not {count:,}")
    name = name or str(uuid.uuid4())
    boundary = f"batch_{name}"
    lines: list[bytes] = []
    for place, item in enumerate(items):
        lines.append(f"--{boundary}".encode())
        if isinstance(item, list):
            lines += _change_set(item, headers, f"changeset_{place}_{name}")
        else:
            lines += _lines(*item, headers)
    lines += [f"--{boundary}--".encode(), b""]
    prefer = {"Prefer": "odata.continue-on-error"} if continue_on_error else {}
    return Request(
        "POST",
        "$batch",
        {"Content-Type": f'multipart/mixed; boundary="{boundary}"', **prefer, **_caller(items)},
        b"\r\n".join(lines),
        repeatable=all(_repeatable(item, ends=not continue_on_error) for item in items),
    )


def parts_of(response: Response, sizes: Sequence[int | None]) -> list[Part | list[Part]]:
    """Return the answers in a batch's answer, in the order of its items; raises BadResponse unless there is one each.

    `sizes` gives of each item None for a request, how many requests it has for a change set. A change set has
    as many answers, or the one that tells why all of it was refused.
    """
    found = _items(response.headers.get("Content-Type", ""), response.body)
    if len(found) != len(sizes):
        raise errors.BadResponse(f"The answer to a batch of {len(sizes):,} holds {len(found):,} answers")
    return [_sized(item, size) for item, size in zip(found, sizes, strict=True)]


def parts(content_type: str, body: bytes) -> list[Part]:
    """Return the answers in a batch's answer, in their order, those of change sets among them; raises BadResponse for none."""
    return [
        part for item in _items(content_type, body) for part in (item if isinstance(item, list) else [item])
    ]


def failed_part(response: Response) -> Part | None:
    """Return the answer that ended a batch which did not go on; None where the batch as a whole was refused."""
    if not response.headers.get("Content-Type", "").startswith("multipart/mixed"):
        return None
    try:
        found = parts(response.headers["Content-Type"], response.body)
    except errors.BadResponse:
        return None
    return next((part for part in found if part.status >= 400), None)


def checked(
    requests: Sequence[Request | ChangeSet], *, changeset: bool, continue_on_error: bool | None
) -> tuple[Sequence[Request | ChangeSet], bool]:
    """Return what to send, and whether it goes on at an error: it does among requests that stand alone, unless told otherwise.

    What a change set's failure means for what stands behind it has to be said. Raises ValueError.
    """
    if changeset:
        alone = [one for one in requests if isinstance(one, Request)]
        if len(alone) < len(requests) or continue_on_error:
            raise ValueError(
                "changeset=True makes one change set of requests: nothing in it goes on at an error"
            )
        return [ChangeSet(alone)], True
    if len(requests) == 1:  # nothing is behind it, and its error is its own
        return requests, True
    if continue_on_error is None and any(isinstance(one, ChangeSet) for one in requests):
        raise ValueError(
            "Beside a change set there are other requests: say continue_on_error=True to carry them out even when it "
            "is refused, or False to stop at the first error"
        )
    return requests, continue_on_error is not False


# -- requests into text


def _repeatable(item: Addressed | list[Addressed], *, ends: bool) -> bool:
    """Say whether a second time would leave the same state, and whether its answers would tell what the first one did.

    A change set that was done is refused as a whole when it is sent again; a new row with an id of our own tells
    that it was. Where the first error `ends` the batch, no error may come of what was done before.
    """
    if not isinstance(item, list):
        one, _ = item
        return one.reads or (one.repeatable and not (ends and one.method in {"POST", "DELETE"}))
    if all(one.repeatable and one.method in {"PATCH", "PUT"} for one, _ in item):
        return True
    known = [one for one, _ in item if isinstance(one, RowRequest)]
    if ends or any(one.table is not None and one.table.elastic for one in known):
        return False  # elastic tables have no transactions
    return any(one.tells for one in known) and all(one.repeatable or one.method != "POST" for one, _ in item)


def _caller(items: Sequence[Addressed | list[Addressed]]) -> dict[str, str]:
    """Return the header of the user whom all requests act for."""
    every = [one for item in items for one in (item if isinstance(item, list) else [item])]
    callers = {one.headers.get(_CALLER) for one, _ in every}
    only = callers.pop() if len(callers) == 1 else None
    return {_CALLER: only} if only else {}


def _change_set(members: Sequence[Addressed], headers: Mapping[str, str], boundary: str) -> Iterator[bytes]:
    yield f"Content-Type: multipart/mixed; boundary={boundary}".encode()
    yield b""
    for one, address in members:
        yield f"--{boundary}".encode()
        yield from _lines(one, address, headers)
    yield f"--{boundary}--".encode()


def _lines(request: Request, address: str, headers: Mapping[str, str]) -> Iterator[bytes]:
    yield from (b"Content-Type: application/http", b"Content-Transfer-Encoding: binary")
    if request.content_id is not None:
        yield f"Content-ID: {request.content_id}".encode()
    yield b""
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


# -- text into answers


def _items(content_type: str, body: bytes) -> list[Part | list[Part]]:
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    boundary = found[1].encode() if found else body.lstrip().partition(b"\n")[0].strip().removeprefix(b"--")
    pieces = re.split(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?:\r?\n|$)", body)
    if not boundary or len(pieces) < 3:
        raise errors.BadResponse("The answer to a batch is not multipart text")
    return [_item(piece) for piece in pieces[1:-1]]


def _item(piece: bytes) -> Part | list[Part]:
    above, _, rest = _cut(piece)
    outside = _headers(above)
    kind = outside.get("content-type", "")
    if kind.startswith("multipart/mixed"):  # a change set's answers
        return parts(kind, rest)
    inside, _, body = _cut(rest)
    line, _, lines = inside.partition("\n")
    found = re.match(r"HTTP/[\d.]+ (\d{3})", line.strip())
    if found is None:
        raise errors.BadResponse("A part of a batch's answer has no status")
    return Part(int(found[1]), _headers(lines), body)


def _sized(item: Part | list[Part], size: int | None) -> Part | list[Part]:
    """Return an answer in the form its item has: one Part, or a list of as many as the change set has, or of the one refusal."""
    answers = item if isinstance(item, list) else [item]
    if size is None and len(answers) == 1:
        return answers[0]
    if size is not None and (len(answers) == size or (len(answers) == 1 and answers[0].status >= 400)):
        return answers
    raise errors.BadResponse(
        f"A part of a batch's answer holds {len(answers):,} answers where {size or 1:,} were asked for"
    )


def _cut(piece: bytes) -> tuple[str, bytes, bytes]:
    """Return the lines before the first empty one as text, and what comes behind it."""
    found = re.search(rb"\r?\n\r?\n", piece)
    if found is None:
        return piece.decode("utf-8", "replace").strip(), b"", b""
    return piece[: found.start()].decode("utf-8", "replace").strip(), found[0], piece[found.end() :]


def _headers(text: str) -> CaseInsensitiveDict[str]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return CaseInsensitiveDict((name.strip(), value.strip()) for name, _, value in pairs)


class BatchSender(Sender, Protocol):
    """One that sends several requests in one, too."""

    def send_together(
        self, requests: Sequence[Request | ChangeSet], stop: Stop | None = None
    ) -> Sequence[BatchOutcome]: ...
