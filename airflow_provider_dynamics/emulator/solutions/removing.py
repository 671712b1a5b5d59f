"""Solutions taken out, and replaced by the ones that were held: what nobody else has goes with its rows.

https://learn.microsoft.com/power-platform/alm/update-solutions-alm and
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/deleteandpromote
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.routes import Customizing
from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    OPTION_SET,
    RELATIONSHIP,
    Workshop,
)
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, Parameter, need
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed.solutions import ACTIVE, DEFAULT, SYSTEM
from airflow_provider_dynamics.emulator.solutions.dependencies import DependencyFunctions, Thing
from airflow_provider_dynamics.emulator.solutions.registry import ROW_KINDS, Member, Registry

HELD = "_Upgrade"
_UNINSTALL, _PROMOTE = 208, 207
_SOLUTION = TABLES["solution"]


class Removing:
    """Uninstalls solutions, and promotes those that are held for an upgrade."""

    def __init__(
        self,
        workshop: Workshop,
        registry: Registry,
        customizing: Customizing,
        dependencies: DependencyFunctions,
    ) -> None:
        self._workshop = workshop
        self._dependencies = dependencies
        self._registry = registry
        self._customizing = customizing
        self._store = workshop.rooms.store
        self._writer = workshop.rooms.writer
        self._writer.parting |= {"solution": self._part}
        self._writer.parting |= dict.fromkeys(ROW_KINDS, self._part_row)

    def operations(self) -> Sequence[Operation]:
        """The actions."""
        promote, uninstall = (need("UniqueName", "Edm.String"),), (need("SolutionUniqueName", "Edm.String"),)
        begun = (need("AsyncOperationId", "Edm.Guid"),)
        return (
            Operation(
                "DeleteAndPromote", promote, (Parameter("SolutionId", "Edm.Guid"),), run=self._promote_at_once
            ),
            Operation("DeleteAndPromoteAsync", promote, begun, run=self._promote_later),
            Operation("UninstallSolutionAsync", uninstall, begun, run=self._uninstall_later),
        )

    # -- uninstalling -------------------------------------------------------------------------------

    def _part(self, call: Call, row: Mapping[str, Any]) -> None:
        """A solution's row is deleted: so are the components that only it has."""
        if not self._working:
            self._workshop.start(call, "prvDeleteEntity", "Uninstall")
        self._check_removable(row)
        self._drop(call, row, ())

    _working = False  # true while a job of ours deletes the row

    def _part_row(self, _: Call, row: Mapping[str, Any]) -> None:
        """A row that is a component is deleted; a value names its definition too, so the order tells which it is."""
        for name in ("environmentvariablevalue", "environmentvariabledefinition", "connectionreference"):
            object_id = row.get(f"{name}id")
            if object_id is not None:
                if name != "environmentvariablevalue":
                    self._registry.refuse_managed(ROW_KINDS[name], object_id)
                self._registry.remove(ROW_KINDS[name], object_id)
                return

    @staticmethod
    def _check_removable(row: Mapping[str, Any]) -> None:
        if row["solutionid"] in {ACTIVE, DEFAULT, SYSTEM}:
            raise Fault(
                400, "0x8004f005", f"Attempting to delete a restricted solution: {row['uniquename']}."
            )

    def _uninstall_later(self, invocation: Invocation) -> Mapping[str, str]:
        self._workshop.start(invocation.call, "prvDeleteEntity", "Uninstall")
        row = self._registry.named(invocation.parameters["SolutionUniqueName"])
        self._check_removable(row)

        def work() -> None:
            found = self._registry.named(row["uniquename"])
            self._delete(invocation.call, found)

        return self._begin(invocation.call, f"Uninstall {row['uniquename']}", _UNINSTALL, "Uninstall", work)

    def _begin(
        self, call: Call, name: str, kind: int, operation: str, work: Callable[[], None]
    ) -> Mapping[str, str]:
        def step(share: float) -> None:
            if share >= 1.0:
                with self._store.transaction():
                    work()

        job = self._workshop.jobs.start(
            call, {"name": name, "operationtype": kind, "messagename": operation}, step
        )
        self._workshop.runs(job.job_id, operation)
        return {"AsyncOperationId": job.job_id}

    def _delete(self, call: Call, row: Mapping[str, Any]) -> None:
        self._working = True
        try:
            self._writer.delete(call, _SOLUTION, row["solutionid"])
        finally:
            self._working = False

    # -- upgrading ----------------------------------------------------------------------------------

    def _held(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        base, held = self._registry.named(name), self._registry.find(f"{name}{HELD}")
        if held is None:
            raise Fault(
                400,
                "0x8004853b",
                f"There is no upgrade of the solution {name} to apply: {name}{HELD} is not installed.",
            )
        return base, held

    def _promote_at_once(self, invocation: Invocation) -> Mapping[str, str]:
        self._workshop.start(invocation.call, "prvImportCustomization", "Upgrade")
        name = invocation.parameters["UniqueName"]
        self._held(name)
        return {"SolutionId": self.promote(invocation.call, name)}

    def _promote_later(self, invocation: Invocation) -> Mapping[str, str]:
        self._workshop.start(invocation.call, "prvImportCustomization", "Upgrade")
        name = invocation.parameters["UniqueName"]
        self._held(name)

        def work() -> None:
            self.promote(invocation.call, name)

        return self._begin(invocation.call, f"Delete and promote {name}", _PROMOTE, "Upgrade", work)

    def promote(self, call: Call, name: str) -> str:
        """Put the held solution in the place of the one below it. Returns its id."""
        base, held = self._held(name)
        kept = self._registry.members(held["solutionid"])
        self._drop(call, base, kept)
        self._registry.clear(base["solutionid"])
        self._writer.remove(_SOLUTION, base["solutionid"])
        with self._registry.writing():
            row = self._writer.existing(_SOLUTION, held["solutionid"])
            values = {"uniquename": name, "friendlyname": held["friendlyname"].removesuffix(HELD)}
            self._writer.change(call, _SOLUTION, row, values)
        return str(held["solutionid"])

    # -- what goes ----------------------------------------------------------------------------------

    def _drop(self, call: Call, row: Mapping[str, Any], kept: Iterable[Member]) -> None:
        """Take out the components that a managed solution alone has; an unmanaged one leaves everything there."""
        if not row["ismanaged"]:
            return
        going = self._dependencies.going_with(row, {(one.kind, one.object_id) for one in kept})
        self._dependencies.refuse_needed(going)
        self._drop_metadata(going)
        self._drop_rows(call, going)

    def _drop_metadata(self, wanted: set[Thing]) -> None:
        schema, room = self._workshop.working, self._customizing
        for pair in schema.intersects:
            if (RELATIONSHIP, stable_id("relationship", pair.name)) in wanted:
                room.relationships.drop(pair)
        for table in schema.tables.values():
            if (ENTITY, table.metadata_id) in wanted:
                room.tables.drop(table)
            else:
                self._drop_parts(table, wanted)
        for choice in schema.choices.values():
            if (OPTION_SET, choice.metadata_id) in wanted:
                room.choices.drop(choice)

    def _drop_parts(self, table: Table, wanted: set[Thing]) -> None:
        """The keys and columns of a table that stays."""
        for key in table.keys:
            if (KEY, stable_id("key", table.name, key.name)) in wanted:
                self._customizing.keys.drop(table, key)
        for column in table.columns:
            if column.custom and (ATTRIBUTE, table.column_metadata_id(column.name)) in wanted:
                self._customizing.drop_column(table, column)

    def _drop_rows(self, call: Call, going: Iterable[Thing]) -> None:
        kinds = {kind: TABLES.get(name) for name, kind in ROW_KINDS.items()}
        for kind, object_id in sorted(going):
            table = kinds.get(kind)
            if table is not None and self._store.exists(table, object_id):
                self._registry.remove(kind, object_id)
                self._writer.delete(call, table, object_id)
