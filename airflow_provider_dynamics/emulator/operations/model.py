"""What an action or function is made of, as values, and what it is handed when it runs.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-actions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.literals import payload_fault
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.query import Reader, missing_row
from airflow_provider_dynamics.emulator.schema import Table
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.writer import Writer

ANY_ROW = "mscrm.crmbaseentity"
PRINCIPAL = "mscrm.principal"
CUSTOM = "custom"


@dataclass(frozen=True)
class Parameter:
    """One parameter, or one member of a result. ``type`` as ``$metadata`` writes it: "Edm.Int32", "mscrm.account"."""

    name: str
    type: str
    nullable: bool = True


def need(name: str, type_: str) -> Parameter:
    """A parameter that must be there and not null."""
    return Parameter(name, type_, nullable=False)


@dataclass(frozen=True)
class Rooms:
    """Where operations find rows and write them."""

    store: Store
    writer: Writer
    reader: Reader
    privileges: Privileges


@dataclass(frozen=True)
class RowArgument:
    """A row given as a parameter: its table, its id where one was given, and the columns beside it."""

    table: Table
    row_id: str | None
    body: Mapping[str, Any]

    def existing(self, rooms: Rooms) -> str:
        """The id of the row; raises ``Fault`` when none was given or there is no such row."""
        if self.row_id is None:
            raise payload_fault(self.table, "EdmEntityObject passed should have the key property value set.")
        if not rooms.store.exists(self.table, self.row_id):
            raise missing_row(self.table, self.row_id)
        return self.row_id


@dataclass(frozen=True)
class Invocation:
    """One call of an operation: its parameters as read, and the table and row it is bound to."""

    call: Call
    rooms: Rooms
    parameters: Mapping[str, Any]
    table: Table | None = None
    row_id: str | None = None

    def row(self, name: str) -> RowArgument:
        """A parameter that is a row; raises ``Fault`` when it was left out."""
        found = self.parameters.get(name)
        if not isinstance(found, RowArgument):
            raise missing(name)
        return found

    def bound(self) -> tuple[Table, str]:
        """The row the operation is bound to."""
        if self.table is None or self.row_id is None:
            raise Fault(400, "0x80060888", "The operation is bound to a row.")
        return self.table, self.row_id


Run = Callable[[Invocation], Any]


@dataclass(frozen=True)
class Operation:
    """One action or function.

    ``bound_to`` is a table's logical name or "principal", ``collection`` says that it is bound to the entity set.
    ``result`` holds the members of its ``…Response``; ``returns`` is the type where the result is no such
    complex type. ``run`` returns the members as a mapping, a list (``returns`` a collection), a whole response, or
    None for 204. ``kind`` "custom" marks a custom API, which goes at a reset.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    result: tuple[Parameter, ...] = ()
    returns: str | None = None
    bound_to: str | None = None
    collection: bool = False
    is_function: bool = False
    run: Run | None = None
    kind: str = "standard"
    privilege: str | None = None
    by_name: Mapping[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name: one for one in self.parameters})

    @property
    def return_type(self) -> str | None:
        """What ``ReturnType`` says, None where nothing is returned."""
        return self.returns or (f"mscrm.{self.name}Response" if self.result else None)

    @property
    def binding(self) -> Parameter | None:
        """The first parameter of a bound operation, as ``$metadata`` lists it."""
        if self.bound_to is None:
            return None
        if self.collection:
            return need("entityset", f"Collection(mscrm.{self.bound_to})")
        return need("entity", f"mscrm.{self.bound_to}")

    def fits(self, table: Table, *, collection: bool) -> bool:
        """Whether it is bound to rows, or to the set, of this table."""
        name = self.bound_to
        suits = name == table.name or (name == "principal" and table.is_principal)
        return suits and self.collection == collection


def missing(name: str) -> Fault:
    """A parameter that must be there is not."""
    return Fault(400, "0x80040203", f"Required field '{name}' is missing")
