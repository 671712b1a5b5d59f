"""What was done to a row, as steps hear of it, and where the writer tells it.

https://learn.microsoft.com/power-apps/developer/data-platform/event-framework
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.schema import Table

_TOLD_OF_CHANGES = ("modifiedon", "modifiedby", "modifiedonbehalfby")
_NOT_TOLD = frozenset({"_json", "versionnumber"})
MULTIPLE: Mapping[str, str] = {"Create": "CreateMultiple", "Update": "UpdateMultiple"}


@dataclass(frozen=True)
class Happening:
    """One row created, updated or deleted.

    ``given`` are the stored values that were asked for, ``filled`` those the service set beside them; ``row`` is the
    row as stored, before the change where it is deleted.
    """

    message: str
    table: Table
    row_id: str
    given: Mapping[str, Any]
    row: Mapping[str, Any]
    filled: Mapping[str, Any]


def created(
    table: Table, rows: Iterable[Mapping[str, Any]], given: Iterable[Mapping[str, Any]]
) -> list[Happening]:
    """New rows, each with the values that were asked for."""
    made = []
    for row, values in zip(rows, given, strict=True):
        filled = {name: value for name, value in row.items() if value is not None and name not in values}
        made.append(Happening("Create", table, row[table.primary_id], values, row, filled))
    return made


def updated(
    table: Table, before: Mapping[str, Any], row: Mapping[str, Any], given: Mapping[str, Any]
) -> Happening:
    """A changed row as it was and as it is."""
    names = (*_TOLD_OF_CHANGES, *row) if row is not before else ()
    filled = {name: row[name] for name in names if _is_news(name, before, row, given)}
    return Happening("Update", table, row[table.primary_id], given, row, filled)


def deleted(table: Table, row: Mapping[str, Any]) -> Happening:
    """A row that goes."""
    return Happening("Delete", table, row[table.primary_id], {}, row, {})


def _is_news(name: str, before: Mapping[str, Any], row: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a change of a row set this column beside what was asked for."""
    if name in given or name in _NOT_TOLD or name not in row:
        return False
    return name in _TOLD_OF_CHANGES or row[name] != before[name]


class Told(Protocol):
    """Who hears what happens to rows."""

    def listens(self, table: Table, message: str) -> bool:
        """Whether anything is registered for it: nothing need be gathered else."""

    def before(self, call: Call, happenings: Sequence[Happening]) -> None:
        """It is about to happen; a ``Fault`` prevents it."""

    def after(self, call: Call, happenings: Sequence[Happening]) -> None:
        """It happened, in the transaction that is under way; a ``Fault`` undoes that."""

    @contextmanager
    def together(self, call: Call, table: Table) -> Iterator[None]:
        """What happens inside belongs to one bulk message."""
        yield


class Nobody:
    """Nobody listens: while an environment is filled, and in rooms that stand alone."""

    def listens(self, table: Table, message: str) -> bool:
        """Say no."""
        return False

    def before(self, call: Call, happenings: Sequence[Happening]) -> None:
        """Do nothing."""

    def after(self, call: Call, happenings: Sequence[Happening]) -> None:
        """Do nothing."""

    @contextmanager
    def together(self, call: Call, table: Table) -> Iterator[None]:
        """Do nothing."""
        yield
