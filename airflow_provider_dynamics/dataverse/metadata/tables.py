"""What a table is made of: read from the environment's metadata when first asked for, kept for the client's life.

Entity sets and navigation properties follow no rule that could be guessed, so both are always looked up.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.definition import (
    COLLECTIONS,
    DEFINITION,
    DEFINITION_ON_PREMISES,
    collections_of,
    table_of,
)
from airflow_provider_dynamics.dataverse.metadata.details import (
    CURRENCIES,
    FOR_WRITING,
    detail_of,
    money_places,
    with_details,
)
from airflow_provider_dynamics.dataverse.metadata.table import Table, did_you_mean
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.protocol.servers import CLOUD, Server

__all__ = ["Tables"]


class Tables:
    """The tables of one environment, each looked up once. Safe to use from several threads."""

    def __init__(self, transport: Sender, server: Server = CLOUD) -> None:
        self._transport = transport
        self._server = server
        self._outlines: dict[str, Table] = {}
        self._whole: dict[str, Table] = {}
        self._entity_sets: dict[str, str] = {}
        self._checked: dict[str, set[str]] = {}  # column types whose checks a whole table has
        self._money_places: dict[int, int | None] = {}
        self._messages: dict[tuple[str, str], bool] = {}
        self._collections: dict[str, dict[str, str]] = {}
        self._locks: dict[str, threading.RLock] = {}  # by table: one does not wait for another's answer

    def outline(self, name: str) -> Table:
        """Return the table without the members of single column types, at the price of one request; raises UnknownTable."""
        with self._lock(name):
            if name not in self._outlines:
                asked = DEFINITION if self._server.table_types else DEFINITION_ON_PREMISES
                self._outlines[name] = table_of(self._definition(name, asked))
            return self._outlines[name]

    def whole(self, name: str) -> Table:
        """Return the table with everything: one more request for each column type that has members of its own."""
        with self._lock(name):
            if name not in self._whole:
                outline = self.outline(name)
                wanted = [found for one in outline.columns.values() if (found := detail_of(one.type))]
                columns = with_details(self._get, name, outline.columns, wanted)
                self._whole[name] = replace(outline, columns=columns)
            return self._whole[name]

    def for_writing(self, name: str, sent: Iterable[str] | None = None) -> Table:
        """Return the whole table with what values are checked by before they are sent: limits, options, places.

        One more request for each such type among `sent`, logical names; default: all of the table's. Whatever is
        not known yet is asked for at the same time.
        """
        with self._lock(name):
            table = self._whole.get(name) or self.outline(name)
            known = [table.find(one) for one in sent] if sent else table.columns.values()
            kinds = {one.type for one in known if one} - self._checked.setdefault(name, set())
            wanted = [FOR_WRITING[kind] for kind in kinds & FOR_WRITING.keys()]
            if name not in self._whole:
                wanted += [found for one in table.columns.values() if (found := detail_of(one.type))]
            with ThreadPoolExecutor(1, thread_name_prefix="dynamics-metadata") as pool:
                if (
                    "Money" in kinds
                ):  # most money's places are the currencies', and nobody waits for these then
                    pool.submit(self._places_of_money, CURRENCIES)
                columns = with_details(self._get, name, table.columns, wanted)
            for column in [one for one in columns.values() if one.type in kinds]:
                columns[column.name] = self._with_places(column)
            self._whole[name] = replace(table, columns=columns)
            self._checked[name] |= kinds
            return self._whole[name]

    def entity_set(self, name: str) -> str:
        """Return the table's name in URLs."""
        with self._lock(name):
            if name in self._outlines:
                return self._outlines[name].entity_set
            if name not in self._entity_sets:
                found = self._definition(name, {"$select": "EntitySetName"})
                self._entity_sets[name] = found["EntitySetName"]
            return self._entity_sets[name]

    def follow(self, table: Table, navigation: str) -> tuple[str, bool]:
        """Return the table a navigation property leads to, and whether to a collection of its rows; raises UnknownColumn.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-navigation-properties
        """
        single = {
            name: target for column in table.columns.values() for target, name in column.navigation.items()
        }
        if navigation in single:
            return single[navigation], False
        many = self.collections(table.logical_name)
        if navigation in many:
            return many[navigation], True
        near = did_you_mean(navigation, [*single, *many])
        raise errors.UnknownColumn(
            f"The table {table.logical_name} has no navigation property {navigation!r}",
            remedy=near
            or "Names of navigation properties are in the table's relationships; their case counts.",
        )

    def nearest(self, table_name: str, name: str) -> str:
        """Return the advice for a name that a query's text gets wrong: a column's, or a navigation property's."""
        table = self.outline(table_name)
        column = table.columns.get(name)
        if column is not None and column.wire_name != name:
            return f"The id that the lookup holds is called {column.wire_name!r} in a query's text."
        links = {link for one in table.columns.values() for link in one.navigation.values()}
        return table.nearest(name, (*links, *self.collections(table_name)))

    def collections(self, name: str) -> dict[str, str]:
        """Return the tables a table's collection-valued navigation properties lead to."""
        with self._lock(name):
            if name not in self._collections:
                found = self._definition(name, COLLECTIONS)
                self._collections[name] = dict(collections_of(name, found))
            return self._collections[name]

    def accepts(self, table: str, message: str) -> bool:
        """Say whether a table has a message such as CreateMultiple.

        UpsertMultiple is never listed; it is there where the other two are.
        https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations#availability
        """
        if not self._server.bulk_messages:
            return False
        if message == "UpsertMultiple":
            return self.accepts(table, "CreateMultiple") and self.accepts(table, "UpdateMultiple")
        asked = (table, message)
        if asked not in self._messages:  # without the lock: it is asked for while the table is
            self._messages[asked] = self._listed(*asked)
        return self._messages[asked]

    def forget(self, name: str | None) -> None:
        """Ask anew about a table when it is needed next, because its definition has changed; None for all of them."""
        kept: tuple[dict[str, Any], ...] = (
            *(self._outlines, self._whole, self._entity_sets, self._checked, self._collections),
        )
        for held in kept:
            for one in [name] if name else list(held):
                held.pop(one, None)

    def _lock(self, name: str) -> Any:
        return self._locks.setdefault(name, threading.RLock())

    def _listed(self, table: str, message: str) -> bool:
        query = odata.options(
            {
                "$select": "sdkmessagefilterid",
                "$filter": "sdkmessageid/name eq @message and primaryobjecttypecode eq @table",
                "@message": odata.literal(message),
                "@table": odata.literal(table),
            }
        )
        try:
            return bool(self._get(f"sdkmessagefilters{query}")["value"])
        except errors.Forbidden:
            return True  # not allowed to look: the message itself will tell

    def _definition(self, name: str, query: Mapping[str, str]) -> Any:
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise errors.UnknownTable(
                f"{name!r} is not a table's logical name", remedy="For example 'account'."
            )
        try:
            return self._get(f"EntityDefinitions(LogicalName='{name}'){odata.options(query)}")
        except errors.NotFound as error:
            raise errors.UnknownTable(
                f"This environment has no table {name!r}",
                asked=error.asked,
                status=error.status,
                code=error.code,
                request_id=error.request_id,
                remedy=self.similar(name),
            ) from error

    def similar(self, name: str) -> str:
        """Return the advice for a mistyped table, whether by its letters or by its name in URLs."""
        found = self._get("EntityDefinitions?$select=LogicalName,EntitySetName")["value"]
        names = [table["LogicalName"] for table in found]
        for table in found:
            if table.get("EntitySetName") == name:
                return f"{name!r} is its name in URLs; the logical name is {table['LogicalName']!r}."
        return did_you_mean(name, names) or "Use the table's logical name, for example 'account'."

    def _with_places(self, column: Column) -> Column:
        """Return a number's column with the decimal places that the service keeps of it, where that is known."""
        if column.type == "Decimal":
            return replace(column, places=column.precision)
        source = column.precision_source
        if column.type != "Money" or source is None:
            return column
        found = self._places_of_money(source)
        return replace(column, places=column.precision if found is None else found)

    def _places_of_money(self, source: int) -> int | None:
        if source not in self._money_places:
            self._money_places[source] = money_places(self._get, source)
        return self._money_places[source]

    def _get(self, target: str) -> Any:
        request = Request("GET", target)
        return decoded(self._transport.send(request), request)
