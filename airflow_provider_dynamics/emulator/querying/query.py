"""Reading tables: pages of a collection, counts, single rows, properties and references.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview and
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-entity-using-web-api
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import msgspec
import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import JSON_TYPE, MAX_PAGE, Call, no_content, plain, reply
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.options import (
    Expand,
    check_options,
    parse_expand,
    parse_select,
    parse_top,
)
from airflow_provider_dynamics.emulator.querying.expand import Expander, Style
from airflow_provider_dynamics.emulator.querying.filters import Asked, compile_filter
from airflow_provider_dynamics.emulator.querying.hints import planned
from airflow_provider_dynamics.emulator.querying.orders import order_of
from airflow_provider_dynamics.emulator.querying.paging import Sorted, after, read_token, write_token
from airflow_provider_dynamics.emulator.querying.projection import Projection
from airflow_provider_dynamics.emulator.render import etag
from airflow_provider_dynamics.emulator.schema import TABLES, Navigation, Table, navigation_of
from airflow_provider_dynamics.emulator.storage import JSON_COLUMN, PAIRS, SQL
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults

METADATA_VERSION = "74534563"
_GLOBAL_VERSION = "Microsoft.Dynamics.CRM.globalmetadataversion"


@dataclass(frozen=True)
class Cut:
    """Which rows of a table, in which order, and at most how many of them."""

    table: Table
    order: Sequence[Sorted]
    conditions: Sequence[Any]
    limit: int


@dataclass(frozen=True)
class Source:
    """A set of rows to read from: a table, and the condition a navigation property puts on it."""

    table: Table
    condition: Any = None


def whole_table(table: Table) -> Source:
    """All rows of a table."""
    return Source(table)


def one_partition(table: Table, partition: str) -> Source:
    """The rows of one partition of an elastic table."""
    return Source(table, SQL[table.name].c.partitionid == partition)


def related(table: Table, row_id: str, navigation: Navigation) -> Source:
    """The rows of a collection-valued navigation property of one row."""
    other = TABLES[navigation.table or ""]
    sql, column = SQL[other.name], navigation.column
    if navigation.through:
        pairs = PAIRS[navigation.through.name]
        ids = sa.select(pairs.c[other.primary_id]).where(pairs.c[table.primary_id] == row_id)
        return Source(other, sql.c[other.primary_id].in_(ids))
    condition = sql.c[column.name] == row_id
    if column.is_polymorphic:
        condition &= sql.c[column.type_column] == table.name
    return Source(other, condition)


def context_of(call: Call, path: str, expands: Sequence[Expand]) -> str:
    """The fragment of ``@odata.context``: the set and, in brackets, what was selected and expanded."""
    selected = [part.strip() for part in call.options.get("$select", "").split(",") if part.strip()]
    for item in expands:
        if item.ref and selected and item.navigation.name not in selected:
            selected.append(item.navigation.name)
    selected += [item.context for item in expands]
    return f"{path}({','.join(selected)})" if selected else path


class Reader:
    """Answers GET on rows. Stateless but for the store and the fault switches."""

    def __init__(self, store: Store, faults: DataFaults) -> None:
        self._store = store
        self._faults = faults

    # -- collections --------------------------------------------------------------------------------

    def collection(self, call: Call, source: Source) -> Response:
        """One page of rows."""
        check_options(call.options)
        table = source.table
        select = parse_select(table, call.options.get("$select"))
        expands = parse_expand(table, call.options.get("$expand"), TABLES)
        order: Sequence[Sorted] = order_of(call, table)
        text = call.options.get("$skiptoken")
        token = read_token(text, order) if text is not None else None
        size, links = self._page_size(call)
        base = self._conditions(call, source)
        order, found = planned(self._store, table, order, base)
        conditions = [*found, after(order, token.last)] if token else found
        cut = Cut(table, order, conditions, size + 1)
        if select is None and not expands and not call.prefer.annotations:
            rows, keys = finished_rows(self._store, cut)
        else:
            rows, keys = self._composed(call, cut, select, expands)
        envelope = self._envelope(call, source, expands, base)
        if links and len(rows) > size:
            page = token.page + 1 if token else 2
            last = keys[size - 1]
            envelope["@odata.nextLink"] = next_link(call, write_token(page, order, keys[0], last))
        return reply(200, page_body(envelope, rows[:size]), *call.applied())

    def _page_size(self, call: Call) -> tuple[int, bool]:
        top = parse_top(call.options.get("$top"))
        size = call.prefer.page_size
        links = size is not None or top is None
        size = size or (MAX_PAGE if top is None else min(top, MAX_PAGE))
        short = self._faults.page_size_limit
        return (min(size, short), links) if short and links else (size, links)

    def _conditions(self, call: Call, source: Source) -> list[Any]:
        found = [] if source.condition is None else [source.condition]
        if text := call.options.get("$filter"):
            found.append(compile_filter(text, source.table, Asked(call.now, call.caller, call.aliases)))
        return found

    def _composed(
        self, call: Call, cut: Cut, select: Any, expands: Any
    ) -> tuple[list[bytes], list[tuple[Any, ...]]]:
        for item in expands:
            if item.ref and select is not None and item.navigation.column not in select:
                select = (*select, item.navigation.column)
        projection = Projection(cut.table, select, call.prefer)
        places = [projection.hide(item.kept) for item in cut.order]
        nested = any(item.expand for item in expands)
        expander = Expander(self._store, call, projection, expands, Style(nested=nested, single_etags=False))
        fetched = self._store.fetch(_select(projection.statement_columns(), cut))
        keys = [tuple(projection.hidden(row, place) for place in places) for row in fetched]
        rows = projection.rows(self._store, fetched)
        expander.apply(rows, fetched)
        return [_encode(row) for row in rows], keys

    def _envelope(
        self, call: Call, source: Source, expands: Sequence[Expand], base: list[Any]
    ) -> dict[str, Any]:
        envelope: dict[str, Any] = {
            "@odata.context": call.context(context_of(call, source.table.set_name, expands))
        }
        total = -1
        exceeded = False
        if call.options.get("$count", "false").lower() == "true":
            total = self._count(source.table, base)
            exceeded = total > MAX_PAGE
            total = min(total, MAX_PAGE)
            envelope["@odata.count"] = total
        for name, value in (("totalrecordcount", total), ("totalrecordcountlimitexceeded", exceeded)):
            if call.prefer.wants(f"Microsoft.Dynamics.CRM.{name}"):
                envelope[f"@Microsoft.Dynamics.CRM.{name}"] = value
        # Microsoft's samples show this one where everything is asked for, not for "Microsoft.Dynamics.CRM.*".
        if {"*", _GLOBAL_VERSION} & set(call.prefer.annotations):
            envelope[f"@{_GLOBAL_VERSION}"] = METADATA_VERSION
        return envelope

    def _count(self, table: Table, conditions: list[Any]) -> int:
        some = sa.select(sa.literal(1).label("one")).select_from(SQL[table.name]).where(*conditions)
        found = self._store.one(sa.select(sa.func.count()).select_from(some.limit(MAX_PAGE + 1).subquery()))
        return found[0] if found else 0

    def count(self, call: Call, source: Source) -> Response:
        """``/$count``: text, at most 5,000, with a byte order mark."""
        check_options(call.options)
        return plain(str(min(self._count(source.table, self._conditions(call, source)), MAX_PAGE)))

    def references(self, call: Call, source: Source) -> Response:
        """``/{collection}/$ref``."""
        sql = SQL[source.table.name]
        key = sql.c[source.table.primary_id]
        found = self._store.fetch(
            sa.select(key).where(*self._conditions(call, source)).order_by(key).limit(MAX_PAGE)
        )
        links = [{"@odata.id": f"{call.root}/{source.table.set_name}({row_id})"} for (row_id,) in found]
        return reply(200, {"@odata.context": call.context("Collection($ref)"), "value": links})

    # -- one row ------------------------------------------------------------------------------------

    def row(
        self, call: Call, table: Table, row_id: str, status: int = 200, *, expand: bool = True
    ) -> Response:
        """One row, with ``$select`` and ``$expand``; 304 where an etag says the caller has it already."""
        check_options(call.options)
        select = parse_select(table, call.options.get("$select"))
        expands = parse_expand(table, call.options.get("$expand"), TABLES) if expand else ()
        projection = Projection(table, select, call.prefer)
        style = Style(nested=any(item.expand for item in expands), single_etags=True)
        expander = Expander(self._store, call, projection, expands, style)
        sql = SQL[table.name]
        version = projection.hide(sql.c.versionnumber)
        fetched = self._store.fetch(
            sa.select(*projection.statement_columns()).where(sql.c[table.identity] == row_id)
        )
        if not fetched:
            raise missing_row(table, row_id)
        tag = etag(projection.hidden(fetched[0], version))
        if status == 200 and call.method == "GET" and self._unchanged(call, table, tag, expands):
            return Response(304, (("Content-Type", JSON_TYPE), ("OData-Version", "4.0"), ("ETag", tag)), b"")
        rows = projection.rows(self._store, fetched)
        expander.apply(rows, fetched)
        body = {
            "@odata.context": call.context(f"{context_of(call, table.set_name, expands)}/$entity"),
            **rows[0],
        }
        return reply(status, body, ("ETag", tag), *call.applied())

    def _unchanged(self, call: Call, table: Table, tag: str, expands: Sequence[Expand]) -> bool:
        # https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api
        if not table.optimistic_concurrency or expands or call.prefer.annotations:
            return False
        return call.headers.get("if-none-match", "").strip() == tag

    def value(self, call: Call, table: Table, row_id: str, wire: str, *, raw: bool) -> Response:
        """One property, or with ``/$value`` its bare text; 204 when there is none."""
        projection = Projection(table, (table.by_wire[wire],), call.prefer)
        sql = SQL[table.name]
        fetched = self._store.fetch(
            sa.select(*projection.statement_columns()).where(sql.c[table.identity] == row_id)
        )
        if not fetched:
            raise missing_row(table, row_id)
        value = projection.rows(self._store, fetched)[0][wire]
        if value is None:
            return no_content()
        if raw:
            text = value if isinstance(value, str) else _encode(value).decode()
            return plain_value(text)
        return reply(
            200, {"@odata.context": call.context(f"{table.set_name}({row_id})/{wire}"), "value": value}
        )

    def pointer(self, table: Table, row_id: str, navigation: Navigation) -> tuple[Table, str] | None:
        """The row a single-valued navigation property leads to; None when it is empty."""
        stored = self._store.row(table, row_id)
        if stored is None:
            raise missing_row(table, row_id)
        column = navigation.column
        kind = stored[column.type_column] if column.is_polymorphic else column.targets[0].table
        key = stored[column.name]
        if key is None or navigation.table not in {None, kind}:
            return None
        return TABLES[kind], key

    def dump(self, table: Table) -> list[dict[str, Any]]:
        """Every row as decoded JSON, in the order of the primary key."""
        sql = SQL[table.name]
        fetched = self._store.fetch(sa.select(sql.c[JSON_COLUMN]).order_by(sql.c[table.primary_id]))
        return [msgspec.json.decode(row) for (row,) in fetched]

    def follow(self, table: Table, name: str) -> Navigation:
        """A navigation property by its exact name; 404 in the service's words when there is none."""
        found = navigation_of(table, name)
        if found is None:
            raise no_segment(name)
        return found


