"""Unbound functions: who is asking, which organization this is, how many rows a table has.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-functions
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations import Invocation, Operation, Parameter
from airflow_provider_dynamics.emulator.operations.model import need
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

VERSION = "9.2.26043.180"


class Functions:
    """What is asked of the environment as a whole."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, int] | None = None

    def operations(self) -> tuple[Operation, ...]:
        """The functions as operations."""
        ids = ("BusinessUnitId", "UserId", "OrganizationId")
        return (
            Operation(
                "WhoAmI",
                (),
                tuple(need(name, "Edm.Guid") for name in ids),
                is_function=True,
                run=lambda invocation: self._who_am_i(invocation.call),
            ),
            Operation(
                "RetrieveCurrentOrganization",
                (Parameter("AccessType", "mscrm.EndpointAccessType"),),
                (Parameter("Detail", "mscrm.OrganizationDetail"),),
                is_function=True,
                run=lambda invocation: self._organization(invocation.call),
            ),
            Operation(
                "RetrieveTotalRecordCount",
                (need("EntityNames", "Collection(Edm.String)"),),
                (Parameter("EntityRecordCountCollection", "mscrm.EntityRecordCountCollection"),),
                is_function=True,
                run=self._record_count,
            ),
            Operation(
                "RetrieveVersion",
                (),
                (Parameter("Version", "Edm.String"),),
                is_function=True,
                run=lambda _: {"Version": self._version()},
            ),
        )

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

    def _version(self) -> str:
        found = self._store.one(sa.select(SQL["organization"].c.version))
        return str(found[0]) if found else VERSION

    def _who_am_i(self, call: Call) -> dict[str, Any]:
        return {
            "BusinessUnitId": call.caller.business_unit_id,
            "UserId": call.caller.user_id,
            "OrganizationId": self.organization_id(),
        }

    def _organization(self, call: Call) -> dict[str, Any]:
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

    def _rows(self, name: str) -> int:
        found = self._store.one(sa.select(sa.func.count()).select_from(SQL[name]))
        return int(found[0]) if found else 0

    def _record_count(self, invocation: Invocation) -> dict[str, Any]:
        names = invocation.parameters["EntityNames"]
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
