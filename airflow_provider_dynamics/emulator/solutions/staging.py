"""Solution files as they come: kept when they are staged, checked before they are imported.

https://learn.microsoft.com/power-platform/alm/solution-async#staging-a-solution
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, tostring

from airflow_provider_dynamics.emulator.customizing.workshop import Workshop
from airflow_provider_dynamics.emulator.jobs.job import signed
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, need
from airflow_provider_dynamics.emulator.schema.solutions import COMPONENT_TYPES
from airflow_provider_dynamics.emulator.solutions.applying import Applying
from airflow_provider_dynamics.emulator.solutions.customizations import with_contents
from airflow_provider_dynamics.emulator.solutions.manifest import add_missing, read_manifest
from airflow_provider_dynamics.emulator.solutions.needs import missing_from
from airflow_provider_dynamics.emulator.solutions.package import (
    MANIFEST,
    Missing,
    Package,
    unpacked,
    version_of,
)
from airflow_provider_dynamics.emulator.solutions.registry import Registry

MOST_STAGED = 100  # files; the oldest goes first
_NO_ID = "00000000-0000-0000-0000-000000000000"


class Staging:
    """Reads solution files, says what is wrong with them, and keeps those that were staged."""

    def __init__(self, workshop: Workshop, registry: Registry, applying: Applying) -> None:
        self._workshop = workshop
        self._registry = registry
        self._applying = applying
        self._staged: dict[str, bytes] = {}

    def forget(self) -> None:
        """Nothing is staged any more."""
        self._staged.clear()

    def operations(self) -> Sequence[Operation]:
        """The action."""
        return (
            Operation(
                "StageSolution",
                (need("CustomizationFile", "Edm.Binary"),),
                (need("StageSolutionResults", "mscrm.StageSolutionResults"),),
                run=self._stage,
            ),
        )

    def package_of(self, content: bytes) -> Package:
        """What a file holds; raises ``Fault`` when it is no solution's."""
        files = unpacked(content)
        package = read_manifest(files[MANIFEST])
        version_of(package.version)
        return with_contents(package, files, self._workshop.working)

    def staged(self, upload_id: str) -> bytes:
        """A file that was staged; raises ``Fault`` when there is none."""
        content = self._staged.get(upload_id.lower())
        if content is None:
            raise Fault(404, "0x80040217", f"stagesolutionupload With Id = {upload_id} Does Not Exist")
        return content

    def missing(self, package: Package) -> tuple[Missing, ...]:
        """The components that the environment lacks for a package."""
        return missing_from(package, self._workshop.working, self._workshop.rooms.store)

    def check(self, package: Package) -> None:
        """Refuse a package that cannot be imported here; what it lacks comes last."""
        self._check_installed(package)
        self._applying.refuse_unmanaged_base(package)
        missing = self.missing(package)
        if missing:
            raise lacking(package, missing)

    def _check_installed(self, package: Package) -> None:
        row = self._registry.find(package.name)
        if row is None:
            return
        if bool(row["ismanaged"]) != package.managed:
            here, there = ("managed", "unmanaged") if row["ismanaged"] else ("unmanaged", "managed")
            raise Fault(
                400,
                "0x80048041" if row["ismanaged"] else "0x80048040",
                f"The solution is already installed on this system as {'a' if here == 'managed' else 'an'} {here} "
                f"solution and the package supplied is attempting to install it in {there} mode. Import can only "
                "update solutions when the modes match. Uninstall the current solution and try again.",
            )
        if version_of(package.version) < version_of(row["version"]):
            raise NotEmulated(
                f"importing version {package.version} of the solution {package.name} over version {row['version']}"
            )

    def _stage(self, invocation: Invocation) -> Mapping[str, Any]:
        self._workshop.start(invocation.call, "prvImportCustomization", "Import")
        content = base64.b64decode(invocation.parameters["CustomizationFile"])
        package = self.package_of(content)
        fault: Fault | None = None
        try:
            self.check(package)
        except NotEmulated:
            raise
        except Fault as error:
            fault = error
        upload_id = _NO_ID if fault else str(uuid.uuid4())
        if fault is None:
            self._staged[upload_id] = content
            if len(self._staged) > MOST_STAGED:
                del self._staged[next(iter(self._staged))]
        return {"StageSolutionResults": _results(package, upload_id, fault, self.missing(package))}


def lacking(package: Package, missing: tuple[Missing, ...]) -> Fault:
    """0x8004801d: some dependencies are missing."""
    listed = tostring(add_missing(Element("all"), missing), encoding="unicode")
    return Fault(
        400,
        "0x8004801d",
        f"The following solution cannot be imported: {package.name}. Some dependencies are missing. The missing "
        f"dependencies are : {listed} , ProductUpdatesOnly : False",
    )


def _results(
    package: Package, upload_id: str, fault: Fault | None, missing: tuple[Missing, ...]
) -> Mapping[str, Any]:
    errors = [
        {
            "SolutionValidationResultType": "Error",
            "Message": fault.message,
            "ErrorCode": signed(fault.code),
            "AdditionalInfo": None,
        }
        for fault in ([fault] if fault else [])
    ]
    return {
        "StageSolutionUploadId": upload_id,
        "StageSolutionStatus": "Failed" if fault else "Passed",
        "SolutionValidationResults": errors,
        "MissingDependencies": [_dependency(one) for one in missing],
        "SolutionComponentsDetails": list(_details(package)),
        "SolutionDetails": {
            "SolutionUniqueName": package.name,
            "SolutionFriendlyName": package.label,
            "SolutionVersion": package.version,
            "IsManaged": package.managed,
        },
    }


def _dependency(one: Missing) -> Mapping[str, Any]:
    found: dict[str, Any] = {"RequiredSolutionName": one.solution}
    for which, component in (("Required", one.required), ("Dependent", one.dependent)):
        found |= {
            f"{which}ComponentSchemaName": component.name,
            f"{which}ComponentDisplayName": component.label or component.name,
            f"{which}ComponentParentSchemaName": component.parent,
            f"{which}ComponentParentDisplayName": component.parent,
            f"{which}ComponentId": component.object_id or _NO_ID,
            f"{which}ComponentType": COMPONENT_TYPES.get(component.kind, str(component.kind)),
        }
    return found


def _details(package: Package) -> Iterator[Mapping[str, Any]]:
    for variable in package.variables:
        named = {"schemaname": variable.name, "displayname": variable.label, "defaultvalue": variable.default}
        yield _detail("environmentvariabledefinition", named)
        if variable.value is not None:
            yield _detail("environmentvariablevalue", {"schemaname": variable.name, "value": variable.value})
    for reference in package.references:
        named = {
            "connectionreferencelogicalname": reference.name,
            "connectionreferencedisplayname": reference.label,
            "connectorid": reference.connector,
        }
        yield _detail("connectionreference", named)


def _detail(name: str, values: Mapping[str, str | None]) -> Mapping[str, Any]:
    attributes = {
        "Count": len(values),
        "IsReadOnly": False,
        "Keys": list(values),
        "Values": list(values.values()),
    }
    return {"ComponentTypeName": name, "Attributes": attributes}
