"""Who a request runs as: the application user of the connection, or the user it impersonates.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/impersonate-another-user-web-api
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Caller
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.seed.identities import ROOT_UNIT, SERVICE_USER
from airflow_provider_dynamics.emulator.store import SQL, Store


class Callers:
    """Looks up users named by impersonation headers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Caller] = {}

    def forget(self) -> None:
        """Users may have changed."""
        self._known.clear()

    def of(self, headers: Mapping[str, str]) -> Caller:
        """The caller; raises 403 when an impersonated user does not exist."""
        if entra := headers.get("callerobjectid"):
            return self._user("azureactivedirectoryobjectid", entra.strip().lower())
        if user := headers.get("mscrmcallerid"):
            return self._user("systemuserid", user.strip().lower())
        return Caller(SERVICE_USER, ROOT_UNIT)

    def _user(self, column: str, value: str) -> Caller:
        if (column, value) not in self._known:
            sql = SQL["systemuser"]
            found = self._store.one(
                sa.select(sql.c.systemuserid, sql.c.businessunitid).where(sql.c[column] == value)
            )
            if found is None:
                raise Fault(403, "0x80072560", "The user is not a member of the organization.")
            self._known[column, value] = Caller(found[0], found[1], SERVICE_USER)
        return self._known[column, value]
