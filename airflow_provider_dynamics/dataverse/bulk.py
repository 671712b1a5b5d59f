"""Writes many rows: in chunks where the table can, one by one where it cannot or where a chunk is refused.

A chunk is all or nothing on standard tables and does not say which row was at fault; sent one by one, every
row gets its own outcome. Outcomes come in the order of the rows, however many requests are under way.
https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_dynamics.dataverse import errors, odata
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.odata import Row
from airflow_provider_dynamics.dataverse.pages import decoded
from airflow_provider_dynamics.dataverse.rows import RowKey, Rows
from airflow_provider_dynamics.dataverse.tables import Column, Table, Tables
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["OPERATIONS", "Bulk", "Operation", "RowOutcome"]

log = logging.getLogger(__name__)

Operation = Literal["create", "update", "upsert", "delete"]
OPERATIONS = ("create", "update", "upsert", "delete")

_MESSAGES = {"create": "CreateMultiple", "update": "UpdateMultiple", "upsert": "UpsertMultiple"}
_CHUNK = 500  # rows; Microsoft recommends 100 to 1,000, fewer where plug-ins run
_ELASTIC_CHUNK = 100
_TURN = 25  # rows one thread sends one after the other where there are no chunks
_LARGEST_BODY = 16 * 1024 * 1024  # bytes
_REFUSED = (
    errors.BadRequest,
    errors.Conflict,
    errors.NotFound,
)  # for what the row holds, whenever it is sent


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of the row at this place of the input; `row_id` and `created` are None where the service does not say."""

    index: int
    row_id: str | None = None
    created: bool | None = None
    error: DataverseError | None = None


@dataclass(slots=True)
class _Item:
    """A row on its way: what goes into a chunk, and what it takes to send it alone."""

    index: int
    row: Row = field(default_factory=dict)
    key: RowKey | None = None
    identity: Any = None
    target: Row = field(default_factory=dict)
    row_id: str | None = None
    made_here: bool = False  # the id, by us
    error: DataverseError | None = None


