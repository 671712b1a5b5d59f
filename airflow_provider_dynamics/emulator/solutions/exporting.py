"""Export: at once, or by a job whose file is fetched when it is done.

https://learn.microsoft.com/power-platform/alm/solution-async#solution-export
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.emulator.customizing.workshop import Workshop
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, Parameter, need
from airflow_provider_dynamics.emulator.seed.solutions import ACTIVE, DEFAULT, SYSTEM
from airflow_provider_dynamics.emulator.solutions.collecting import Collecting
from airflow_provider_dynamics.emulator.solutions.customizations import files_of
from airflow_provider_dynamics.emulator.solutions.manifest import manifest_of
from airflow_provider_dynamics.emulator.solutions.package import MANIFEST, packed
from airflow_provider_dynamics.emulator.solutions.registry import Registry

_EXPORT = 202
_SETTINGS = (
    "AutoNumberingSettings",
    "CalendarSettings",
    "CustomizationSettings",
    "EmailTrackingSettings",
    "GeneralSettings",
    "MarketingSettings",
    "OutlookSynchronizationSettings",
    "RelationshipRoles",
    "IsvConfig",
    "Sales",
    "ExternalApplications",
)
_PARAMETERS = (
    need("SolutionName", "Edm.String"),
    need("Managed", "Edm.Boolean"),
    Parameter("TargetVersion", "Edm.String"),
    *(Parameter(f"Export{name}", "Edm.Boolean") for name in _SETTINGS),
    Parameter("ExportComponentsParams", "mscrm.ExportComponentsParams"),
)


class Exporting:
    """Answers the actions of an export."""

    def __init__(self, workshop: Workshop, registry: Registry) -> None:
        self._workshop = workshop
        self._registry = registry
        self._collecting = Collecting(workshop, registry)
        self._files: dict[str, bytes | None] = {}

    def forget(self) -> None:
        """No file is kept any more."""
        self._files.clear()

    def operations(self) -> Sequence[Operation]:
        """The actions."""
        file = need("ExportSolutionFile", "Edm.Binary")
        begun = (need("AsyncOperationId", "Edm.Guid"), need("ExportJobId", "Edm.Guid"))
        return (
            Operation("ExportSolution", _PARAMETERS, (file,), run=self._at_once),
            Operation("ExportSolutionAsync", _PARAMETERS, begun, run=self._later),
            Operation(
                "DownloadSolutionExportData", (need("ExportJobId", "Edm.Guid"),), (file,), run=self._download
            ),
        )

    def _at_once(self, invocation: Invocation) -> Mapping[str, str]:
        self._check(invocation)
        given = invocation.parameters
        return {"ExportSolutionFile": _text(self.file(given["SolutionName"], managed=given["Managed"]))}

    def _check(self, invocation: Invocation) -> None:
        self._workshop.start(invocation.call, "prvExportCustomization", "Export")
        for name in ("TargetVersion", "ExportComponentsParams"):
            if invocation.parameters.get(name):
                raise NotEmulated(f"{name} of an export")
        row = self._registry.find(invocation.parameters["SolutionName"])
        if row is None:
            raise Fault(
                404,
                "0x80048037",
                "An error occurred while exporting a Solution. The solution does not exist in this system.",
            )
        if row["ismanaged"]:
            raise Fault(
                400,
                "0x80048036",
                "An error occurred while exporting a solution. Managed solutions cannot be exported.",
            )
        if row["solutionid"] in {ACTIVE, DEFAULT, SYSTEM} and invocation.parameters["Managed"]:
            raise Fault(400, "0x80048048", "The default solution cannot be exported as a package.")

    def file(self, name: str, *, managed: bool) -> bytes:
        """The zip file of a solution as it is now."""
        package = self._collecting.package(self._registry.named(name), managed=managed)
        return packed({MANIFEST: manifest_of(package), **files_of(package)})

    def _later(self, invocation: Invocation) -> Mapping[str, str]:
        self._check(invocation)
        name, managed = invocation.parameters["SolutionName"], invocation.parameters["Managed"]
        export_id = str(uuid.uuid4())
        self._files[export_id] = None

        def step(share: float) -> None:
            if share >= 1.0:
                self._files[export_id] = self.file(name, managed=managed)

        values = {
            "name": f"Export solution {name}",
            "operationtype": _EXPORT,
            "messagename": "ExportSolutionAsync",
        }
        job = self._workshop.jobs.start(invocation.call, values, step)
        return {"AsyncOperationId": job.job_id, "ExportJobId": export_id}

    def _download(self, invocation: Invocation) -> Mapping[str, Any]:
        wanted = invocation.parameters["ExportJobId"].lower()
        content = self._files.get(wanted)
        if content is None:
            raise Fault(404, "0x80040217", f"exportsolutionupload With Id = {wanted} Does Not Exist")
        return {"ExportSolutionFile": _text(content)}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
