"""Solutions: exported, checked, imported, upgraded, uninstalled and published, each by a job of the service.

https://learn.microsoft.com/power-platform/alm/solution-async
https://learn.microsoft.com/power-platform/alm/solution-api
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.import_results import ImportResults, results_of
from airflow_provider_dynamics.dataverse.administration.job import Started
from airflow_provider_dynamics.dataverse.administration.missing import (
    MissingDependency,
    kind_of,
    missing_in,
    refused_for,
    without_xml,
)
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.codes import BY_CODE, spelled
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate

__all__ = ["HOLDING", "Solution", "Solutions", "Staged"]

HOLDING = "_Upgrade"
"""What a solution's name ends in while it waits to replace the one that is installed."""

_PASSED = "Passed"
_NAMED = 5  # reasons in an error


@dataclass(frozen=True, slots=True)
class Solution:
    """An installed solution; `name` is its unique name."""

    id: str
    name: str
    label: str
    version: str
    managed: bool


@dataclass(frozen=True, slots=True)
class Staged:
    """A solution that was uploaded and found to be in order; `warnings` is what the service said nevertheless."""

    upload_id: str
    warnings: tuple[str, ...] = ()


class Solutions:
    """The solutions of one environment. Safe to use from several threads."""

    def __init__(self, transport: Sender, gate: MetadataGate, *, stop: Stop) -> None:
        self._transport = transport
        self._gate = gate
        self._stop = stop

    def check_allowed(self, what: str) -> None:
        """Raise MetadataChangesOff where this client may not do `what`; nothing is sent."""
        self._gate.check(what)

    def get(self, name: str) -> Solution | None:
        """Return an installed solution by its unique name, None where there is none."""
        query = {
            "$select": "solutionid,uniquename,friendlyname,version,ismanaged",
            "$filter": f"uniquename eq {odata.literal(name)}",
        }
        found = self._read(f"solutions{odata.options(query)}")["value"]
        return _solution(found[0]) if found else None

    def start_export(self, name: str, *, managed: bool = False) -> Started:
        """Start a job that exports a solution; its answer's ExportJobId is what `download` takes."""
        return self._started("ExportSolutionAsync", {"SolutionName": name, "Managed": managed})

    def download(self, export_job_id: str) -> bytes:
        """Return the zip that a finished export has made.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/downloadsolutionexportdata
        """
        body = {"ExportJobId": odata.guid(export_job_id)}
        request = _action("DownloadSolutionExportData", body, repeatable=True)
        found = decoded(self._transport.send(request, self._stop), request).get("ExportSolutionFile")
        try:
            return base64.b64decode(found or "", validate=True)
        except (binascii.Error, TypeError) as error:
            raise errors.BadResponse(
                "The exported solution is not the file it should be", asked=request.asked
            ) from error

    def stage(self, file: bytes, name: str) -> Staged:
        """Upload a solution's zip and let the service check it; nothing is changed yet.

        `name` is what errors call it. Raises SolutionRefused with what is missing or wrong, CustomizationRunning.
        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/stagesolution
        """
        self._gate.check("importing a solution")
        request = _action("StageSolution", {"CustomizationFile": file}, repeatable=True)
        try:
            answer = decoded(self._transport.send(request, self._stop), request)
        except errors.SolutionRefused as error:
            raise _readable(error, f"The solution {name}") from error
        return _staged(answer.get("StageSolutionResults") or {}, f"The solution {name}", request.asked)

    def start_import(
        self,
        file: bytes | None = None,
        *,
        staged: Staged | None = None,
        holding: bool = False,
        overwrite: bool = False,
        publish_workflows: bool = True,
        parameters: Sequence[Mapping[str, Any]] = (),
    ) -> Started:
        """Start a job that imports a zip, or what was staged; its answer's ImportJobKey is what `results` takes.

        `holding` keeps it beside the installed version until `start_upgrade`. `overwrite` replaces unmanaged
        changes of the environment's own. `parameters` are rows that replace those of the solution: values of
        environment variables and connection references. It is sent once.
        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/importsolutionasync
        """
        self._gate.check("importing a solution")
        if (file is None) == (staged is None):
            raise ValueError("give either a file or what was staged")
        body: dict[str, Any] = {
            "OverwriteUnmanagedCustomizations": overwrite,
            "PublishWorkflows": publish_workflows,
            "HoldingSolution": holding,
        }
        if staged is not None:
            body["SolutionParameters"] = {"StageSolutionUploadId": staged.upload_id}
        else:
            body["CustomizationFile"] = file
        if parameters:
            body["ComponentParameters"] = [dict(one) for one in parameters]
        return self._started("ImportSolutionAsync", body)

    def start_upgrade(self, name: str) -> Started:
        """Start a job that puts the holding solution in place of the installed one and of its patches.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/deleteandpromoteasync
        """
        self._gate.check("upgrading a solution")
        return self._started("DeleteAndPromoteAsync", {"UniqueName": name})

    def start_uninstall(self, name: str) -> Started:
        """Start a job that uninstalls a solution: a managed one goes with its tables and their rows.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/uninstallsolutionasync
        """
        self._gate.check("uninstalling a solution")
        return self._started("UninstallSolutionAsync", {"SolutionUniqueName": name})

    def start_publish(self) -> Started:
        """Start a job that publishes all changes that are not published yet."""
        return self._started("PublishAllXmlAsync", {})

    def publish(self, tables: Iterable[str] = (), choices: Iterable[str] = ()) -> None:
        """Publish the changes of some tables and global choices, and wait for it.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/publishxml
        """
        parts = {"entities": ("entity", tables), "optionsets": ("optionset", choices)}
        listed = "".join(
            f"<{group}>{''.join(f'<{one}>{escape(name)}</{one}>' for name in names)}</{group}>"
            for group, (one, names) in parts.items()
        )
        body = {"ParameterXml": f"<importexportxml>{listed}</importexportxml>"}
        self._transport.send(_action("PublishXml", body, repeatable=True), self._stop)

    def progress(self, import_job_id: str) -> float | None:
        """Return how far an import has come, in percent; None where nobody says."""
        target = f"importjobs({odata.guid(import_job_id)})?$select=progress"
        request = Request("GET", target, optional=True)
        try:
            found = decoded(self._transport.send(request, self._stop), request).get("progress")
        except errors.DataverseError:  # it is only a number in a log
            return None
        return None if found is None else float(found)

    def results(self, import_job_id: str) -> ImportResults | None:
        """Return what an import's log says, None where there is none (any more)."""
        target = f"importjobs({odata.guid(import_job_id)})?$select=solutionname,progress,data"
        try:
            return results_of(self._read(target))
        except (errors.NotFound, errors.Forbidden):
            return None

    def blocking(self, name: str) -> tuple[str, ...]:
        """Return what keeps a solution from being uninstalled, in words.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrievedependenciesforuninstall
        """
        query = odata.options({"@p1": odata.literal(name)})
        found = self._read(f"RetrieveDependenciesForUninstall(SolutionUniqueName=@p1){query}")["value"]
        homes = self._names({one.get("dependentcomponentbasesolutionid") for one in found})
        return tuple(dict.fromkeys(_blocking(one, homes) for one in found))

    def _names(self, ids: Iterable[Any]) -> dict[str, str]:
        """Return the names of solutions by their ids."""
        wanted = sorted({odata.guid(one) for one in ids if one})[:_NAMED]
        if not wanted:
            return {}
        query = {
            "$select": "solutionid,uniquename",
            "$filter": " or ".join(f"solutionid eq {one}" for one in wanted),
        }
        found = self._read(f"solutions{odata.options(query)}")["value"]
        return {odata.guid(one["solutionid"]): one["uniquename"] for one in found}

    def _started(self, action: str, body: Mapping[str, Any]) -> Started:
        request = _action(action, body)
        answer = decoded(self._transport.send(request, self._stop), request)
        job_id = answer.pop("AsyncOperationId", None)
        if not job_id:
            raise errors.BadResponse(f"{action} named no job", asked=request.asked)
        rest = {name: value for name, value in answer.items() if not name.startswith("@")}
        return Started(odata.guid(job_id), "system", rest)

    def _read(self, target: str) -> Any:
        request = Request("GET", target)
        return decoded(self._transport.send(request, self._stop), request)


