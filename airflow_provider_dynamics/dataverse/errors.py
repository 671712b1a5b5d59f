"""Everything the Web API client raises: the tree, the tables that choose from it, and the words.

    DataverseError
    ├── BadRequest              the request, or the data in it, was refused
    │   ├── PluginRefused       the environment's own logic (a plug-in or workflow) refused it
    │   ├── TooLarge            it has to be split
    │   └── ChangeTrackingOff   the table does not keep changes
    ├── Unauthorized            the token was refused
    ├── Forbidden               the user may not do this
    ├── NotFound
    │   ├── RowNotFound
    │   ├── UnknownTable
    │   ├── UnknownColumn
    │   └── UnknownKey          the table has no such usable alternate key
    ├── Conflict
    │   ├── DuplicateKey        a row with this key exists already
    │   └── ConcurrencyMismatch the row has changed since it was read
    ├── DeltaLinkExpired        changes must be read in full again
    ├── Throttled               service protection: wait, then go on
    ├── ServerError
    │   └── ServerTimeout       the service gave up: ask for less at a time
    ├── Unreachable             no complete answer came over the network
    ├── BadResponse             an answer came, but not one of the Web API's
    ├── ForeignLink             a link led away from the environment
    └── Interrupted             cancelled from this side

Dataverse's `error.code` decides, then the HTTP status: the message is localised and differs between versions.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_dynamics.auth.network import retry_after

__all__ = [
    "BadRequest",
    "BadResponse",
    "ChangeTrackingOff",
    "ConcurrencyMismatch",
    "Conflict",
    "DataverseError",
    "DeltaLinkExpired",
    "DuplicateKey",
    "Forbidden",
    "ForeignLink",
    "Interrupted",
    "NotFound",
    "PluginRefused",
    "RowNotFound",
    "ServerError",
    "ServerTimeout",
    "Throttled",
    "TooLarge",
    "Unauthorized",
    "UnknownColumn",
    "UnknownKey",
    "UnknownTable",
    "Unreachable",
]

_LONGEST_MESSAGE = 500  # characters of the service's own text that go into an error


class DataverseError(Exception):
    """A request that failed: what was asked, what the service said, and what to do about it.

    `code` is Dataverse's ("0x80040217", "" when it sent none), `retry_after` seconds. `retryable` says
    whether the very same request may succeed later. `repeated` is set where an earlier attempt of a write may
    have been carried out.
    """

    default_retryable: ClassVar[bool] = False
    default_remedy: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        asked: str = "",
        status: int | None = None,
        code: str = "",
        request_id: str | None = None,
        remedy: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.asked = asked
        self.status = status
        self.code = code
        self.request_id = request_id
        self.remedy = self.default_remedy if remedy is None else remedy
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.repeated = False

    def __str__(self) -> str:
        facts = [
            f"HTTP {self.status}" if self.status else "",
            self.code,
            f"request id {self.request_id}" if self.request_id else "",
            f"retry after {self.retry_after:g} s" if self.retry_after is not None else "",
        ]
        known = ", ".join(fact for fact in facts if fact)
        text = f"{self.asked}: {self.message}" if self.asked else self.message
        text = f"{text.rstrip('. ')} ({known})." if known else f"{text.rstrip('. ')}."
        return f"{text} {self.remedy}".rstrip()


class BadRequest(DataverseError):
    pass


class PluginRefused(BadRequest):
    default_remedy = (
        "A plug-in or workflow of this environment refused the row: correct the data or ask its owner."
    )


class TooLarge(BadRequest):
    default_remedy = "Send fewer or smaller rows at a time."


class ChangeTrackingOff(BadRequest):
    default_remedy = (
        "Switch on 'Track changes' in the table's advanced options (Power Apps, Tables, Properties) and publish it; "
        "it cannot be switched off again."
    )


class Unauthorized(DataverseError):
    default_remedy = (
        "The service does not accept the token: check that it is for this environment and that the app registration "
        "has an application user there."
    )


class Forbidden(DataverseError):
    default_remedy = "Give the user a security role with the missing privilege."


class NotFound(DataverseError):
    default_remedy = "Check the names in the request, the environment URL and the API version."


class RowNotFound(NotFound):
    default_remedy = "The row does not exist or this user may not see it."


class UnknownTable(NotFound):
    pass


class UnknownColumn(NotFound):
    pass


class UnknownKey(NotFound):
    pass


class Conflict(DataverseError):
    pass


class DuplicateKey(Conflict):
    default_remedy = "A row with this id or alternate key exists: update or upsert it instead."


class ConcurrencyMismatch(Conflict):
    default_remedy = "Somebody changed the row after it was read: read it again, then repeat the change."


class DeltaLinkExpired(DataverseError):
    default_remedy = "Read the table in full again and keep the new delta link; links live seven days unless the environment says otherwise."


class Throttled(DataverseError):
    default_retryable = True
    default_remedy = (
        "Service protection asks to wait; run fewer tasks at once for this user or lower max_concurrency."
    )


class ServerError(DataverseError):
    default_retryable = True
    default_remedy = "This is a fault on the service's side; it usually passes."


class ServerTimeout(ServerError):
    default_remedy = "The service ran out of time: ask for or send less at once."


class Unreachable(DataverseError):
    """`sent` is False when the request cannot have reached the service, so that even a create may be repeated."""

    default_retryable = True

    def __init__(self, message: str, *, sent: bool = True, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.sent = sent


class BadResponse(DataverseError):
    default_retryable = True
    default_remedy = "Something between here and Dataverse answered or cut the answer off: check proxies and the environment URL."


class ForeignLink(DataverseError):
    default_remedy = "The link was not followed, so the token stayed here. Read the table in full again; if this repeats, check proxies."


class Interrupted(DataverseError):
    pass


_FIX_QUERY = (
    "Change the query: no leading wildcards, no filters on computed columns, an indexed column first."
)
_NO_ROLE = "Give the application user a security role in this environment."
_NO_USER = "Add the app registration as an application user of this environment (Power Platform admin center, Users)."
_ENABLE_USER = "Enable the user in this environment."

# code -> class (None: the status decides) and remedy (None: the class's own)
# https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
_BY_CODE: dict[str, tuple[type[DataverseError] | None, str | None]] = {
    "0x80040203": (BadRequest, "Correct the argument the message names."),
    "0x80040204": (Forbidden, _NO_USER),
    "0x80040216": (ServerError, None),
    "0x80040217": (RowNotFound, None),
    "0x80040220": (Forbidden, None),
    "0x80040225": (Forbidden, _ENABLE_USER),
    "0x80040237": (DuplicateKey, None),
    "0x80040256": (Forbidden, None),
    "0x80040265": (PluginRefused, None),
    "0x80040303": (BadRequest, "Correct the FetchXML document."),
    "0x80040333": (
        Conflict,
        "A duplicate detection rule matched: change the row, or switch detection off for the load.",
    ),
    "0x80041102": (UnknownTable, "Use the table's logical name, for example 'account'."),
    "0x80041103": (UnknownColumn, "Use the column's logical name."),
    "0x80042f09": (Forbidden, _NO_ROLE),
    "0x80044150": (ServerError, None),
    "0x80044151": (ServerTimeout, None),
    "0x80044331": (BadRequest, "Shorten the text to the column's maximum length."),
    "0x80044352": (DeltaLinkExpired, None),
    "0x80044a02": (TooLarge, "The file is larger than the column or the environment allows."),
    "0x80048306": (Forbidden, None),
    "0x80048543": (ServerTimeout, "A solution import is running in the environment: try again after it."),
    "0x80048544": (Throttled, "The query is too expensive right now: run it less often or narrow it."),
    "0x80048573": (BadRequest, _FIX_QUERY),
    "0x80048574": (BadRequest, _FIX_QUERY),
    "0x80048644": (BadRequest, _FIX_QUERY),
    "0x80048744": (BadRequest, _FIX_QUERY),
    "0x80048745": (BadRequest, _FIX_QUERY),
    "0x80048d0b": (BadRequest, "Elastic tables cannot be joined: leave out $expand and related columns."),
    "0x80048d19": (
        BadRequest,
        "Check the names and types in the row: logical column names, navigation names with their exact case.",
    ),
    "0x8004a104": (Forbidden, "Enable the environment, or use another one."),
    "0x8004a112": (Forbidden, _ENABLE_USER),
    "0x8004d24b": (Forbidden, "Assign the user a licence, or sign in as an application user."),
    "0x8004e023": (BadRequest, "An aggregate may cover 50,000 rows: narrow the filter."),
    "0x80060882": (ConcurrencyMismatch, None),
    "0x80060883": (ConcurrencyMismatch, "Send the etag of the row that was read."),
    "0x80060888": (None, "Check the names in the request: columns, navigation properties, functions."),
    "0x8006088a": (None, None),
    "0x80060890": (UnknownKey, "Use the columns of one of the table's alternate keys."),
    "0x80060891": (RowNotFound, "No row has this alternate key."),
    "0x80060892": (DuplicateKey, None),
    "0x8006089d": (Conflict, "Several rows have this alternate key: address the row by its id."),
    "0x80072321": (Throttled, None),
    "0x80072322": (Throttled, None),
    "0x80072326": (Throttled, None),
    "0x80072491": (ChangeTrackingOff, None),
    "0x80072560": (Forbidden, _NO_USER),
    "0x80081111": (ServerTimeout, "A plug-in ran longer than two minutes: send fewer rows at once."),
}

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
    asked: str, status: int, headers: Mapping[str, str], body: bytes, *, now: float
) -> DataverseError:
    """Return the error an unsuccessful answer stands for; `now` is the epoch second an HTTP-date is compared with."""
    code, message = _read(body)
    kind, remedy = _BY_CODE.get(code, (None, None))
    if kind is None:
        kind = _BY_STATUS.get(status) or _of_class(status)
    return kind(
        message or _without_words(status, headers),
        asked=asked,
        status=status,
        code=code,
        request_id=request_id(headers),
        remedy=remedy,
        retryable=False if status < 400 else None,
        retry_after=retry_after(headers, now=now),
    )


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id Microsoft's support asks for; the header may come several times, joined by commas."""
    found = headers.get("x-ms-service-request-id") or headers.get("REQ_ID")
    return found.split(",")[-1].strip() if found else None


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
        return "", _short(str(error))
    message = error.get("message") or error.get("Message") or ""
    return _code(error.get("code") or error.get("ErrorCode")), _short(str(message))


def _code(value: object) -> str:
    """Return the code in its usual spelling, "" for the empty ones (`""`, `"0x0"`, `null`)."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"0x{value & 0xFFFFFFFF:08x}"
    text = str(value or "").strip()
    if not text.lower().startswith("0x"):
        return text
    return "" if not text[2:].strip("0") else f"0x{text[2:].lower()}"


def _salvaged(text: str) -> tuple[str, str]:
    """Return code and words of JSON that is broken or cut off, or of no JSON at all."""
    if not text.startswith("{"):
        return "", _plain(text)
    code = re.search(r'"code"\s*:\s*"(0x[0-9a-fA-F]+)"', text)
    message = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)', text)
    return _code(code[1]) if code else "", _short(message[1]) if message else ""


def _plain(text: str) -> str:
    """Return the words of a web page: its title, else its beginning without tags."""
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return _short(title[1])
    return _short(re.sub(r"<[^>]*>?", " ", re.sub(r"(?is)<(style|script).*?(</\1>|$)", " ", text)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE].rstrip()} …"


def _without_words(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return "The service answered with a redirect, which is not followed"
    kind = (headers.get("Content-Type") or "").split(";")[0]
    return f"The service gave no reason{f' (an answer of type {kind})' if kind else ''}"
