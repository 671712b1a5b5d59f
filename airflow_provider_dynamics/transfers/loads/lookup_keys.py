"""How the rows that lookups point to are named in a file, as values: by which columns of which tables.

``{"primarycontactid": "contact.emailaddress1"}``: the column of the file that goes to ``primarycontactid`` holds a
contact's e-mail address. Where a key has several columns, or the lookup several tables, further columns of the file
go to parts of it: ``primarycontactid.firstname``, ``customerid.table``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.transfers.loads.columns import BIND, bound_column

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["Lookup", "TargetKey", "check_lookups", "column_of", "parts_of", "read_lookups", "tables_of"]

TABLE = "table"  # the part that says of which table the row is
LOOKUPS = frozenset({"Lookup", "Customer", "Owner"})


@dataclass(frozen=True, slots=True)
class TargetKey:
    """One way to find the row a lookup points to: a table and columns of it, none for its row id."""

    table: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.table}.{'+'.join(self.columns)}" if self.columns else self.table


@dataclass(frozen=True)
class Lookup:
    """A lookup column and the keys by which a file names the row it points to."""

    column: str
    keys: tuple[TargetKey, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """What columns of a file may be called to be part of this lookup."""
        parts = {f"{self.column}.{name}" for key in self.keys for name in key.columns}
        return frozenset({self.column, self.table_part, *parts})

    @cached_property
    def table_part(self) -> str:
        return f"{self.column}.{TABLE}"

    @property
    def tables(self) -> frozenset[str]:
        """The tables that rows may be of."""
        return frozenset(key.table for key in self.keys)

    def sources(self, key: TargetKey, names: Iterable[str]) -> tuple[str, ...] | None:
        """Return which of a file's columns hold the values of a key's columns; None where one is missing."""
        asked = (key, *names)
        if asked not in self._sources:
            self._sources[asked] = self._source_names(key, frozenset(asked[1:]))
        return self._sources[asked]

    @cached_property
    def _sources(self) -> dict[tuple[Any, ...], tuple[str, ...] | None]:
        return {}  # rows have few different shapes

    def _source_names(self, key: TargetKey, names: frozenset[Any]) -> tuple[str, ...] | None:
        parts = tuple(f"{self.column}.{name}" for name in key.columns)
        if parts and names.issuperset(parts):
            return parts
        return (self.column,) if len(parts) < 2 and self.column in names else None


def read_lookups(given: Mapping[str, Any] | None) -> tuple[Lookup, ...]:
    """Read the argument ``lookups``.

    A value is ``"contact.emailaddress1"``, ``"contact.firstname+lastname"``, ``"contact"`` for its row id, a list of
    those, or ``{"contact": ["firstname", "lastname"]}``.

    :raises AirflowFailException: it says something else
    """
    return tuple(Lookup(column, _keys(column, value)) for column, value in (given or {}).items())


def parts_of(given: Mapping[str, Any] | None) -> frozenset[str]:
    """Return all names that columns of a file may have because of ``lookups``, lookup columns included."""
    return frozenset(name for lookup in read_lookups(given) for name in lookup.names)


def column_of(table: Table, name: str, lookups: Iterable[Lookup] = ()) -> Column | None:
    """Return the table's column that a value's name is about: itself, the lookup it binds or is a part of."""
    whole = next((lookup.column for lookup in lookups if name in lookup.names), name)
    return bound_column(table, whole)


def tables_of(table: Table, name: str, lookups: Iterable[Lookup] = ()) -> frozenset[str]:
    """Return the tables that a value of this name may point to; none for what is no lookup."""
    for lookup in lookups:
        if name in lookup.names:
            return lookup.tables
    column = bound_column(table, name)
    if column is None or column.type not in LOOKUPS:
        return frozenset()
    if name.endswith(BIND):
        navigation = name.removesuffix(BIND)
        return frozenset(target for target, known in column.navigation.items() if known == navigation)
    return frozenset(column.targets or column.navigation)


def check_lookups(
    client: Client, table: Table, given: Mapping[str, Any] | None, names: Sequence[str], on_missing: str
) -> tuple[Lookup, ...]:
    """Return the lookups of a load whose values have these names, checked against the tables they lead to.

    :raises AirflowFailException: they do not fit the tables or the file; nothing has been written then
    """
    lookups = read_lookups(given)
    for lookup in lookups:
        _check_column(table, lookup)
        for key in lookup.keys:
            _check_key(client, lookup, key)
        _check_names(lookup, names)
        if on_missing == "create":
            _check_creation(client, lookup, names)
    return lookups


def _keys(column: str, value: Any) -> tuple[TargetKey, ...]:
    if isinstance(value, Mapping):
        return tuple(TargetKey(table, _columns(names)) for table, names in value.items())
    texts = list(value) if isinstance(value, (list, tuple)) else [value]
    found = tuple(_key(text) for text in texts if isinstance(text, str) and text.strip())
    if not found or len(found) != len(texts):
        raise AirflowFailException(
            f"lookups has {value!r} for {column!r}: name the table and the columns that find its row, for example "
            "'contact.emailaddress1' or 'contact.firstname+lastname'."
        )
    return found


def _key(text: str) -> TargetKey:
    table, _, names = text.strip().partition(".")
    return TargetKey(table.strip(), _columns(names.split("+")) if names else ())


def _columns(names: Any) -> tuple[str, ...]:
    listed = [names] if isinstance(names, str) else list(names or ())
    return tuple(name.strip() for name in listed)


def _check_column(table: Table, lookup: Lookup) -> None:
    column = table.find(lookup.column)
    if column is None or column.type not in LOOKUPS or column.name != lookup.column:
        raise _unfit(
            f"lookups names {lookup.column!r}, which is no lookup of table {table.logical_name}. "
            f"{table.nearest(lookup.column) if column is None else 'Use its logical name.'}"
        )
    known = frozenset(column.targets or column.navigation)
    for name in sorted(lookup.tables - known):
        raise _unfit(
            f"lookups lets {lookup.column!r} of table {table.logical_name} point to {name!r}, "
            f"but it points to {', '.join(sorted(known))}."
        )
    if len(lookup.tables) < len(lookup.keys):
        raise _unfit(f"lookups names a table twice for {lookup.column!r}.")


def _check_key(client: Client, lookup: Lookup, key: TargetKey) -> None:
    from airflow_provider_dynamics.dataverse.errors import UnknownColumn

    target = client.table(key.table)
    for name in key.columns:
        try:
            column = target.column(name)
        except UnknownColumn as error:
            raise _unfit(f"lookups finds {lookup.column!r} by {key}: {error}") from error
        if not column.valid_for_read:
            raise _unfit(f"lookups finds {lookup.column!r} by {key}, but {name!r} cannot be read.")


def _check_names(lookup: Lookup, names: Sequence[str]) -> None:
    for key in lookup.keys:
        if lookup.sources(key, names) is None:
            wanted = (
                [lookup.column] if len(key.columns) < 2 else [f"{lookup.column}.{c}" for c in key.columns]
            )
            raise _unfit(
                f"lookups finds {lookup.column!r} by {key}, but no column of the file goes to "
                f"{' and '.join(map(repr, wanted))}: map one in columns."
            )


def _check_creation(client: Client, lookup: Lookup, names: Sequence[str]) -> None:
    if len(lookup.keys) > 1 and lookup.table_part not in names:
        raise _unfit(
            f"on_missing_lookup='create' cannot know the table of {lookup.column!r}, which may point to "
            f"{', '.join(sorted(lookup.tables))}: map a column with the table's name to {lookup.table_part!r}."
        )
    for key in lookup.keys:
        target = client.table(key.table)
        if not key.columns or set(key.columns) == {target.primary_id}:
            raise _unfit(
                f"on_missing_lookup='create' cannot create the rows of {key.table} that {lookup.column!r} points to: "
                "they would have nothing but an id. Find them by another column."
            )
        if not may_choose_ids(target):
            _check_alternate_key(target, lookup, key)


def may_choose_ids(table: Table) -> bool:
    """Say whether a new row's id may be given by whoever creates it."""
    column = table.columns.get(table.primary_id)
    return column is not None and column.valid_for_create


def _check_alternate_key(target: Table, lookup: Lookup, key: TargetKey) -> None:
    from airflow_provider_dynamics.dataverse.errors import UnknownKey

    try:
        target.key(key.columns)
    except UnknownKey as error:
        raise _unfit(
            f"on_missing_lookup='create' cannot create rows of {key.table} for {lookup.column!r} exactly once: {error}"
        ) from error


def _unfit(message: str) -> AirflowFailException:
    return AirflowFailException(f"{message.rstrip()} Nothing was written.")
