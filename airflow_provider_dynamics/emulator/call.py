"""One request as the data side sees it: where it points, what it prefers, who asks, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from airflow_provider_dynamics.emulator.literals import count_literal
from airflow_provider_dynamics.emulator.messages import Fault, Request, Response

JSON_TYPE = "application/json; odata.metadata=minimal"
MAX_PAGE = 5000
_PREFERENCE = re.compile(r'\s*([\w.-]+)\s*(?:=\s*("[^"]*"|[^,;]*))?\s*(?:,|;[^,]*,?|$)')


@dataclass(frozen=True)
class Prefer:
    """What the ``Prefer`` header asks for; ``applied`` echoes the parts that are honoured.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
    """

    annotations: tuple[str, ...] = ()
    page_size: int | None = None
    representation: bool = False
    track_changes: bool = False
    respond_async: bool = False
    applied: tuple[str, ...] = ()

    def wants(self, annotation: str) -> bool:
        """Whether an annotation was asked for by name or by ``*``."""
        return any(fnmatchcase(annotation, pattern) for pattern in self.annotations)


def parse_prefer(header: str) -> Prefer:
    """Read a ``Prefer`` header; what is not known is not applied, and no error."""
    found: dict[str, Any] = {}
    applied = []
    for match in _PREFERENCE.finditer(header):
        name, value = match[1], (match[2] or "").strip().strip('"')
        known = _preference(name, value)
        if known:
            found |= known
        if known and name != "respond-async":  # whoever answers later says so
            applied.append(match[0].strip().rstrip(","))
    return Prefer(applied=tuple(applied), **found)


def _preference(name: str, value: str) -> dict[str, Any] | None:
    if name == "odata.include-annotations":
        return {"annotations": tuple(part.strip() for part in value.split(",") if part.strip())}
    if name == "odata.maxpagesize" and (size := count_literal(value)):
        return {"page_size": min(size, MAX_PAGE)}
    if name == "return" and value == "representation":
        return {"representation": True}
    if name == "respond-async":
        return {"respond_async": True}
    return {"track_changes": True} if name == "odata.track-changes" else None


@dataclass(frozen=True)
class Caller:
    """The user a request runs as, and the one it acts for when impersonating."""

    user_id: str
    business_unit_id: str
    on_behalf_of: str | None = None


@dataclass(frozen=True)
class Call:
    """A parsed request.

    ``root`` is "https://host/api/data/v9.2", ``resource`` the percent-encoded path below it, ``options`` the
    decoded query by name, ``raw_options`` the same as received.
    """

    method: str
    root: str
    resource: str
    options: Mapping[str, str]
    raw_options: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    prefer: Prefer
    body: bytes
    now: datetime
    caller: Caller
    aliases: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body; numbers with a fraction are Decimals. Raises ``Fault`` when it is no JSON object."""
        try:
            value = _DECODER.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Fault(400, "0x80048d19", f"Error identified in Payload: {error}") from error
        except InvalidOperation as error:
            raise Fault(
                400, "0x80048d19", "Error identified in Payload: a number is out of range."
            ) from error
        if not isinstance(value, dict):
            raise Fault(400, "0x80048d19", "Error identified in Payload: a JSON object was expected.")
        return value

    def context(self, fragment: str) -> str:
        """An ``@odata.context``."""
        return f"{self.root}/$metadata#{fragment}"

    def applied(self) -> tuple[tuple[str, str], ...]:
        """The ``Preference-Applied`` header, where something was applied."""
        return (("Preference-Applied", ",".join(self.prefer.applied)),) if self.prefer.applied else ()


_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def parse_query(query: str) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Query options by decoded name, and as received; a name given twice is a fault."""
    options: dict[str, str] = {}
    raw = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        raw.append((name, value))
        name = unquote_plus(name)
        if name in options and name.startswith("$"):
            raise Fault(
                400,
                "0x80060888",
                f"Query option '{name}' was specified more than once, but it must be specified at most once.",
            )
        options[name] = unquote_plus(value)
    return options, tuple(raw)


def make_call(request: Request, root: str, resource: str, now: datetime, caller: Caller) -> Call:
    """Read a request whose path is already known to lie below ``root``."""
    options, raw = parse_query(request.query)
    return Call(
        method=request.method.upper(),
        root=root,
        resource=resource,
        options=options,
        raw_options=raw,
        headers=request.headers,
        prefer=parse_prefer(request.headers.get("prefer", "")),
        body=request.body,
        now=now,
        caller=caller,
        aliases={name: value for name, value in options.items() if name.startswith("@")},
    )


def reply(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    """A JSON response; ``body`` may be encoded already."""
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(status, (("Content-Type", JSON_TYPE), ("OData-Version", "4.0"), *headers), text)


def no_content(*headers: tuple[str, str]) -> Response:
    """204."""
    return Response(204, (("OData-Version", "4.0"), *headers), b"")


def plain(text: str, *headers: tuple[str, str]) -> Response:
    """text/plain with the byte order mark Dataverse puts before it."""
    body = b"\xef\xbb\xbf" + text.encode()
    return Response(200, (("Content-Type", "text/plain"), ("OData-Version", "4.0"), *headers), body)
