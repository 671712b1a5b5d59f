"""Duplicate detection: published rules, and the refusal of a row that one of them finds twice.

Microsoft documents it for creating and updating a row; in bulk messages it is here done for each row alike, against the
rows that were there before.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/manage-duplicate-detection-create-update
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.store import Store

# What a new environment has published: accounts by name, people by e-mail address.
PUBLISHED: Mapping[str, Sequence[tuple[str, ...]]] = {
    "account": (("name",),),
    "contact": (("emailaddress1",),),
    "lead": (("emailaddress1",),),
}


class Duplicates:
    """The rules of one environment: columns that together must not come twice, by table."""

    def __init__(self, store: Store, *, on_premises: bool = False) -> None:
        self._store = store
        # The newer pages show 412; the one that shows 500 asks a server of one's own.
        self._status = 500 if on_premises else 412
        self._rules: dict[str, list[tuple[str, ...]]] = {}
        self.restore()

    def restore(self) -> None:
        """Back to the rules a new environment has."""
        self._rules = {table: list(rules) for table, rules in PUBLISHED.items()}

    def publish(self, table: str, columns: Sequence[str]) -> None:
        """Publish one more rule: rows that agree in all these columns are duplicates.

        Raises ValueError when there is no such table or column, or none is named.
        """
        known = TABLES.get(table)
        wrong = [name for name in columns if known is None or not known.has(name)]
        if known is None or wrong or not columns:
            raise ValueError(f"a rule names a table and columns of it, not {table!r}, {list(columns)!r}")
        self._rules.setdefault(table, []).append(tuple(columns))

    def unpublish(self, table: str | None = None) -> None:
        """Take back every rule, or those of one table."""
        if table is None:
            self._rules.clear()
        else:
            self._rules.pop(table, None)

    def check(self, call: Call, table: Table, row: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
        """Refuse a row (stored values) of which ``changed`` was sent, when the request asks for detection.

        A rule counts when one of its columns was sent; rows with an empty column are no duplicates.
        """
        if call.headers.get("mscrm.suppressduplicatedetection", "true").strip().lower() != "false":
            return
        for columns in self._rules.get(table.name, ()):
            values = {name: row.get(name) for name in columns}
            if values.keys().isdisjoint(changed) or None in values.values():
                continue
            if any(found != row.get(table.primary_id) for found in self._store.matching(table, values)):
                raise Fault(
                    self._status,
                    "0x80040333",
                    "A record was not created or updated because a duplicate of the current record already exists.",
                )
