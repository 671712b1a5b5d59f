"""What an unsuccessful answer means: the error it stands for, with the words and facts that came with it.

Dataverse's `error.code` decides, then the HTTP status: the message is localised and differs between versions.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from airflow_provider_dynamics.auth.network import retry_after
from airflow_provider_dynamics.dataverse.errors import (
    BadRequest,
    BadResponse,
    Conflict,
    DataverseError,
    Forbidden,
    NotFound,
    ServerError,
    ServerTimeout,
    Throttled,
    TooLarge,
    Unauthorized,
    UnknownColumn,
    shortened,
)
from airflow_provider_dynamics.dataverse.protocol.codes import BY_CODE, USERS, filled, spelled

__all__ = ["from_response", "request_id"]

_PER_ROW = b"Plugin.BulkApiErrorDetails"
# https://learn.microsoft.com/troubleshoot/power-platform/dataverse/dataverse-plug-ins-errors
_SANDBOX = "Message size exceeded when sending context to Sandbox"
_PRIVILEGE = re.compile(r"\bprv[A-Z]\w+")

# the OData layer's own sentences, which are not translated and come with one code for all of them
_BY_WORDS: tuple[tuple[str, type[DataverseError], str], ...] = (
    ("Could not find a property named", UnknownColumn, "Use the column's logical name."),
    (
        "isn't supported when Change Tracking is enabled",
        BadRequest,
        "Changes are followed for a whole table: take the option away and choose among the rows that come.",
    ),
    (
        "Only $select and $filter clause can be provided",
        BadRequest,
        "Inside expand, $top and $orderby are for collections, and only where no expand holds another one.",
    ),
)

_BY_STATUS: dict[int, type[DataverseError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    406: BadRequest,
    408: ServerTimeout,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: TooLarge,
    414: BadRequest,
    415: BadRequest,
    429: Throttled,
    501: BadRequest,
}


def from_response(
    asked: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    environment: str = "",
    client_id: str = "",
) -> DataverseError:
    """Return the error an unsuccessful answer stands for; `now` is the epoch second an HTTP-date is compared with.

    `environment` (its URL) and `client_id`, where they are known, make the remedy exact.
    """
    code, message = _read(body)
    kind, remedy = BY_CODE.get(code, (None, None))
    if kind is ServerError and _SANDBOX in message:  # the code is that of anything unexpected
        kind, remedy = TooLarge, None
    if kind is None:
        kind, remedy = _of_words(message) or (_BY_STATUS.get(status) or _of_class(status), remedy)
    if kind is Forbidden and remedy is None:
        remedy = _of_refusal(code, message, headers)
    error = kind(
        message or _without_words(status, headers),
        asked=asked,
        status=status,
        code=code,
        request_id=request_id(headers),
        remedy=filled(remedy, environment, client_id),
        retryable=False if status < 400 else None,
        retry_after=retry_after(headers, now=now),
    )
    error.statuses = _statuses(body)
    return error


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id Microsoft's support asks for; the header may come several times, joined by commas."""
    found = headers.get("x-ms-service-request-id") or headers.get("REQ_ID")
    return found.split(",")[-1].strip() if found else None


def _of_refusal(code: str, message: str, headers: Mapping[str, str]) -> str | None:
    """Return the remedy of a 403 by what it says; None for the usual one."""
    privilege = _PRIVILEGE.search(message)
    if privilege:
        return f"Give the user a security role with the privilege {privilege[0]}: {USERS}."
    if not code and "html" in headers.get("Content-Type", ""):
        return "This page is not Dataverse's: ask who runs the worker's proxy or firewall to let {environment} through."
    return None


def _of_words(message: str) -> tuple[type[DataverseError], str | None] | None:
    return next(((kind, remedy) for words, kind, remedy in _BY_WORDS if words in message), None)


def _of_class(status: int) -> type[DataverseError]:
    if status >= 500:
        return ServerError
    return BadRequest if status >= 400 else BadResponse


def _read(body: bytes) -> tuple[str, str]:
    """Return code and message of an error body, whatever it is: the Web API's JSON, a gateway's HTML, half of either, nothing."""
    text = body.decode("utf-8-sig", "replace").strip()
    try:
        parsed = json.loads(text)
    except ValueError:
        return _salvaged(text)
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return "", shortened(str(error))
    message = error.get("message") or error.get("Message") or ""
    return spelled(error.get("code") or error.get("ErrorCode")), shortened(str(message))


def _statuses(body: bytes) -> dict[int, int]:
    """Return the HTTP status of each row of a chunk by its place, {} where the answer does not tell.

    https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations#on-error-behavior
    """
    if _PER_ROW not in body:
        return {}
    try:
        error = json.loads(body)["error"]
        told = next(value for name, value in error.items() if name.endswith(_PER_ROW.decode()))
        rows = json.loads(told) if isinstance(told, str) else told
        return {int(row["RequestIndex"]): int(row["StatusCode"]) for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return {}


def _salvaged(text: str) -> tuple[str, str]:
    """Return code and words of JSON that is broken or cut off, or of no JSON at all."""
    if not text.startswith("{"):
        return "", _plain(text)
    code = re.search(r'"code"\s*:\s*"(0x[0-9a-fA-F]+)"', text)
    message = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)', text)
    return spelled(code[1]) if code else "", shortened(message[1]) if message else ""


def _plain(text: str) -> str:
    """Return the words of a web page: its title, else its beginning without tags."""
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return shortened(title[1])
    return shortened(re.sub(r"<[^>]*>?", " ", re.sub(r"(?is)<(style|script).*?(</\1>|$)", " ", text)))


def _without_words(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return "The service answered with a redirect, which is not followed"
    kind = (headers.get("Content-Type") or "").split(";")[0]
    return f"The service gave no reason{f' (an answer of type {kind})' if kind else ''}"