def _action(name: str, body: Mapping[str, Any], *, repeatable: bool = False) -> Request:
    return Request("POST", name, {}, odata.encode(body), repeatable=repeatable)


def _solution(row: Mapping[str, Any]) -> Solution:
    return Solution(
        odata.guid(row["solutionid"]),
        row["uniquename"],
        row.get("friendlyname") or "",
        row.get("version") or "",
        bool(row.get("ismanaged")),
    )


def _readable(error: errors.SolutionRefused, what: str) -> errors.SolutionRefused:
    """Return a refusal with the document inside its message taken apart."""
    missing = missing_in(error.message)
    if not missing:
        return error
    facts = {"asked": error.asked, "status": error.status, "request_id": error.request_id}
    return refused_for(missing, what, code=error.code, **facts)


def _staged(found: Mapping[str, Any], what: str, asked: str) -> Staged:
    said = found.get("SolutionValidationResults") or ()
    wrong = [one for one in said if one.get("SolutionValidationResultType") == "Error"]
    missing = [MissingDependency.of_wire(one) for one in found.get("MissingDependencies") or ()]
    missing = missing or [one for result in wrong for one in missing_in(result.get("Message") or "")]
    code = next((spelled(one["ErrorCode"]) for one in wrong if one.get("ErrorCode")), "")
    refused = wrong or found.get("StageSolutionStatus", _PASSED) != _PASSED
    if missing and refused:
        raise refused_for(missing, what, asked=asked, code=code)
    if refused:
        texts = [errors.shortened(without_xml(one.get("Message") or ""), 300) for one in wrong[:_NAMED]]
        raise errors.SolutionRefused(
            f"{what} does not pass the service's checks: {'; '.join(filter(None, texts)) or 'no reason is given'}",
            asked=asked,
            code=code,
            remedy=BY_CODE.get(code, (None, None))[1],
        )
    others = [one for one in said if one not in wrong]
    warnings = [errors.shortened(without_xml(one.get("Message") or "")) for one in others]
    return Staged(odata.guid(found["StageSolutionUploadId"]), tuple(filter(None, warnings)))


def _blocking(row: Mapping[str, Any], homes: Mapping[str, str]) -> str:
    dependent, required = (kind_of(row.get(f"{side}componenttype")) for side in ("dependent", "required"))
    home = homes.get(str(row.get("dependentcomponentbasesolutionid") or "").lower())
    inside = f" of the solution {home}" if home else ""
    return (
        f"the {dependent} {row.get('dependentcomponentobjectid')}{inside} needs its {required} "
        f"{row.get('requiredcomponentobjectid')}"
    )
