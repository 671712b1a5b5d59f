"""What is different about elastic tables: identity by key and partition, rows that expire, no joins, no transactions.

``MSCRM.SessionToken`` is taken and every write answers with ``x-ms-session-token``; reads without it see the latest
rows all the same here, which the real service does not promise.
https://learn.microsoft.com/power-apps/developer/data-platform/elastic-tables
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.store import Store

PARTITION = "partitionid"
DETAILS = "Plugin.BulkApiErrorDetails"
_LONGEST = 1024  # bytes
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_PATH = re.compile(r"\w/\w")


def row_id_of(table: Table, primary: str, partition: object) -> str:
    """What identifies a row in the store: its key, with the partition where that is not the key itself."""
    if not table.elastic or partition in {None, primary}:
        return primary
    return f"{primary}/{partition}"


def primary_of(row_id: str) -> str:
    """The primary key in a row's identity."""
    return row_id[:36]


def partition_of(table: Table, call: Call) -> str | None:
    """The partition a request names outside its key: ``?partitionId=`` in GET and DELETE, the column elsewhere."""
    if not table.elastic:
        return None
    if call.method in {"GET", "DELETE"}:
        given = call.options.get("partitionId")
        return given.strip("'\"") if given else None
    if call.method != "PATCH" or not call.body.strip():
        return None
    found = call.json().get(PARTITION)
    return found if isinstance(found, str) else None


def check_partition(values: Mapping[str, Any]) -> None:
    """A partition has at most 1,024 bytes."""
    given = values.get(PARTITION)
    if isinstance(given, str) and len(given.encode()) > _LONGEST:
        raise Fault(
            400,
            "0x80044331",
            f"A validation error occurred.  The length of the '{PARTITION}' attribute exceeded the maximum allowed "
            f"length of '{_LONGEST}'.",
        )


def no_links() -> Fault:
    """0x80048d0b: rows of several tables cannot be joined."""
    return Fault(400, "0x80048d0b", "Link entities are not supported.")


def refuse_paths(table: Table, options: Mapping[str, str]) -> None:
    """Filters and orders over other tables are joins."""
    text = " ".join(options.get(name, "") for name in ("$filter", "$orderby"))
    if table.elastic and _PATH.search(_QUOTED.sub("''", text)):
        raise no_links()


def expire(store: Store, table: Table, now: datetime) -> None:
    """Remove the rows whose time to live is over."""
    store.execute(
        f'DELETE FROM "{table.name}" WHERE ttlinseconds IS NOT NULL '  # noqa: S608 - our own table names
        "AND CAST(strftime('%s', modifiedon) AS INTEGER) + ttlinseconds <= ?",
        (int(now.timestamp()),),
    )


def session_token(version: int) -> tuple[str, str]:
    """The header that says which write a session has seen."""
    return ("x-ms-session-token", f"240:8#{version}#7=-1")


class PartlyDone(Fault):
    """A bulk message of which some rows were refused and the others are written."""

    def __init__(self, first: Fault, results: list[tuple[int, str, int]]) -> None:
        listed = [{"RequestIndex": index, "Id": row, "StatusCode": status} for index, row, status in results]
        told = {f"ErrorDetails.{DETAILS}": msgspec.json.encode(listed).decode()}
        super().__init__(first.status, first.code, first.message, told)
