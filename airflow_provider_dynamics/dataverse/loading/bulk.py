"""Writes many rows: cut into chunks, several of them under way, each row's outcome in the order of the rows.

How large and how many the chunks are is `tuning`'s, what becomes of a chunk `chunks`'.
https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dynamics.dataverse.loading.chunks import Chunks, Result
from airflow_provider_dynamics.dataverse.loading.existing import Existing
from airflow_provider_dynamics.dataverse.loading.kept import Kept
from airflow_provider_dynamics.dataverse.loading.resolving import Resolver
from airflow_provider_dynamics.dataverse.loading.singles import Singles
from airflow_provider_dynamics.dataverse.loading.targets import (
    OPERATIONS,
    Operation,
    RowOutcome,
    Target,
    Targets,
)
from airflow_provider_dynamics.dataverse.loading.tuning import BATCH, CHUNK, ELASTIC, Pace, Tuning
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.rows.payloads import Blank, Payloads
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchSender

__all__ = ["OPERATIONS", "BulkWrite", "Operation", "RowOutcome", "ask_ahead", "bulk"]

log = logging.getLogger(__name__)

_MESSAGES = {
    "create": ("CreateMultiple",),
    "update": ("UpdateMultiple",),
    "upsert": ("UpsertMultiple", "CreateMultiple", "UpdateMultiple"),  # the first is never listed
}
_AHEAD = 4  # times as many chunks as are under way may wait for the outcome of an earlier one


def bulk(
    transport: BatchSender,
    tables: Tables,
    name: str,
    rows: Iterable[Row | str],
    operation: Operation,
    *,
    now: Callable[[], float],
    stop: Stop,
    key: Sequence[str] | None = None,
    chunk_size: int | None = None,
    concurrency: int | None = None,
    pace: Pace | None = None,
    options: WriteOptions = NO_OPTIONS,
    blank: Blank = "null",
    derived_ids: bool = False,
) -> BulkWrite:
    """Return one operation on the table of this name, at work when it is iterated; see `Client.bulk`."""
    table, listed = _asked(tables, name, _MESSAGES.get(operation, ()))
    columns = _usable(table, key)
    message = _message(table, operation, columns, listed=listed)
    size = (ELASTIC if table.elastic else CHUNK) if message else BATCH
    tuning = Tuning(size, pace or Pace(), chunk_size=chunk_size, concurrency=concurrency)
    existing = Existing(transport, tables, table, derived=derived_ids, stop=stop)
    singles = Singles(
        *(transport, tables, table, operation, existing, options, tuning, stop, Kept()),
        upserts=message == "UpsertMultiple",
    )
    targets = Targets(Payloads(tables), table, operation, key=columns, blank=blank, now=now)
    resolver = None
    if columns and message == "UpdateMultiple":
        resolver = Resolver(transport, tables, table, columns, stop)
    chunks = Chunks(singles, existing, message, resolver)
    return BulkWrite(_Work(chunks.send, tuning, stop, table.logical_name), targets.of(rows))


def ask_ahead(tables: Tables, name: str, operation: Operation) -> None:
    """Ask for what `bulk` begins with, so that it is there by then; what goes wrong is said when it is asked again."""
    try:
        _asked(tables, name, _MESSAGES.get(operation, ()))
    except Exception as error:  # noqa: BLE001 - nobody waits for this one
        log.debug("Asked ahead of writing %s, in vain: %s", name, error)


def _asked(tables: Tables, name: str, messages: Sequence[str]) -> tuple[Table, bool]:
    """Return the table and whether it has all messages that are listed, asked for at the same time."""
    listed = [message for message in messages if message != "UpsertMultiple"]
    if not listed:
        return tables.outline(name), False
    with ThreadPoolExecutor(len(listed), thread_name_prefix="dynamics-bulk-prepare") as pool:
        answers = [pool.submit(tables.accepts, name, message) for message in listed]
        table = tables.outline(name)
        return table, all(answer.result() for answer in answers)


def _usable(table: Table, key: Sequence[str] | None) -> tuple[Column, ...] | None:
    """Return the key's columns, None for the row id; raises UnknownColumn, UnknownKey."""
    names = tuple(table.column(name).name for name in key or ())
    if not names or names == (table.primary_id,):
        return None
    return tuple(table.columns[name] for name in table.key(names).columns)


def _message(table: Table, operation: Operation, key: Sequence[Column] | None, *, listed: bool) -> str | None:
    """Return the message that takes chunks, or None where rows go one by one."""
    if operation == "delete":
        return "DeleteMultiple" if table.elastic and key is None else None
    if operation == "update" and key is not None:
        listed = listed and not table.elastic and all(column.valid_for_read for column in key)
    return _MESSAGES[operation][0] if listed else None


