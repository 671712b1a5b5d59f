"""Who a request runs as: the user its token speaks for, or the one that user impersonates.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/impersonate-another-user-web-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Caller
from airflow_provider_dynamics.emulator.messages import Fault, Principal
from airflow_provider_dynamics.emulator.seed.identities import ROOT_UNIT, SERVICE_USER
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store


class Callers:
    """Looks up users named by tokens and by impersonation headers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Caller] = {}

    def forget(self) -> None:
        """Users may have changed."""
        self._known.clear()

    def of(self, headers: Mapping[str, str], principal: Principal | None = None) -> Caller:
        """The caller; raises 403 when the user of the token or the impersonated one does not exist."""
        own = self._own(principal)
        if entra := headers.get("callerobjectid"):
            found = self._user("azureactivedirectoryobjectid", entra.strip().lower())
        elif user := headers.get("mscrmcallerid"):
            found = self._user("systemuserid", user.strip().lower())
        else:
            return own
        return replace(found, on_behalf_of=own.user_id)

    def _own(self, principal: Principal | None) -> Caller:
        """The user of a token: an application's by its client id, a person's by the account or the name."""
        if principal is None:
            return Caller(SERVICE_USER, ROOT_UNIT)
        if principal.object_id:
            return self._user("azureactivedirectoryobjectid", principal.object_id)
        if principal.user_name:
            return self._user("domainname", principal.user_name)
        return self._user("applicationid", principal.client_id)

    def _user(self, column: str, value: str) -> Caller:
        known = self._known.get((column, value))
        if known is not None:
            return known
        sql = SQL["systemuser"]
        with self._store.lock:  # no user comes or goes between the reading and the keeping
            found = self._store.one(
                sa.select(sql.c.systemuserid, sql.c.businessunitid).where(sql.c[column] == value)
            )
            if found is None:
                raise Fault(403, "0x80072560", "The user is not a member of the organization.")
            known = self._known[column, value] = Caller(found[0], found[1])
        return known
