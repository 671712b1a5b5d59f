"""Which component belongs to which solution, as rows of solution and solutioncomponent; and what those rows must be like.

What makers add or change without a managed solution is in the solution named Active too.
https://learn.microsoft.com/power-platform/alm/solution-concepts-alm and …/alm/solution-layers-alm
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.workshop import Workshop
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.schema.settings import REFERENCE_CODE
from airflow_provider_dynamics.emulator.seed.solutions import ACTIVE, DEFAULT, SYSTEM
from airflow_provider_dynamics.emulator.solutions.package import version_of

_SOLUTION, _COMPONENT = TABLES["solution"], TABLES["solutioncomponent"]
_OWN = frozenset({ACTIVE, DEFAULT, SYSTEM})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = re.compile(r"(?!mscrm)[A-Za-z][A-Za-z0-9]{1,7}")
_RESERVED = frozenset({"active", "basic", "default", "system"})
ROW_KINDS = {
    "environmentvariabledefinition": 380,
    "environmentvariablevalue": 381,
    "connectionreference": REFERENCE_CODE,
}
_KEYS = {
    "environmentvariabledefinition": "schemaname",
    "connectionreference": "connectionreferencelogicalname",
}


@dataclass(frozen=True)
class Member:
    """One component of a solution; ``whole`` means a table with everything below it."""

    kind: int
    object_id: str
    whole: bool = True


class Registry:
    """Knows the solutions of one environment and what is in them."""

    def __init__(self, workshop: Workshop) -> None:
        self._store = workshop.rooms.store
        self._writer = workshop.rooms.writer
        workshop.components = self
        self._writer.rules |= {
            "solution": self._solution,
            "publisher": self._publisher,
            **{name: _prefixed(column) for name, column in _KEYS.items()},
        }
        self._writer.made |= dict.fromkeys(ROW_KINDS, self._made)

    # -- solutions ----------------------------------------------------------------------------------

    def find(self, name: str) -> dict[str, Any] | None:
        """The row of a solution by its unique name."""
        found = self._store.matching(_SOLUTION, {"uniquename": name})
        return self._store.row(_SOLUTION, found[0]) if found else None

    def named(self, name: str) -> dict[str, Any]:
        """The same; raises ``Fault`` when there is none."""
        row = self.find(name)
        if row is None:
            raise Fault(404, "0x80040217", f"solution With UniqueName = {name} Does Not Exist")
        return row

    def check(self, name: str) -> None:
        """Refuse the name of a solution that there is not, or that is managed."""
        row = self.named(name)
        if row["ismanaged"]:
            raise Fault(
                400, "0x8004f024", f"Cannot update solution '{name}' because it is a managed solution."
            )

    # -- components ---------------------------------------------------------------------------------

    def members(self, solution_id: str) -> list[Member]:
        """What is in a solution."""
        ids = self._store.matching_all(_COMPONENT, {"solutionid": solution_id})
        rows = (self._store.row(_COMPONENT, one) or {} for one in ids)
        return [
            Member(row["componenttype"], row["objectid"], row["rootcomponentbehavior"] == 0) for row in rows
        ]

    def owners(self, kind: int, object_id: str) -> set[str]:
        """The ids of the solutions that hold a component, those of the environment itself left out."""
        return self._holders(kind, object_id) - _OWN

    def managing(self, kind: int, object_id: str) -> list[dict[str, Any]]:
        """The managed solutions that hold a component."""
        rows = [self._store.row(_SOLUTION, one) for one in self.owners(kind, object_id)]
        return [row for row in rows if row and row["ismanaged"]]

    def is_changed(self, kind: int, object_id: str) -> bool:
        """Whether a component was made, or changed, without a managed solution."""
        return ACTIVE in self._holders(kind, object_id)

    def _holders(self, kind: int, object_id: str) -> set[str]:
        ids = self._store.matching_all(_COMPONENT, {"componenttype": kind, "objectid": object_id})
        return {str((self._store.row(_COMPONENT, one) or {})["solutionid"]) for one in ids}

    def add(self, call: Call, solution: str | None, kind: int, object_id: str) -> None:
        """Put a component into the named solution, and into those of the environment itself."""
        ids = [ACTIVE, DEFAULT]
        if solution:
            self.check(solution)
            ids.append(self.named(solution)["solutionid"])
        for one in dict.fromkeys(ids):
            self.put(call, one, Member(kind, object_id))

    def put(self, call: Call, solution_id: str, member: Member) -> str:
        """Put a component into a solution, unless it is there. Returns the id of its row."""
        wanted = {"solutionid": solution_id, "componenttype": member.kind, "objectid": member.object_id}
        known = self._store.matching(_COMPONENT, wanted)
        if known:
            return known[0]
        behavior = 0 if member.whole else 1
        more = {"rootcomponentbehavior": behavior, "ismetadata": int(member.kind < 380)}
        return self._writer.make(call, _COMPONENT, {**wanted, **more})

    def take(self, solution_id: str, member: Member) -> None:
        """Take a component out of one solution."""
        wanted = {"solutionid": solution_id, "componenttype": member.kind, "objectid": member.object_id}
        for one in self._store.matching_all(_COMPONENT, wanted):
            self._writer.remove(_COMPONENT, one)

    def remove(self, kind: int, object_id: str) -> None:
        """Take a component that is gone out of every solution."""
        wanted = {"componenttype": kind, "objectid": object_id}
        for one in self._store.matching_all(_COMPONENT, wanted):
            self._writer.remove(_COMPONENT, one)

    def refuse_managed(self, kind: int, object_id: str) -> None:
        """Refuse the deletion of what a managed solution brought."""
        managed = self.managing(kind, object_id)
        if managed:
            names = ", ".join(sorted(str(row["uniquename"]) for row in managed))
            raise Fault(
                400,
                "0x8004f013",
                f"Components of the type {kind} that came with a managed solution ({names}) cannot be deleted.",
            )

    def clear(self, solution_id: str) -> None:
        """Take everything out of a solution."""
        for one in self._store.matching_all(_COMPONENT, {"solutionid": solution_id}):
            self._writer.remove(_COMPONENT, one)

    # -- rows ---------------------------------------------------------------------------------------

    def _solution(self, row: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        """Check a solution's row, and say when it was installed."""
        version_of(str(row["version"]))
        if self._writing:
            return {}
        name = str(row["uniquename"] or "")
        if "uniquename" in changed:
            if not _NAME.fullmatch(name):
                raise Fault(
                    400,
                    "0x8004f002",
                    "Invalid character specified for solution unique name. Only "
                    "characters within the ranges [A-Z], [a-z], [0-9] or _ are allowed. The first character "
                    "may only be in the ranges [A-Z], [a-z] or _.",
                )
            self._check_unique(name)
            if row["publisherid"] is None:
                raise Fault(400, "0x80040203", "Required field 'publisherid' is missing")
            return {"installedon": row["createdon"], "ismanaged": 0, "isvisible": 1}
        if row["ismanaged"]:
            raise Fault(
                400, "0x8004f024", f"Cannot update solution '{name}' because it is a managed solution."
            )
        return {}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, an import writes: rows of managed solutions may change."""
        before, self._writing = self._writing, True
        try:
            yield
        finally:
            self._writing = before

    _writing = False

    def _check_unique(self, name: str) -> None:
        if name.lower() in _RESERVED:
            raise Fault(400, "0x8004f022", f"The solution name '{name}' is reserved.")
        if self.find(name) is not None:
            raise Fault(
                400,
                "0x8004f023",
                f"The solution unique name '{name}' is already being used and cannot be used again.",
            )

    def _publisher(self, row: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
        """Check a publisher's row."""
        if not _NAME.fullmatch(str(row["uniquename"] or "")):
            raise Fault(400, "0x8004f01c", "Invalid character specified for publisher unique name.")
        if not _PREFIX.fullmatch(str(row["customizationprefix"] or "")):
            raise Fault(
                400,
                "0x80044366",
                "The customization prefix has 2 to 8 letters and digits, begins with a "
                "letter and not with mscrm.",
            )
        number = row["customizationoptionvalueprefix"]
        if number is not None and not 10_000 <= number <= 99_999:
            raise Fault(
                400, "0x80048402", "CustomizationOptionValuePrefix must be a number between 10000 and 99999"
            )
        return {} if number is not None else {"customizationoptionvalueprefix": 10_000}

    def _made(self, call: Call, table: str, row: Mapping[str, Any]) -> None:
        """A row was made that is a component itself."""
        solution = call.headers.get("mscrm.solutionuniquename")
        self.add(call, solution, ROW_KINDS[table], row[TABLES[table].primary_id])


def _prefixed(column: str) -> Any:
    """A rule that wants a prefix before a name, and names to be there once."""

    def check(row: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        name = str(row[column] or "")
        if column in changed and not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{1,7}_\w[\w.]*", name):
            raise Fault(
                400,
                "0x800608ad",
                f"Export key attribute {column} for component must start with a valid customization prefix. The "
                "prefix for a solution component should match the prefix that is specified for the publisher of the "
                "solution.",
            )
        return {}

    return check
