"""Do the columns fit? Asked before a row is read or written, and answered with what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["bound_column", "check_columns", "file_to_table"]

BIND = "@odata.bind"
LEFT_OUT = "left out: "


def file_to_table(columns: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the file's names to the table's; a column that is left out gets a name that no table has."""
    return {name: LEFT_OUT + name if target is None else target for name, target in (columns or {}).items()}


def check_columns(
    table: Table,
    in_file: Sequence[str],
    columns: Mapping[str, str | None] | None,
    operation: str,
    key: Sequence[str] | None,
    *,
    lookups: Iterable[str] = (),
    row_id_from: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the table columns a load sends, in the file's order.

    :param table: the table the rows go to
    :param in_file: the names that the rows use
    :param columns: the file's names to the table's, where they differ; None for what is left out
    :param operation: ``create``, ``update``, ``upsert`` or ``delete``
    :param key: what finds a row; for a create, what its id is made from
    :param lookups: columns whose values are looked up, so that they need not be ids
    :param row_id_from: columns, of the table or of the file, that a row's id is made from
    :raises AirflowFailException: a column or the key does not fit; nothing has been written then
    :raises UnknownKey: the table has no such alternate key, or it is not active
    """
    if not in_file:  # no rows, which nobody knows the columns of
        return ()
    _check_mapping(in_file, columns or {})
    mapping = file_to_table(columns)
    targets = {name: mapping.get(name, name) for name in in_file}
    sent = {name: target for name, target in targets.items() if not target.startswith(LEFT_OUT)}
    _check_twice(sent)
    made_from = _check_made_ids(table, in_file, sent.values(), operation, key, row_id_from)
    identity = () if made_from else _check_key(table, key, sent.values(), operation)
    if operation == "delete":
        return tuple(dict.fromkeys((*identity, *(name for name in made_from if name in sent.values()))))
    for name, target in sent.items():
        if target not in identity:
            _check_column(table, name, target, operation, frozenset(lookups))
    return tuple(sent.values())


def bound_column(table: Table, target: str) -> Column | None:
    """Return the column that a target names, by itself or as the lookup that it binds."""
    if not target.endswith(BIND):
        return table.find(target)
    navigation = target.removesuffix(BIND)
    return next((c for c in table.columns.values() if navigation in c.navigation.values()), None)


def _check_mapping(in_file: Sequence[str], columns: Mapping[str, str | None]) -> None:
    for name in columns:
        if name not in in_file:
            raise AirflowFailException(
                f"columns names {name!r}, which the file does not have{_nearest(name, in_file)}; "
                f"it has {', '.join(in_file)}."
            )


def _check_twice(sent: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for name, target in sent.items():
        if target in seen:
            raise AirflowFailException(
                f"The file's columns {seen[target]!r} and {name!r} both go to {target!r}: "
                "set one of them to None in columns to leave it out."
            )
        seen[target] = name


def _check_column(
    table: Table, name: str, target: str, operation: str, lookups: frozenset[str] = frozenset()
) -> None:
    if target.endswith(BIND):
        _check_bind(table, target.removesuffix(BIND))
        return
    column = _known_column(table, name, target.partition(".")[0] if target in lookups else target)
    if not _writable(column, operation):
        raise AirflowFailException(
            f"The file's column {name!r} does not fit: {target!r} of table {table.logical_name} cannot be written "
            f"by {operation}. Set it to None in columns to leave it out. Nothing was written."
        )
    if target not in lookups:
        _check_lookup(table, name, column)


def _known_column(table: Table, name: str, target: str) -> Column:
    from airflow_provider_dynamics.dataverse.errors import UnknownColumn

    try:
        return table.column(target)
    except UnknownColumn as error:
        raise AirflowFailException(
            f"The file's column {name!r} does not fit: {error} Say in columns which column it goes to, or None to leave "
            "it out. Nothing was written."
        ) from error


def _writable(column: Column, operation: str) -> bool:
    if operation == "create":
        return column.valid_for_create
    if operation == "update":
        return column.valid_for_update
    return column.valid_for_create or column.valid_for_update


def _check_lookup(table: Table, name: str, column: Column) -> None:
    """Refuse an id that does not say of which table it is: https://learn.microsoft.com/power-apps/developer/data-platform/webapi/multitable-lookup."""
    choices = [navigation for target, navigation in column.navigation.items() if target != "owner"]
    if len(choices) > 1:
        columns = ", ".join(repr(f"{navigation}{BIND}") for navigation in sorted(set(choices)))
        raise AirflowFailException(
            f"The file's column {name!r} does not fit: the lookup {column.name!r} of table {table.logical_name} may point to "
            f"several tables. Name those it is looked up in with lookups, give it as {columns} with values such as "
            "'/contacts(<row id>)', or set it to None in columns to leave it out. Nothing was written."
        )


def _check_bind(table: Table, navigation: str) -> None:
    known = [name for column in table.columns.values() for name in column.navigation.values()]
    if navigation not in known:
        raise AirflowFailException(
            f"Table {table.logical_name} has no lookup {navigation!r} (its case matters){_nearest(navigation, known)}. "
            "Nothing was written."
        )


def _check_made_ids(  # noqa: PLR0917 - the arguments of a load
    table: Table,
    in_file: Sequence[str],
    sent: Iterable[str],
    operation: str,
    key: Sequence[str] | None,
    row_id_from: Sequence[str],
) -> tuple[str, ...]:
    """Return the columns that row ids are made from, none where rows bring theirs or have a key."""
    made_from = tuple(row_id_from) or (tuple(key or ()) if operation == "create" else ())
    if not made_from:
        return ()
    if row_id_from and key:
        raise AirflowFailException(
            "key and row_id_from are two answers to one question: a row is found by the values of key, or by the id that "
            "the values of row_id_from make. Leave one of them out."
        )
    primary = table.columns.get(table.primary_id)
    if primary is not None and not primary.valid_for_create:
        raise AirflowFailException(
            f"Table {table.logical_name} does not let the caller choose row ids: leave "
            f"{'row_id_from' if row_id_from else 'key'} out."
        )
    known = [*dict.fromkeys((*sent, *in_file))]
    if missing := next((name for name in made_from if name not in known), None):
        raise AirflowFailException(
            f"{'row_id_from' if row_id_from else 'key'} names {missing!r}, which the file does not have"
            f"{_nearest(missing, known)}; it has {', '.join(in_file)}. Nothing was written."
        )
    return made_from


def _check_key(
    table: Table, key: Sequence[str] | None, sent: Iterable[str], operation: str
) -> tuple[str, ...]:
    """Return the columns that find the row; none for a create."""
    sent = set(sent)
    if not key:
        if operation != "create" and table.primary_id not in sent:
            raise AirflowFailException(
                f"The file has no column {table.primary_id!r}, so {operation} cannot find the rows of "
                f"{table.logical_name}: map a column to it in columns, or name an alternate key in key{_keys(table)}."
            )
        return (table.primary_id,) if table.primary_id in sent else ()
    names = tuple(key)
    if names != (table.primary_id,):
        table.key(table.column(name).name for name in names)
    if missing := [name for name in names if name not in sent]:
        raise AirflowFailException(
            f"The file has no column for {missing[0]!r} of the key{_nearest(missing[0], sent)}: map one to it in columns. "
            "Nothing was written."
        )
    return names


def _keys(table: Table) -> str:
    known = [" + ".join(key.columns) for key in table.keys]
    return f" (it has: {'; '.join(known)})" if known else f" ({table.logical_name} has none)"


def _nearest(name: str, names: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
