"""What a server is able to do: Microsoft's cloud everything, one on premises what its version had.

What is missing there is refused by name before it is sent, since the answer would be a 404 that says nothing.
https://learn.microsoft.com/dynamics365/customerengagement/on-premises/developer/overview
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request

__all__ = ["CLOUD", "VERSIONS", "Server"]

VERSIONS = ("v9.2", "v9.1", "v9.0", "v8.2", "v8.1", "v8.0")
"""The versions of the Web API there have been; on premises the newest is v9.1."""


@dataclass(frozen=True)
class _Feature:
    """Something that servers on premises lack; `since` is the version that brought it there, None for none.

    A request asks for it by its `target` or, where it has a `header`, by that (`value` is what it then begins with).
    """

    name: str
    instead: str
    target: str = ""
    header: str = ""
    value: str = ""
    since: str | None = None

    def asked_for(self, request: Request, headers: Mapping[str, str]) -> bool:
        if self.header:
            said = headers.get(self.header)
            return said is not None and said.startswith(self.value)
        return re.search(self.target, request.target) is not None


# https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations, /background-operations, /use-elastic-tables,
# /file-column-data, /impersonate-another-user and /webapi/reference say of each that it is the cloud's
_FEATURES: Sequence[_Feature] = (
    _Feature(
        "writing many rows with one message (CreateMultiple and its kind)",
        "Write the rows one by one or in a batch.",
        r"Microsoft\.Dynamics\.CRM\.(Create|Update|Upsert|Delete)Multiple\b|^(Create|Update|Upsert|Delete)Multiple\b",
    ),
    _Feature(
        "background operations",
        "Call the action and wait for its answer: leave out background.",
        r"/api/backgroundoperation/|^backgroundoperations\b",
    ),
    _Feature(
        "background operations",
        "Call the action and wait for its answer: leave out background.",
        header="prefer",
        value="respond-async",
    ),
    _Feature(
        "file columns",
        "Keep files in notes (annotation.documentbody) there.",
        r"^(Initialize|Commit)(File|Attachment|Annotation)\w*Blocks\w*\b|^(Upload|Download)Block\b",
    ),
    _Feature(
        "file columns",
        "Keep files in notes (annotation.documentbody) there.",
        header="x-ms-transfer-mode",
    ),
    _Feature("file columns", "Keep files in notes (annotation.documentbody) there.", header="x-ms-file-name"),
    _Feature(
        "acting for a user by an Entra object id",
        "Leave caller_object_id empty, and sign in as that user.",
        header="callerobjectid",
    ),
    _Feature("elastic tables", "Leave partitionid out.", r"[?&(,]partition[iI]d="),
    _Feature(
        "the service's own count of a table's rows (RetrieveTotalRecordCount)",
        "Count the rows with a query.",
        r"^RetrieveTotalRecordCount\b",
        since="v9.0",
    ),
    _Feature(
        "exporting and importing solutions as jobs",
        "Move the solution with the web application or its own tools there.",
        r"^(ExportSolutionAsync|ImportSolutionAsync|StageSolution|StageAndUpgradeAsync|DeleteAndPromoteAsync"
        r"|UninstallSolutionAsync)\b",
    ),
    _Feature(
        "webhooks",
        "Watch the table instead (DynamicsChangesTrigger).",
        r"^serviceendpoints\?.*\bisauthvalueset\b",
        since="v9.0",
    ),
)


@dataclass(frozen=True)
class Server:
    """What stands behind an environment's address: `on_premises`, or Microsoft's cloud; `api_version` is the one to ask."""

    on_premises: bool = False
    api_version: str = "v9.2"

    @property
    def bulk_messages(self) -> bool:
        """Whether CreateMultiple and its kind may exist."""
        return not self.on_premises

    @property
    def table_types(self) -> bool:
        """Whether a table's definition says of which type it is: standard, elastic."""
        return not self.on_premises

    def check(self, request: Request) -> None:
        """Raise NotOnThisServer for a request of something that it does not have."""
        if not self.on_premises:
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        for feature in _FEATURES:
            if not self._has(feature) and feature.asked_for(request, headers):
                raise errors.NotOnThisServer(
                    f"Dynamics 365 on premises{self._version(feature)} does not have {feature.name}",
                    asked=request.asked,
                    remedy=feature.instead,
                )

    def _has(self, feature: _Feature) -> bool:
        return feature.since is not None and self.api_version >= feature.since

    def _version(self, feature: _Feature) -> str:
        return f" in version {self.api_version}" if feature.since else ""


CLOUD = Server()
