"""Change tracking: a first full read that ends in a delta link, then changes and deletions since a token.

A token is the database's version number and the server's time in US format. Rows come in their latest state
in the order they changed, deletions after them; a row created and deleted in between is still a deletion.
https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

import msgspec
import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import MAX_PAGE, Call, plain, reply
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.options import check_options, odata_fault, parse_select
from airflow_provider_dynamics.emulator.querying.paging import (
    Sorted,
    after,
    primary_order,
    read_token,
    write_token,
)
from airflow_provider_dynamics.emulator.querying.projection import Projection
from airflow_provider_dynamics.emulator.querying.query import (
    Cut,
    context_of,
    finished_rows,
    next_link,
    page_body,
)
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.storage import DELETED, SQL
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults

DEFAULT_DAYS = 7
_TOKEN = re.compile(r"([0-9]{1,18})!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)")
_FORMAT = "%m/%d/%Y %H:%M:%S"
_REFUSED = ("$filter", "$orderby", "$expand", "$top", "$count")
_CHANGE = Column("version", "Version", "BigInt", "Version")


class Changes:
    """Answers reads with ``Prefer: odata.track-changes`` or ``$deltatoken``."""

    def __init__(self, store: Store, faults: DataFaults) -> None:
        self._store = store
        self._faults = faults
        self._oldest: dict[str, int] = {}  # the oldest version of a token that is still good, by table

    def expire(self, table: Table | None = None) -> None:
        """No token handed out so far is good any more, for one table (as after a change of its columns) or for all."""
        for name in TABLES if table is None else (table.name,):
            self._oldest[name] = self._store.version + 1
        with self._store.transaction():
            self._store.next_version()

    def forget(self) -> None:
        """Start anew: the store was emptied."""
        self._oldest.clear()

    def read(self, call: Call, table: Table) -> Response:
        """A page of the first full read, or of what happened since the token."""
        self._check(call, table)
        since = self._since(call, table)
        return self._first(call, table) if since is None else self._later(call, table, since)

    def count(self, call: Call, table: Table) -> Response:
        """How many rows changed or were deleted since the token."""
        self._check(call, table)
        since = self._since(call, table) or 0
        sql = SQL[table.name]
        changed = self._store.one(
            sa.select(sa.func.count()).select_from(sql).where(sql.c.versionnumber > since)
        )
        gone = self._store.one(
            sa.select(sa.func.count())
            .select_from(DELETED)
            .where(*_deleted(table, since, self._store.version))
        )
        return plain(str((changed or (0,))[0] + (gone or (0,))[0]))

    def _check(self, call: Call, table: Table) -> None:
        check_options(call.options)
        if not table.change_tracking:
            raise Fault(400, "0x80072491", f"Change tracking is not enabled for entity {table.name}.")
        for name in _REFUSED:
            if name in call.options:
                raise odata_fault(
                    f'The "{name}" query parameter isn\'t supported when Change Tracking is enabled.'
                )

    def _since(self, call: Call, table: Table) -> int | None:
        text = call.options.get("$deltatoken")
        if text is None:
            return None
        match = _TOKEN.fullmatch(text) or _TOKEN.fullmatch(unquote(text))
        if match is None:
            raise _malformed()
        version, made = int(match[1]), _moment(match[2])
        too_old = call.now - made > timedelta(days=self._days())
        oldest = self._oldest.get(table.name, 0)
        if self._faults.expired_delta or too_old or not oldest <= version <= self._store.version:
            raise Fault(
                400,
                "0x80044352",
                "Version stamp associated with the client has expired. Please perform a full sync.",
            )
        return version

    def _days(self) -> int:
        found = self._store.one(sa.select(SQL["organization"].c.expirechangetrackingindays))
        return DEFAULT_DAYS if found is None or found[0] is None else int(found[0])

    def _first(self, call: Call, table: Table) -> Response:
        order = [primary_order(table, SQL[table.name])]
        text = call.options.get("$skiptoken")
        token = read_token(text, order) if text is not None else None
        until = token.number("until") if token else self._store.version
        conditions = [after(order, token.last)] if token else []
        size = self._size(call)
        rows, keys = self._rows(call, table, order, conditions, size + 1)
        envelope = {"@odata.context": call.context(context_of(call, table.set_name, ()))}
        if len(rows) > size:
            page = token.page + 1 if token else 2
            made = write_token(page, order, keys[0], keys[size - 1], tracking=True, extra=f' until="{until}"')
            envelope["@odata.nextLink"] = next_link(call, made)
        else:
            envelope["@odata.deltaLink"] = self._delta_link(call, until)
        return reply(200, page_body(envelope, rows[:size]), *call.applied())

    def _size(self, call: Call) -> int:
        size = call.prefer.page_size or MAX_PAGE
        return min(size, self._faults.page_size_limit or size)

    def _rows(
        self, call: Call, table: Table, order: Sequence[Sorted], conditions: Sequence[Any], limit: int
    ) -> tuple[list[bytes], list[tuple[Any, ...]]]:
        select = parse_select(table, call.options.get("$select"))
        if select is None and not call.prefer.annotations:
            return finished_rows(self._store, Cut(table, order, conditions, limit))
        projection = Projection(table, select, call.prefer)
        places = [projection.hide(item.kept) for item in order]
        statement = sa.select(*projection.statement_columns()).where(*conditions)
        statement = statement.order_by(*(item.value for item in order)).limit(limit)
        fetched = self._store.fetch(statement)
        keys = [tuple(projection.hidden(row, place) for place in places) for row in fetched]
        return [msgspec.json.encode(row) for row in projection.rows(self._store, fetched)], keys

    def _later(self, call: Call, table: Table, since: int) -> Response:
        sql = SQL[table.name]
        order = [Sorted("version", _CHANGE, sql.c.versionnumber)]
        text = call.options.get("$skiptoken")
        token = read_token(text, order) if text is not None else None
        until = token.number("until") if token else self._store.version
        in_deletions = token is not None and token.extra.get("deletions") == "1"
        last = token.last[0] if token else since
        size = self._size(call)
        rows: list[bytes] = []
        keys: list[tuple[Any, ...]] = []
        if not in_deletions:
            between = [sql.c.versionnumber > last, sql.c.versionnumber <= until]
            rows, keys = self._rows(call, table, order, between, size + 1)
        changed = len(rows)
        if changed <= size:
            gone = self._gone(call, table, last if in_deletions else since, until, size + 1 - changed)
            rows += [row for _, row in gone]
            keys += [(version,) for version, _ in gone]
        envelope = {"@odata.context": f"{call.context(context_of(call, table.set_name, ()))}/$delta"}
        if len(rows) > size:
            page = token.page + 1 if token else 2
            deletions = in_deletions or changed < size
            end = keys[size - 1] if deletions or changed > size else (since,)
            extra = f' until="{until}" deletions="{int(deletions or changed == size)}"'
            made = write_token(page, order, keys[0], end, tracking=True, extra=extra)
            envelope["@odata.nextLink"] = next_link(call, made)
        else:
            envelope["@odata.deltaLink"] = self._delta_link(call, until)
        return reply(200, page_body(envelope, rows[:size]), *call.applied())

    def _gone(self, call: Call, table: Table, since: int, until: int, limit: int) -> list[tuple[int, bytes]]:
        statement = sa.select(DELETED.c.version, DELETED.c.row_id).where(*_deleted(table, since, until))
        context = call.context(f"{table.set_name}/$deletedEntity")
        return [
            (version, msgspec.json.encode({"@odata.context": context, "id": row_id, "reason": "deleted"}))
            for version, row_id in self._store.fetch(statement.order_by(DELETED.c.version).limit(limit))
        ]

    def _delta_link(self, call: Call, version: int) -> str:
        token = quote(f"{version}!{call.now.astimezone(timezone.utc).strftime(_FORMAT)}", safe="")
        token = re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), token)
        kept = [f"{name}={value}" for name, value in call.raw_options if unquote_plus(name) == "$select"]
        return f"{call.root}/{call.resource}?{'&'.join([*kept, f'$deltatoken={token}'])}"


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise _malformed() from error


def _malformed() -> Fault:
    return odata_fault("The delta token is malformed.")


def _deleted(table: Table, since: int, until: int) -> list[Any]:
    return [DELETED.c.table_name == table.name, DELETED.c.version > since, DELETED.c.version <= until]


def is_tracking(call: Call) -> bool:
    """Whether a read belongs here: asked for by header, by token, or by a link made here."""
    return (
        call.prefer.track_changes
        or "$deltatoken" in call.options
        or 'istracking="True"' in call.options.get("$skiptoken", "")
    )
