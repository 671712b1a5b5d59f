"""Creating, changing and deleting rows: defaults, keys, versions, and what a deletion does to others."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from airflow_provider_dynamics.emulator.address import json_like, row_key
from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.elastic import PARTITION, check_partition, row_id_of
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.querying.query import missing_row
from airflow_provider_dynamics.emulator.render import RowRenderer
from airflow_provider_dynamics.emulator.schema import INTERSECTS, TABLES, Navigation, Table, collections_of
from airflow_provider_dynamics.emulator.schema.current import per_schema
from airflow_provider_dynamics.emulator.storage import DELETED, FILES, JSON_COLUMN, SQL, storage_names
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults
from airflow_provider_dynamics.emulator.writing.body import Body, BodyReader, point, target_of
from airflow_provider_dynamics.emulator.writing.derive import Derivation, own
from airflow_provider_dynamics.emulator.writing.duplicates import Duplicates
from airflow_provider_dynamics.emulator.writing.happenings import Nobody, Told, created, deleted, updated
from airflow_provider_dynamics.emulator.writing.images import Pictures
from airflow_provider_dynamics.emulator.writing.joining import Joining
from airflow_provider_dynamics.emulator.writing.keys import KeyFinder
from airflow_provider_dynamics.emulator.writing.plugins import Plugins, is_shown
from airflow_provider_dynamics.emulator.writing.states import CLOSED_BY_MESSAGE, guarded

_DERIVED_FROM = frozenset({"transactioncurrency", "systemuser", "team", "businessunit", "organization"})
Guard = Callable[[Call, Mapping[str, Any], dict[str, Any]], dict[str, Any]]
_encode = msgspec.json.encode


@dataclass(frozen=True)
class _Blank:
    """A new row of a table before anything is set, stored and shown."""

    stored: Mapping[str, Any]
    shown: dict[str, Any]
    renderer: RowRenderer


@per_schema
def _blank(name: str) -> _Blank:
    table = TABLES[name]
    stored: dict[str, Any] = dict.fromkeys(storage_names(table))
    for column in table.columns:
        if column.default is not None:
            stored[column.name] = int(column.default) if isinstance(column.default, bool) else column.default
    renderer = RowRenderer(table)
    stored["versionnumber"] = 0
    return _Blank(stored, renderer.plain(stored), renderer)


class Writer:
    """Writes rows inside the caller's transaction; every method raises ``Fault`` in the service's words."""

    def __init__(self, store: Store, faults: DataFaults) -> None:
        self._store = store
        self._faults = faults
        self._plugins = Plugins()
        self.duplicates = Duplicates(store, on_premises=faults.on_premises)
        self.joining = Joining(store, self.bind)
        self.keys = KeyFinder(store)
        self._derivation = Derivation(store)
        self._bodies = BodyReader(self._find)
        self._pictures = Pictures(store)
        # Refuses who lacks a privilege: called with the request, a table and what is to be done with its rows.
        self.need: Callable[..., None] = lambda _call, _table, *_verbs: None
        # By table: looks at a change of a row before it is made, and says what is really written.
        self.guards: dict[str, Guard] = {name: guarded(name) for name in CLOSED_BY_MESSAGE}
        self.rules = self._derivation.rules
        # By table: told of a row that a request made, and asked to delete one where that takes more than its row.
        self.made: dict[str, Callable[[Call, str, Mapping[str, Any]], None]] = {}
        self.parting: dict[str, Callable[[Call, Mapping[str, Any]], None]] = {}
        # Hears what happens to rows: the steps that are registered.
        self.told: Told = Nobody()
        self._numbers = count(0x40000001)
        self._suffix = f"{secrets.token_hex(2)}-f011-{secrets.token_hex(2)}-000d3a{secrets.token_hex(3)}"

    def _next_id(self) -> str:
        # Sequential, as SQL Server makes them: rows created later sort later.
        return f"{next(self._numbers).to_bytes(4, 'little').hex()}-{self._suffix}"

    def forget(self) -> None:
        """The store was emptied or filled behind this writer's back."""
        self._derivation.forget()

    def _find(self, table: Table, inside: str) -> str:
        key = row_key(inside, {})
        if isinstance(key, dict):
            return self.keys.find(table, {name: json_like(value) for name, value in key.items()})
        if not self._store.exists(table, key):
            raise missing_row(table, key)
        return key

    # -- create -------------------------------------------------------------------------------------

    def create(
        self, call: Call, table: Table, body: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
    ) -> str:
        """One new row; ``fixed`` are stored values that come from the URL and give way to the body. Returns its id."""
        return self.create_all(call, table, [body], fixed)[0]

    def create_all(
        self,
        call: Call,
        table: Table,
        bodies: Iterable[Mapping[str, Any]],
        fixed: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """New rows in order, all or none. Returns their ids in order."""
        if not table.writable:
            raise NotEmulated(f"writing to {table.name}")
        if not table.creatable:
            raise NotEmulated(f"creating rows of {table.name}, which the service makes by itself")
        rows, later, given = [], [], []
        for body in bodies:
            read = self._read_new(call, table, body)
            given.append({**(fixed or {}), **read.values})
            row = self._new_row(call, table, dict(given[-1]))
            rows.append(row)
            if read.after or read.links:
                later.append((row[table.identity], read))
        told = created(table, rows, given) if self.told.listens(table, "Create") else []
        if told:
            self.told.before(call, told)
        self._insert(table, rows)
        if table.name in self.made:
            for row in rows:
                self.made[table.name](call, table.name, row)
        for row_id, read in later:
            self._create_related(call, table, row_id, read)
        if told:
            self.told.after(call, told)
        return [row[table.identity] for row in rows]

    def _read_new(self, call: Call, table: Table, body: Mapping[str, Any]) -> Body:
        """The body of a new row, the rows it is to point to made before it."""
        read = self._bodies.read(table, body, creating=True)
        for navigation, nested in read.before:
            self.need(call, target_of(navigation), "Create")
            made = self.create(call, target_of(navigation), nested)
            point(read.values, navigation.column, target_of(navigation), made)
        return read

    def make(self, call: Call, table: Table, values: Mapping[str, Any]) -> str:
        """One new row of stored values, of a table that only the service makes rows of. Returns its id."""
        row = self._new_row(call, table, dict(values))
        self._insert(table, [row])
        return str(row[table.primary_id])

    def _create_related(self, call: Call, table: Table, row_id: str, read: Body) -> None:
        for navigation, bodies in read.after:
            child, fixed = TABLES[navigation.table or ""], dict[str, Any]()
            self.need(call, child, "Create")
            if navigation.through is None:
                point(fixed, navigation.column, table, row_id)
            for made in self.create_all(call, child, bodies, fixed):
                if navigation.through:
                    self.joining.join(call, table, row_id, navigation, made)
        for navigation, links in read.links:
            self._need_to_link(call, table, navigation)
            for link in links:
                found = self._bodies.linked(table, navigation, link)
                self.joining.join(call, table, row_id, navigation, found)

    def _new_row(self, call: Call, table: Table, values: dict[str, Any]) -> dict[str, Any]:
        blank = _blank(table.name)
        given = values.get(table.primary_id)
        row_id = given or self._next_id()
        if not table.images.isdisjoint(values):
            values = self._pictures.values(table, row_id, values, call.now, creating=True)
        row = {**blank.stored, **values, table.primary_id: row_id}
        if table.elastic:
            check_partition(values)
            values = {**values, PARTITION: values.get(PARTITION) or row_id}
            row |= {PARTITION: values[PARTITION], table.identity: row_id_of(table, row_id, values[PARTITION])}
        if given:
            self._store.execute(
                'DELETE FROM "_deleted" WHERE row_id = ? AND table_name = ?', (given, table.name)
            )
        stamps = self._stamps(call, table, row)
        row.update(stamps)
        own(row, table, call.caller.user_id)
        changed = (
            {**values, **stamps, "ownerid": row.get("ownerid")} if "ownerid" in row else {**values, **stamps}
        )
        derived = self._derivation.complete(table, row, changed)
        _check_customer(table, row)
        _check_needed(table, row)
        names = (*changed, *derived, table.primary_id)
        shown = blank.renderer.change(blank.shown, {name: row[name] for name in names})
        self._let_pass(call, table, "Create", shown)
        self.duplicates.check(call, table, row, values)
        row[JSON_COLUMN] = _encode(shown)
        return row

    def _need_to_link(self, call: Call, table: Table, navigation: Navigation) -> None:
        other = TABLES[navigation.table or ""]
        if navigation.through is None:
            self.need(call, other, "Write")
        else:
            self.need(call, table, "Append")
            self.need(call, other, "AppendTo")

    def _stamps(self, call: Call, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        stamps: dict[str, Any] = {"versionnumber": self._store.next_version()}
        if table.has("createdon"):
            now = utc_text(call.now)
            stamps |= {"createdon": row.get("overriddencreatedon") or now, "modifiedon": now}
            if row.get("overriddencreatedon"):
                stamps["overriddencreatedon"] = now
            stamps |= dict.fromkeys(("createdby", "modifiedby"), call.caller.user_id)
            stamps |= dict.fromkeys(("createdonbehalfby", "modifiedonbehalfby"), call.caller.on_behalf_of)
        if table.has("ticketnumber") and not row.get("ticketnumber"):
            stamps["ticketnumber"] = f"CAS-{stamps['versionnumber'] % 100_000:05d}-EMULATR"
        return stamps

    def _insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        names = storage_names(table)
        try:
            self._store.insert(table, map(itemgetter(*names), rows))
        except sqlite3.IntegrityError as error:
            raise self.keys.duplicate(table, error) from error
        if table.name in _DERIVED_FROM:
            self._derivation.forget()

    def _let_pass(self, call: Call, table: Table, message: str, shown: Mapping[str, Any]) -> None:
        """Refuse a row that is poison, or that a plug-in does not let pass."""
        for poison in self._faults.poison:
            if poison.table == table.name and is_shown(shown.get(poison.column), poison.value):
                raise Fault(poison.status, poison.code, poison.message)
        if self._faults.plugins:
            self._plugins.run(self._faults.plugins, call, table, message, shown)

    # -- update -------------------------------------------------------------------------------------

    def update(self, call: Call, table: Table, row_id: str, body: Mapping[str, Any]) -> None:
        """Change the columns a body names; raises 404 when the row does not exist."""
        row = self.existing(table, row_id)
        values = self._bodies.read(table, body, creating=False).values
        if not table.images.isdisjoint(values):
            values = self._pictures.values(table, row_id, values, call.now)
        if table.name in self.guards:
            values = self.guards[table.name](call, row, values)
        if not self.told.listens(table, "Update"):
            self.change(call, table, row, values)
            return
        given, before = dict(values), dict(row)
        self.told.before(call, [updated(table, before, before, given)])
        self.change(call, table, row, values)
        self.told.after(call, [updated(table, before, row, given)])

    def replace(self, call: Call, table: Table, row_id: str, body: Mapping[str, Any]) -> None:
        """Put another row in the place of one: what an upsert does to elastic tables."""
        row = self.existing(table, row_id)
        self.remove(table, row_id)
        self.create(call, table, body, {name: row[name] for name in (table.primary_id, PARTITION)})

    def existing(self, table: Table, row_id: str) -> dict[str, Any]:
        """A stored row that may be changed; raises 404 when it does not exist."""
        if not table.writable:
            raise NotEmulated(f"writing to {table.name}")
        row = self._store.row(table, row_id)
        if row is None:
            raise missing_row(table, row_id)
        return row

    def change(self, call: Call, table: Table, row: dict[str, Any], values: dict[str, Any]) -> None:
        """Change stored values of a row that was read before."""
        values.pop(table.primary_id, None)
        if table.elastic:
            values.pop(PARTITION, None)
        row.update(values)
        stamps: dict[str, Any] = {"versionnumber": self._store.next_version()}
        if table.has("modifiedon"):
            stamps["modifiedon"] = utc_text(call.now)
            stamps |= {"modifiedby": call.caller.user_id, "modifiedonbehalfby": call.caller.on_behalf_of}
        row.update(stamps)
        derived = self._derivation.complete(table, row, values)
        _check_needed(table, row)
        shown = _blank(table.name).renderer.plain(row)
        self._let_pass(call, table, "Update", shown)
        self.duplicates.check(call, table, row, values)
        row[JSON_COLUMN] = _encode(shown)
        try:
            self._store.update(table, row, dict.fromkeys((*values, *derived, *stamps, JSON_COLUMN)))
        except sqlite3.IntegrityError as error:
            raise self.keys.duplicate(table, error) from error
        if table.name in _DERIVED_FROM:
            self._derivation.forget()

    def bind(self, call: Call, table: Table, row_id: str, name: str, link: str | None) -> None:
        """Point one lookup of a row at another row, or at none (``$ref``)."""
        if self.told.listens(table, "Update"):
            raise NotEmulated(f"steps at {table.name} when a lookup is changed by $ref")
        row = self.existing(table, row_id)
        values: dict[str, Any] = {}
        self._bodies.bind(table, table.navigations[name], link, values)
        self.change(call, table, row, values)

    # -- delete -------------------------------------------------------------------------------------

    def delete(self, call: Call, table: Table, row_id: str) -> None:
        """Delete a row; lookups to it are emptied, or their rows deleted too, as the relationship says."""
        row = self.existing(table, row_id)
        if self._faults.plugins:
            self._let_pass(call, table, "Delete", _blank(table.name).renderer.plain(row))
        told = [deleted(table, row)] if self.told.listens(table, "Delete") else []
        if told:
            self.told.before(call, told)
        if table.name in self.parting:
            self.parting[table.name](call, row)
        if table.binaries:
            self._drop_files(row_id)
        for navigation in collections_of(table.name).values():
            self._release(call, table, row_id, TABLES[navigation.table or ""], navigation.column.name)
        self._forsake(table, row_id)
        self.remove(table, row_id)
        if told:
            self.told.after(call, told)

    def remove(self, table: Table, row_id: str) -> None:
        """Take a row out, whatever refers to it."""
        sql = SQL[table.name]
        self._store.run(sa.delete(sql).where(sql.c[table.identity] == row_id))
        self._store.run(
            sa.insert(DELETED).values(
                version=self._store.next_version(), table_name=table.name, row_id=row_id
            )
        )

    def _forsake(self, table: Table, row_id: str) -> None:
        """Take a row out of its many-to-many relationships, and from those it is shared with."""
        for intersect in INTERSECTS:
            if table.name in intersect.tables:
                text = f'DELETE FROM "{intersect.name}" WHERE "{table.primary_id}" = ?'  # noqa: S608 - our own names
                self._store.execute(text, (row_id,))
        self._store.execute('DELETE FROM "principalobjectaccess" WHERE objectid = ?', (row_id,))

    def _drop_files(self, row_id: str) -> None:
        attachments = SQL["fileattachment"]
        self._store.run(sa.delete(FILES).where(FILES.c.row_id == row_id))
        self._store.run(sa.delete(attachments).where(attachments.c.objectid == row_id))

    def _release(self, call: Call, table: Table, row_id: str, other: Table, name: str) -> None:
        column = other.by_name[name]
        target = next(target for target in column.targets if target.table == table.name)
        if not (column.create or column.update or target.on_delete == "Cascade"):
            return  # who made a row is not forgotten
        ids = self._store.pointing(other, column, table.name, row_id)
        if ids and (target.on_delete == "Restrict" or name == "ownerid"):
            raise Fault(
                405,
                "0x80040227",
                "The object cannot be deleted because it is associated with another object.",
            )
        for other_id in ids:
            if target.on_delete == "Cascade":
                self.delete(call, other, other_id)
            else:
                values: dict[str, Any] = {}
                point(values, column, None, None)
                self.change(call, other, self.existing(other, other_id), values)


def _check_needed(table: Table, row: Mapping[str, Any]) -> None:
    for name in table.needed:
        if row[name] is None:
            raise Fault(400, "0x80040200", f"Required field missing: '{name}' of {table.name}.")


def _check_customer(table: Table, row: Mapping[str, Any]) -> None:
    column = table.by_name.get("customerid")
    if column is not None and column.required == "SystemRequired" and row["customerid"] is None:
        if table.name == "incident":
            raise Fault(400, "0x80040203", "You should specify a parent contact or account.")
        raise Fault(400, "0x80040203", f"The customer of a new {table.name} is required.")