class _Chunks:
    """Cuts rows into chunks; a size that proved too much is not tried again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def shrink(self, size: int) -> None:
        self.limit = max(1, min(self.limit, size))

    def of(self, items: Iterable[_Item]) -> Iterator[list[_Item]]:
        """Yield chunks in which no row comes twice: UpdateMultiple would apply the first only, and say nothing."""
        chunk: list[_Item] = []
        names: set[Any] = set()
        for item in items:
            if chunk and (len(chunk) >= self.limit or item.identity in names):
                yield chunk
                chunk, names = [], set()
            chunk.append(item)
            if item.identity is not None:
                names.add(item.identity)
        if chunk:
            yield chunk


class Bulk:
    """One operation on one table, with at most `width` requests under way."""

    def __init__(
        self,
        transport: Sender,
        tables: Tables,
        rows: Rows,
        table: Table,
        operation: Operation,
        *,
        key: Sequence[str] | None,
        chunk_size: int | None,
        width: int,
        stop: Stop,
    ) -> None:
        self._transport = transport
        self._rows = rows
        self._table = table
        self._operation = operation
        self._key = self._usable(key)
        self._type = {"@odata.type": f"Microsoft.Dynamics.CRM.{table.logical_name}"}
        self._width = width
        self._stop = stop
        self._message = self._offered(tables)
        usual = (_ELASTIC_CHUNK if table.elastic else _CHUNK) if self._message else _TURN
        self._chunks = _Chunks(min(chunk_size or usual, 1000 if self._message else _TURN))

    def run(self, rows: Iterable[Row | str]) -> Iterator[RowOutcome]:
        """Yield one outcome a row; raises what is no single row's fault, such as Forbidden or ServerError."""
        window: deque[tuple[Future[list[RowOutcome]], frozenset[Any]]] = deque()
        pool = ThreadPoolExecutor(self._width, thread_name_prefix="dynamics-bulk")
        try:
            for chunk in self._chunks.of(self._item(index, row) for index, row in enumerate(rows)):
                while len(window) > self._width or (window and window[0][0].done()):
                    yield from window.popleft()[0].result()
                names = frozenset(item.identity for item in chunk if item.identity is not None)
                wait([future for future, earlier in window if not names.isdisjoint(earlier)])
                window.append((pool.submit(self._send, chunk), names))
            while window:
                yield from window.popleft()[0].result()
        finally:
            self._leave(pool, [future for future, _ in window])

    def _leave(self, pool: ThreadPoolExecutor, left: list[Future[list[RowOutcome]]]) -> None:
        """End the threads; what is already on its way is waited for, but its outcome is lost to the caller."""
        self._stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        sent = sum(not future.cancelled() for future in left)
        if sent:
            log.warning(
                "Stopped while %d chunks of rows for %s were on their way: they may have been written",
                sent,
                self._table.logical_name,
            )

    def _usable(self, key: Sequence[str] | None) -> tuple[Column, ...] | None:
        """Return the key's columns, None for the row id; raises UnknownColumn, UnknownKey."""
        names = tuple(self._table.column(name).name for name in key or ())
        if not names or names == (self._table.primary_id,):
            return None
        return tuple(self._table.columns[name] for name in self._table.key(names).columns)

    def _offered(self, tables: Tables) -> str | None:
        """Return the message that takes chunks, or None where rows go one by one."""
        message = _MESSAGES.get(self._operation)
        if message is None or (self._operation == "update" and self._key):
            return None  # UpdateMultiple knows rows by their id only
        return message if tables.accepts(self._table, message) else None

    # -- rows into items

    def _item(self, index: int, row: Row | str) -> _Item:
        try:
            return (
                self._create_item(index, row) if self._operation == "create" else self._keyed_item(index, row)
            )
        except DataverseError as error:
            if not isinstance(error, _REFUSED):
                raise
            return _Item(index, error=error)

    def _create_item(self, index: int, row: Row | str) -> _Item:
        given = _a_dict(row)
        body, row_id = self._rows.with_id(self._table, self._rows.payload(self._table, given, creates=True))
        made_here = row_id is not None and not given.get(self._table.primary_id)
        whole = {**given, self._table.primary_id: row_id} if made_here else given
        return _Item(index, whole, target={**self._type, **body}, row_id=row_id, made_here=made_here)

    def _keyed_item(self, index: int, row: Row | str) -> _Item:
        table = self._table
        row = {table.primary_id: row} if isinstance(row, str) else _a_dict(row)
        key, identity = self._name_of(row)
        item = _Item(index, row, key, identity, row_id=None if self._key else identity)
        if self._message:
            payload = self._rows.payload(table, self._rows.body_of(table, row, key))
            item.target = {**self._type, **self._reference(key), **payload}
        return item

    def _reference(self, key: RowKey) -> Row:
        """Return the member by which a chunk's target names its row."""
        if self._key is None or not isinstance(key, Mapping):
            return {self._table.primary_id: key}
        parts = [(column.wire_name, column.type, key[column.name]) for column in self._key]
        return {"@odata.id": f"{self._table.entity_set}{odata.key_predicate(parts, in_path=False)}"}

    def _name_of(self, row: Row) -> tuple[RowKey, Any]:
        """Return the key of a row and the same in a form that tells whether two rows are one; raises BadRequest."""
        if self._key is None:
            value = row.get(self._table.primary_id)
            if value is None:
                raise errors.BadRequest(
                    f"The row has no {self._table.primary_id}",
                    remedy="Give it, or name an alternate key's columns as key.",
                )
            row_id = odata.guid(value)
            return row_id, row_id
        named = {column.name: row.get(column.name, row.get(column.wire_name)) for column in self._key}
        return named, tuple(str(value).rstrip().casefold() for value in named.values())

    # -- items into outcomes, in the pool's threads

    def _send(self, items: list[_Item]) -> list[RowOutcome]:
        sound = [item for item in items if item.error is None]
        sent = self._together(sound) if self._message else [self._alone(item) for item in sound]
        broken = [RowOutcome(item.index, error=item.error) for item in items if item.error is not None]
        return sorted([*sent, *broken], key=lambda outcome: outcome.index)

    def _together(self, items: list[_Item], *, doubtful: bool = False) -> list[RowOutcome]:
        """Send rows as one chunk. `doubtful`: an earlier request may have written some of them."""
        if len(items) < 2:
            return [self._alone(item, doubtful=doubtful) for item in items]
        try:
            request = self._chunk(items)
            response = self._transport.send(request, self._stop)
        except (errors.TooLarge, errors.ServerTimeout) as error:
            self._chunks.shrink(len(items) // 2)
            return self._halves(items, doubtful=doubtful or isinstance(error, errors.ServerTimeout))
        except _REFUSED as error:
            log.debug("A chunk of %d rows is sent again one by one: %s", len(items), error)
            if self._landed(items, error):
                return [RowOutcome(item.index, item.row_id, created=True) for item in items]
            doubtful = doubtful or error.repeated or self._table.elastic
            return [self._alone(item, doubtful=doubtful) for item in items]
        if self._operation != "create" or items[0].row_id:
            created = {"create": True, "update": False}.get(self._operation)
            return [RowOutcome(item.index, item.row_id, created) for item in items]
        ids = decoded(response, request)["Ids"]
        return [RowOutcome(item.index, row_id, created=True) for item, row_id in zip(items, ids, strict=True)]

    def _halves(self, items: list[_Item], *, doubtful: bool) -> list[RowOutcome]:
        middle = len(items) // 2
        first = self._together(items[:middle], doubtful=doubtful)
        return first + self._together(items[middle:], doubtful=doubtful)

    def _chunk(self, items: list[_Item]) -> Request:
        body = odata.encode({"Targets": [item.target for item in items]})
        target = f"{self._table.entity_set}/Microsoft.Dynamics.CRM.{self._message}"
        if len(body) > _LARGEST_BODY:
            raise errors.TooLarge(f"{len(items)} rows make {len(body):,} bytes", asked=f"POST {target}")
        known = self._operation != "create" or all(item.row_id for item in items)
        return Request("POST", target, body=body, repeatable=known)

    def _landed(self, items: list[_Item], error: DataverseError) -> bool:
        """Say whether a refused chunk had been carried out by an earlier attempt whose answer was lost.

        A chunk is one transaction, so one of its rows stands for all; only an id made here proves that it is
        this chunk's.
        """
        if self._operation != "create" or not error.repeated or self._table.elastic:
            return False
        ours = next((item.row_id for item in items if item.made_here), None)
        return ours is not None and self._rows.exists(self._table, ours)

    def _alone(self, item: _Item, *, doubtful: bool = False) -> RowOutcome:
        try:
            return self._one(item, doubtful)
        except _REFUSED as error:
            return RowOutcome(item.index, item.row_id, error=error)

    def _one(self, item: _Item, doubtful: bool) -> RowOutcome:
        rows, table, stop = self._rows, self._table, self._stop
        if item.key is None:
            row_id = rows.create(table, item.row, doubtful=doubtful, stop=stop)
            return RowOutcome(item.index, row_id, created=True)
        if self._operation == "upsert":
            done = rows.upsert(table, item.key, item.row, stop=stop)
            return RowOutcome(item.index, done.row_id, done.created)
        if self._operation == "update":
            rows.update(table, item.key, item.row, stop=stop)
        else:
            rows.delete(table, item.key, doubtful=doubtful, stop=stop)
        return RowOutcome(item.index, item.row_id, created=False)


def _a_dict(row: Row | str) -> Row:
    if not isinstance(row, Mapping):
        raise errors.BadRequest(f"A row is a dict of columns, not {type(row).__name__}")
    return dict(row)
