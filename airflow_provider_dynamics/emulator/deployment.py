"""Where an environment runs: in Microsoft's cloud, or on a server of one's own, which lacks a few things.

https://learn.microsoft.com/dynamics365/customerengagement/on-premises/developer/webapi/discover-url-organization-web-api and
https://learn.microsoft.com/dynamics365/customerengagement/on-premises/developer/webapi/web-api-versions
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from airflow_provider_dynamics.emulator.schema.current import Schema, standard

CLOUD_VERSIONS = ("9.0", "9.1", "9.2")
# v8.0, v8.1 and v8.2 of one server are the same; from v9.0 on they differ.
SERVER_VERSIONS = ("8.0", "8.1", "8.2", "9.0", "9.1")
_VERSION = re.compile(r"v(?P<version>\d+\.\d+)(?:/|$)")
_DATA = "/api/data/"
_CLOUD_TABLES = frozenset(
    {
        "backgroundoperation",
        "connectionreference",
        "environmentvariabledefinition",
        "environmentvariablevalue",
    }
)


@dataclass(frozen=True)
class Deployment:
    """How an environment is reached, and what its server has.

    ``organization`` stands first in the path where the host serves several organizations, which only servers of one's
    own do; ``versions`` of the Web API are those the server knows.
    """

    on_premises: bool = False
    organization: str | None = None
    versions: tuple[str, ...] = CLOUD_VERSIONS

    @property
    def prefix(self) -> str:
        """What stands before ``/api`` in every path."""
        return f"/{self.organization}" if self.organization else ""

    def below_api(self, path: str) -> str | None:
        """A percent-encoded path without the organization; None when it is another's, or none at all."""
        if not self.prefix:
            return path
        if path.lower().startswith(f"{self.prefix.lower()}/"):
            return path[len(self.prefix) :]
        return None

    def lacks(self, path: str) -> str | None:
        """The version of the Web API that a path below the organization names and the server does not have."""
        if not path.startswith(_DATA):
            return None
        found = _VERSION.match(path, len(_DATA))
        return found["version"] if found and found["version"] not in self.versions else None


CLOUD = Deployment()
# Solutions go by requests that are answered when all is done; see the Web API reference of
# https://learn.microsoft.com/dynamics365/customer-engagement/web-api/actions?view=dynamics-ce-odata-9
CLOUD_ACTIONS = frozenset(
    {
        "CreateEntities",
        "DeleteAndPromoteAsync",
        "DownloadSolutionExportData",
        "ExportSolutionAsync",
        "ImportSolutionAsync",
        "PublishAllXmlAsync",
        "StageAndUpgradeAsync",
        "StageSolution",
        "UninstallSolutionAsync",
    }
)


def schema_of(deployment: Deployment) -> Schema:
    """The tables of a new environment: a server of one's own has neither elastic tables nor what serves the cloud alone."""
    found = standard()
    if not deployment.on_premises:
        return found
    for table in found.tables.values():
        missing = table.elastic or table.name in _CLOUD_TABLES
        found = found.without_table(table.name) if missing else found.with_tables(replace(table, bulk=False))
    return found
