"""What is to be loaded, as values: one table's load, and the passes that a run makes of one or several of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.base import names, one_of, true

if TYPE_CHECKING:
    from airflow_provider_dynamics.transfers.loads.row import LoadSource, Stages

__all__ = ["OPERATIONS", "Step", "TableLoad"]

OPERATIONS = ("upsert", "create", "update", "delete")
MISSING = ("reject", "create", "null")
BLANK = ("null", "skip")


@dataclass(frozen=True)
class TableLoad:
    """One table's part of a load; the members are the arguments of ``ObjectStorageToDynamicsOperator``."""

    table: str
    source_path: Any = None
    operation: str = "upsert"
    key: tuple[str, ...] = ()
    columns: Mapping[str, str | None] = field(default_factory=dict)
    lookups: Mapping[str, Any] = field(default_factory=dict)
    on_missing_lookup: str = "reject"
    choices_by_label: bool = True
    row_id_from: tuple[str, ...] = ()
    blank: str = "null"
    file_format: str | None = None
    source_conn_id: str | None = None
    allow_empty: bool = False

    @classmethod
    def of(cls, given: TableLoad | Mapping[str, Any]) -> TableLoad:
        """Return a load out of its members, which templates may have made text of, checked.

        :raises AirflowFailException: a member is none of these, or its value is not
        """
        known = [member.name for member in dataclasses.fields(cls)]
        members = (
            dict(given) if isinstance(given, Mapping) else {name: getattr(given, name) for name in known}
        )
        if unknown := next((name for name in members if name not in known), None):
            raise AirflowFailException(f"A load has no member {unknown!r}; it has {', '.join(known)}.")
        made = cls(**{name: _plain(name, value) for name, value in members.items()})
        one_of("operation", made.operation, OPERATIONS)
        one_of("on_missing_lookup", made.on_missing_lookup, MISSING)
        one_of("blank", made.blank, BLANK)
        if not made.table:
            raise AirflowFailException("table is not set: give the table's logical name, such as account.")
        return made

    def described(self) -> dict[str, Any]:
        """Return what decides what the load does, as JSON, for its fingerprint."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "source_path"}


@dataclass(frozen=True)
class Step:
    """One pass of one load.

    :param load: its name in the run, such as the table's
    :param table: the table's logical name
    :param source: its rows
    :param operation: what this pass does
    :param key: columns of an alternate key that find the row; empty for the row id
    :param stages: makes the stages of this pass
    :param number: from 1; the first pass sends the rows, a later one what had to wait
    :param identity: names of the values that find the row, which every pass keeps
    :param columns: names of the values that a later pass sends; None for all
    :param waits: names of the values that later passes send
    :param derived_ids: a create's ids are made from its rows
    :param blank: what an empty value means
    """

    load: str
    table: str
    source: LoadSource
    operation: str
    key: tuple[str, ...]
    stages: Callable[[], Stages]
    number: int = 1
    identity: frozenset[str] = frozenset()
    columns: frozenset[str] | None = None
    waits: frozenset[str] = frozenset()
    derived_ids: bool = False
    blank: str = "null"


def _mapping(name: str, value: Any) -> dict[str, Any]:
    """Return a dict, also where a template has left it as JSON; raises AirflowFailException for anything else."""
    import msgspec

    found = value
    if isinstance(value, str) and value.strip():
        try:
            found = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise AirflowFailException(
                f"{name} became a text that is not JSON ({error}): give a dict, or a template that ends in | tojson."
            ) from error
    if found and not isinstance(found, Mapping):
        raise AirflowFailException(f"{name} is a {type(found).__name__}: give a dict of columns.")
    return dict(found or {})


def _plain(name: str, value: Any) -> Any:
    if name in {"key", "row_id_from"}:
        return names(value)
    if name in {"columns", "lookups"}:
        return _mapping(name, value)
    if name in {"choices_by_label", "allow_empty"}:
        return true(name, value)
    return value or None if name in {"file_format", "source_conn_id"} else value
