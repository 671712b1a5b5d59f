"""Which columns a query fetches and how the fetched tuples become rows.

Without annotations a row is zipped together in one go; with them each column brings its members along.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Prefer
from airflow_provider_dynamics.emulator.render import formatter, renderer
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"
_CHUNK = 500

Row = dict[str, Any]


def chunked(values: Iterable[Any], size: int = _CHUNK) -> Iterable[list[Any]]:
    """Lists of at most ``size``: SQLite takes a limited number of parameters."""
    listed = list(values)
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


def names_of(store: Store, table: Table, ids: Iterable[str]) -> dict[str, str | None]:
    """Primary names by row id."""
    sql = SQL[table.name]
    key, name = sql.c[table.primary_id], sql.c[table.primary_name]
    found: dict[str, str | None] = {}
    for some in chunked(ids):
        found.update(dict(store.fetch(sa.select(key, name).where(key.in_(some)))))
    return found


class Projection:
    """The visible columns of a query, and the hidden ones somebody else needs (``hide``).

    ``statement_columns()`` go into the SELECT; ``rows(tuples)`` turns its result into rows.
    """

    def __init__(
        self, table: Table, select: Sequence[Column] | None, prefer: Prefer, *, with_etag: bool = True
    ) -> None:
        self.table = table
        self.sql = SQL[table.name]
        self._prefer = prefer
        self._with_etag = with_etag
        self.columns = list(select if select is not None else table.whole)
        self._add_companions(select)
        self._hidden: list[Any] = []

    def _add_companions(self, select: Sequence[Column] | None) -> None:
        if select is None:
            return
        has_money = any(column.kind == "Money" for column in self.columns)
        if has_money and self.table.has("transactioncurrencyid"):
            self._add("transactioncurrencyid")
        self._add(self.table.primary_id)

    def _add(self, name: str) -> None:
        column = self.table.by_name[name]
        if column not in self.columns:
            self.columns.append(column)

    def hide(self, value: Any) -> int:
        """Fetch one more SQL value that rows do not show; returns its position counted from the end of the visible."""
        self._hidden.append(value)
        return len(self._hidden) - 1

    @property
    def _visible(self) -> list[Any]:
        etag: list[Any] = (
            [sa.literal_column(f"""'W/"' || {self.table.name}.versionnumber || '"'""")]
            if self._with_etag
            else []
        )
        owner = [self.sql.c[self.table.primary_id]] if self.table.is_principal else []
        return [*etag, *(self.sql.c[column.name] for column in self.columns), *owner]

    def statement_columns(self) -> list[Any]:
        """What to select: visible columns, types of polymorphic lookups, hidden values."""
        return [value.label(f"c{index}") for index, value in enumerate(self._all())]

    def _all(self) -> list[Any]:
        return [
            *self._visible,
            *(self.sql.c[column.type_column] for column in self._polymorphic),
            *self._hidden,
        ]

    @property
    def _polymorphic(self) -> list[Column]:
        return [column for column in self.columns if column.is_polymorphic]

    def hidden(self, row: tuple[Any, ...], position: int) -> Any:
        """A hidden value of a fetched tuple."""
        return row[position - len(self._hidden)]

    def rows(self, store: Store, fetched: Sequence[tuple[Any, ...]]) -> list[Row]:
        """The fetched tuples as rows."""
        keys = [*(["@odata.etag"] if self._with_etag else []), *(column.wire for column in self.columns)]
        if self.table.is_principal:
            keys.append("ownerid")
        rows = [dict(zip(keys, values, strict=False)) for values in fetched]
        for column in self.columns:
            render = renderer(column)
            if render is not None:
                wire = column.wire
                for row in rows:
                    row[wire] = render(row[wire])
        return self._annotated(store, keys, rows, fetched) if self._prefer.annotations else rows

    def _annotated(
        self, store: Store, keys: list[str], rows: list[Row], fetched: Sequence[tuple[Any, ...]]
    ) -> list[Row]:
        start = 1 if self._with_etag else 0
        makers = {
            column.wire: maker
            for index, column in enumerate(self.columns, start)
            if (maker := self._maker(store, column, index, fetched))
        }
        result = []
        for row, values in zip(rows, fetched, strict=True):
            shown: Row = {}
            for key in keys:
                maker = makers.get(key)
                if maker is not None:
                    shown.update(maker(values))
                shown[key] = row[key]
            result.append(shown)
        return result

    def _maker(
        self, store: Store, column: Column, index: int, fetched: Sequence[tuple[Any, ...]]
    ) -> Callable[[tuple[Any, ...]], Row] | None:
        if column.is_lookup:
            return self._lookup_maker(store, column, index, fetched)
        if not self._prefer.wants(FORMATTED):
            return None
        if column.kind == "Money":
            return self._money_maker(store, column, index)
        show = formatter(column)
        if show is None:
            return None
        member = f"{column.wire}@{FORMATTED}"
        return lambda values: {} if values[index] is None else {member: show(values[index])}

    def _money_maker(self, store: Store, column: Column, index: int) -> Callable[[tuple[Any, ...]], Row]:
        sql = SQL["transactioncurrency"]
        symbols = dict(store.fetch(sa.select(sql.c.transactioncurrencyid, sql.c.currencysymbol)))
        member = f"{column.wire}@{FORMATTED}"
        place = next(
            (
                at
                for at, other in enumerate(self.columns, 1 if self._with_etag else 0)
                if other.name == "transactioncurrencyid"
            ),
            None,
        )

        def make(values: tuple[Any, ...]) -> Row:
            if values[index] is None:
                return {}
            base = column.base_of is not None or place is None
            symbol = "$" if base or place is None else symbols.get(values[place], "$")
            show = formatter(column, symbol)
            return {member: show(values[index])} if show else {}

        return make

    def _lookup_maker(
        self, store: Store, column: Column, index: int, fetched: Sequence[tuple[Any, ...]]
    ) -> Callable[[tuple[Any, ...]], Row]:
        kind_at = self._type_position(column)
        navigation = {target.table: target.navigation for target in column.targets}
        only = column.targets[0].table
        wanted: dict[str, set[str]] = {}
        for values in fetched:
            if values[index] is not None:
                wanted.setdefault(only if kind_at is None else values[kind_at], set()).add(values[index])
        names = self._names(store, wanted)
        members = {
            annotation: f"{column.wire}@{annotation}"
            for annotation in (FORMATTED, NAVIGATION, LOOKUP_TABLE)
            if self._prefer.wants(annotation)
        }

        def make(values: tuple[Any, ...]) -> Row:
            if values[index] is None:
                return {}
            table = only if kind_at is None else values[kind_at]
            found = {
                FORMATTED: names.get(values[index]),
                NAVIGATION: navigation[table],
                LOOKUP_TABLE: table,
            }
            return {member: found[annotation] for annotation, member in members.items() if found[annotation]}

        return make

    def _names(self, store: Store, wanted: Mapping[str, set[str]]) -> dict[str, str | None]:
        names: dict[str, str | None] = {}
        if self._prefer.wants(FORMATTED):
            for table, ids in wanted.items():
                names.update(names_of(store, TABLES[table], ids))
        return names

    def _type_position(self, column: Column) -> int | None:
        if not column.is_polymorphic:
            return None
        return len(self._visible) + self._polymorphic.index(column)
