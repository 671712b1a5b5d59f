"""``?savedQuery=`` and ``?userQuery=``: views run by their id, on a table's set or on any collection of its rows.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-and-execute-predefined-queries
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.literals import GUID
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.options import odata_fault
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.query import missing_row
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

VIEWS: Mapping[str, str] = {"savedQuery": "savedquery", "userQuery": "userquery"}


class SavedQueries:
    """Finds the FetchXML of views."""

    def __init__(self, store: Store, privileges: Privileges) -> None:
        self._store = store
        self._privileges = privileges

    def document(self, call: Call, table: Table, option: str) -> str:
        """The FetchXML of the view an option names; raises ``Fault`` when there is none for this table."""
        kind = TABLES[VIEWS[option]]
        self._privileges.need(call, kind, "Read")
        text = call.options[option].strip()
        if not GUID.fullmatch(text):
            raise odata_fault(f"The value '{text[:100]}' of {option} is no GUID.")
        sql = SQL[kind.name]
        wanted = sa.select(sql.c.fetchxml, sql.c.returnedtypecode).where(
            sql.c[kind.primary_id] == text.lower()
        )
        found = self._store.one(wanted)
        if found is None:
            raise missing_row(kind, text.lower())
        document, returned = found
        if returned != table.name:
            raise odata_fault(f"The query '{text}' returns '{returned}', not '{table.name}'.")
        if not document:
            raise NotEmulated(f"a {kind.name} without FetchXML")
        return str(document)
