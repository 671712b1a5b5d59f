"""OData's spelling: literals, keys in a URL, query options, the Prefer header.

The only file that knows how a value looks on the wire.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

import msgspec

from airflow_provider_dynamics.dataverse.errors import BadRequest

__all__ = [
    "IDS",
    "LOOKUPS",
    "NUMBERS",
    "WHOLE_NUMBERS",
    "KeyNotInUrl",
    "Row",
    "decode",
    "encode",
    "entity_id",
    "guid",
    "key_predicate",
    "literal",
    "literal_as",
    "options",
    "prefer",
]

Row = dict[str, Any]

_GUID = re.compile(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")
_PLAIN_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WHOLE_NUMBERS = frozenset({"Integer", "BigInt", "Picklist", "State", "Status"})
NUMBERS = WHOLE_NUMBERS | {"Decimal", "Money", "Double"}
LOOKUPS = frozenset({"Lookup", "Customer", "Owner"})
IDS = LOOKUPS | {"Uniqueidentifier"}

# https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
_NOT_IN_KEYS = re.compile(r"[/<>*%&:\\?+]")

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class KeyNotInUrl(BadRequest):
    default_remedy = (
        "Address the row by its id (find it with a filter), or keep / < > * % & : \\ ? + out of key values."
    )


def decode(body: bytes) -> Any:
    """Return the parsed JSON, numbers with a fraction as exact Decimals; raises msgspec.DecodeError."""
    return _decoder.decode(body.removeprefix(b"\xef\xbb\xbf"))


def encode(value: Any) -> bytes:
    """Return JSON; Decimals become numbers with all their digits, dates and times ISO 8601, UUIDs strings."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"A row holds a value that JSON cannot hold: {error}") from error


def guid(value: Any) -> str:
    """Return the id in lower case without braces; raises BadRequest when it is not a GUID."""
    if isinstance(value, uuid.UUID):
        return str(value)
    found = _GUID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadRequest(
            f"{value!r} is not a row id",
            remedy="A row id is a GUID; to address a row by an alternate key, pass its columns as a dict.",
        )
    return found[1].lower()


def is_guid(value: str) -> bool:
    """Say whether a text is an id as `guid` returns it."""
    return _PLAIN_GUID.fullmatch(value) is not None


def literal(value: Any) -> str:
    """Return a value as OData writes it in a filter, not percent-encoded.

    Text is quoted, a UUID is not. A time without zone counts as UTC.
    https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html#sec_PrimitiveLiterals
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, (date, uuid.UUID)):
        return str(value)
    raise BadRequest(f"A value of type {type(value).__name__} cannot stand in a query")


def literal_as(kind: str, value: Any) -> str:
    """Return the literal of a value for a column of this type, where a file may have delivered it as text."""
    if kind in IDS:
        return guid(value)
    if kind in NUMBERS and isinstance(value, str):
        try:
            return _number(Decimal(value.strip()))
        except InvalidOperation:
            raise BadRequest(f"{value!r} is not a number") from None
    if kind == "DateTime" and isinstance(value, str):
        if not _MOMENT.fullmatch(value):
            raise BadRequest(f"{value!r} is not a date or time such as 2024-01-31 or 2024-01-31T08:00:00Z")
        return value
    if kind == "Boolean" and isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower()
    if kind in {"String", "Memo"} and not isinstance(value, str):
        value = str(value)
    return literal(value)


def instant(value: datetime) -> str:
    """Return a time in UTC with a `Z`; one without zone is taken to be UTC already. Raises BadRequest beyond the calendar."""
    try:
        aware = value.astimezone(timezone.utc) if value.tzinfo else value
    except OverflowError:
        raise BadRequest(f"{value} lies beyond the calendar in UTC") from None
    return aware.replace(tzinfo=None).isoformat() + "Z"


def _number(value: float | Decimal) -> str:
    exact = Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        raise BadRequest(f"{value} is not a number Dataverse can hold")
    return f"{exact:f}"


def key_predicate(parts: Sequence[tuple[str, str, Any]], *, in_path: bool = True) -> str:
    """Return `(name='A',number=1)`, percent-encoded, from (wire name, column type, value) of a key's columns.

    `in_path` refuses the characters Dataverse cannot find in the key of a URL.
    """
    return "(" + ",".join(_key_part(*part, in_path=in_path) for part in parts) + ")"


def _key_part(name: str, kind: str, value: Any, *, in_path: bool) -> str:
    if value is None or value == "":
        raise BadRequest(f"The key column {name!r} is empty", remedy="Every column of a key needs a value.")
    text = literal_as(kind, value)
    if in_path and text.startswith("'") and (bad := _NOT_IN_KEYS.search(text)):
        raise KeyNotInUrl(
            f"The key column {name!r} holds {bad[0]!r}, which Dataverse cannot take in the key of a URL"
        )
    return f"{name}={_escaped(text, _PLAIN)}"


_PLAIN = "-._~'(),@!$;"


def options(pairs: Mapping[str, str | None]) -> str:
    """Return `?$select=…&$filter=…`, percent-encoded, or "" when nothing is asked."""
    given = [f"{name}={_escaped(value, _PLAIN + ':/=*')}" for name, value in pairs.items() if value]
    return "?" + "&".join(given) if given else ""


def _escaped(text: str, safe: str) -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"A text in the query holds half a character, {text[error.start]!r}, which cannot be sent"
        ) from None


def prefer(
    *, page_size: int | None = None, annotations: bool | str = False, track_changes: bool = False
) -> Row:
    """Return the Prefer header, {} when there is nothing to prefer; `annotations` may name those that are wanted."""
    wanted = "*" if annotations is True else annotations
    wishes = [
        "odata.track-changes" if track_changes else "",
        f"odata.maxpagesize={page_size}" if page_size else "",
        f'odata.include-annotations="{wanted}"' if wanted else "",
    ]
    text = ",".join(wish for wish in wishes if wish)
    return {"Prefer": text} if text else {}


def entity_id(headers: Mapping[str, str]) -> str | None:
    """Return the GUID at the end of OData-EntityId; None where it is missing or repeats an alternate key."""
    found = re.search(r"\(([0-9a-fA-F-]{36})\)$", headers.get("OData-EntityId") or "")
    return found[1].lower() if found else None
