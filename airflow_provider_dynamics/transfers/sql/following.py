"""One run of a table into a database: look, read, stage, apply; and again from the new place if another run came between.

No Airflow here, and nothing of one database: what a client reads on one side, an SQLAlchemy connection on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.transfers.sql.applying import Applied, Staged, Step, apply
from airflow_provider_dynamics.transfers.sql.places import CURSORS, Moved, Place, Places
from airflow_provider_dynamics.transfers.sql.staging import Stage
from airflow_provider_dynamics.transfers.sql.target import Found, Layout, Target, look, plan

if TYPE_CHECKING:
    import sqlalchemy as sa

    from airflow_provider_dynamics.dataverse.protocol.pages import Page

__all__ = ["ATTEMPTS", "Job", "Reading", "Run", "Source", "follow"]

ATTEMPTS = 3


class Reading(Protocol):
    """One reading of a table's rows or changes; a `Feed` is one."""

    @property
    def mode(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def complete(self) -> bool: ...

    @property
    def until(self) -> str | None: ...

    def pages(self) -> Iterator[Page]: ...

    def present(self) -> Iterator[str] | None: ...

    def fetch(self, row_ids: Iterable[str]) -> Iterator[Page]: ...


@dataclass(frozen=True)
class Source:
    """What is read: a table of an environment, in these columns; `start(since)` begins a reading."""

    environment: str
    table: str
    fields: tuple[Field, ...]
    start: Callable[[str | None], Reading]


@dataclass(frozen=True)
class Run:
    """How a run ended, for its summary."""

    mode: str
    reason: str
    rows: int
    applied: Applied
    layout: Layout


def _silent(*_told: Any) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Job:
    """What a run is to do; `reached` hears how many rows and pages were read, `say` what people should know.

    `policy` is "evolve", "fail" or "ignore".
    """

    source: Source
    target: Target
    policy: str
    run_id: str = ""
    reached: Callable[[int, int], Any] = _silent
    say: Callable[[str], Any] = _silent


def follow(connection: sa.Connection, job: Job) -> Run | None:
    """Bring the table up to date; None if other runs were quicker each time, and nothing of this one is kept.

    :raises FormatError: the columns, the table or what it holds do not fit
    """
    if job.target.name.lower() == CURSORS:
        raise FormatError(f"the table {CURSORS} is where places are kept: give another sql_table")
    places = Places(job.target.schema)
    places.create(connection)
    for _ in range(ATTEMPTS):
        stages: list[Stage] = []
        try:
            return _attempt(connection, places, job, stages)
        except Moved:
            job.say("The table has been written or changed meanwhile, so this run reads on from there.")
        for stage in stages:
            stage.drop()
    return None


def _attempt(connection: sa.Connection, places: Places, job: Job, stages: list[Stage]) -> Run:
    with connection.begin():
        before = places.of(connection, job.target.name)
        found = look(connection, job.target)
    if found is not None and not found.empty:
        _check_same_source(job, before)
    layout = plan(job.target, job.source.fields, found, before, policy=job.policy, dialect=connection.dialect)
    since, reason = _since(before, found, layout)
    reading = job.source.start(since)
    staged = _stage(connection, job, layout, reading, stages)
    after = Place(
        job.source.environment,
        job.source.table,
        layout.fields,
        tuple(one.name for one in layout.read),
        reading.until,
        reading.mode,
        job.run_id,
    )
    applied = apply(connection, places, job.target, Step(layout, staged, before, after, found))
    return Run(reading.mode, reading.reason or reason, staged.rows.rows, applied, layout)


def _check_same_source(job: Job, place: Place | None) -> None:
    if place is None or (place.environment, place.table) == (job.source.environment, job.source.table):
        return
    raise FormatError(
        f"the table {job.target} holds rows of {place.table} in {place.environment}, not of {job.source.table} in "
        f"{job.source.environment}: give another sql_table, or drop the table if it may be replaced"
    )


def _since(before: Place | None, found: Found | None, layout: Layout) -> tuple[str | None, str]:
    """Return where to read on from, None where every row is needed, and then why, in words.

    An empty table may have been emptied by hand to be filled anew, and costs little to read in full.
    """
    if before is None or before.link is None:
        return None, ""
    if found is None or found.empty:
        return None, "the table is empty"
    if layout.added or layout.retyped or before.read != tuple(one.name for one in layout.read):
        return None, "the columns are not those of the last run"
    return before.link, ""


def _stage(
    connection: sa.Connection, job: Job, layout: Layout, reading: Reading, stages: list[Stage]
) -> Staged:
    present = None
    row_ids = reading.present()  # before the rows: one that is made in between must not pass for gone
    if row_ids is not None:
        key = [one for one in layout.read if one.name == job.target.key]
        present = Stage(connection, key, job.target.key)
        stages.append(present)
        present.add_ids(row_ids)
        present.finish()
    rows = Stage(connection, layout.read, job.target.key)
    stages.append(rows)
    for number, page in enumerate(reading.pages(), 1):
        rows.add(page.rows)
        rows.remove([gone.row_id for gone in page.deleted])
        job.reached(rows.rows, number)
    rows.finish()
    if present is not None:
        _stage_missed(connection, job, reading, present, rows)
    return Staged(rows, present, reading.complete)


def _stage_missed(connection: sa.Connection, job: Job, reading: Reading, present: Stage, rows: Stage) -> None:
    """Read what is there and neither in the table nor in the window: it fits the filter only now, or was shared only now."""
    longest = connection.dialect.max_identifier_length
    table = job.target.table([one for one in job.source.fields if one.name == job.target.key], longest)
    for row_ids in present.beyond(table, rows):
        for page in reading.fetch(row_ids):
            rows.add(page.rows)
