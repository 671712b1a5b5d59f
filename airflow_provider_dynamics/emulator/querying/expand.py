"""``$expand``: related rows fetched once for the whole page and put into their parents.

On a single level collections are whole (up to 5,000 rows) and carry a link without paging information, which reads
them again; as soon as anything is nested, the page size also cuts the inner collections, a full inner page has a link
to the next one (which may be empty, as in Microsoft's sample), and inner rows come without etags.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/join-tables
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import MAX_PAGE, Call, Prefer
from airflow_provider_dynamics.emulator.options import Expand, parse_order
from airflow_provider_dynamics.emulator.querying.filters import Asked, compile_filter
from airflow_provider_dynamics.emulator.querying.orders import sorted_by
from airflow_provider_dynamics.emulator.querying.paging import primary_order, write_token
from airflow_provider_dynamics.emulator.querying.projection import Projection, Row, chunked
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.storage import PAIRS, SQL, key_order
from airflow_provider_dynamics.emulator.store import Store


@dataclass(frozen=True)
class Style:
    """How inner rows look: with etags or not, with the page size cutting collections or not."""

    nested: bool
    single_etags: bool


class Expander:
    """Adds expanded properties to the rows of one projection: ``prepare`` before the query, ``apply`` after it."""

    def __init__(
        self, store: Store, call: Call, projection: Projection, items: Sequence[Expand], style: Style
    ) -> None:
        self._store = store
        self._call = call
        self._projection = projection
        self._items = items
        self._style = style
        self._table = projection.table
        self._asked = Asked(call.now, call.caller, call.aliases)
        self._key = projection.hide(projection.sql.c[self._table.primary_id]) if items else 0
        self._places = {
            item.navigation.name: self._place(item) for item in items if not item.navigation.is_collection
        }

    def _place(self, item: Expand) -> tuple[int, int | None]:
        column = item.navigation.column
        kind = (
            self._projection.hide(self._projection.sql.c[column.type_column])
            if column.is_polymorphic
            else None
        )
        return self._projection.hide(self._projection.sql.c[column.name]), kind

    def apply(self, rows: Sequence[Row], fetched: Sequence[tuple[Any, ...]]) -> None:
        """Put the related rows into ``rows``, which came from ``fetched`` in the same order."""
        for item in self._items:
            if item.navigation.is_collection:
                self._collection(item, rows, fetched)
            else:
                self._single(item, rows, fetched)

    def _prefer(self) -> Prefer:
        return replace(self._call.prefer, page_size=None)

    def _single(self, item: Expand, rows: Sequence[Row], fetched: Sequence[tuple[Any, ...]]) -> None:
        place, kind_place = self._places[item.navigation.name]
        column = item.navigation.column
        wanted: dict[str, set[str]] = {}
        pointers = []
        for values in fetched:
            key = self._projection.hidden(values, place)
            kind = (
                self._projection.hidden(values, kind_place)
                if kind_place is not None
                else column.targets[0].table
            )
            fits = key is not None and item.navigation.table in {None, kind}
            pointers.append((kind, key) if fits else None)
            if fits:
                wanted.setdefault(kind, set()).add(key)
        found = {
            (kind, key): row
            for kind, ids in wanted.items()
            for key, row in self._by_id(item, kind, ids).items()
        }
        for row, pointer in zip(rows, pointers, strict=True):
            row[item.navigation.name] = found.get(pointer) if pointer else None

    def _by_id(self, item: Expand, kind: str, ids: set[str]) -> dict[str, Row]:
        table = TABLES[kind]
        if item.ref:
            return {key: {"@odata.id": f"{self._call.root}/{table.set_name}({key})"} for key in ids}
        select = item.select
        if item.navigation.table is None and item.raw_select:
            names = [name.strip() for name in item.raw_select.split(",")]
            select = tuple(table.by_wire[name] for name in names if name in table.by_wire)
        projection = Projection(table, select, self._prefer(), with_etag=self._style.single_etags)
        place = projection.hide(projection.sql.c[table.primary_id])
        inner = Expander(self._store, self._call, projection, item.expand, self._style)
        key = projection.sql.c[table.primary_id]
        found: dict[str, Row] = {}
        for some in chunked(ids):
            statement = sa.select(*projection.statement_columns()).where(key.in_(some))
            if item.filter:
                statement = statement.where(compile_filter(item.filter, table, self._asked))
            fetched = self._store.fetch(statement)
            rows = projection.rows(self._store, fetched)
            inner.apply(rows, fetched)
            found.update(
                (projection.hidden(values, place), row) for values, row in zip(fetched, rows, strict=True)
            )
        return found

    def _collection(self, item: Expand, rows: Sequence[Row], fetched: Sequence[tuple[Any, ...]]) -> None:
        table, column = TABLES[item.navigation.table or ""], item.navigation.column
        select = item.select
        if select is not None and not self._style.nested and column not in select:
            select = (*select, column)
        projection = Projection(table, select, self._prefer(), with_etag=not self._style.nested)
        parent = projection.hide(self._parent(item, column, projection))
        key = projection.hide(projection.sql.c[table.primary_id])
        inner = Expander(self._store, self._call, projection, item.expand, self._style)
        parents = [self._projection.hidden(values, self._key) for values in fetched]
        grouped: dict[str, list[tuple[Any, ...]]] = {}
        for some in chunked(dict.fromkeys(parents)):
            for values in self._store.fetch(self._children(item, table, column, projection, some)):
                grouped.setdefault(projection.hidden(values, parent), []).append(values)
        limit = min(item.top if item.top is not None else MAX_PAGE, MAX_PAGE)
        if self._style.nested and self._call.prefer.page_size:
            limit = self._call.prefer.page_size
        for row, row_id in zip(rows, parents, strict=True):
            children = grouped.get(row_id, [])
            shown = projection.rows(self._store, children[:limit])
            inner.apply(shown, children[:limit])
            row[item.navigation.name] = shown
            keys = [projection.hidden(values, key) for values in children]
            link = self._link(item, row_id, keys, limit)
            if link:
                row[f"{item.navigation.name}@odata.nextLink"] = link

    def _parent(self, item: Expand, column: Column, projection: Projection) -> Any:
        """The SQL column that holds the id of a related row's parent."""
        if item.navigation.through:
            return PAIRS[item.navigation.through.name].c[self._table.primary_id]
        return projection.sql.c[column.name]

    def _children(
        self, item: Expand, table: Table, column: Column, projection: Projection, ids: list[str]
    ) -> Any:
        sql = SQL[table.name]
        parent = self._parent(item, column, projection)
        statement = sa.select(*projection.statement_columns()).where(parent.in_(ids))
        if item.navigation.through:
            pairs = PAIRS[item.navigation.through.name]
            statement = statement.where(pairs.c[table.primary_id] == sql.c[table.primary_id])
        if column.is_polymorphic:
            statement = statement.where(sql.c[column.type_column] == self._table.name)
        if item.filter:
            statement = statement.where(compile_filter(item.filter, table, self._asked))
        for order in parse_order(table, item.order_by, TABLES, self._call.aliases):
            value = sorted_by(table, order).value
            statement = statement.order_by(value.desc() if order.descending else value.asc())
        return statement.order_by(sa.literal_column(key_order(table.name, table.primary_id)))

    def _link(self, item: Expand, row_id: str, keys: Sequence[str], limit: int) -> str | None:
        options = [f"{name}={value}" for name, value in item.raw]
        if self._style.nested:
            if not keys or len(keys) < limit:
                return None
            table = TABLES[item.navigation.table or ""]
            order = [primary_order(table, SQL[table.name])]
            extra = f' countOfRecords="{limit}"'
            options.append(f"$skiptoken={write_token(2, order, [keys[0]], [keys[limit - 1]], extra=extra)}")
        query = "?" + "&".join(options) if options else ""
        return f"{self._call.root}/{self._table.set_name}({row_id})/{item.navigation.name}{query}"