def no_segment(name: str) -> Fault:
    """A path that leads nowhere."""
    return Fault(404, "0x8006088a", f"Resource not found for the segment '{name}'.")


def missing_row(table: Table, row_id: str) -> Fault:
    """404: there is no such row."""
    return Fault(404, "0x80040217", f"{table.name} With Id = {row_id} Does Not Exist")


def plain_value(text: str) -> Response:
    """A property's bare text."""
    return Response(200, (("Content-Type", "text/plain"), ("OData-Version", "4.0")), text.encode())


def next_link(call: Call, token: str) -> str:
    """The request's own URL with another skip token; all but ``$count`` stays as it was received.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/count-rows shows it without.
    """
    kept = [
        f"{name}={value}"
        for name, value in call.raw_options
        if unquote_plus(name) not in {"$skiptoken", "$count"}
    ]
    return f"{call.root}/{call.resource}?{'&'.join([*kept, f'$skiptoken={token}'])}"


_encode = msgspec.json.encode


def _select(columns: Sequence[Any], cut: Cut) -> Any:
    statement = sa.select(*columns).where(*cut.conditions)
    for item in cut.order:
        statement = statement.order_by(item.value.desc() if item.descending else item.value.asc())
    return statement.limit(cut.limit)


def finished_rows(store: Store, cut: Cut) -> tuple[list[bytes], list[tuple[Any, ...]]]:
    """Whole rows as the JSON kept beside them, and their sort keys: the way a full page is cheap."""
    values = [item.kept.label(f"k{index}") for index, item in enumerate(cut.order)]
    fetched = store.fetch(_select([SQL[cut.table.name].c[JSON_COLUMN], *values], cut))
    return [row[0] for row in fetched], [row[1:] for row in fetched]


def page_body(envelope: dict[str, Any], rows: Sequence[bytes]) -> bytes:
    """The envelope with finished rows as its ``value``; links come after it, as the service sends them."""
    link = envelope.pop("@odata.nextLink", None)
    head = _encode(envelope)[:-1]
    tail = b',"@odata.nextLink":' + _encode(link) if link else b""
    return b"".join((head, b',"value":[', b",".join(rows), b"]", tail, b"}"))
