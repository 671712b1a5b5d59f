"""Who is asking and what they may do: every import of Airflow's API server is here, since none of them is a promise.

`requires_access_connection`, Airflow's own guard, reads its body as JSON where there are teams, so forms cannot
pass it; the auth manager behind it is asked directly, team and all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request

__all__ = ["Access", "AirflowAccess", "NotSignedIn", "Person"]


class NotSignedIn(Exception):
    """Nobody is signed in to Airflow, or not any more."""


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in to Airflow; `user` is the auth manager's own."""

    id: str
    name: str
    user: Any = field(default=None, repr=False, compare=False)


class Access(Protocol):
    """What the page asks Airflow about people."""

    async def person(self, request: Request) -> Person: ...

    def may_list(self, person: Person) -> bool: ...

    def visible(self, person: Person) -> set[str]: ...

    def editable(self, person: Person) -> set[str]: ...

    def may_edit(self, person: Person, conn_id: str) -> bool: ...


class AirflowAccess:
    """Asks the deployment's auth manager."""

    async def person(self, request: Request) -> Person:
        """Return who sent the session cookie; raises NotSignedIn.

        A bearer token is not looked at: pages are for browsers.
        """
        from airflow.api_fastapi.core_api.security import get_user

        try:
            user = await get_user(request, None, None)
        except HTTPException:
            raise NotSignedIn from None
        return Person(str(user.get_id()), str(user.get_name()), user)

    def may_list(self, person: Person) -> bool:
        """Say whether somebody may see connections at all, as Airflow's own list asks it."""
        return bool(self._manager.is_authorized_connection(method="GET", user=person.user))

    def visible(self, person: Person) -> set[str]:
        """Return the ids of the connections that somebody may see."""
        return set(self._manager.get_authorized_connections(user=person.user, method="GET"))

    def editable(self, person: Person) -> set[str]:
        """Return the ids of the connections that somebody may change."""
        return set(self._manager.get_authorized_connections(user=person.user, method="PUT"))

    def may_edit(self, person: Person, conn_id: str) -> bool:
        """Say whether somebody may change a connection, in its team where there are teams.

        One that is not there nobody may change: else the answer would tell it from one that may not be seen.
        """
        from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
        from airflow.configuration import conf
        from airflow.models.connection import Connection

        teams = Connection.get_conn_id_to_team_name_mapping([conn_id])
        if conn_id not in teams:
            return False
        team = teams[conn_id] if conf.getboolean("core", "multi_team") else None
        details = ConnectionDetails(conn_id=conn_id, team_name=team)
        return bool(self._manager.is_authorized_connection(method="PUT", details=details, user=person.user))

    @property
    def _manager(self) -> Any:
        from airflow.api_fastapi.app import get_auth_manager

        return get_auth_manager()
