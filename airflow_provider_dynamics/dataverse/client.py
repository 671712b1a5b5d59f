"""The door to one environment: everything this package can do, as methods of one object.

It holds what lives as long as the work does: connections, the token's use, table metadata, the pause the
service asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.bearer import BearerAuth
from airflow_provider_dynamics.auth.credentials import Credential
from airflow_provider_dynamics.auth.network import NO_PORT, Network, is_loopback, origin
from airflow_provider_dynamics.dataverse.administration.customizing import Schema
from airflow_provider_dynamics.dataverse.administration.jobs import Jobs
from airflow_provider_dynamics.dataverse.administration.solutions import Solutions
from airflow_provider_dynamics.dataverse.administration.webhooks import Webhooks
from airflow_provider_dynamics.dataverse.calling.operations import Operations
from airflow_provider_dynamics.dataverse.file_columns.files import Files
from airflow_provider_dynamics.dataverse.following import changes
from airflow_provider_dynamics.dataverse.following.feed import OVERLAP, Feed, Means
from airflow_provider_dynamics.dataverse.lanes import lanes as lane_reading
from airflow_provider_dynamics.dataverse.lanes.lanes import LaneRead
from airflow_provider_dynamics.dataverse.lanes.partitions import divided
from airflow_provider_dynamics.dataverse.lanes.windows import Window
from airflow_provider_dynamics.dataverse.loading.bulk import OPERATIONS, BulkWrite, Operation, ask_ahead, bulk
from airflow_provider_dynamics.dataverse.loading.tuning import MOST_AT_ONCE, UNHINTED, Pace
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import Page, decoded
from airflow_provider_dynamics.dataverse.protocol.servers import Server
from airflow_provider_dynamics.dataverse.queries.conditions import Condition
from airflow_provider_dynamics.dataverse.queries.query import Expand, Query, Source
from airflow_provider_dynamics.dataverse.reading import counts, sources
from airflow_provider_dynamics.dataverse.reading.finding import Values, find_rows
from airflow_provider_dynamics.dataverse.reading.results import ResultColumn
from airflow_provider_dynamics.dataverse.rows.associations import Associations
from airflow_provider_dynamics.dataverse.rows.payloads import Blank
from airflow_provider_dynamics.dataverse.rows.rows import RowKey, Rows
from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate
from airflow_provider_dynamics.dataverse.transport.transport import Transport
from airflow_provider_dynamics.dataverse.writing import Writing

__all__ = ["Client"]

T = TypeVar("T")

_ENOUGH = 8  # requests at a time unless the caller allows more: other tasks share the user's limits


class Client(Writing):
    """One environment, seen through the Web API. Safe to use from several threads; close it, or use it in a `with`.

    `timeout` is (connect, read) in seconds. `ca_bundle` is a PEM file that replaces the usual certificate
    authorities, the environment's REQUESTS_CA_BUNDLE included. `on_premises` says that a server of one's own
    answers, whose newest `api_version` is v9.1: what it lacks raises NotOnThisServer, and nothing is sent. `caller_object_id` is the Entra object id of a
    user to act for. `allow_metadata_changes` lets it change tables, columns, keys, choices and solutions; without,
    that raises MetadataChangesOff before anything is sent. `max_concurrency` is a ceiling for requests at a time. `on_token` is told each new token
    before it is used. Raises ValueError for an environment that is no URL.

    Every method raises DataverseError for what the service refuses and AuthenticationError when no token can
    be had.
    """

    def __init__(
        self,
        environment: str,
        credential: Credential,
        *,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        timeout: tuple[float, float] = (5, 120),
        api_version: str = "v9.2",
        on_premises: bool = False,
        caller_object_id: str | None = None,
        max_concurrency: int | None = None,
        allow_metadata_changes: bool = False,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        on_token: Callable[[str], None] | None = None,
    ) -> None:
        self.environment = _checked(environment)
        network = Network(ca_bundle=ca_bundle, proxy=proxy, timeout=timeout)
        gate = MetadataGate(allowed=allow_metadata_changes)
        self._max_concurrency = max_concurrency
        self._transport = Transport(
            self.environment,
            BearerAuth(credential, self.environment, network, on_token),
            server=Server(on_premises, api_version),
            gate=gate,
            network=network,
            caller_object_id=caller_object_id,
            client_id=getattr(credential, "client_id", None) or "",
            connections=4 + max(MOST_AT_ONCE, max_concurrency or 0),
            most_at_once=max_concurrency,
            retry=retry,
            clock=clock,
        )
        self._tables = Tables(self._transport, self._transport.server)
        self._rows = Rows(self._transport, self._tables, self._transport.clock)
        self._associations = Associations(self._transport, self._tables, self._transport.root)
        self._operations = Operations(self._transport, self._tables, self._rows.parameter, gate)
        self.files = Files(self._transport, self._tables, self._transport.stop, self._use)
        """File and image columns."""
        self.jobs = Jobs(
            *(self._transport, self._tables, self._operations, self.environment),
            clock=self._transport.clock,
            stop=self._transport.stop,
        )
        """System jobs and background operations."""
        self.solutions = Solutions(self._transport, gate, stop=self._transport.stop)
        """Solutions: exported, imported, upgraded, uninstalled, published."""
        self.schema = Schema(
            *(self._transport, self._tables, gate), clock=self._transport.clock, stop=self._transport.stop
        )
        """Definitions: tables, columns, keys and choices, and what changes them."""
        self.webhooks = Webhooks(self._transport, self._tables, self.environment, self._transport.stop)
        """Where changes are posted to."""
        self._used: set[tuple[str, str]] = set()
        self.on_use: Callable[[str, str], None] | None = None
        """Told "read" or "write" and a table's name when the table is first used so."""

    def __enter__(self) -> Client:  # noqa: PYI034  # typing.Self is newer than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and end what an iterator that nobody finished still reads in its threads."""
        self.cancel()
        self._transport.close()

    def cancel(self) -> None:
        """End every wait of this client at once, from any thread: what waits, and whatever is asked later, raises Interrupted."""
        self._transport.stop.set()

    @property
    def throttled_seconds(self) -> float:
        """How long the service has made this client wait so far."""
        return self._transport.governor.closed_for

    @property
    def requests_sent(self) -> int:
        """How many requests went out so far, repeated ones included, those for tokens not."""
        return self._transport.requests_sent

    def who_am_i(self) -> Row:
        """Return UserId, BusinessUnitId and OrganizationId: the cheapest proof that everything works."""
        request = Request("GET", "WhoAmI()")
        found: Row = decoded(self._transport.send(request), request)
        return found

    def privileges(self, user_id: str) -> frozenset[str]:
        """Return the names of all privileges that a user's roles and teams give ("prvReadAccount", …); raises Forbidden.

        Where an older version names none, their ids stand in.
        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveuserprivileges
        """
        target = f"systemusers({odata.guid(user_id)})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
        request = Request("GET", target)
        held = decoded(self._transport.send(request), request)["RolePrivileges"]
        return frozenset(one.get("PrivilegeName") or one["PrivilegeId"] for one in held)

    def _use(self, what: str, table: str) -> None:
        if self.on_use is not None and (what, table) not in self._used:
            self._used.add((what, table))
            self.on_use(what, table)

    def table(self, logical_name: str) -> Table:
        """Return a table with its columns and keys, asked for once; raises UnknownTable."""
        return self._tables.whole(logical_name)

    def table_for_writing(self, logical_name: str, columns: Iterable[str] | None = None) -> Table:
        """Return a table with what values are checked by: limits, places and options of `columns` (default: all), too."""
        return self._tables.for_writing(logical_name, columns)

    def pages(self, source: Source, *, after: str | None = None) -> Iterator[Page]:
        """Yield a source's rows page by page, fetching the next page while this one is used.

        `after` is the `position` of the last page that was used: reading goes on behind it. Raises
        UnknownColumn, AggregateLimit, BadFetchXml before anything is sent for a document that is not one.
        """
        self._use("read", source.table)
        yield from sources.read(
            *(self._transport, source, self._tables),
            stop=self._transport.stop,
            ahead=self._transport.retry.waits,
            after=after,
        )

    def rows(self, source: Source) -> Iterator[Row]:
        """Yield a source's rows one by one."""
        for page in self.pages(source):
            yield from page.rows

    @overload
    def lanes(
        self,
        source: Source,
        *,
        lanes: int | None = ...,
        window_column: str | None = ...,
        window: Window | None = ...,
        position: dict[str, Any] | None = ...,
        work: None = None,
    ) -> LaneRead[None]: ...

    @overload
    def lanes(
        self,
        source: Source,
        *,
        lanes: int | None = ...,
        window_column: str | None = ...,
        window: Window | None = ...,
        position: dict[str, Any] | None = ...,
        work: Callable[[Page], T],
    ) -> LaneRead[T]: ...

    def lanes(
        self,
        source: Source,
        *,
        lanes: int | None = None,
        window_column: str | None = None,
        window: Window | None = None,
        position: dict[str, Any] | None = None,
        work: Callable[[Page], Any] | None = None,
    ) -> LaneRead[Any]:
        """Return a reading of a source over several lanes at a time: `with client.lanes(query) as read: for item in read`.

        Each item is a LanePage: the page, what `work(page)` made of it in another thread, and its window.
        How many lanes there are is what the service recommends and `max_concurrency` allows, at most `lanes`;
        there is one, in the source's order, where `lanes` is 1 and for FetchXML, views, `apply`, `top` and
        `order_by`. Windows are ranges of `window_column`, a date or number that does not change, createdon
        unless another is named; `window` restricts the reading to one. `position` is an earlier reading's.

        A row that exists throughout and whose window column does not change is read exactly once. Raises
        ValueError for what does not go together and for a position of another query, UnknownColumn.
        """
        lane_reading.check(source, lanes, window_column, window)
        self._use("read", source.table)
        if isinstance(source, Query) and lanes != 1:
            self._tables.outline(source.table)  # whose answer brings the service's recommendation
        return LaneRead(
            *(self._transport, self._tables, source),
            lanes=self._width(lanes),
            automatic=lanes is None,
            window_column=window_column,
            window=window,
            position=position,
            work=work,
            stop=self._transport.stop,
            ahead=self._transport.retry.waits,
        )

    def filter_text(self, table: str, filter: str | Condition | None) -> str | None:
        """Return a condition as OData's text, its values spelled as the table's columns want them; text stays as it is.

        Raises UnknownColumn, BadRequest for a value that its column cannot hold.
        """
        if not isinstance(filter, Condition):
            return filter or None
        return filter.render(self._tables.outline(table), self._tables)

    def windows(self, query: Query, pieces: int, *, column: str | None = None) -> tuple[Window, ...]:
        """Return at most so many windows that hold about as many of a query's rows each, for readers apart from each other.

        Together they hold every row that exists now; one created later belongs to none. A table that cannot
        be divided is one window. Raises ValueError for a query with `top` or `apply` and for a column whose
        values cannot be compared, UnknownColumn.
        """
        return divided(
            *(self._transport, self._tables, query, pieces),
            column=column,
            lanes=self._width(None),
            stop=self._transport.stop,
        )

    def columns(self, source: Source) -> tuple[ResultColumn, ...]:
        """Return what a source's rows consist of, from metadata and the source's text, without reading a row; raises UnknownColumn."""
        return sources.columns(self._transport, source, self._tables)

    def record_counts(self, tables: Iterable[str]) -> dict[str, int]:
        """Return how many rows tables have, as the service counted up to 24 hours ago; raises UnknownTable."""
        return counts.record_counts(self._transport, self._tables, tables)

    def count(self, query: Query) -> int:
        """Return how many rows a query has now, exactly; more than 50,000 raise AggregateLimit, which says what to do."""
        with sources.nearest_named(self._tables):
            return counts.exact(self._transport, self._tables, query, self._transport.stop)

    def get(
        self,
        table: str,
        row_id_or_key: RowKey,
        select: Iterable[str] = (),
        *,
        expand: str | Sequence[Expand] | None = None,
        annotations: bool = False,
    ) -> Row:
        """Return one row, by its id or by a dict of an alternate key's columns; raises RowNotFound, UnknownColumn."""
        self._use("read", table)
        with sources.nearest_named(self._tables):
            return self._rows.get(
                *(self._tables.outline(table), row_id_or_key, select),
                expand=expand,
                annotations=annotations,
                stop=self._transport.stop,
            )

    def entity_set(self, table: str) -> str:
        """Return a table's name in URLs; raises UnknownTable."""
        return self._tables.entity_set(table)

    def find(
        self,
        table: str,
        key: Sequence[str],
        values: Iterable[Values],
        select: Sequence[str] = (),
        *,
        annotations: str | None = None,
    ) -> dict[Values, list[Row]]:
        """Return for each tuple of values the rows whose columns `key` hold them, [] for none; see `find_rows`."""
        self._use("read", table)
        return find_rows(
            *(self._transport, self._tables, self._tables.outline(table), key, values, select),
            stop=self._transport.stop,
            at_once=self._width(None),
            annotations=annotations,
        )

    def changes(
        self,
        table: str,
        select: Iterable[str] = (),
        since: str | None = None,
        page_size: int | None = None,
        *,
        labels: bool = False,
    ) -> Iterator[Page]:
        """Yield what changed since a delta link, or every row without one; the last page's `delta_link` is for the next time.

        Rows are given in their latest state, new and changed ones alike. `select` belongs to the link once
        there is one. Raises ChangeTrackingOff, DeltaLinkExpired (then read in full again), ForeignLink.
        """
        self._use("read", table)
        first = (
            changes.since_request(since, page_size, labels=labels)
            if since
            else changes.first_request(self._tables.outline(table), select, page_size, labels=labels)
        )
        yield from changes.follow(
            self._transport, first, stop=self._transport.stop, ahead=self._transport.retry.waits
        )

    def feed(
        self,
        table: str,
        select: Iterable[str] = (),
        since: str | None = None,
        *,
        mode: Means = "auto",
        detect_deletes: bool = True,
        overlap: float = OVERLAP,
        page_size: int | None = None,
        labels: bool = False,
        filter: str | Condition | None = None,
    ) -> Feed:
        """Return what changed in a table since a place that an earlier feed gave, or every row; see `Feed`.

        `mode` "auto" reads delta links where the table tracks changes and a window of version numbers (or
        modification times) elsewhere, "delta" and "window" insist. In a window, deletions are found by
        listing the ids of all rows unless `detect_deletes` is off, and what was written up to `overlap`
        seconds before the last reading is read again, because a transaction that was under way then may have
        ended since. `filter` is OData's text or a condition, and for windows only. Raises ValueError, ChangeTrackingOff,
        UnknownColumn, BadRequest for a filter where the table tracks changes.
        """
        self._use("read", table)
        return Feed(
            *(self, self._tables.outline(table), select, since),
            mode=mode,
            detect_deletes=detect_deletes,
            overlap=overlap,
            page_size=page_size,
            labels=labels,
            filter=self.filter_text(table, filter),
            now=self._transport.clock.now,
        )

    def bulk(
        self,
        table: str,
        rows: Iterable[Row | str],
        operation: Operation = "upsert",
        key: Sequence[str] | None = None,
        *,
        chunk_size: int | None = None,
        concurrency: int | None = None,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
        derived_ids: bool = False,
    ) -> BulkWrite:
        """Write many rows; yield the outcome of each, in their order, as they are done.

        `key` names an alternate key's columns; without it rows are known by their id. For "delete" a row may
        be its id. How many rows a request takes, and how many requests are under way, is found out meanwhile;
        `chunk_size` and `concurrency` are ceilings. `blank` "skip" leaves out empty values instead of clearing
        their columns. `derived_ids` says that ids of rows to create are made from the rows, so that a row
        which is there already is success. A row that is refused is an outcome with its error; what is not the
        row's fault is raised. Close it to end it early: `late` then tells of what was on its way. Raises
        UnknownColumn, UnknownKey before anything is written.
        """
        if operation not in OPERATIONS:
            raise ValueError(f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}")
        self._use("write", table)
        sender = self._transport
        return bulk(
            *(sender, self._tables, table, rows, operation),
            now=sender.clock.now,
            stop=sender.stop.child(),
            key=[key] if isinstance(key, str) else key,
            chunk_size=chunk_size,
            concurrency=min(filter(None, (concurrency, self._max_concurrency)), default=None),
            pace=Pace(
                lambda: sender.parallelism_hint,
                lambda: sender.quickest,
                lambda: sender.governor.most_at_once,
            ),
            options=options,
            blank=blank,
            derived_ids=derived_ids,
        )

    def ask_ahead(self, table: str, operation: Operation = "upsert") -> None:
        """Ask in the background for what `bulk` and `table_for_writing` begin with: call it while rows are being found."""
        threading.Thread(
            target=ask_ahead, args=(self._tables, table, operation), name="dynamics-ahead", daemon=True
        ).start()

    def _width(self, concurrency: int | None) -> int:
        """Return how many requests to have under way: what the service recommends, within what the caller allows.

        https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests
        """
        allowed = concurrency or self._max_concurrency or _ENOUGH
        return max(
            1, min(self._transport.parallelism_hint or UNHINTED, allowed, self._max_concurrency or allowed)
        )


def _checked(environment: str) -> str:
    """Return the environment's URL without a slash at the end; a path is an on-premises organization's."""
    parts = urlsplit(environment.strip())
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"{environment!r} is not an environment's URL; it looks like https://contoso.crm.dynamics.com"
        )
    if parts.username or parts.password:
        raise ValueError("The environment's URL must not hold a user name or password")
    if origin(environment.strip())[2] == NO_PORT:
        raise ValueError(
            f"{environment!r} is not an environment's URL: programs differ in which host it names"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"http://{parts.hostname} would show the access token to everyone on the way; use https://"
        )
    return environment.strip().rstrip("/")
