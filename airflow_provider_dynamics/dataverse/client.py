"""The door to one environment: everything this package can do, as methods of one object.

It holds what lives as long as the work does: connections, the token's use, table metadata, the pause the
service asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.bearer import BearerAuth
from airflow_provider_dynamics.auth.credentials import Credential
from airflow_provider_dynamics.auth.network import Network, is_loopback
from airflow_provider_dynamics.dataverse import changes, odata, reading
from airflow_provider_dynamics.dataverse.bulk import OPERATIONS, Bulk, Operation, RowOutcome
from airflow_provider_dynamics.dataverse.odata import Row
from airflow_provider_dynamics.dataverse.pages import Page, decoded
from airflow_provider_dynamics.dataverse.query import Query
from airflow_provider_dynamics.dataverse.rows import RowKey, Rows, Upserted
from airflow_provider_dynamics.dataverse.tables import Table, Tables
from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy
from airflow_provider_dynamics.dataverse.transport import Request, Transport

__all__ = ["Client"]

_UNHINTED = 4  # requests at a time where the service did not recommend a number
_ENOUGH = 8  # requests at a time unless the caller allows more: other tasks share the user's limits


class Client:
    """One environment, seen through the Web API. Safe to use from several threads; close it, or use it in a `with`.

    `timeout` is (connect, read) in seconds. `ca_bundle` is a PEM file that replaces the usual certificate
    authorities, the environment's REQUESTS_CA_BUNDLE included. `caller_object_id` is the Entra object id of a
    user to act for. `max_concurrency` is a ceiling for requests at a time. `on_token` is told each new token
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
        caller_object_id: str | None = None,
        max_concurrency: int | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        on_token: Callable[[str], None] | None = None,
    ) -> None:
        self.environment = _checked(environment)
        network = Network(ca_bundle=ca_bundle, proxy=proxy, timeout=timeout)
        self._max_concurrency = max_concurrency
        self._transport = Transport(
            self.environment,
            BearerAuth(credential, self.environment, network, on_token),
            api_version=api_version,
            network=network,
            caller_object_id=caller_object_id,
            client_id=getattr(credential, "client_id", None) or "",
            connections=2 + max(_ENOUGH, max_concurrency or 0),
            retry=retry,
            clock=clock,
        )
        self._tables = Tables(self._transport)
        self._rows = Rows(self._transport, self._tables, self._transport.clock)

    def __enter__(self) -> Client:  # noqa: PYI034  # typing.Self is newer than Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def cancel(self) -> None:
        """End every wait of this client at once, from any thread: what waits, and whatever is asked later, raises Interrupted."""
        self._transport.stop.set()

    @property
    def throttled_seconds(self) -> float:
        """How long the service has made this client wait so far."""
        return self._transport.gate.closed_for

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

    def table(self, logical_name: str) -> Table:
        """Return a table with its columns and keys, asked for once; raises UnknownTable."""
        return self._tables.whole(logical_name)

    def pages(self, query: Query) -> Iterator[Page]:
        """Yield a query's rows page by page, fetching the next page while this one is used; raises UnknownColumn."""
        table = self._tables.outline(query.table)
        yield from reading.read(
            self._transport, query, table, stop=self._transport.stop, ahead=self._transport.retry.waits
        )

    def rows(self, query: Query) -> Iterator[Row]:
        """Yield a query's rows one by one."""
        for page in self.pages(query):
            yield from page.rows

    def get(
        self,
        table: str,
        row_id_or_key: RowKey,
        select: Iterable[str] = (),
        *,
        expand: str | None = None,
        annotations: bool = False,
    ) -> Row:
        """Return one row, by its id or by a dict of an alternate key's columns; raises RowNotFound."""
        return self._rows.get(
            self._tables.outline(table), row_id_or_key, select, expand=expand, annotations=annotations
        )

    def create(self, table: str, row: Row) -> str:
        """Create a row and return its id; raises DuplicateKey."""
        return self._rows.create(self._tables.outline(table), row)

    def update(self, table: str, row_id_or_key: RowKey, row: Row, *, if_match: str | None = None) -> None:
        """Change columns of a row that exists, with `if_match` only while its etag is this one; raises RowNotFound, ConcurrencyMismatch."""
        self._rows.update(self._tables.outline(table), row_id_or_key, row, if_match=if_match)

    def upsert(self, table: str, row_id_or_key: RowKey, row: Row) -> Upserted:
        """Change a row, or create it where there is none."""
        return self._rows.upsert(self._tables.outline(table), row_id_or_key, row)

    def delete(self, table: str, row_id_or_key: RowKey) -> None:
        """Delete a row; raises RowNotFound."""
        self._rows.delete(self._tables.outline(table), row_id_or_key)

    def changes(
        self,
        table: str,
        select: Iterable[str] = (),
        since: str | None = None,
        page_size: int | None = None,
    ) -> Iterator[Page]:
        """Yield what changed since a delta link, or every row without one; the last page's `delta_link` is for the next time.

        Rows are given in their latest state, new and changed ones alike. `select` belongs to the link once
        there is one. Raises ChangeTrackingOff, DeltaLinkExpired (then read in full again), ForeignLink.
        """
        first = (
            changes.since_request(since, page_size)
            if since
            else changes.first_request(self._tables.outline(table), select, page_size)
        )
        yield from changes.follow(
            self._transport, first, stop=self._transport.stop, ahead=self._transport.retry.waits
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
    ) -> Iterator[RowOutcome]:
        """Write many rows; yield the outcome of each, in their order, as they are done.

        `key` names an alternate key's columns; without it rows are known by their id. For "delete" a row may
        be its id. `chunk_size` and `concurrency` are ceilings. A row that is refused is an outcome with its
        error; what is not the row's fault is raised. Raises UnknownColumn, UnknownKey before anything is
        written.
        """
        if operation not in OPERATIONS:
            raise ValueError(f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}")
        work = Bulk(
            self._transport,
            self._tables,
            self._rows,
            self._tables.outline(table),
            operation,
            key=[key] if isinstance(key, str) else key,
            chunk_size=chunk_size,
            width=self._width(concurrency),
            stop=self._transport.stop.child(),
        )
        return work.run(rows)

    def _width(self, concurrency: int | None) -> int:
        """Return how many requests to have under way: what the service recommends, within what the caller allows.

        https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests
        """
        allowed = concurrency or self._max_concurrency or _ENOUGH
        return max(
            1, min(self._transport.parallelism_hint or _UNHINTED, allowed, self._max_concurrency or allowed)
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
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"http://{parts.hostname} would show the access token to everyone on the way; use https://"
        )
    return environment.strip().rstrip("/")
