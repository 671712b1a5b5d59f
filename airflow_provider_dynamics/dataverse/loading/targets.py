"""The rows of a bulk operation: what goes into requests for each, and what became of it.

https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.reading.folding import folded, loosely
from airflow_provider_dynamics.dataverse.rows.payloads import Blank, Payloads

__all__ = ["OPERATIONS", "REFUSED", "Operation", "RowOutcome", "Target", "Targets", "new_ids"]

Operation = Literal["create", "update", "upsert", "delete"]
OPERATIONS = ("create", "update", "upsert", "delete")

REFUSED = (errors.BadRequest, errors.Conflict, errors.NotFound)
"""Refusals for what a row holds, whenever it is sent."""

PARTITION = "partitionid"

_IDS = 512  # made at a time: far fewer than the counter tells apart
_SHAPES = 100  # sets of columns
_numbers = itertools.count(int.from_bytes(os.urandom(2), "big"))


class RowOutcome(msgspec.Struct, frozen=True, gc=False):
    """What became of the row at this place of the input; `row_id` and `created` are None where the service does not say.

    `existed` is a create whose row was there already: an earlier request made it, of this call or, where ids
    are derived from rows or the row is equal, of another.
    """

    index: int
    row_id: str | None = None
    created: bool | None = None
    error: DataverseError | None = None
    existed: bool = False


class Target(msgspec.Struct, gc=False):
    """A row on its way: `body` is what a chunk holds of it, `identity` what tells whether two rows are one.

    `key` are the values of an alternate key's columns where it names the row; `made_here` says that the id
    is of our making.
    """

    index: int
    body: Row
    row_id: str | None = None
    identity: Any = None
    key: Mapping[str, Any] | None = None
    made_here: bool = False
    error: DataverseError | None = None


class Targets:
    """Makes the targets of one operation on one table. `key` are an alternate key's columns, None for the row id."""

    def __init__(
        self,
        payloads: Payloads,
        table: Table,
        operation: Operation,
        *,
        key: Sequence[Column] | None,
        blank: Blank,
        now: Callable[[], float],
    ) -> None:
        self._payloads = payloads
        self._table = table
        self._creates = operation == "create"
        self._operation = operation
        self._key = key
        self._blank: Blank = blank
        self._type = {"@odata.type": f"Microsoft.Dynamics.CRM.{table.logical_name}"}
        column = table.columns.get(table.primary_id)
        self._ids = new_ids(now) if column is not None and column.valid_for_create else None

    def of(self, rows: Iterable[Row | str]) -> Iterator[Target]:
        """Yield a target for each row; one that cannot be sent has its error."""
        make = self._created if self._creates else self._named
        plain: set[tuple[str, ...]] = (
            set()
        )  # columns of rows that go as they are, with an id from here or their own
        tried: set[tuple[str, ...]] = set()
        kind, primary, ids = self._type, self._table.primary_id, self._ids
        for index, row in enumerate(rows):
            if type(row) is dict and tuple(row) in plain:  # the usual cases, in one step
                if primary not in row and ids is not None:
                    row_id = next(ids)
                    yield Target(index, {**kind, **row, primary: row_id}, row_id, made_here=True)
                    continue
                given = row.get(primary)
                if type(given) is str and odata.is_guid(given):
                    yield Target(index, {**kind, **row}, given, given)
                    continue
            try:
                target = make(index, row)
            except REFUSED as error:
                target = Target(index, {}, error=error)
            yield target
            if self._creates and target.row_id and len(tried) < _SHAPES and tuple(row) not in tried:
                tried.add(tuple(row))
                if self._plainly(row):
                    plain.add(tuple(row))

    def _plainly(self, row: Row | str) -> bool:
        """Say whether new rows of these columns need nothing done to them but to be given an id, where they have none."""
        if type(row) is not dict or self._blank == "skip":
            return False
        return self._payloads.wire(self._table, row, creates=True) is row

    def _created(self, index: int, row: Row | str) -> Target:
        primary = self._table.primary_id
        wire = self._payloads.wire(self._table, _a_dict(row), creates=True, blank=self._blank)
        given = wire.get(primary)
        if given:
            row_id = odata.guid(given)
            return Target(index, {**self._type, **wire, primary: row_id}, row_id, row_id)
        if self._ids is None:
            return Target(index, {**self._type, **wire})
        row_id = next(self._ids)
        return Target(index, {**self._type, **wire, primary: row_id}, row_id, made_here=True)

    def _named(self, index: int, row: Row | str) -> Target:
        if self._key is not None:
            return self._by_key(index, _a_dict(row), self._key)
        primary = self._table.primary_id
        given = _a_dict({primary: row} if isinstance(row, str) else row)
        value = given.get(primary)
        if value is None:
            raise errors.BadRequest(
                f"The row has no {primary}", remedy="Give it, or name an alternate key's columns as key."
            )
        row_id = odata.guid(value)
        identity = (row_id, given.get(PARTITION)) if self._table.elastic else row_id
        if self._operation == "delete":
            place = {PARTITION: given[PARTITION]} if given.get(PARTITION) is not None else {}
            return Target(index, {**self._type, primary: row_id, **place}, row_id, identity)
        wire = self._payloads.wire(self._table, given, blank=self._blank)
        return Target(index, {**self._type, **wire, primary: row_id}, row_id, identity)

    def _by_key(self, index: int, row: Mapping[str, Any], columns: Sequence[Column]) -> Target:
        named = {column.name: row.get(column.name, row.get(column.wire_name)) for column in columns}
        if not all(isinstance(value, Hashable) for value in named.values()):
            raise errors.BadRequest("A column of the key holds a list or a dict")
        parts = [(column.wire_name, column.type, named[column.name]) for column in columns]
        reference = f"{self._table.entity_set}{odata.key_predicate(parts, in_path=False)}"
        identity = loosely(folded(named[column.name], column.type) for column in columns)
        body = {**self._type, "@odata.id": reference}
        if self._operation != "delete":
            body.update(self._plain(row, named))
        return Target(index, body, None, identity, named)

    def _plain(self, row: Mapping[str, Any], named: Mapping[str, Any]) -> Row:
        less = self._payloads.body_of(self._table, row, named)
        return self._payloads.wire(self._table, less, blank=self._blank)


def new_ids(now: Callable[[], float]) -> Iterator[str]:
    """Yield GUIDs that sort after earlier ones in the service's database, which keeps its index from scattering.

    SQL Server compares the last group first: it holds the milliseconds, the group before it a counter.
    https://learn.microsoft.com/power-apps/developer/data-platform/optimize-performance-create-update
    """
    while True:
        chance, moment = os.urandom(8).hex(), f"{int(now() * 1000) & 0xFFFFFFFFFFFF:012x}"
        head = f"{chance[:8]}-{chance[8:12]}-8{chance[12:15]}"  # version 8: a layout of our own
        for number in itertools.islice(_numbers, _IDS):
            yield f"{head}-{0x8000 | number & 0x3FFF:04x}-{moment}"


def _a_dict(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise errors.BadRequest(f"A row is a dict of columns, not {type(row).__name__}")
    return row
