"""One try of a load: its passes one after the other, every row settled, a place kept to go on from.

The operators say what is loaded; how a try begins, ends well and ends badly is here, once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.retry import reason_of
from airflow_provider_dynamics.transfers.loads.journal import Reached
from airflow_provider_dynamics.transfers.loads.pipeline import Pipeline
from airflow_provider_dynamics.transfers.loads.settling import Fates, Settling, Tally
from airflow_provider_dynamics.transfers.transfer import Progress

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, RowOutcome
    from airflow_provider_dynamics.dataverse.loading.bulk import Operation
    from airflow_provider_dynamics.dataverse.rows.payloads import Blank
    from airflow_provider_dynamics.transfers.loads.job import Step
    from airflow_provider_dynamics.transfers.loads.journal import Journal
    from airflow_provider_dynamics.transfers.loads.rejects import Rejects

__all__ = ["LoadRun", "Sending"]

log = logging.getLogger(__name__)

OFTEN = 32
"""Rows between two looks at the clock."""


class Outcomes(Protocol):
    """What became of the rows that were sent, in their order; after `close`, of those too that were on their way."""

    @property
    def late(self) -> Sequence[RowOutcome]: ...

    def __iter__(self) -> Iterator[RowOutcome]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Sending:
    """How rows go out, in every pass alike; with `dry_run` none does, and all count as written that would be sent."""

    options: WriteOptions = NO_OPTIONS
    chunk_size: int | None = None
    concurrency: int | None = None
    fail_at_once: bool = False
    dry_run: bool = False


class LoadRun:
    """Carries out `steps`, the passes of one or several loads, in this order.

    Whatever is raised, the rows that were settled are known to the journal if trying again can help.
    `first_try` says that nobody can have left anything.
    """

    def __init__(
        self,
        client: Client,
        steps: Sequence[Step],
        rejects: Rejects,
        journal: Journal,
        sending: Sending,
        *,
        first_try: bool = True,
    ) -> None:
        self._client = client
        self._steps = steps
        self._rejects = rejects
        self._journal = journal
        self._sending = sending
        self._reached = self._begin(first_try=first_try)
        self.resumed_rows = sum(tally.rows for tally in self._reached.tallies.values())

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """What became of the rows so far, by load."""
        return self._reached.tallies

    def run(self) -> Mapping[str, Tally]:
        """Load everything that no earlier try has settled, and return what became of the rows, by load.

        :raises AirflowFailException: rows are not accounted for, or the first refused row ends the load
        """
        try:
            for number, step in enumerate(self._steps):
                if number >= self._reached.step:
                    self._pass(step)
                    self._reached.step, self._reached.row = number + 1, 0
                    self._keep(due=self._journal.due)
            self._check()
        except BaseException as error:
            self._failed(error)
            raise
        self._rejects.finish()
        self._journal.clear()
        return self.tallies

    def _begin(self, *, first_try: bool) -> Reached:
        """Take up what an earlier try left, if its refused rows are still there too."""
        found = None if first_try else self._journal.load()
        reached, files = found or (Reached(), ())
        if files and not self._rejects.resume(files):
            log.warning("The rows that the last try set aside are not there any more; starting over.")
            reached = Reached()
        for step in self._steps:
            reached.tallies.setdefault(step.load, Tally())
            if step.waits or step.number > 1:
                reached.fates.setdefault(step.load, Fates())
        rows = sum(tally.rows for tally in reached.tallies.values())
        if rows:
            log.info("Going on after %s rows that the last try has settled.", f"{rows:,}")
        return reached

    def _pass(self, step: Step) -> None:
        settling = Settling(
            step,
            self.tallies[step.load],
            self._rejects,
            fates=self._reached.fates.get(step.load),
            reached=self._reached.row,
            fail_at_once=self._sending.fail_at_once,
        )
        with Pipeline(step.stages()) as pipeline, self._watched(step, settling) as progress:
            batches = pipeline.worked(settling.selected(pipeline.read(step.source.batches())))
            outcomes = self._sent(step, settling.rows(batches))
            try:
                for number, outcome in enumerate(outcomes, 1):
                    settling.settle(outcome)
                    if number % OFTEN == 0:
                        progress.reached(settling.reached)
                        self._keep(settling, due=self._journal.due)
            finally:
                outcomes.close()  # when a row ends the task, nothing more is sent
                settling.settle_late(outcomes.late)
            settling.finish()

    def _sent(self, step: Step, rows: Iterable[dict[str, Any]]) -> Outcomes:
        if self._sending.dry_run:
            return Unsent(rows)
        sending = self._sending
        return self._client.bulk(
            step.table,
            rows,
            operation=cast("Operation", step.operation),  # TableLoad has checked both
            key=step.key or None,
            chunk_size=sending.chunk_size,
            concurrency=sending.concurrency,
            options=sending.options,
            blank=cast("Blank", step.blank),
            derived_ids=step.derived_ids,
        )

    @contextmanager
    def _watched(self, step: Step, settling: Settling) -> Iterator[Progress]:
        """Say how far a pass is, and let the journal know of it when it ends in the middle."""
        text = f"Sent %d rows to {step.table}" + (f" for the pass {step.number}" if step.number > 1 else "")
        progress = Progress(log, text, client=self._client, already=settling.reached)
        try:
            with progress:
                yield progress
        except BaseException:
            self._reached.row = settling.reached
            log.warning("Stopped: %s.", sentence(self.tallies[step.load], step.table))
            raise

    def _keep(self, settling: Settling | None = None, *, due: bool = True) -> None:
        if settling is not None:
            self._reached.row = settling.reached
        if due:
            self._journal.save(self._reached, self._rejects.complete())

    def _check(self) -> None:
        for load, tally in self.tallies.items():
            if not tally.adds_up:
                raise AirflowFailException(
                    f"Not every row of {load} is accounted for: {tally.rows:,} were read, {tally.written:,} written, "
                    f"{tally.unchanged:,} unchanged and {tally.rejected:,} refused. This is a mistake of the provider, not of "
                    "your data: please report it."
                )

    def _failed(self, error: BaseException) -> None:
        """Keep what can be kept for the next try; what goes wrong here must not hide `error`."""
        try:
            if self._journal.kept and not _hopeless(error):
                self._keep()
            else:
                self._rejects.abandon()
                self._journal.clear()
        except Exception as another:  # noqa: BLE001  # whatever the storage or Airflow's database says
            log.warning("How far this try came could not be kept (%s).", another)


def sentence(tally: Tally, table: str) -> str:
    """Say what became of a load's rows."""
    more = f", {tally.unchanged:,} were unchanged" if tally.unchanged else ""
    return (
        f"Wrote {tally.written:,} of {tally.rows:,} rows into {table}{more}, {tally.rejected:,} were refused"
    )


class Unsent:
    """Outcomes of rows that a dry run does not send."""

    late: Sequence[RowOutcome] = ()

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[RowOutcome]:
        from airflow_provider_dynamics.dataverse import RowOutcome

        return (RowOutcome(index) for index, _ in enumerate(self._rows))

    def close(self) -> None:
        """Do nothing: nothing is on its way."""


def _hopeless(error: BaseException) -> bool:
    """Say whether trying the same again cannot help."""
    reason = reason_of(error)
    return isinstance(error, AirflowFailException) or (reason is not None and not reason.retryable)
