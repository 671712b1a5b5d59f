"""Rows in collections of other rows: put in and taken out, over a lookup or over pairs.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.schema import TABLES, Intersect, Navigation, Table
from airflow_provider_dynamics.emulator.storage import PAIRS
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.keys import duplicate_record

Bind = Callable[[Call, Table, str, str, "str | None"], None]


class Joining:
    """Joins and parts rows; ``bind`` points a lookup of a row at another row, or at none."""

    def __init__(self, store: Store, bind: Bind) -> None:
        self._store = store
        self._bind = bind

    def join(self, call: Call, table: Table, row_id: str, navigation: Navigation, other_id: str) -> None:
        """Put a row into a collection of another one: its lookup is set, or the pair is kept.

        Raises ``Fault`` 0x80040237 on a pair that is there already.
        """
        if navigation.through is None:
            link = f"{table.set_name}({row_id})"
            self._bind(call, TABLES[navigation.table or ""], other_id, _way_back(navigation, table), link)
            return
        try:
            self._store.pair(navigation.through, [_pair(navigation.through, table, row_id, other_id)])
        except sqlite3.IntegrityError as error:
            raise duplicate_record() from error

    def part(self, call: Call, table: Table, row_id: str, navigation: Navigation, other_id: str) -> None:
        """Take a row out of a collection of another one; what is not in it is no error, and stays where it is."""
        if navigation.through is None:
            other = TABLES[navigation.table or ""]
            if self._is_in(other, other_id, navigation, table, row_id):
                self._bind(call, other, other_id, _way_back(navigation, table), None)
            return
        pairs = PAIRS[navigation.through.name]
        ids = zip(pairs.columns, _pair(navigation.through, table, row_id, other_id), strict=True)
        self._store.run(sa.delete(pairs).where(*(column == value for column, value in ids)))

    def _is_in(self, other: Table, other_id: str, navigation: Navigation, table: Table, row_id: str) -> bool:
        column, row = navigation.column, self._store.row(other, other_id) or {}
        points = row.get(column.name) == row_id
        return points and (not column.is_polymorphic or row[column.type_column] == table.name)


def _way_back(navigation: Navigation, table: Table) -> str:
    """The single-valued property at the other end of a collection of ``table``."""
    return next(
        target.navigation
        for target in navigation.column.targets
        if target.table == table.name and target.collection == navigation.name
    )


def _pair(intersect: Intersect, table: Table, row_id: str, other_id: str) -> tuple[str, str]:
    return (row_id, other_id) if intersect.first == table.name else (other_id, row_id)
