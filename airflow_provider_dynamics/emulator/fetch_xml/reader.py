"""``?fetchXml=``: a query in FetchXML answered page by page.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/retrieve-data and
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/page-results
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import MAX_PAGE, Call, reply
from airflow_provider_dynamics.emulator.elastic import no_links
from airflow_provider_dynamics.emulator.fetch_xml.aggregate import Aggregator
from airflow_provider_dynamics.emulator.fetch_xml.conditions import Asker
from airflow_provider_dynamics.emulator.fetch_xml.document import Fetch, invalid
from airflow_provider_dynamics.emulator.fetch_xml.paging import (
    Cookie,
    Ordering,
    cookie_of,
    ordering,
    read_cookie,
)
from airflow_provider_dynamics.emulator.fetch_xml.parser import parse_fetch
from airflow_provider_dynamics.emulator.fetch_xml.rows import RowMaker, Shown, wanted
from airflow_provider_dynamics.emulator.fetch_xml.shape import Shape, no_entity, shape
from airflow_provider_dynamics.emulator.messages import NotEmulated, Response
from airflow_provider_dynamics.emulator.options import check_options
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.aggregates import QueryLimits
from airflow_provider_dynamics.emulator.querying.hints import planned
from airflow_provider_dynamics.emulator.querying.paging import after
from airflow_provider_dynamics.emulator.querying.projection import Row
from airflow_provider_dynamics.emulator.querying.query import METADATA_VERSION, Source
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults

_CRM = "Microsoft.Dynamics.CRM."


@dataclass(frozen=True)
class _Page:
    """The rows of a page, what they consist of, and the cookie where one is given."""

    rows: list[Row]
    shown: Sequence[Shown]
    more: bool
    cookie: str | None = None


@dataclass(frozen=True)
class _Query:
    """Everything one request needs, read and checked."""

    call: Call
    fetch: Fetch
    shape: Shape
    shown: Sequence[Shown]

    @property
    def distinct(self) -> Any:
        """The statement that makes rows unique, for counting."""
        labels = [one.value.label(f"d{index}") for index, one in enumerate(self.shown)]
        return sa.select(*labels).distinct()


class FetchReader:
    """Answers collections with FetchXML."""

    def __init__(self, store: Store, faults: DataFaults, privileges: Privileges, limits: QueryLimits) -> None:
        self._store = store
        self._faults = faults
        self._privileges = privileges
        self._limits = limits
        self._aggregator = Aggregator(store, limits)

    def collection(self, call: Call, source: Source, document: str, option: str = "fetchXml") -> Response:
        """One page of the rows of ``source`` that a document describes."""
        _check_others(call, option)
        fetch = parse_fetch(document)
        if fetch.entity.name not in TABLES:
            raise no_entity(fetch.entity.name)
        if fetch.entity.name != source.table.name:
            raise invalid(
                f"The entity '{fetch.entity.name}' of the query is not the one of the entity set "
                f"'{source.table.set_name}'.",
                "0x80060888",
            )
        if source.table.elastic and any(link.kind != "outer" for link in fetch.entity.links):
            raise no_links()
        made = shape(fetch.entity, source.table, Asker(self._store, call.now, call.caller))
        if source.condition is not None:
            made.conditions.append(source.condition)
        for table in made.tables():
            self._privileges.need(call, table, "Read")
        if fetch.aggregate:
            return self._aggregate(call, fetch, made)
        query = _Query(call, fetch, made, wanted(fetch, made))
        return self._answer(query, self._page(query))

    def ids(self, call: Call, document: str, limit: int | None = None) -> list[str]:
        """The ids of all rows a document describes, for who does something with each of them."""
        fetch = parse_fetch(document)
        if fetch.entity.name not in TABLES:
            raise no_entity(fetch.entity.name)
        table = TABLES[fetch.entity.name]
        made = shape(fetch.entity, table, Asker(self._store, call.now, call.caller))
        for one in (table, *made.tables()):
            self._privileges.need(call, one, "Read")
        key = made.root.sql.c[table.identity]
        found = sa.select(key).distinct().select_from(made.source).where(*made.conditions).order_by(key)
        limit = fetch.top if limit is None else limit
        return [row_id for (row_id,) in self._store.fetch(found if limit is None else found.limit(limit))]

    def _aggregate(self, call: Call, fetch: Fetch, made: Shape) -> Response:
        if fetch.cookie or fetch.distinct or fetch.total:
            raise NotEmulated("a cookie, distinct or returntotalrecordcount in an aggregate query")
        size = fetch.top or min(fetch.count or MAX_PAGE, MAX_PAGE)
        found = self._aggregator.read(fetch, made, call.prefer, size)
        envelope: dict[str, Any] = {"@odata.context": call.context(made.root.table.set_name)}
        envelope |= _notes(call, more=found.more and fetch.top is None, cookie=None)
        return reply(200, {**envelope, "value": found.rows}, *call.applied())

    # -- pages --------------------------------------------------------------------------------------

    def _page(self, query: _Query) -> _Page:
        fetch, made = query.fetch, query.shape
        order = self._planned(made, ordering(fetch, made))
        maker = RowMaker(self._store, query.call.prefer, query.shown, currencies=not fetch.distinct)
        statement = self._statement(query, order, maker)
        has_cookie = not order.linked and not fetch.distinct
        size = fetch.top or min(fetch.count or MAX_PAGE, MAX_PAGE)
        cut = size
        if has_cookie and self._faults.page_size_limit and fetch.top is None:
            cut = min(size, self._faults.page_size_limit)
        statement = self._from_page(query, order, statement, size, has_cookie=has_cookie)
        found = self._store.fetch(statement.limit(cut + 1))
        keys = len(order.items) + 1 if not fetch.distinct else 0
        rows = maker.rows(found[:cut], keys)
        if not fetch.distinct:
            rows = [{"@odata.etag": f'W/"{one[0]}"', **row} for one, row in zip(found, rows, strict=False)]
        more = len(found) > cut and fetch.top is None
        cookie = None
        if more and has_cookie:
            first, last = found[0][1:keys], found[cut - 1][1:keys]
            cookie = cookie_of(fetch.page or 1, order.items, first, last)
        return _Page(rows, query.shown, more, cookie)

    def _planned(self, made: Shape, order: Ordering) -> Ordering:
        """Let the better index be taken where one table is read."""
        if made.joined or not order.items:
            return order
        items, conditions = planned(self._store, made.root.table, order.items, made.conditions)
        made.conditions[:] = conditions
        return replace(order, items=tuple(items))

    def _statement(self, query: _Query, order: Ordering, maker: RowMaker) -> Any:
        """Select the etag and the sort keys, then what is shown; where rows are made unique, only that."""
        made = query.shape
        if query.fetch.distinct:
            _check_distinct(query, order)
            values = maker.values
        else:
            values = [made.root.sql.c.versionnumber, *(item.kept for item in order.items), *maker.values]
        shown = [value.label(f"v{index}") for index, value in enumerate(values)]
        statement = sa.select(*shown).select_from(made.source).where(*made.conditions)
        for item in order.items:
            statement = statement.order_by(item.value.desc() if item.descending else item.value.asc())
        return statement.distinct() if query.fetch.distinct else statement

    def _from_page(
        self, query: _Query, order: Ordering, statement: Any, size: int, *, has_cookie: bool
    ) -> Any:
        fetch = query.fetch
        page = fetch.page or 1
        if fetch.cookie and has_cookie:
            cookie = read_cookie(fetch.cookie, order.items)
            return self._behind(cookie, order, statement, page, size)
        if fetch.top is None and page * size > max(self._limits.simple_paging, size):
            raise invalid(
                "Paging cookie is required when trying to retrieve a set of records on any high pages.",
                "0x8004430a",
            )
        return statement.offset((page - 1) * size) if page > 1 else statement

    @staticmethod
    def _behind(cookie: Cookie, order: Ordering, statement: Any, page: int, size: int) -> Any:
        if page <= cookie.page:
            raise NotEmulated("paging backwards with a paging cookie")
        skipped = (page - cookie.page - 1) * size
        statement = statement.where(after(order.items, cookie.last))
        return statement.offset(skipped) if skipped else statement

    # -- the answer ---------------------------------------------------------------------------------

    def _answer(self, query: _Query, page: _Page) -> Response:
        call = query.call
        envelope: dict[str, Any] = {"@odata.context": call.context(_context(query, page))}
        total, exceeded = -1, False
        if query.fetch.total or call.options.get("$count", "false").lower() == "true":
            total = self._count(query)
            exceeded, total = total > MAX_PAGE, min(total, MAX_PAGE)
            envelope["@odata.count"] = total
        for name, value in (("totalrecordcount", total), ("totalrecordcountlimitexceeded", exceeded)):
            if call.prefer.wants(f"{_CRM}{name}"):
                envelope[f"@{_CRM}{name}"] = value
        if {"*", f"{_CRM}globalmetadataversion"} & set(call.prefer.annotations):
            envelope[f"@{_CRM}globalmetadataversion"] = METADATA_VERSION
        envelope |= _notes(call, more=page.more, cookie=page.cookie)
        return reply(200, {**envelope, "value": page.rows}, *call.applied())

    def _count(self, query: _Query) -> int:
        made = query.shape
        rows = query.distinct if query.fetch.distinct else sa.select(sa.literal(1).label("one"))
        some = rows.select_from(made.source).where(*made.conditions).limit(MAX_PAGE + 1)
        found = self._store.one(sa.select(sa.func.count()).select_from(some.subquery()))
        return int(found[0]) if found else 0


def _notes(call: Call, *, more: bool, cookie: str | None) -> dict[str, Any]:
    """Say that more rows follow; both annotations are absent on the last page."""
    notes: dict[str, Any] = {}
    if more and cookie and call.prefer.wants(f"{_CRM}fetchxmlpagingcookie"):
        notes[f"@{_CRM}fetchxmlpagingcookie"] = cookie
    if more and call.prefer.wants(f"{_CRM}morerecords"):
        notes[f"@{_CRM}morerecords"] = True
    return notes


def _check_others(call: Call, option: str) -> None:
    others = {name: value for name, value in call.options.items() if name != option}
    check_options(others)
    for name in others:
        if name.startswith("$") and name != "$count":
            raise NotEmulated(f"{name} together with {option}")
    if call.prefer.page_size is not None:
        raise NotEmulated(f"Prefer: odata.maxpagesize together with {option}")


def _check_distinct(query: _Query, order: Ordering) -> None:
    shown = {id(one.value) for one in query.shown}
    names = {one.column.name for one in query.shown}
    for item in order.items:
        if id(item.value) not in shown and item.name.rpartition(".")[2] not in names:
            raise NotEmulated(f"distinct ordered by {item.name}, which is not returned")


def _context(query: _Query, page: _Page) -> str:
    """Build the set with its columns in the order of Microsoft's samples.

    First what some row has, then selected columns that none has and the logical names of selected lookups; at the
    end every lookup once more in brackets.
    """
    filled = {name for row in page.rows for name in row}
    asked = {one.name for one in query.fetch.entity.attributes}
    root = query.shape.root
    own = [one for one in page.shown if not one.aliased]
    names: list[str] = []
    later: list[str] = []
    for one in own:
        (names if one.name in filled else later).append(one.name)
        if one.column.is_lookup:
            (later if one.column.name in asked else names).append(one.column.name)
    aliased = [one for one in page.shown if one.aliased and getattr(one.value, "table", None) is root.sql]
    later += [one.column.name for one in aliased]
    lookups = [f"{one.column.name}()" for one in (*own, *aliased) if one.column.is_lookup]
    return f"{root.table.set_name}({','.join(dict.fromkeys([*names, *later, *lookups]))})"
