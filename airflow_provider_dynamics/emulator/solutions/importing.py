"""Import: at once, or by a job with its progress and its log in an import job.

https://learn.microsoft.com/power-platform/alm/solution-async#solution-import
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_dynamics.emulator.call import Call, no_content
from airflow_provider_dynamics.emulator.customizing.workshop import Workshop
from airflow_provider_dynamics.emulator.error_body import refusal
from airflow_provider_dynamics.emulator.jobs.job import SUCCEEDED
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.operations.model import (
    Invocation,
    Operation,
    Parameter,
    missing,
    need,
)
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.solutions.applying import Part, parts_of
from airflow_provider_dynamics.emulator.solutions.import_log import Course, data_of, formatted
from airflow_provider_dynamics.emulator.solutions.installing import Installing, Wish
from airflow_provider_dynamics.emulator.solutions.package import Package
from airflow_provider_dynamics.emulator.solutions.registry import Registry
from airflow_provider_dynamics.emulator.solutions.removing import Removing
from airflow_provider_dynamics.emulator.solutions.staging import Staging

_IMPORT, _UPGRADE = 203, 211
_JOB = TABLES["importjob"]
_FLAGS = (
    "ConvertToManaged",
    "SkipProductUpdateDependencies",
    "HoldingSolution",
    "SkipQueueRibbonJob",
    "AsyncRibbonProcessing",
    "IsTemplateMode",
)
_PARAMETERS = (
    need("OverwriteUnmanagedCustomizations", "Edm.Boolean"),
    need("PublishWorkflows", "Edm.Boolean"),
    *(Parameter(name, "Edm.Boolean") for name in _FLAGS),
    Parameter("LayerDesiredOrder", "mscrm.LayerDesiredOrder"),
    Parameter("ComponentParameters", "Collection(mscrm.crmbaseentity)"),
    Parameter("SolutionParameters", "mscrm.SolutionParameters"),
    Parameter("TemplateSuffix", "Edm.String"),
    Parameter("TemplateDisplayNamePrefix", "Edm.String"),
)


@dataclass
class _Import:
    """One import on its way."""

    import_id: str
    package: Package
    wish: Wish
    course: Course
    parts: Sequence[Part] = field(default_factory=tuple)


class Importing:
    """Answers the actions of an import."""

    def __init__(
        self,
        workshop: Workshop,
        registry: Registry,
        staging: Staging,
        installing: Installing,
        removing: Removing,
    ) -> None:
        self._workshop = workshop
        self._registry = registry
        self._staging = staging
        self._installing = installing
        self._removing = removing
        self._store = workshop.rooms.store
        self._writer = workshop.rooms.writer
        self._courses: dict[str, Course] = {}

    def forget(self) -> None:
        """No import is remembered any more."""
        self._courses.clear()

    def operations(self) -> Sequence[Operation]:
        """The actions, and the function that shows a log."""
        file, begun = (
            Parameter("CustomizationFile", "Edm.Binary"),
            (
                need("ImportJobKey", "Edm.String"),
                need("AsyncOperationId", "Edm.Guid"),
            ),
        )
        named = need("ImportJobId", "Edm.Guid")
        needed = need("CustomizationFile", "Edm.Binary")
        return (
            Operation("ImportSolution", (needed, named, *_PARAMETERS), run=self._at_once),
            Operation("ImportSolutionAsync", (file, *_PARAMETERS), begun, run=self._later),
            Operation("StageAndUpgradeAsync", (file, *_PARAMETERS), begun, run=self._upgrade_later),
            Operation(
                "RetrieveFormattedImportJobResults",
                (named,),
                (need("FormattedResults", "Edm.String"),),
                is_function=True,
                run=self._formatted,
            ),
        )

    # -- the request --------------------------------------------------------------------------------

    def _start(self, invocation: Invocation, *, upgrade: bool = False) -> _Import:
        self._workshop.start(invocation.call, "prvImportCustomization", "Import")
        given = invocation.parameters
        for name in ("ConvertToManaged", "IsTemplateMode", "LayerDesiredOrder", "TemplateSuffix"):
            if given.get(name):
                raise NotEmulated(f"{name} of an import")
        package = self._staging.package_of(self._content(given))
        wish = Wish(
            overwrite=given["OverwriteUnmanagedCustomizations"],
            holding=bool(given.get("HoldingSolution")),
            upgrade=upgrade,
            parameters=given.get("ComponentParameters") or (),
        )
        import_id = str(given.get("ImportJobId") or uuid.uuid4()).lower()
        parts = tuple(parts_of(package))
        course = Course(package, parts, self._workshop.jobs.now())
        self._row(invocation.call, import_id, course, wish)
        return _Import(import_id, package, wish, course, parts)

    def _content(self, given: Mapping[str, Any]) -> bytes:
        upload_id = (given.get("SolutionParameters") or {}).get("StageSolutionUploadId")
        if upload_id and upload_id != str(uuid.UUID(int=0)):
            return self._staging.staged(upload_id)
        if not given.get("CustomizationFile"):
            raise missing("CustomizationFile")
        return base64.b64decode(given["CustomizationFile"])

    def _row(self, call: Call, import_id: str, course: Course, wish: Wish) -> None:
        name = course.package.name
        installed = self._registry.find(name)
        context = (
            "ImportHolding"
            if wish.holding or wish.upgrade
            else "ImportUpdate"
            if installed
            else "ImportInstall"
        )
        self._courses[import_id] = course
        self._writer.make(
            call,
            _JOB,
            {
                "importjobid": import_id,
                "name": "Customizations",
                "solutionname": name,
                "startedon": utc_text(course.start),
                "progress": 0.0,
                "data": data_of(course),
                "importcontext": context,
                "operationcontext": "Upgrade" if wish.upgrade else "Update" if installed else "New",
            },
        )

    def _at_once(self, invocation: Invocation) -> Response:
        one = self._start(invocation)
        try:
            with self._store.transaction():
                self._install(invocation.call, one)
        except NotEmulated:
            raise
        except Fault as fault:
            self._told(invocation.call, one, fault)
            return refusal(fault, invocation.call.prefer)
        self._told(invocation.call, one, None)
        return no_content()

    # -- the job ------------------------------------------------------------------------------------

    def _later(self, invocation: Invocation) -> Mapping[str, str]:
        return self._begin(invocation, self._start(invocation), _IMPORT, "ImportSolutionAsync")

    def _upgrade_later(self, invocation: Invocation) -> Mapping[str, str]:
        one = self._start(invocation, upgrade=True)
        return self._begin(invocation, one, _UPGRADE, "StageAndUpgradeAsync")

    def _begin(self, invocation: Invocation, one: _Import, kind: int, message: str) -> Mapping[str, str]:
        call = invocation.call
        values = {
            "name": f"Import solution {one.package.name}",
            "operationtype": kind,
            "messagename": message,
        }
        job = self._workshop.jobs.start(call, values, lambda share: self._step(call, one, share))
        job.ended = lambda state, fault: self._ended(call, one, state == SUCCEEDED, fault)
        self._workshop.runs(job.job_id, "Import")
        return {"ImportJobKey": one.import_id, "AsyncOperationId": job.job_id}

    def _step(self, call: Call, one: _Import, share: float) -> None:
        if share < 1.0:
            self._show(call, one, replace(one.course, progress=round(share * 100, 2)))
            return
        with self._store.transaction():
            self._install(call, one)

    def _install(self, call: Call, one: _Import) -> None:
        call = replace(call, now=self._workshop.jobs.now())
        try:
            self._installing.install(call, one.package, one.wish)
            if one.wish.upgrade:
                self._removing.promote(call, one.package.name)
        except NotEmulated:
            raise
        except Fault as fault:
            raise replace_message(fault, f"Solution manifest import: FAILURE: {fault.message}") from fault

    def _ended(self, call: Call, one: _Import, succeeded: bool, fault: Fault | None) -> None:
        if not succeeded and fault is None:
            fault = Fault(400, "0x80048033", f"The import of solution: {one.package.name} was canceled.")
        self._told(call, one, fault)

    def _told(self, call: Call, one: _Import, fault: Fault | None) -> None:
        """Write the end of an import into its row."""
        lacks = self._staging.missing(one.package) if fault and fault.code == "0x8004801d" else ()
        progress = 100.0 if fault is None else one.course.progress
        stop = self._workshop.jobs.now()
        self._show(call, one, replace(one.course, progress=progress, stop=stop, fault=fault, missing=lacks))

    def _show(self, call: Call, one: _Import, course: Course) -> None:
        one.course = self._courses[one.import_id] = course
        if not self._store.exists(_JOB, one.import_id):
            return
        values: dict[str, Any] = {"progress": course.progress, "data": data_of(course)}
        if course.stop is not None:
            values["completedon"] = utc_text(course.stop)
            solution = self._registry.find(one.package.name)
            values["solutionid"] = solution["solutionid"] if solution and course.fault is None else None
        row = self._writer.existing(_JOB, one.import_id)
        self._writer.change(replace(call, now=self._workshop.jobs.now()), _JOB, row, values)

    def _formatted(self, invocation: Invocation) -> Mapping[str, str]:
        import_id = invocation.parameters["ImportJobId"].lower()
        if not self._store.exists(_JOB, import_id) or import_id not in self._courses:
            raise Fault(404, "0x80040217", f"importjob With Id = {import_id} Does Not Exist")
        return {"FormattedResults": formatted(self._courses[import_id])}


def replace_message(fault: Fault, message: str) -> Fault:
    """The same fault in other words."""
    return Fault(fault.status, fault.code, message)
