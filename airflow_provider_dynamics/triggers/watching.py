"""What a watcher looks for, and what every look at a table needs, by whichever means changes are found.

A look is a number of small questions, each of which takes one request on a thread: no thread is held for as long as
a large table takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_dynamics.triggers.payloads import Change, batched, change, change_event

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = [
    "IDS_AT_ONCE",
    "MAX_ASKED",
    "MODIFIED",
    "Ask",
    "Gathered",
    "Log",
    "Looks",
    "Step",
    "Watch",
    "events_of",
    "matching",
    "matching_now",
    "record_count",
]

T = TypeVar("T")

MODIFIED = "modifiedon"

IDS_AT_ONCE = 500
"""Rows asked for by their ids in one request: the address stays below what Dataverse takes."""

MAX_ASKED = 20_000
"""Changed rows of one look that are asked for with the filter; what is beyond is counted as it is."""


class Log(Protocol):
    """A trigger's logger, whoever made it."""

    def info(self, event: str, /, *values: Any) -> Any: ...

    def warning(self, event: str, /, *values: Any) -> Any: ...


class Ask(Protocol):
    """How a question is put to the client, on a thread."""

    async def __call__(self, question: Callable[[Client], T], /) -> T: ...


@dataclass(frozen=True)
class Watch:
    """What is watched: `start` is a moment as the Web API writes it, None for what changes from now on."""

    table: str
    select: tuple[str, ...] = ()
    filter: str | None = None
    start: str | None = None
    batch_size: int = 100
    max_events: int = 20

    @property
    def most_named(self) -> int:
        """Changes that the events of one look name at most."""
        return self.batch_size * self.max_events

    def changed(self, table: Table, row: Mapping[str, Any]) -> Change:
        """Return a row that was written as an event names it, with the selected columns and no others."""
        row_id = str(row[table.primary_id])
        if not self.select:
            return change(row_id, "upsert")
        return change(row_id, "upsert", {name: row.get(name) for name in table.wire_names(self.select)})

    def check(self, client: Client) -> Table:
        """Return the table, having found out whether the columns are right; raises UnknownTable, UnknownColumn."""
        table = client.table(self.table)
        table.wire_names(self.select)
        if self.start is not None:
            table.column(MODIFIED)
        return table


@dataclass(frozen=True)
class Step:
    """What one step of looking brought: the place reached, as it is stored, and events; `more`: go on at once."""

    place: dict[str, Any]
    events: Sequence[dict[str, Any]] = ()
    more: bool = False


class Looks(Protocol):
    """One means of finding what changed."""

    async def step(self, ask: Ask, reached: Mapping[str, Any] | None) -> Step:
        """Go one step on from the place reached, None at the very beginning; raises what the client raises."""


@dataclass
class Gathered:
    """The changes of one look: as many as events can name, and how many there are beyond."""

    room: int
    changes: list[Change] = field(default_factory=list)
    unnamed: int = 0

    @property
    def full(self) -> bool:
        return len(self.changes) >= self.room

    def add(self, changes: Iterable[Change]) -> None:
        """Name what there is room for, and count the rest."""
        left = iter(changes)
        self.changes += islice(left, max(self.room - len(self.changes), 0))
        self.unnamed += sum(1 for _ in left)


def events_of(
    watch: Watch, environment: str, gathered: Gathered, since: str | None, until: str | None
) -> list[dict[str, Any]]:
    """Return the events that tell of what a look has gathered; the last one counts what none of them names."""
    batches = list(batched(gathered.changes, watch.batch_size))
    told, beyond = batches[: watch.max_events], batches[watch.max_events :]
    unnamed = gathered.unnamed + sum(map(len, beyond))
    if unnamed and not told:
        told = [[]]
    counts = [len(batch) for batch in told]
    if told:
        counts[-1] += unnamed
    return [
        change_event(watch.table, environment, "poll", batch, count=count, since=since, until=until)
        for batch, count in zip(told, counts, strict=True)
    ]


async def matching(ask: Ask, watch: Watch, row_ids: Sequence[str], filter: str | None) -> dict[str, Change]:
    """Return, by their ids, which of these rows exist and match the filter, as events name them."""
    found: dict[str, Change] = {}
    for start in range(0, len(row_ids), IDS_AT_ONCE):
        part = row_ids[start : start + IDS_AT_ONCE]
        found.update(await ask(partial(matching_now, watch=watch, row_ids=part, filter=filter)))
    return {row_id: found[row_id] for row_id in row_ids if row_id in found}


def matching_now(
    client: Client, watch: Watch, row_ids: Sequence[str], filter: str | None
) -> dict[str, Change]:
    """Return, by their ids, which of at most `IDS_AT_ONCE` rows exist and match the filter, in one request."""
    from airflow_provider_dynamics.dataverse.queries.conditions import column, combined
    from airflow_provider_dynamics.dataverse.queries.query import Query

    table = client.table(watch.table)
    where = combined(column(table.primary_id).is_in(row_ids), filter)
    query = Query(watch.table, select=[table.primary_id, *watch.select], filter=where)
    return {str(row[table.primary_id]): watch.changed(table, row) for row in client.rows(query)}


def record_count(client: Client, table: str) -> int | None:
    """Return how many rows a table had up to a day ago, None where the service does not say."""
    from airflow_provider_dynamics.dataverse.errors import DataverseError

    try:
        return client.record_counts([table]).get(table)
    except DataverseError:
        return None
