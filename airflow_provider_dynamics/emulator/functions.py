"""Unbound functions: who is asking, which organization this is, how many rows a table has.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-functions
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.address import Segment
from airflow_provider_dynamics.emulator.call import Call, reply
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.store import SQL, Store

VERSION = "9.2.26043.180"


class Functions:
    """Answers GET on function names; ``names`` says which there are."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, int] | None = None
        self._functions: Mapping[str, Callable[[Call, Segment], dict[str, Any]]] = {
            "WhoAmI": self._who_am_i,
            "RetrieveCurrentOrganization": self._organization,
            "RetrieveTotalRecordCount": self._record_count,
            "RetrieveVersion": self._version,
        }

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._functions)

    def run(self, call: Call, segment: Segment) -> Response:
        """One function; raises ``NotEmulated`` for the others."""
        made = self._functions.get(segment.name)
        if made is None:
            raise NotEmulated(f"the function or action {segment.name}")
        context = call.context(f"Microsoft.Dynamics.CRM.{segment.name}Response")
        return reply(200, {"@odata.context": context, **made(call, segment)})

    def keep_counts(self, *, kept: bool) -> None:
        """From now on count rows as they are at this moment, or (not kept) as they are when asked."""
        if not kept:
            self._kept = None
        elif self._kept is None:
            self._kept = {name: self._rows(name) for name in TABLES}

    def organization_id(self) -> str:
        """The id of the one organization."""
        found = self._store.one(sa.select(SQL["organization"].c.organizationid))
        return str(found[0]) if found else "00000000-0000-0000-0000-000000000000"

    def _who_am_i(self, call: Call, segment: Segment) -> dict[str, Any]:
        return {
            "BusinessUnitId": call.caller.business_unit_id,
            "UserId": call.caller.user_id,
            "OrganizationId": self.organization_id(),
        }

    def _organization(self, call: Call, segment: Segment) -> dict[str, Any]:
        sql = SQL["organization"]
        row = self._store.one(sa.select(sql.c.name, sql.c.friendlyname, sql.c.version)) or ("", "", VERSION)
        base = call.root.partition("/api/data/")[0]
        endpoints = {
            "WebApplication": f"{base}/",
            "OrganizationService": f"{base}/XRMServices/2011/Organization.svc",
            "OrganizationDataService": f"{base}/XRMServices/2011/OrganizationData.svc",
        }
        return {
            "Detail": {
                "OrganizationId": self.organization_id(),
                "FriendlyName": row[1],
                "OrganizationVersion": row[2],
                "EnvironmentId": self.organization_id(),
                "DatacenterId": None,
                "Geo": None,
                "TenantId": None,
                "UrlName": row[0],
                "UniqueName": row[0],
                "State": "Enabled",
                "Endpoints": {
                    "Count": len(endpoints),
                    "IsReadOnly": False,
                    "Keys": list(endpoints),
                    "Values": list(endpoints.values()),
                },
            }
        }

    def _version(self, call: Call, segment: Segment) -> dict[str, Any]:
        return {"Version": VERSION}

    def _rows(self, name: str) -> int:
        found = self._store.one(sa.select(sa.func.count()).select_from(SQL[name]))
        return int(found[0]) if found else 0

    def _record_count(self, call: Call, segment: Segment) -> dict[str, Any]:
        names = self._entity_names(call, segment)
        counts = []
        for name in names:
            if name not in TABLES:
                raise Fault(
                    400,
                    "0x80041102",
                    f"The entity with a name = '{name}' was not found in the MetadataCache.",
                )
            counts.append(self._rows(name) if self._kept is None else self._kept[name])
        return {
            "EntityRecordCountCollection": {
                "Count": len(names),
                "IsReadOnly": False,
                "Keys": names,
                "Values": counts,
            }
        }

    @staticmethod
    def _entity_names(call: Call, segment: Segment) -> list[str]:
        inside = segment.inside or ""
        match = re.fullmatch(r"\s*EntityNames\s*=\s*(?:(@\w+)|(\[.*\]))\s*", inside)
        if match is None:
            raise Fault(400, "0x80060888", "RetrieveTotalRecordCount needs EntityNames.")
        listed = match[2] or call.aliases.get(match[1], "[]")
        return re.findall(r"['\"]([^'\"]+)['\"]", listed)
