"""Reads answers that come in pages: follows the service's links as they are and fetches one page ahead.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.answers import request_id
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response, Sender
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Deleted", "Next", "Page", "decoded", "walk"]

_LOOK_UP = 0.2  # seconds between looks at whether the walk was cancelled while a page is on its way
_PATIENCE = 2.0  # seconds an abandoned page may still take before its thread is left to itself


@dataclass(frozen=True, slots=True)
class Deleted:
    """A row that is gone, among the changes of a table; `reason` is "deleted", or "changed" when it left the selection."""

    row_id: str
    reason: str


class Page:
    """Rows as the service sent them, and how to go on: `next_link` to the next page, `delta_link` to later changes.

    Rows are decoded when they are first asked for, so that the next page is on its way meanwhile. `body` is
    the whole answer, in UTF-8 JSON, as long as its `value` holds exactly the page's rows, and the deletions
    among them where there are `deleted` ones, and empty otherwise: what wants columns and not rows reads it. `position` is where to go on behind this page, for
    `Client.pages(source, after=…)`; None on the last one.
    """

    __slots__ = (
        *("_rows", "body", "count", "deleted", "delta_link", "next_link", "position"),
        *("more_rows", "paging_cookie"),
    )

    def __init__(
        self,
        rows: list[odata.Row] | Callable[[], list[odata.Row]],
        next_link: str | None = None,
        delta_link: str | None = None,
        count: int | None = None,
        deleted: Sequence[Deleted] = (),
        *,
        body: bytes = b"",
        position: str | None = None,
    ) -> None:
        self._rows = rows
        self.next_link = next_link
        self.position = position or next_link
        self.delta_link = delta_link
        self.count = count
        self.deleted = list(deleted)
        self.body = body
        self.more_rows = False  # what a FetchXML document's page says of the next one
        self.paging_cookie: str | None = None

    def __repr__(self) -> str:
        return f"Page(next_link={self.next_link!r}, delta_link={self.delta_link!r}, count={self.count!r})"

    @property
    def rows(self) -> list[odata.Row]:
        """The rows; raises BadResponse where the answer holds something else."""
        if callable(self._rows):
            self._rows = self._rows()
        return self._rows

    def holding(
        self,
        rows: list[odata.Row] | Callable[[], list[odata.Row]],
        deleted: Sequence[Deleted] = (),
        *,
        body: bytes = b"",
    ) -> Page:
        """Return the page with these rows in place of its own; `body` only where it still says the same."""
        return Page(
            *(rows, self.next_link, self.delta_link, self.count, deleted),
            body=body,
            position=self.position,
        )


class _Wire(msgspec.Struct):
    """A page but for its rows, which are checked to be JSON and left as they are."""

    value: msgspec.Raw
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    delta_link: str | None = msgspec.field(default=None, name="@odata.deltaLink")
    count: int | None = msgspec.field(default=None, name="@odata.count")
    more: bool = msgspec.field(default=False, name="@Microsoft.Dynamics.CRM.morerecords")
    cookie: str | None = msgspec.field(default=None, name="@Microsoft.Dynamics.CRM.fetchxmlpagingcookie")


class _WireRows(msgspec.Struct):
    value: list[dict[str, Any]]


_page_decoder = msgspec.json.Decoder(_Wire)
_rows_decoder = msgspec.json.Decoder(_WireRows, float_hook=Decimal)


def decoded(response: Response, request: Request) -> Any:
    """Return an answer's JSON; raises BadResponse."""
    try:
        return odata.decode(response.body)
    except msgspec.DecodeError as error:
        raise _unreadable(response, request) from error


@dataclass(frozen=True, slots=True)
class Next:
    """How the next page is asked for; no two pages of one walk have the same `mark`."""

    request: Request
    mark: str


def walk(
    transport: Sender,
    first: Request,
    *,
    stop: Stop,
    ahead: bool = True,
    onward: Callable[[Page], Next | None] | None = None,
) -> Generator[Page, None, None]:
    """Yield page after page until one has no next link; with `ahead` the next is fetched while the caller uses this one.

    Nothing but the absence of a link ends the walk: a short page does not. Every page is asked for with the
    same headers. `onward` is for what goes on by other means than links.
    """
    seen: set[str] = set()
    coming: _Coming | None = None
    stop = stop.child()
    onward = onward or partial(_by_link, first)
    reply = transport.send(first, stop)
    try:
        while True:
            page = _page(reply, first)
            following = onward(page)
            if following is None:
                yield page
                return
            if following.mark in seen:
                raise errors.BadResponse(
                    "The service sent the same next link twice", asked=first.asked, retryable=False
                )
            seen.add(following.mark)
            if ahead:
                coming = _Coming(transport, following.request, stop)
            yield page
            reply = coming.reply() if coming else transport.send(following.request, stop)
    finally:
        stop.set()
        if coming is not None:
            coming.finish()


def _by_link(first: Request, page: Page) -> Next | None:
    if page.next_link is None:
        return None
    return Next(replace(first, target=page.next_link), page.next_link)


class _Coming:
    """The next page on its way, in a thread of its own."""

    def __init__(self, transport: Sender, request: Request, stop: Stop) -> None:
        self.request = request
        self._transport = transport
        self._stop = stop
        self._outcome: Response | BaseException | None = None
        self._thread = threading.Thread(target=self._fetch, name="dynamics-next-page", daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        try:
            self._outcome = self._transport.send(self.request, self._stop)
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that asked
            self._outcome = error

    def reply(self) -> Response:
        """Return the answer as soon as it is there; raises what went wrong, Interrupted when the walk was cancelled."""
        while self._outcome is None:
            self._thread.join(_LOOK_UP)
            if self._outcome is None:
                self._stop.check()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def finish(self) -> None:
        """Let the thread end, whose result nobody wants any more; only an answer still on its way can keep it."""
        self._thread.join(_PATIENCE)


def _page(reply: Response, request: Request) -> Page:
    try:
        wire = _page_decoder.decode(reply.body)
    except msgspec.DecodeError as error:
        raise _unreadable(reply, request) from error
    if memoryview(wire.value)[:1].tobytes() != b"[":
        raise _unreadable(reply, request)
    rows = partial(_decoded_rows, reply, request)
    page = Page(rows, wire.next_link, wire.delta_link, wire.count, body=reply.body)
    page.more_rows, page.paging_cookie = wire.more, wire.cookie
    return page


def _decoded_rows(reply: Response, request: Request) -> list[odata.Row]:
    try:
        return _rows_decoder.decode(reply.body).value
    except msgspec.DecodeError as error:
        raise _unreadable(reply, request) from error


def _unreadable(response: Response, request: Request) -> errors.BadResponse:
    return errors.BadResponse(
        "The answer is not what the Web API sends",
        asked=request.asked,
        status=response.status,
        request_id=request_id(response.headers),
    )
