"""What every change of metadata goes through: who may, whether something else is under way, and how it takes effect.

New things are there at once; changes of what is there wait until they are published.
https://learn.microsoft.com/power-apps/developer/data-platform/publish-customizations
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import Rooms
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import Choice

ENTITY, ATTRIBUTE, OPTION_SET, RELATIONSHIP, KEY = 1, 2, 9, 10, 14
Edit = Callable[[Schema], Schema]
_OTHER_RUNNING = (
    "Cannot start the requested operation [{0}] because there is another [{1}] running at this moment. Use Solution "
    "History for more details. -- The solution installation or removal failed due to the installation or removal of "
    "another solution at the same time. Please try again later."
)


class Components(Protocol):
    """Which solution a thing belongs to."""

    def check(self, name: str) -> None:
        """Refuse the name of a solution that there is not, or that may not be changed."""

    def add(self, call: Call, solution: str | None, kind: int, object_id: str) -> None:
        """Put a new component into the solution of that name, and into the default one."""

    def remove(self, kind: int, object_id: str) -> None:
        """Take a component that is deleted out of every solution."""

    def refuse_managed(self, kind: int, object_id: str) -> None:
        """Refuse the deletion of what a managed solution brought."""


class Workshop:
    """Where metadata is changed; ``components`` is set by who keeps the solutions."""

    def __init__(self, rooms: Rooms, jobs: Jobs) -> None:
        self.rooms = rooms
        self.jobs = jobs
        self.components: Components | None = None
        self._running: dict[str, str] = {}  # what a job does, by its id

    @property
    def published(self) -> Schema:
        """What requests see."""
        return self.rooms.store.schemas.published

    @property
    def working(self) -> Schema:
        """What will be seen once it is published."""
        return self.rooms.store.schemas.working

    # -- one thing at a time ------------------------------------------------------------------------

    def start(self, call: Call, privilege: str, operation: str = "EntityCustomization") -> None:
        """Refuse a change to who may not make it, and while another operation on customizations runs.

        https://learn.microsoft.com/troubleshoot/power-platform/dataverse/working-with-solutions/customizationlockexception
        """
        self.rooms.privileges.need_named(call, privilege)
        other = self.other_running()
        if other is not None:
            raise Fault(429, "0x80071151", _OTHER_RUNNING.format(operation, other))

    def other_running(self) -> str | None:
        """What runs at this moment, as the refusal names it."""
        self._running = {job: what for job, what in self._running.items() if job in self.jobs.open}
        return next(iter(self._running.values()), None)

    def runs(self, job_id: str, operation: str) -> None:
        """A job was started that nothing else may run beside."""
        self._running[job_id] = operation

    # -- changes ------------------------------------------------------------------------------------

    def change(self, edit: Edit, *, at_once: bool = True) -> None:
        """Make a change: at once, or for when it is published. Runs in the caller's transaction."""
        before, working = self.published, edit(self.working)
        if not at_once:
            self.rooms.store.schemas.set(before, working)
        elif before is self.working:
            self.rooms.store.move_to(working)
        else:
            self.rooms.store.move_to(edit(before), working)
        self.rooms.privileges.forget()

    def publish(self, tables: Sequence[str] | None = None, choices: Sequence[str] | None = None) -> None:
        """Let changes be seen: all, or those of the named tables and global choices."""
        store, working = self.rooms.store, self.working
        if tables is None and choices is None:
            store.move_to(working)
            return
        ready = self.published.with_tables(*(working.tables[name] for name in tables or ()))
        for name in choices or ():
            ready = with_choice(ready, working.choices[name])
        store.move_to(ready, working)

    def belongs(self, call: Call, kind: int, object_id: str, solution: str | None = None) -> None:
        """Say that a component was made, in the solution the request names."""
        if self.components is not None:
            self.components.add(call, solution or solution_of(call), kind, object_id)

    def check_solution(self, call: Call) -> None:
        """Refuse a request that names a solution there is not."""
        name = solution_of(call)
        if name and self.components is not None:
            self.components.check(name)

    def gone(self, kind: int, *object_ids: str) -> None:
        """Say that components were deleted."""
        for object_id in object_ids:
            if self.components is not None:
                self.components.remove(kind, object_id)

    def refuse_managed(self, kind: int, object_id: str) -> None:
        """Refuse to delete what came with a managed solution."""
        if self.components is not None:
            self.components.refuse_managed(kind, object_id)


def with_choice(schema: Schema, choice: Choice) -> Schema:
    """The schema with a global choice as it is given, in every column that shares it too."""
    changed = [
        replace(
            table,
            columns=tuple(
                replace(column, options=choice.options) if column.global_choice == choice.name else column
                for column in table.columns
            ),
        )
        for table in schema.tables.values()
        if any(column.global_choice == choice.name for column in table.columns)
    ]
    return schema.with_tables(*changed).with_choices({**schema.choices, choice.name: choice})


def solution_of(call: Call) -> str | None:
    """The solution that a request adds its components to."""
    return call.headers.get("mscrm.solutionuniquename") or call.headers.get("mscrm.solutionname")


def customizable(table: Table) -> Table:
    """A table that columns, keys and relationships may be added to; raises ``Fault`` for others."""
    if table.customizable:
        return table
    raise Fault(400, "0x80047008", f"The specified entity is not customizable: {table.name}")


def replaced(items: Sequence[Any], old: Any, new: Any) -> tuple[Any, ...]:
    """A sequence with one item in place of another."""
    return tuple(new if item is old else item for item in items)
