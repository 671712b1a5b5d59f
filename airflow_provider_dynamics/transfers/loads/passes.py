"""Which trips through its rows a load needs: what has to wait until rows exist is sent by a later pass.

A lookup waits where the row it points to may be created by this very load, a state where the table does not take
one on create, or where rows could not be completed any more once they are closed. An owner is set with the row: set
later, it would be passed down to related rows that have their own already.
https://learn.microsoft.com/power-apps/developer/data-platform/configure-entity-relationship-cascading-behavior
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.transfers.loads.lookup_keys import (
    Lookup,
    column_of,
    may_choose_ids,
    read_lookups,
    tables_of,
)

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.job import TableLoad

__all__ = ["KINDS", "Kind", "Pass", "passes_of"]

Kind = Literal["rows", "lookups", "owner", "state"]
KINDS: tuple[Kind, ...] = ("rows", "lookups", "owner", "state")
"""In the order in which passes follow each other, also those of several tables."""

CREATING = frozenset({"create", "upsert"})
STATES = frozenset({"State", "Status"})


@dataclass(frozen=True, slots=True)
class Pass:
    """One trip through a load's rows.

    A value that is empty never waits: there is nothing to point to. It goes with the first pass, which
    clears the column, and later passes leave rows alone that have nothing for them.

    :param number: from 1
    :param operation: what this pass does
    :param columns: names of the values that a later pass sends, beside those that find the row; None for all
    :param waits: names of the values that the first pass leaves to later ones
    :param kind: what a pass is for
    """

    number: int
    operation: str
    columns: frozenset[str] | None = None
    waits: frozenset[str] = frozenset()
    kind: Kind = "rows"


def passes_of(
    table: Table, load: TableLoad, columns: Sequence[str], later: Iterable[str] | None = None
) -> tuple[Pass, ...]:
    """Return the passes of a load that sends values of these names.

    `later` are the tables whose rows the same run may create with or after this load's; default: the table
    itself, where the load creates rows.

    :raises AirflowFailException: what has to wait could not be sent later, as the created rows cannot be found again
    """
    creates = load.operation in CREATING
    if load.operation == "delete":
        return (Pass(1, load.operation),)
    tables = frozenset(({table.logical_name} if creates else ()) if later is None else later)
    lookups = read_lookups(load.lookups)
    _check_key(load, columns, lookups)
    names = [name for name in columns if not _finds_rows(table, load, name, lookups)]
    pointing = frozenset(name for name in names if tables & tables_of(table, name, lookups))
    kinds: dict[Kind, frozenset[str]] = {"lookups": pointing, "owner": frozenset(), "state": frozenset()}
    if creates:
        kinds["owner"] = frozenset(_owners(table, names, lookups)) - pointing
    if creates or pointing:
        kinds["state"] = _states(table, names, early=not pointing)
    waits = frozenset().union(*kinds.values())
    if waits:
        _check_found_again(table, load, columns, waits)
    following = [(kind, kinds[kind]) for kind in KINDS[1:] if kinds[kind]]
    return (
        Pass(1, load.operation, None, waits),
        *(Pass(number, "update", some, kind=kind) for number, (kind, some) in enumerate(following, 2)),
    )


def _finds_rows(table: Table, load: TableLoad, name: str, lookups: Sequence[Lookup]) -> bool:
    column = column_of(table, name, lookups)
    return column is not None and column.name in {table.primary_id, *load.key}


def _owners(table: Table, names: Iterable[str], lookups: Sequence[Lookup]) -> Iterator[str]:
    for name in names:
        column = column_of(table, name, lookups)
        if column is not None and column.type == "Owner" and not column.valid_for_create:
            yield name


def _states(table: Table, names: Iterable[str], *, early: bool) -> frozenset[str]:
    """Return the names of state and status, which go together, unless they may be sent with the row."""
    found = {name: column for name in names if (column := table.find(name)) and column.type in STATES}
    state = next((column for column in table.columns.values() if column.type == "State"), None)
    takes_it = all(column.valid_for_create for column in (*found.values(), *([state] if state else [])))
    return frozenset() if early and takes_it else frozenset(found)


def _check_key(load: TableLoad, columns: Sequence[str], lookups: Iterable[Lookup]) -> None:
    for lookup in lookups:
        if lookup.column in {*load.key, *load.row_id_from} and lookup.column not in columns:
            raise AirflowFailException(
                f"The lookup {lookup.column!r} is part of what rows of {load.table} are known by, so it must be looked up by a "
                f"single column that goes to {lookup.column!r}. Nothing was written."
            )


def _check_found_again(table: Table, load: TableLoad, columns: Sequence[str], waits: frozenset[str]) -> None:
    if load.operation != "create" or table.primary_id in columns or may_choose_ids(table):
        return
    raise AirflowFailException(
        f"{', '.join(sorted(waits))} of table {table.logical_name} can be set only once its rows exist, and rows that a "
        "create makes cannot be found again there, as their ids cannot be chosen: use operation='upsert' with an alternate "
        "key, or set them to None in columns. Nothing was written."
    )
