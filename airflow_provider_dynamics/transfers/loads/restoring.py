"""Pre-images written back, pass by pass, the last pass first: what is sent, what is left alone, what became of each row.

Deleted rows come back in two steps, since rows may point to each other: all of them first, then what had to wait.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, RowOutcome, WriteOptions
    from airflow_provider_dynamics.dataverse.loading.bulk import Operation
    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.rejects import Rejects
    from airflow_provider_dynamics.transfers.loads.undo import Noted, PreImage

__all__ = ["Restoring"]

BATCH_ROWS = 500
AHEAD = 4
"""Batches whose rows are read while earlier ones are being written."""
STATE = frozenset({"statecode", "statuscode"})
PARTITION = "partitionid"
CHANGED = "the row has been changed since the load ({}); if_changed='overwrite' puts it back all the same"
MADE = "there is a row of this id again, with other values ({}); if_changed='overwrite' puts them back all the same"
GONE = "the row is not there any more"

FATES = ("", "unchanged", "restored", "deleted", "recreated", "rejected")
_REJECTED = FATES.index("rejected")
_UNDONE: Mapping[str, tuple[Operation, str]] = {
    "update": ("update", "restored"),
    "create": ("delete", "deleted"),
    "delete": ("create", "recreated"),
}
"""By what the load did: what undoes it, and what that is called. In this order within a pass."""


@dataclass
class _Undone:
    """One image on its way back: what is sent, unless there is a reason not to."""

    image: PreImage
    sent: dict[str, Any] | None = None
    reason: str = ""


class _Fates:
    """One byte a row and load: what became of it, and whether the load made it."""

    def __init__(self) -> None:
        self._fates: dict[str, bytearray] = {}
        self._made: dict[str, bytearray] = {}
        self.counts: Counter[str] = Counter()

    def know(self, load: str, image: PreImage) -> None:
        for held in (self._fates.setdefault(load, bytearray()), self._made.setdefault(load, bytearray())):
            held.extend(bytes(max(image.number + 1 - len(held), 0)))
        if image.action == "create":
            self._made[load][image.number] = 1

    def made(self, load: str, number: int) -> bool:
        return bool(self._made[load][number])

    def rejected(self, load: str, number: int) -> bool:
        return self._fates[load][number] == _REJECTED

    def set(self, load: str, number: int, fate: str) -> None:
        """Say what became of a row; "unchanged" only counts as long as nothing else does."""
        before = FATES[self._fates[load][number]]
        if before == "rejected" or (before and fate == "unchanged"):
            return
        self._fates[load][number] = FATES.index(fate)
        self.counts[before] -= 1
        self.counts[fate] += 1


class Restoring:
    """Undoes one run of a load.

    :param options: how the writes are carried out
    :param overwrite: put back rows too that somebody has changed since
    """

    def __init__(self, client: Client, rejects: Rejects, options: WriteOptions, *, overwrite: bool) -> None:
        self._client = client
        self._rejects = rejects
        self._options = options
        self._overwrite = overwrite
        self._fates = _Fates()
        self._pending: frozenset[str] = frozenset()  # tables whose deleted rows are not all back

    def run(self, passes: Sequence[Noted]) -> None:
        """Put everything back that the passes, the last one first, have noted."""
        actions: list[set[str]] = []
        for noted in passes:
            actions.append(set())
            for image in noted.backwards():
                actions[-1].add(image.action)
                self._fates.know(noted.load, image)
        again = [noted for noted, found in zip(passes, actions, strict=True) if "delete" in found]
        for place, (noted, found) in enumerate(zip(passes, actions, strict=True)):
            if "delete" in found:
                self._pending = frozenset(one.table for one in again if one in passes[place:])
            for action in (action for action in _UNDONE if action in found):
                self._undo(noted, action, *_UNDONE[action], self._prepare)
        for noted in again:
            self._undo(noted, "delete", "update", "recreated", self._complete)

    def summary(self) -> dict[str, Any]:
        """Return how many rows there were and what became of them."""
        counted = {name: self._fates.counts[name] for name in ("restored", "deleted", "recreated")}
        counted |= {name: self._fates.counts[name] for name in ("unchanged", "rejected")}
        return {"rows": sum(counted.values()), **counted}

    def sentence(self) -> str:
        """Say the same."""
        told = self.summary()
        return (
            f"Restored {told['restored']:,}, deleted {told['deleted']:,} and created {told['recreated']:,} rows again; "
            f"{told['unchanged']:,} were as before, {told['rejected']:,} could not be put back"
        )

    # -- from the folder to the service

    def _undo(
        self,
        noted: Noted,
        action: str,
        operation: Operation,
        fate: str,
        prepare: Callable[[Noted, list[_Undone]], None],
    ) -> None:
        """Send what undoes the images of one action, the rows of some batches being read ahead."""
        waiting: deque[_Undone] = deque()

        def sent() -> Iterator[dict[str, Any]]:
            batches = _batches(
                _Undone(image)
                for image in noted.backwards(action)
                if not self._fates.rejected(noted.load, image.number)
            )
            with closing(_ahead(lambda batch: prepare(noted, batch), batches)) as prepared:
                for batch in prepared:
                    for row in batch:
                        waiting.append(row)
                        if row.sent is not None:
                            yield row.sent
                    self._settle_unsent(noted, waiting)  # where nothing is sent, nothing else would

        outcomes = self._client.bulk(
            noted.table, sent(), operation, options=self._options, derived_ids=operation == "create"
        )
        with closing(outcomes):
            for outcome in outcomes:
                self._settle_unsent(noted, waiting)
                self._settle(noted, fate, waiting.popleft(), outcome)
        self._settle_unsent(noted, waiting)

    def _settle_unsent(self, noted: Noted, waiting: deque[_Undone]) -> None:
        while waiting and waiting[0].sent is None:
            row = waiting.popleft()
            if row.reason:
                self._refuse(noted, row, row.reason)
            else:
                self._fates.set(noted.load, row.image.number, "unchanged")

    def _settle(self, noted: Noted, fate: str, row: _Undone, outcome: RowOutcome) -> None:
        from airflow_provider_dynamics.dataverse.errors import RowNotFound

        if outcome.error is None:
            self._fates.set(noted.load, row.image.number, fate)
        elif row.image.action == "create" and isinstance(outcome.error, RowNotFound):
            self._fates.set(noted.load, row.image.number, "unchanged")
        else:
            self._refuse(noted, row, outcome.error.message, outcome.error.code or None)

    def _refuse(self, noted: Noted, row: _Undone, message: str, code: str | None = None) -> None:
        from airflow_provider_dynamics.transfers.loads.row import Reject

        self._fates.set(noted.load, row.image.number, "rejected")
        self._rejects.add(
            Reject(row.image.number, None, noted.table, message, code, data={**row.image.to_json()})
        )

    # -- what is sent

    def _prepare(self, noted: Noted, batch: list[_Undone]) -> None:
        """Decide of each row what is sent, by what is stored now."""
        table = self._client.table(noted.table)
        columns, stored = _columns(table, batch), self._stored(table, batch)
        for row in batch:
            found = stored.get(row.image.number)
            if row.image.action == "delete":
                self._recreate(table, columns, row, found)
            elif found is not None:
                self._decide(table, columns, row, found)
            elif row.image.action == "update" and not self._fates.made(noted.load, row.image.number):
                row.reason = GONE

    def _decide(
        self, table: Table, columns: Mapping[str, Column], row: _Undone, stored: Mapping[str, Any]
    ) -> None:
        """Restore or delete a row that is there, unless somebody has changed it since."""
        image = row.image
        if image.action == "update" and not _differing(columns, image.before, stored):
            return
        if not self._overwrite and (names := _differing(columns, image.after, stored)):
            row.reason = CHANGED.format(", ".join(names))
            return
        named = _named(table, stored)
        row.sent = named if image.action == "create" else {**image.before, **named}

    def _recreate(
        self, table: Table, columns: Mapping[str, Column], row: _Undone, stored: Mapping[str, Any] | None
    ) -> None:
        """Create a deleted row again, without what has to wait; one that is there is looked at when all are."""
        new = self._new(columns, row.image)
        if stored is None:
            row.sent = {**new, table.primary_id: row.image.row_id}
        elif not self._overwrite and (names := _differing(columns, new, stored)):
            row.reason = MADE.format(", ".join(names))

    def _new(self, columns: Mapping[str, Column], image: PreImage) -> dict[str, Any]:
        """Return what a create takes of a row as it was: a row begins active, and points to rows that are there."""
        waits = STATE if image.before.get("statecode") else frozenset()
        return {
            name: value
            for name, value in image.before.items()
            if value is not None
            and name not in waits
            and (column := columns.get(name)) is not None
            and column.valid_for_create
            and self._pending.isdisjoint(column.navigation)
        }

    def _complete(self, noted: Noted, batch: list[_Undone]) -> None:
        """Give rows that are back what differs still: what they point to, their state, what Dynamics filled in itself."""
        table = self._client.table(noted.table)
        columns, stored = _columns(table, batch), self._stored(table, batch)
        for row in batch:
            if (found := stored.get(row.image.number)) is None:
                row.reason = "the row was created again, and is not there any more"
                continue
            before = {
                name: value
                for name, value in row.image.before.items()
                if name in columns and columns[name].valid_for_update
            }
            names = set(_differing(columns, before, found))
            if names:
                names |= STATE if names & STATE else set()
                sent = {name: value for name, value in before.items() if name in names}
                row.sent = {**sent, **_named(table, found)}

    def _stored(self, table: Table, batch: list[_Undone]) -> dict[int, dict[str, Any]]:
        """Return by number the rows as they are stored now."""
        from airflow_provider_dynamics.dataverse.rows.comparing import readable

        names = _names(batch)
        if table.elastic:
            names[PARTITION] = None
        found: dict[int, dict[str, Any]] = {}
        for key, rows in _by_key(table.primary_id, batch).items():
            values = {row.image.number: _value(row.image, key) for row in rows}
            there = self._client.find(table.logical_name, key, set(values.values()), readable(table, names))
            found |= {number: there[value][0] for number, value in values.items() if len(there[value]) == 1}
        return found


def _named(table: Table, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what finds a row that is stored."""
    names = (table.primary_id, PARTITION) if table.elastic else (table.primary_id,)
    return {name: stored[name] for name in names if stored.get(name) is not None}


