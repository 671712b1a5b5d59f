"""A Dataverse of one table that can be read in windows: filters, counts and pages by the documented rules, in memory.

Rows may come and go between requests, and what is asked is written down.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome

ROOT = "https://contoso.crm.dynamics.com/api/data/v9.2/"
START = datetime(2020, 1, 1, tzinfo=timezone.utc)
TYPES = {
    "accountid": "Uniqueidentifier",
    "name": "String",
    "createdon": "DateTime",
    "serial": "BigInt",
    "amount": "Money",
    "importsequencenumber": "Integer",
}
GIVEN_ONCE = {"importsequencenumber"}


def second(number: int) -> str:
    """Return a time of creation, so many seconds after the first."""
    return f"{START + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}"


def definition(columns: Iterable[str] = TYPES) -> dict[str, Any]:
    return {
        "LogicalName": "account",
        "EntitySetName": "accounts",
        "PrimaryIdAttribute": "accountid",
        "PrimaryNameAttribute": "name",
        "ChangeTrackingEnabled": True,
        "TableType": "Standard",
        "Keys": [],
        "ManyToOneRelationships": [],
        "Attributes": [
            {
                "LogicalName": name,
                "AttributeType": TYPES[name],
                "AttributeOf": None,
                "IsValidForRead": True,
                "IsValidForCreate": name != "createdon",
                "IsValidForUpdate": name not in {"createdon", *GIVEN_ONCE},
            }
            for name in columns
        ],
    }


class DividedTable:
    """Keeps rows in the order of their ids. `between` is called before each request and may change `rows`."""

    def __init__(self, *, cap: int = 50_000, page: int = 5_000, columns: Iterable[str] = TYPES) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.cap, self.page = cap, page
        self.known: int | None = None  # what the day-old statistics say; None: what is true
        self.asked: list[str] = []
        self.between: Callable[[str], None] = lambda _: None
        self._definition = definition(columns)
        self._lock = threading.Lock()

    def add(self, **values: Any) -> str:
        row_id = str(uuid.uuid4())
        self.rows[row_id] = {"accountid": row_id, "createdon": None, "serial": None, **values}
        return row_id

    def send(self, request: Request, stop: Stop | None = None) -> Response:
        if stop is not None:
            stop.check()
        with self._lock:
            self.asked.append(request.target)
            self.between(request.target)
            return self._answer(request)

    def send_together(self, requests: Sequence[Request], stop: Stop | None = None) -> list[BatchOutcome]:
        return [self._outcome(request, stop) for request in requests]

    def _outcome(self, request: Request, stop: Stop | None) -> BatchOutcome:
        try:
            return BatchOutcome(request, self.send(request, stop))
        except errors.DataverseError as error:
            return BatchOutcome(request, error=error)

    def pages_asked(self) -> list[str]:
        return [target for target in self.asked if "accounts" in target and not _is_question(target)]

    def questions(self) -> list[str]:
        return [target for target in self.asked if _is_question(target)]

    def _answer(self, request: Request) -> Response:
        parts = urlsplit(request.target.removeprefix(ROOT))
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("EntityDefinitions"):
            return _ok(self._definition)
        if parts.path.startswith("RetrieveTotalRecordCount"):
            known = len(self.rows) if self.known is None else self.known
            return _ok({"EntityRecordCountCollection": {"Keys": ["account"], "Values": [known]}})
        if "$apply" in options:
            return _ok({"value": [{"rows_counted": self._count(options["$apply"])}]})
        return _ok(self._page(options, request))

    def _count(self, apply: str) -> int:
        found = re.fullmatch(r"(?:filter\((.*)\)/)?aggregate\(\$count as rows_counted\)", apply)
        assert found, apply
        count = len(self._found(found[1]))
        if count > self.cap:
            raise errors.AggregateLimit("Aggregate query limit exceeded", code="0x8004e023", status=400)
        return count

    def _page(self, options: dict[str, str], request: Request) -> dict[str, Any]:
        found = self._found(options.get("$filter"))
        if "$orderby" in options:
            name, _, way = options["$orderby"].partition(",")[0].partition(" ")
            found.sort(key=lambda row: row[name], reverse=way == "desc")
        if "$top" in options:
            return {"value": found[: int(options["$top"])]}
        size = re.search(r"maxpagesize=(\d+)", request.headers.get("Prefer", ""))
        limit = min(int(size[1]) if size else self.page, self.page)
        after = options.get("$skiptoken", "")
        ordered = "$orderby" in options  # then the place is a number, which only holds while nothing changes
        left = found[int(after or 0) :] if ordered else [row for row in found if row["accountid"] > after]
        page: dict[str, Any] = {"value": left[:limit]}
        if len(left) > limit:
            link = re.sub(r"[?&]\$skiptoken=.*", "", request.target).removeprefix(ROOT)
            joint = "&" if "?" in link else "?"
            place = int(after or 0) + limit if ordered else left[limit - 1]["accountid"]
            page["@odata.nextLink"] = f"{ROOT}{link}{joint}$skiptoken={place}"
        return page

    def _found(self, condition: str | None) -> list[dict[str, Any]]:
        rows = [self.rows[row_id] for row_id in sorted(self.rows)]
        return [row for row in rows if _holds(row, condition)] if condition else rows


def _is_question(target: str) -> bool:
    return any(mark in target for mark in ("$apply", "$top", "RetrieveTotal"))


def _holds(row: dict[str, Any], condition: str) -> bool:
    """Evaluate comparisons joined by and, or, and brackets."""

    def compared(found: re.Match[str]) -> str:
        return str(_compare(row.get(found[1]), found[2], found[3]))

    text = re.sub(r"(\w+) (ge|gt|lt|le|eq|ne) ('[^']*'|[^\s)]+)", compared, condition)
    assert re.fullmatch(r"(True|False|and|or|[() ])*", text), condition
    return bool(eval(text))  # noqa: S307  # nothing but True, False, and, or, brackets


def _compare(value: Any, operator: str, literal: str) -> bool:
    if literal == "null" or value is None:
        same = value is None and literal == "null"
        return same if operator == "eq" else not same if operator == "ne" and literal == "null" else False
    other: Any = literal if isinstance(value, str) else type(value)(literal)
    if isinstance(value, str):
        other = literal.strip("'")
    return bool(
        {
            "ge": value >= other,
            "gt": value > other,
            "lt": value < other,
            "le": value <= other,
            "eq": value == other,
            "ne": value != other,
        }[operator]
    )


def _ok(body: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
