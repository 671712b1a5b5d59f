"""The solutions of one environment: everything that answers requests about them, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_dynamics.emulator.customizing.routes import Customizing
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.operations.model import (
    Invocation,
    Operation,
    Parameter,
    missing,
    need,
)
from airflow_provider_dynamics.emulator.schema.solutions import COMPONENT_TYPES
from airflow_provider_dynamics.emulator.solutions.applying import Applying
from airflow_provider_dynamics.emulator.solutions.dependencies import DependencyFunctions
from airflow_provider_dynamics.emulator.solutions.exporting import Exporting
from airflow_provider_dynamics.emulator.solutions.importing import Importing
from airflow_provider_dynamics.emulator.solutions.installing import Installing
from airflow_provider_dynamics.emulator.solutions.registry import Member, Registry
from airflow_provider_dynamics.emulator.solutions.removing import Removing
from airflow_provider_dynamics.emulator.solutions.staging import Staging


class Solutions:
    """Everything about solutions."""

    def __init__(self, customizing: Customizing) -> None:
        workshop = customizing.workshop
        self._workshop = workshop
        self.registry = Registry(workshop)
        applying = Applying(workshop, self.registry)
        self._staging = Staging(workshop, self.registry, applying)
        installing = Installing(workshop, self.registry, self._staging, applying)
        self._dependencies = DependencyFunctions(workshop, self.registry)
        self._removing = Removing(workshop, self.registry, customizing, self._dependencies)
        self._exporting = Exporting(workshop, self.registry)
        self._importing = Importing(workshop, self.registry, self._staging, installing, self._removing)

    def forget(self) -> None:
        """The rows are others now: nothing staged, exported or imported before is known."""
        for room in (self._staging, self._exporting, self._importing):
            room.forget()

    def operations(self) -> Sequence[Operation]:
        """The actions and functions."""
        added = (need("id", "Edm.Guid"),)
        return (
            *self._exporting.operations(),
            *self._staging.operations(),
            *self._importing.operations(),
            *self._removing.operations(),
            *self._dependencies.operations(),
            Operation(
                "AddSolutionComponent",
                (
                    need("ComponentId", "Edm.Guid"),
                    need("ComponentType", "Edm.Int32"),
                    need("SolutionUniqueName", "Edm.String"),
                    need("AddRequiredComponents", "Edm.Boolean"),
                    Parameter("DoNotIncludeSubcomponents", "Edm.Boolean"),
                    Parameter("IncludedComponentSettingsValues", "Collection(Edm.String)"),
                ),
                added,
                run=self._add,
            ),
            Operation(
                "RemoveSolutionComponent",
                (
                    need("SolutionComponent", "mscrm.solutioncomponent"),
                    need("ComponentType", "Edm.Int32"),
                    need("SolutionUniqueName", "Edm.String"),
                ),
                added,
                run=self._remove,
            ),
        )

    def _add(self, invocation: Invocation) -> Mapping[str, str]:
        given, call = invocation.parameters, invocation.call
        self._workshop.start(call, "prvWriteEntity")
        if given["AddRequiredComponents"]:
            raise NotEmulated("AddRequiredComponents of AddSolutionComponent")
        kind = _known(given["ComponentType"])
        self.registry.check(given["SolutionUniqueName"])
        solution_id = self.registry.named(given["SolutionUniqueName"])["solutionid"]
        member = Member(kind, given["ComponentId"].lower(), whole=not given.get("DoNotIncludeSubcomponents"))
        return {"id": self.registry.put(call, solution_id, member)}

    def _remove(self, invocation: Invocation) -> Mapping[str, str]:
        given = invocation.parameters
        self._workshop.start(invocation.call, "prvWriteEntity")
        self.registry.check(given["SolutionUniqueName"])
        solution_id = self.registry.named(given["SolutionUniqueName"])["solutionid"]
        object_id = invocation.row("SolutionComponent").row_id
        if object_id is None:
            raise missing("SolutionComponent")
        self.registry.take(solution_id, Member(_known(given["ComponentType"]), object_id))
        return {"id": object_id}


def _known(kind: int) -> int:
    if kind not in COMPONENT_TYPES:
        raise NotEmulated(f"solution components of the type {kind}")
    return kind
