"""What an event about a table's changes says, whether a watcher has seen them or Dynamics has told of them.

An event wakes somebody up and is kept in Airflow's log and database, so it is small, and holds no column of a row
unless somebody has asked for some.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import unquote

__all__ = [
    "BATCH_SIZE",
    "MAX_BATCH_SIZE",
    "MAX_PAYLOAD_BYTES",
    "MAX_ROW_BYTES",
    "Change",
    "EventMode",
    "Operation",
    "Source",
    "batched",
    "change",
    "change_event",
    "mark_of",
]

Operation = Literal["upsert", "delete"]
Source = Literal["poll", "webhook"]
EventMode = Literal["delta", "full"]
Change = dict[str, Any]

BATCH_SIZE = 100
"""Changes that an event names unless somebody asks for more or fewer."""

MAX_BATCH_SIZE = 1000

MAX_PAYLOAD_BYTES = 48 * 1024
"""About the most that the changes of one event take as JSON: with many selected columns an event names fewer."""

MAX_ROW_BYTES = 8 * 1024
"""A row whose selected columns take more as JSON is named without them."""

_TOKEN = re.compile(r"[?&]\$?(?:%24)?deltatoken=([^&]+)", re.IGNORECASE)
_LONGEST_MARK = 64


def change(row_id: str, operation: Operation, row: Mapping[str, Any] | None = None) -> Change:
    """Return one change as an event names it.

    ``row`` holds the columns somebody has asked for; decimals have about 15 digits. It is left out where nobody
    asked, for a deleted row, and where it takes more than `MAX_ROW_BYTES`.
    """
    named: Change = {"row_id": row_id, "operation": operation}
    if row is None or operation == "delete":
        return named
    text = json.dumps(dict(row), default=_plain, ensure_ascii=False)
    return named if len(text.encode()) > MAX_ROW_BYTES else {**named, "row": json.loads(text)}


def change_event(
    table: str,
    environment: str,
    source: Source,
    changes: Sequence[Change],
    *,
    mode: EventMode = "delta",
    count: int | None = None,
    since: str | None = None,
    until: str | None = None,
) -> dict[str, Any]:
    """Return an event's payload.

    :param table: the table's logical name
    :param environment: the environment's URL
    :param source: who saw the changes: ``poll`` a watcher, ``webhook`` Dynamics itself
    :param changes: what the event names, made by `change`
    :param mode: ``full`` where nobody knows what changed, so that the whole table has to be read
    :param count: how many changes the event stands for, where that is more than it names
    :param since: the mark of where the changes begin, None where nobody knows
    :param until: the mark of where they end
    """
    stands_for = len(changes) if count is None else count
    return {
        "status": "success",
        "table": table,
        "environment": environment,
        "source": source,
        "mode": mode,
        "changes": list(changes),
        "count": stands_for,
        "complete": mode == "delta" and stands_for == len(changes),
        "from": since,
        "to": until,
    }


def batched(changes: Iterable[Change], size: int) -> Iterator[list[Change]]:
    """Yield the changes in lists of at most so many, and of about `MAX_PAYLOAD_BYTES` each."""
    batch: list[Change] = []
    taken = 0
    for one in changes:
        weight = len(json.dumps(one)) if "row" in one else 0
        if batch and (len(batch) == size or taken + weight > MAX_PAYLOAD_BYTES):
            yield batch
            batch, taken = [], 0
        batch.append(one)
        taken += weight
    if batch:
        yield batch


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


def mark_of(link: str | None) -> str | None:
    """Return a short name of a place among a table's changes: a delta link's token, else a hash; never an address.

    A token is a version number and a time, such as ``919042!08/22/2017 08:10:44``.
    """
    if not link:
        return None
    found = _TOKEN.search(link)
    token = unquote(found[1]) if found else ""
    if 0 < len(token) <= _LONGEST_MARK and token.isprintable():
        return token
    return hashlib.sha256(link.encode()).hexdigest()[:16]
