"""Alternate keys: made by a job that builds their index, unusable before that has ended.

https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.options import table_named
from airflow_provider_dynamics.emulator.customizing.reading import Body, label_of, schema_name_of
from airflow_provider_dynamics.emulator.customizing.workshop import KEY, Workshop, customizable, replaced
from airflow_provider_dynamics.emulator.jobs.job import CANCELED, SUCCEEDED
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, missing, need
from airflow_provider_dynamics.emulator.schema import Key, Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import LOOKUP_KINDS, stable_id

MOST_KEYS, MOST_COLUMNS, MOST_BYTES = 10, 16, 900
_KINDS = frozenset({"Decimal", "Integer", "String", "DateTime", "Picklist"}) | LOOKUP_KINDS
_INDEX_CREATION = 63


class Keys:
    """Makes, deletes and reactivates alternate keys."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def operations(self) -> Sequence[Operation]:
        """The action that lets a failed index be built again."""
        parameters = (need("EntityKeyLogicalName", "Edm.String"), need("EntityLogicalName", "Edm.String"))
        return (Operation("ReactivateEntityKey", parameters, run=self._reactivate),)

    def create(self, call: Call, table: Table, body: Body) -> str:
        """A new key, pending. Returns its MetadataId."""
        self._workshop.start(call, "prvCreateEntityKey")
        self._workshop.check_solution(call)
        table = customizable(table_named(self._workshop.working, table.name))
        key = _made(table, body)
        key_id = stable_id("key", table.name, key.name)
        self.index(call, table, key)
        self._workshop.belongs(call, KEY, key_id)
        return key_id

    def index(self, call: Call, table: Table, key: Key) -> None:
        """Give a table a new key whose index is still to be built."""
        self._put(table.name, None, replace(key, status="Pending", job_id=self._begin(call, table, key)))

    def delete(self, call: Call, table: Table, key: Key) -> None:
        """Delete a key; the job that builds its index is given up."""
        self._workshop.start(call, "prvDeleteEntityKey")
        self._workshop.refuse_managed(KEY, stable_id("key", table.name, key.name))
        self.drop(table, key)

    def drop(self, table: Table, key: Key) -> None:
        """Take a key out."""
        job = self._workshop.jobs.drop(key.job_id) if key.job_id else None
        if job is not None:
            now = self._workshop.jobs.now()
            self._workshop.jobs.show(job, CANCELED, now, {"completedon": utc_text(now)})
        self._put(table.name, key, None)
        self._workshop.gone(KEY, stable_id("key", table.name, key.name))

    def _reactivate(self, invocation: Invocation) -> None:
        self._workshop.start(invocation.call, "prvWriteEntityKey")
        table = table_named(self._workshop.working, invocation.parameters["EntityLogicalName"])
        name = invocation.parameters["EntityKeyLogicalName"]
        key = next((one for one in table.keys if one.name == name), None)
        if key is None:
            raise Fault(404, "0x80060890", f"There is no entity key {name} of {table.name}.")
        if key.status != "Failed":
            raise Fault(400, "0x80060897", "Reactivate entity key is only supported for failed job")
        again = replace(key, status="Pending", job_id=self._begin(invocation.call, table, key))
        self._put(table.name, key, again)

    def _begin(self, call: Call, table: Table, key: Key) -> str:
        values = {
            "name": f"Create index for {key.name} for table {table.name}",
            "operationtype": _INDEX_CREATION,
            "messagename": "CreateEntityKeyIndex",
            "primaryentitytype": table.name,
        }
        job = self._workshop.jobs.start(call, values, lambda share: self._step(table.name, key.name, share))
        job.ended = lambda state, _: self._end(table.name, key.name, state)
        return job.job_id

    def _step(self, table: str, name: str, share: float) -> None:
        key = self._find(table, name)
        if key is None:
            return
        if share < 1.0:
            if key.status == "Pending":
                self._put(table, key, replace(key, status="InProgress"))
            return
        try:
            with self._workshop.rooms.store.transaction():
                self._put(table, key, replace(key, status="Active"))
        except sqlite3.IntegrityError as error:
            raise Fault(
                400,
                "0x80040237",
                f"The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the table {table} "
                f"and the key {name}.",
            ) from error

    def _end(self, table: str, name: str, state: tuple[int, int]) -> None:
        key = self._find(table, name)
        if key is None:
            return
        if state != SUCCEEDED:
            self._put(table, key, replace(key, status="Failed"))
        elif not key.active:
            self._put(table, key, replace(key, status="Active"))

    def _find(self, table: str, name: str) -> Key | None:
        known = self._workshop.working.tables.get(table)
        return next((one for one in known.keys if one.name == name), None) if known else None

    def _put(self, table: str, old: Key | None, new: Key | None) -> None:
        """Put one key in place of another in every state of the schema."""

        def edit(schema: Schema) -> Schema:
            here = schema.tables[table]
            kept = tuple(one for one in here.keys if old is None or one.name != old.name)
            keys = (*kept, *([new] if new else []))
            if old and new:
                keys = replaced(here.keys, next(one for one in here.keys if one.name == old.name), new)
            return schema.with_tables(replace(here, keys=keys))

        self._workshop.change(edit)


def _made(table: Table, body: Body) -> Key:
    name = schema_name_of(body)
    columns = body.get("KeyAttributes")
    if not isinstance(columns, list) or not columns:
        raise missing("KeyAttributes")
    for column in columns:
        _check_column(table, column)
    if any(key.name == name.lower() for key in table.keys):
        raise Fault(
            400, "0x80060893", f"The entity key with name {name} already exists on entity {table.name}."
        )
    if any(set(key.columns) == set(columns) for key in table.keys):
        raise Fault(
            400,
            "0x80060894",
            f"An entity key with the selected attributes already exists on entity {table.name}.",
        )
    if len(table.keys) >= MOST_KEYS or len(columns) > MOST_COLUMNS or _size(table, columns) > MOST_BYTES:
        raise Fault(
            400,
            "0x80060895",
            f"A table has at most {MOST_KEYS} keys, a key at most {MOST_COLUMNS} columns and {MOST_BYTES} bytes.",
        )
    return Key(name.lower(), label_of(body, "DisplayName", needed=True) or "", tuple(columns))


def _check_column(table: Table, name: Any) -> None:
    if not isinstance(name, str) or not table.has(name):
        raise Fault(
            404, "0x80041103", f"'{table.name}' entity doesn't contain attribute with Name = '{name}'."
        )
    if table.by_name[name].kind not in _KINDS:
        raise Fault(400, "0x8006088f", f"The column {name} is of a type that no entity key can have.")


def _size(table: Table, names: Sequence[str]) -> int:
    return sum((table.by_name[name].max_length or 8) * 2 for name in names)
