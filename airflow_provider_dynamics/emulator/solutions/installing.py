"""A package installed: its solution's row, its components with their owners, its variables and connection references.

https://learn.microsoft.com/power-apps/maker/data-platform/import-update-export-solutions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.workshop import ATTRIBUTE, KEY, RELATIONSHIP, Workshop
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.operations.model import RowArgument
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.schema.settings import REFERENCE_CODE
from airflow_provider_dynamics.emulator.solutions.applying import Applying, parts_of
from airflow_provider_dynamics.emulator.solutions.package import Package, Publisher, Reference, Variable
from airflow_provider_dynamics.emulator.solutions.registry import Member, Registry
from airflow_provider_dynamics.emulator.solutions.removing import HELD
from airflow_provider_dynamics.emulator.solutions.staging import Staging

_SOLUTION, _PUBLISHER = TABLES["solution"], TABLES["publisher"]
_DEFINITION, _VALUE = TABLES["environmentvariabledefinition"], TABLES["environmentvariablevalue"]
_REFERENCE = TABLES["connectionreference"]
# Below a table that is there as a whole: named by themselves only where a managed solution owns them.
_BELOW = frozenset({ATTRIBUTE, KEY, RELATIONSHIP})


@dataclass(frozen=True)
class Wish:
    """How a package is to be installed; ``parameters`` are rows that take the place of its own."""

    overwrite: bool = False
    holding: bool = False
    upgrade: bool = False
    parameters: Sequence[RowArgument] = ()


class Installing:
    """Installs packages, in the caller's transaction."""

    def __init__(self, workshop: Workshop, registry: Registry, staging: Staging, applying: Applying) -> None:
        self._workshop = workshop
        self._registry = registry
        self._staging = staging
        self._applying = applying
        self._store = workshop.rooms.store
        self._writer = workshop.rooms.writer

    def install(self, call: Call, package: Package, wish: Wish) -> str:
        """Install a package that was read. Returns the id of its solution; raises ``Fault`` when it cannot be."""
        self._staging.check(package)
        name = self._name(package, wish)
        with self._registry.writing():
            solution_id = self._solution(call, package, name)
            self._applying.apply(call, package, overwrite=wish.overwrite)
            for member in _members(package):
                self._own(call, solution_id, member, package)
            for variable in package.variables:
                self._variable(call, solution_id, variable, package)
            for reference in package.references:
                self._reference(call, solution_id, reference, package)
            for given in wish.parameters:
                self._parameter(call, given)
        return solution_id

    def _name(self, package: Package, wish: Wish) -> str:
        if not (wish.holding or wish.upgrade):
            return package.name
        if self._registry.find(package.name) is None:
            raise Fault(
                400,
                "0x8004853b",
                f"The solution {package.name} cannot be held for an upgrade: it is not installed in this environment.",
            )
        if self._registry.find(f"{package.name}{HELD}") is not None:
            raise Fault(
                400,
                "0x80048539",
                f"Solution manifest import: FAILURE: Holding solution {package.name}{HELD} already exists.",
            )
        if not package.managed:
            raise NotEmulated("an unmanaged solution that is held for an upgrade")
        return f"{package.name}{HELD}"

    def _own(self, call: Call, solution_id: str, member: Member, package: Package) -> None:
        self._registry.put(call, solution_id, member)
        if not package.managed:
            self._registry.add(call, None, member.kind, member.object_id)

    # -- the solution's row -------------------------------------------------------------------------

    def _solution(self, call: Call, package: Package, name: str) -> str:
        publisher_id = self._publisher(call, package)
        row = self._registry.find(name)
        label = package.label if name == package.name else f"{package.label}{HELD}"
        values = {
            "friendlyname": label,
            "version": package.version,
            "description": package.description,
            "solutionpackageversion": "9.2",
            "updatedon": utc_text(call.now) if row else None,
        }
        if row is not None:
            self._writer.change(call, _SOLUTION, row, values)
            return str(row["solutionid"])
        return self._writer.make(
            call,
            _SOLUTION,
            {
                **values,
                "uniquename": name,
                "ismanaged": int(package.managed),
                "isvisible": 1,
                "publisherid": publisher_id,
                "installedon": utc_text(call.now),
            },
        )

    def _publisher(self, call: Call, package: Package) -> str:
        installed, wanted = self._registry.find(package.name), package.publisher
        if installed is not None:
            named = (self._store.row(_PUBLISHER, installed["publisherid"]) or {})["uniquename"]
            if package.managed and named != wanted.name:
                raise Fault(
                    400,
                    "0x8004801c",
                    f"The following managed solution cannot be imported: {package.name}. The publisher name cannot "
                    f"be changed from {named} to {wanted.name}.",
                )
            return str(installed["publisherid"])
        known = self._store.matching(_PUBLISHER, {"uniquename": wanted.name})
        return known[0] if known else self._new_publisher(call, wanted)

    def _new_publisher(self, call: Call, wanted: Publisher) -> str:
        values = {
            "uniquename": wanted.name,
            "friendlyname": wanted.label,
            "customizationprefix": wanted.prefix,
            "customizationoptionvalueprefix": wanted.option_prefix,
        }
        return self._writer.make(call, _PUBLISHER, values)

    # -- variables and references ---------------------------------------------------------------------

    def _variable(self, call: Call, solution_id: str, variable: Variable, package: Package) -> None:
        values = {
            "displayname": variable.label,
            "description": variable.description,
            "type": variable.kind,
            "defaultvalue": variable.default,
            "isrequired": int(variable.required),
            "secretstore": variable.secret_store,
            "ismanaged": int(package.managed),
        }
        row_id = self._put(call, _DEFINITION.name, {"schemaname": variable.name}, values)
        self._own(call, solution_id, Member(380, row_id), package)
        if variable.value is not None and not self._value_of(row_id):
            made = self._set_value(call, variable.name, row_id, variable.value)
            self._own(call, solution_id, Member(381, made), package)

    def _value_of(self, definition_id: str) -> str | None:
        found = self._store.matching(_VALUE, {"environmentvariabledefinitionid": definition_id})
        return found[0] if found else None

    def _set_value(self, call: Call, name: str, definition_id: str, value: str | None) -> str:
        known = self._value_of(definition_id)
        if known is None:
            named = {"schemaname": name, "environmentvariabledefinitionid": definition_id}
            return self._writer.make(call, _VALUE, {**named, "value": value})
        self._writer.change(call, _VALUE, self._writer.existing(_VALUE, known), {"value": value})
        return known

    def _reference(self, call: Call, solution_id: str, reference: Reference, package: Package) -> None:
        values = {
            "connectionreferencedisplayname": reference.label,
            "connectorid": reference.connector,
            "description": reference.description,
            "ismanaged": int(package.managed),
        }
        key = {"connectionreferencelogicalname": reference.name}
        row_id = self._put(call, _REFERENCE.name, key, values)
        self._own(call, solution_id, Member(REFERENCE_CODE, row_id), package)

    def _put(self, call: Call, name: str, key: Mapping[str, Any], values: Mapping[str, Any]) -> str:
        """The row with that key, made or changed to have these values. Returns its id."""
        table = TABLES[name]
        known = self._store.matching(table, key)
        if not known:
            return self._writer.make(call, table, {**key, **values})
        self._writer.change(call, table, self._writer.existing(table, known[0]), dict(values))
        return known[0]

    def _parameter(self, call: Call, given: RowArgument) -> None:
        """A row given with the request takes the place of what the file says of this environment."""
        if given.table.name == _VALUE.name:
            name = str(given.body.get("schemaname"))
            definition = self._store.matching(_DEFINITION, {"schemaname": name})
            if not definition:
                raise _no_such("environmentvariabledefinition", name)
            self._set_value(call, name, definition[0], given.body.get("value"))
            return
        if given.table.name != _REFERENCE.name:
            raise NotEmulated(f"component parameters of the type {given.table.name}")
        name = str(given.body.get("connectionreferencelogicalname"))
        known = self._store.matching(_REFERENCE, {"connectionreferencelogicalname": name})
        if not known:
            raise _no_such("connectionreference", name)
        values = {one: given.body[one] for one in ("connectionid", "connectorid") if given.body.get(one)}
        self._writer.change(call, _REFERENCE, self._writer.existing(_REFERENCE, known[0]), values)


def _no_such(kind: str, name: str) -> Fault:
    return Fault(400, "0x80040217", f"A component parameter names a {kind} that there is not: {name}")


def _members(package: Package) -> list[Member]:
    """The components a solution holds: each by itself when it is managed, tables as a whole when it is not."""
    found = []
    whole = {table.metadata_id for table in package.tables if table.name in package.whole}
    for part in parts_of(package):
        below = part.name.partition(".")[0] in package.whole and part.member.kind in _BELOW
        if package.managed or part.member.object_id in whole or not below:
            found.append(part.member)
    return found