def _names(batch: Iterable[_Undone]) -> dict[str, None]:
    """Return the names of all values that the images hold, in their order."""
    return dict.fromkeys(
        name for row in batch for part in (row.image.before, row.image.after) for name in part
    )


def _columns(table: Table, batch: Iterable[_Undone]) -> dict[str, Column]:
    """Return the columns of all values that the images hold."""
    from airflow_provider_dynamics.dataverse.rows.comparing import compared_columns

    return compared_columns(table, _names(batch))


def _differing(
    columns: Mapping[str, Column], values: Mapping[str, Any], stored: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the names of values that the stored row holds differently; what cannot be compared does not count."""
    from airflow_provider_dynamics.dataverse.rows.comparing import comparable, differences

    known = {
        name: value for name, value in values.items() if name in columns and comparable(columns[name], value)
    }
    return differences(columns, known, dict(stored))


def _batches(rows: Iterable[_Undone]) -> Iterator[list[_Undone]]:
    rows = iter(rows)
    return iter(lambda: list(islice(rows, BATCH_ROWS)), [])


def _ahead(
    work: Callable[[list[_Undone]], None], batches: Iterator[list[_Undone]]
) -> Generator[list[_Undone], None, None]:
    """Yield batches in their order after `work` on each, which begins with some of them early, in threads."""

    def worked(batch: list[_Undone]) -> list[_Undone]:
        work(batch)
        return batch

    working: deque[Future[list[_Undone]]] = deque()
    pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="dynamics-undo")
    try:
        for batch in batches:
            working.append(pool.submit(worked, batch))
            if len(working) > AHEAD:
                yield working.popleft().result()
        while working:
            yield working.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_key(primary_id: str, batch: Iterable[_Undone]) -> dict[tuple[str, ...], list[_Undone]]:
    """Return the rows by the columns that find them: mostly all by their id."""
    found: dict[tuple[str, ...], list[_Undone]] = {}
    for row in batch:
        found.setdefault((primary_id,) if row.image.row_id else tuple(row.image.key), []).append(row)
    return found


def _value(image: PreImage, key: Sequence[str]) -> tuple[Any, ...]:
    return (image.row_id,) if image.row_id else tuple(image.key[name] for name in key)
