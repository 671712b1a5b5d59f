"""Which component of the environment needs which other one, and the functions that tell what is in the way.

https://learn.microsoft.com/power-platform/alm/dependency-tracking-solution-components and
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/dependency
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    OPTION_SET,
    RELATIONSHIP,
    Workshop,
)
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, need
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed.solutions import ACTIVE
from airflow_provider_dynamics.emulator.solutions.registry import Registry

_PUBLISHED = 2  # dependencytype
Thing = tuple[int, str]  # a component's type and id


@dataclass(frozen=True)
class Dependency:
    """One component that needs another; ``name`` is the first one's, ``table`` the id of the table it is below."""

    dependent: Thing
    required: Thing
    name: str
    table: str | None = None

    def holds_back(self, going: AbstractSet[Thing]) -> bool:
        """Whether it keeps these components from going: what needs them would stay."""
        stays = self.dependent not in going and (ENTITY, self.table) not in going
        return self.required in going and stays


def dependencies(schema: Schema) -> Iterator[Dependency]:
    """Every dependency between components of the metadata."""
    for table in schema.tables.values():
        yield from _of_table(schema, table)
    for pair in schema.intersects:
        one = (RELATIONSHIP, stable_id("relationship", pair.name))
        for name in pair.tables:
            yield Dependency(one, (ENTITY, schema.tables[name].metadata_id), pair.relationship)


def _of_table(schema: Schema, table: Table) -> Iterator[Dependency]:
    above = table.metadata_id
    for column in table.columns:
        here, name = (ATTRIBUTE, table.column_metadata_id(column.name)), f"{table.name}.{column.name}"
        for target in column.targets:
            if target.table != table.name:
                yield Dependency(here, (ENTITY, schema.tables[target.table].metadata_id), name, above)
        choice = schema.choices.get(column.global_choice or "")
        if choice is not None:
            yield Dependency(here, (OPTION_SET, choice.metadata_id), name, above)
    for key in table.keys:
        here = (KEY, stable_id("key", table.name, key.name))
        for name in key.columns:
            required = (ATTRIBUTE, table.column_metadata_id(name))
            yield Dependency(here, required, f"{table.name}.{key.name}", above)


class DependencyFunctions:
    """Answers the functions that list dependencies."""

    def __init__(self, workshop: Workshop, registry: Registry) -> None:
        self._workshop = workshop
        self._registry = registry

    def operations(self) -> Sequence[Operation]:
        """The functions."""
        rows = "Collection(mscrm.dependency)"
        return (
            Operation(
                "RetrieveDependenciesForUninstall",
                (need("SolutionUniqueName", "Edm.String"),),
                returns=rows,
                is_function=True,
                run=self._for_uninstall,
            ),
            Operation(
                "RetrieveDependenciesForDelete",
                (need("ObjectId", "Edm.Guid"), need("ComponentType", "Edm.Int32")),
                returns=rows,
                is_function=True,
                run=self._for_delete,
            ),
        )

    def _for_uninstall(self, invocation: Invocation) -> Mapping[str, Any]:
        row = self._registry.named(invocation.parameters["SolutionUniqueName"])
        return self._answer(invocation.call, self.going_with(row) if row["ismanaged"] else set())

    def _for_delete(self, invocation: Invocation) -> Mapping[str, Any]:
        given = invocation.parameters
        return self._answer(invocation.call, {(given["ComponentType"], given["ObjectId"].lower())})

    def _answer(self, call: Call, going: AbstractSet[Thing]) -> Mapping[str, Any]:
        rows = [self._row(one) for one in self.in_the_way(going)]
        return {"@odata.context": call.context("dependencies"), "value": rows}

    def going_with(self, row: Mapping[str, Any], kept: AbstractSet[Thing] = frozenset()) -> set[Thing]:
        """The components that a managed solution alone has, but for those to keep."""
        solution_id = row["solutionid"]
        return {
            (one.kind, one.object_id)
            for one in self._registry.members(solution_id)
            if (one.kind, one.object_id) not in kept
            and self._registry.owners(one.kind, one.object_id) <= {solution_id}
        }

    def in_the_way(self, going: AbstractSet[Thing]) -> Iterator[Dependency]:
        """What keeps components from going."""
        return (one for one in dependencies(self._workshop.working) if one.holds_back(going))

    def refuse_needed(self, going: AbstractSet[Thing]) -> None:
        """Refuse to take out what something needs that stays."""
        one = next(self.in_the_way(going), None)
        if one is not None:
            raise Fault(
                400,
                "0x8004f01d",
                f"Solution dependencies exist, cannot uninstall. {one.name} needs a component of it.",
            )

    def _row(self, one: Dependency) -> Mapping[str, Any]:
        return {
            "dependencyid": stable_id("dependency", *one.dependent[1:], *one.required[1:]),
            "dependencytype": _PUBLISHED,
            "dependentcomponenttype": one.dependent[0],
            "dependentcomponentobjectid": one.dependent[1],
            "dependentcomponentparentid": one.table,
            "dependentcomponentbasesolutionid": self._base(one.dependent),
            "requiredcomponenttype": one.required[0],
            "requiredcomponentobjectid": one.required[1],
            "requiredcomponentparentid": None,
            "requiredcomponentbasesolutionid": self._base(one.required),
        }

    def _base(self, thing: Thing) -> str:
        """The solution that brought a component."""
        managed = self._registry.managing(*thing)
        return str(managed[0]["solutionid"]) if managed else ACTIVE