@dataclass(eq=False)
class _Sent:
    """A chunk on its way, and what its rows are known by."""

    future: Future[Result]
    names: set[Any] = field(repr=False)


class BulkWrite(Iterable[RowOutcome]):
    """The outcomes of the rows, one each, in their order; rows are drawn as they are needed.

    Closing it, an error and a cancellation end the work: nothing more is sent, and what was on its way by
    then is waited for.
    """

    def __init__(self, work: _Work, targets: Iterable[Target]) -> None:
        self._work = work
        self._steps = work.run(targets)

    def __iter__(self) -> Iterator[RowOutcome]:
        return self._steps

    def __next__(self) -> RowOutcome:
        return next(self._steps)

    def close(self) -> None:
        """End the work; see `late`."""
        self._steps.close()

    @property
    def late(self) -> Sequence[RowOutcome]:
        """When the work ended early: the outcomes, in order, of rows that were sent and of which no outcome was read."""
        return self._work.late


class _Work:
    """The chunks under way. `BulkWrite` holds it, not the other way round: who drops that ends the work."""

    def __init__(
        self,
        send: Callable[[Sequence[Target]], Result],
        tuning: Tuning,
        stop: Stop,
        table: str,
    ) -> None:
        self._send = send
        self._tuning = tuning
        self._stop = stop
        self._table = table
        self.late: list[RowOutcome] = []
        self._window: deque[_Sent] = deque()
        self._busy: dict[Any, _Sent] = {}
        self._read: Iterator[RowOutcome] = iter(())

    def run(self, targets: Iterable[Target]) -> Generator[RowOutcome, None, None]:
        pool = ThreadPoolExecutor(self._tuning.most_at_once, thread_name_prefix="dynamics-bulk")
        try:
            for chunk, names in self._cut(targets):
                while not self._room():
                    if self._window[0].future.done():
                        yield from self._outcomes()
                self._submit(pool, chunk, names)
                if self._window[0].future.done():
                    yield from self._outcomes()
            while self._window:
                yield from self._outcomes()
        finally:
            self._leave(pool)

    def _cut(self, targets: Iterable[Target]) -> Iterator[tuple[list[Target], set[Any]]]:
        """Yield chunks with what their rows are known by, no row twice in one.

        UpdateMultiple would apply the first only, and say nothing.
        """
        chunk: list[Target] = []
        names: set[Any] = set()
        most = self._tuning.rows
        for target in targets:
            name = target.identity
            if chunk and (len(chunk) >= most or (name is not None and name in names)):
                yield chunk, names
                chunk, names, most = [], set(), self._tuning.rows
            chunk.append(target)
            if name is not None:
                names.add(name)
        if chunk:
            yield chunk, names

    def _room(self) -> bool:
        """Say whether a chunk may go; wait until that can have changed otherwise."""
        pending = [sent.future for sent in self._window if not sent.future.done()]
        width = self._tuning.width
        if len(pending) < width and len(self._window) < _AHEAD * width:
            return True
        if not self._window[0].future.done():
            wait(pending[:1] if len(pending) < width else pending, return_when=FIRST_COMPLETED)
        return False

    def _submit(self, pool: ThreadPoolExecutor, chunk: list[Target], names: set[Any]) -> None:
        """Send a chunk, as soon as earlier ones with rows of the same names are done: the last one counts."""
        wait({self._busy[name].future for name in names if name in self._busy})
        sent = _Sent(pool.submit(self._send, chunk), names)
        self._window.append(sent)
        self._busy.update(dict.fromkeys(names, sent))

    def _outcomes(self) -> Iterator[RowOutcome]:
        sent = self._window[0]
        result = sent.future.result()
        if result.error is not None:
            raise result.error
        self._window.popleft()
        for name in sent.names:
            if self._busy.get(name) is sent:
                del self._busy[name]
        self._read = iter(result.outcomes)
        yield from self._read

    def _leave(self, pool: ThreadPoolExecutor) -> None:
        self._stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        self.late.extend(self._read)
        for sent in self._window:
            if not sent.future.cancelled() and sent.future.exception() is None:
                self.late.extend(sent.future.result().outcomes)
        self._window.clear()
        if self.late:
            written = sum(one.error is None for one in self.late)
            log.warning(
                "Stopped with %d rows of %s on their way: %d were written, %d were not or may have been",
                *(len(self.late), self._table, written, len(self.late) - written),
            )
