"""The rest of expanded collections: followed to its end before a page is handed out.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/join-tables
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.pages import Page, walk
from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["completed", "whole"]

_LINK = "@odata.nextLink"


def completed(transport: Sender, pages: Iterator[Page], first: Request, *, stop: Stop) -> Iterator[Page]:
    """Yield the pages with every collection whole and without links of its own.

    Where nothing is nested a collection comes whole as long as it has fewer than 5,000 rows, and its link
    only reads it once more; where expands are nested, pages cut collections too and the link leads on.
    """
    work = _Work(transport, first, stop)
    for page in pages:
        fetched = work.fetched
        for row in page.rows:
            work.complete(row)
        yield page.holding(page.rows, page.deleted, body=page.body if work.fetched == fetched else b"")


def whole(transport: Sender, row: Row, request: Request, *, stop: Stop) -> Row:
    """Return a row that `request` brought with every collection whole."""
    _Work(transport, request, stop).complete(row)
    return row


class _Work:
    def __init__(self, transport: Sender, first: Request, stop: Stop) -> None:
        self._transport = transport
        self._first = first
        self._stop = stop
        self.fetched = 0

    def complete(self, row: Row) -> None:
        for member in list(row):
            value = row[member]
            if member.endswith(_LINK):
                self._finish(row, member.removesuffix(_LINK), row.pop(member))
            elif isinstance(value, dict):
                self.complete(value)
        for value in row.values():
            if isinstance(value, list):
                self._complete_all(value)

    def _complete_all(self, rows: list[Any]) -> None:
        for one in rows:
            if isinstance(one, dict):
                self.complete(one)

    def _finish(self, row: Row, member: str, link: str) -> None:
        """Put what lies behind a collection's link into the row."""
        known = row.get(member) or []
        if _has(link, "skiptoken"):
            row[member] = [*known, *self._rows(link)]
        elif len(known) >= LARGEST_PAGE and not _has(link, "top"):
            row[member] = self._rows(link)

    def _rows(self, link: str) -> list[Row]:
        self.fetched += 1
        pages = walk(self._transport, replace(self._first, target=link), stop=self._stop, ahead=False)
        return [row for page in pages for row in page.rows]


def _has(link: str, option: str) -> bool:
    return re.search(rf"[?&](\$|%24){option}=", link) is not None
