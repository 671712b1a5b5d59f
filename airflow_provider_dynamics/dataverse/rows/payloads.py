"""Rows as they go over the wire: lookups bound, times with their zone, rows inside rows, blanks kept or left out.

What a name needs is worked out once for each table and set of columns, so that rows of plain columns cost next to nothing.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.odata import LOOKUPS, Row
from airflow_provider_dynamics.dataverse.transport.change_sets import is_reference

__all__ = ["Blank", "Payloads"]

Blank = Literal["null", "skip"]
_Step = Callable[[Row, Any], None]  # puts a value into the row being made

_MOST_KEPT = 1_000  # sets of columns; rows of ever new shapes must not fill the memory


class Payloads:
    """Makes the rows of requests. Safe to use from several threads."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._steps: dict[tuple[str, bool, tuple[str, ...]], dict[str, _Step]] = {}

    def wire(
        self, table: Table, row: Mapping[str, Any], *, creates: bool = False, blank: Blank = "null"
    ) -> Row:
        """Return the row as it goes over the wire, perhaps the very one that was given: not to be changed.

        A lookup takes a row id, a reference such as `contacts(…)` or a change set's `$1`, or None; a navigation property a dict or a
        list of dicts, rows to be created with this one. `blank` "skip" leaves out what is None or "" instead of
        clearing the column; `creates` leaves out empty lookups, which a new row has anyway. Raises BadRequest
        for a value that its column cannot take, UnknownColumn for a row in a row whose name leads nowhere.
        """
        names = tuple(row)
        steps = self._steps.get((table.logical_name, creates, names))
        if steps is None:
            steps = self._compiled(table, names, creates=creates)
        if blank == "skip":
            row = {name: value for name, value in row.items() if value is not None and value != ""}
        if not steps:
            return row  # type: ignore[return-value]  # read only, as said
        made: Row = {}
        for name, value in row.items():
            if name in steps:
                steps[name](made, value)
            else:
                made[name] = value
        return made

    def body_of(self, table: Table, row: Mapping[str, Any], key: Any) -> Row:
        """Return the row less the columns that name it: in the body they are ignored or refused."""
        _check_names(row)
        named = {table.column(name).name for name in key} if isinstance(key, Mapping) else {table.primary_id}
        return {
            name: value
            for name, value in row.items()
            if (column := table.find(name)) is None or column.name not in named
        }

    def _compiled(self, table: Table, names: tuple[str, ...], *, creates: bool) -> dict[str, _Step]:
        _check_names(names)
        found = ((name, self._step(table, name, creates=creates)) for name in names)
        steps = {name: step for name, step in found if step is not None}
        if len(self._steps) < _MOST_KEPT:
            self._steps[table.logical_name, creates, names] = steps
        return steps

    def _step(self, table: Table, name: str, *, creates: bool) -> _Step | None:
        """Return what a member's value needs, None where it goes as it is."""
        column = table.find(name)
        if column is None:  # an annotation, a navigation property, or a name for the service to judge
            return None if name.startswith("@") else self._foreign(table, name)
        if column.type in LOOKUPS:
            return self._lookup(table, column, creates=creates)
        if column.type == "DateTime":
            return self._moment(table, column)
        if creates and column.type == "State" and not column.valid_for_create:
            return _no_state(table, column)
        return None if name == column.name else _renamed(column.name)

    def _foreign(self, table: Table, name: str) -> _Step:
        bound = _bind_name(table, name)

        def put(made: Row, value: Any) -> None:
            if isinstance(value, Mapping) or _is_rows(value):
                target, _ = self._tables.follow(table, name)
                made[name] = self._nested(target, value)
            else:
                made[bound] = value

        return put

    def _lookup(self, table: Table, column: Column, *, creates: bool) -> _Step:
        choices = {target: name for target, name in column.navigation.items() if target != "owner"}

        def put(made: Row, value: Any) -> None:
            if value is None and creates:
                return
            if value is None and column.navigation:
                made[next(iter(column.navigation.values()))] = None
                return
            target, name = _only(table, column, choices)
            if isinstance(value, Mapping):
                made[name] = self._nested(target, value)
                return
            reference = value
            if not (isinstance(value, str) and ("(" in value or is_reference(value))):
                reference = f"/{self._tables.entity_set(target)}({odata.guid(value)})"
            made[f"{name}@odata.bind"] = reference

        return put

    def _moment(self, table: Table, column: Column) -> _Step:
        def put(made: Row, value: Any) -> None:
            if not isinstance(value, datetime):
                made[column.name] = value
                return
            behavior = self._tables.whole(table.logical_name).columns[column.name].date_behavior
            made[column.name] = value.date().isoformat() if behavior == "DateOnly" else odata.instant(value)

        return put

    def _nested(self, table_name: str, value: Any) -> Any:
        """Return the row, or the list of rows, that is created together with the one around it."""
        table = self._tables.outline(table_name)
        if isinstance(value, Mapping):
            return dict(self.wire(table, value, creates=True))
        return [self.wire(table, row, creates=True) for row in value]


def _check_names(names: Iterable[Any]) -> None:
    odd = next((name for name in names if not isinstance(name, str)), "")
    if odd != "":
        raise errors.BadRequest(f"A column's name is text, not {type(odd).__name__}")


def _only(table: Table, column: Column, choices: Mapping[str, str]) -> tuple[str, str]:
    """Return the one table a lookup may point to and the name to bind it by; raises BadRequest where there are several.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api
    """
    if len(choices) != 1:
        names = " or ".join(f"'{name}@odata.bind'" for name in dict.fromkeys(choices.values()))
        example = "/systemusers(<row id>)" if column.type == "Owner" else "/contacts(<row id>)"
        raise errors.BadRequest(
            f"The lookup {column.name!r} of {table.logical_name} may point to several tables",
            remedy=f"Write {names or repr(f'{column.name}@odata.bind')} with a value such as '{example}'.",
        )
    return next(iter(choices.items()))


def _no_state(table: Table, column: Column) -> _Step:
    """Return what refuses the state of a new row, which Dataverse would leave out without a word; 0 new rows have anyway."""

    def put(made: Row, value: Any) -> None:
        if str(value) not in {"None", "", "0"}:
            raise errors.BadRequest(
                f"A new row of {table.logical_name} cannot be given its {column.name}",
                remedy="Create the row, and set its state by an update: in a change set behind it, say.",
            )
        made[column.name] = value

    return put


def _renamed(name: str) -> _Step:
    def put(made: Row, value: Any) -> None:
        made[name] = value

    return put


def _is_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _bind_name(table: Table, name: str) -> str:
    """Return a member's name, with a lookup before `@odata.bind` in the spelling of its navigation property."""
    lookup, bind, _ = name.partition("@odata.bind")
    column = table.columns.get(lookup) if bind else None
    if column is None or len(column.navigation) != 1:
        return name
    navigation = next(iter(column.navigation.values()))
    return name if "owner" in column.navigation else f"{navigation}@odata.bind"
