"""What a run adds to the usual stages of its passes: comparing with what is stored, the plan, the pre-images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.transfers.loads.passes import Pass
    from airflow_provider_dynamics.transfers.loads.plan import Plan
    from airflow_provider_dynamics.transfers.loads.preparing import Prepared
    from airflow_provider_dynamics.transfers.loads.row import Stage
    from airflow_provider_dynamics.transfers.loads.undo import UndoFolder

__all__ = ["Added"]


@dataclass(frozen=True)
class Added:
    """Makes the stages behind the usual ones; none where nothing of this is asked for.

    :param plan: where a dry run says what it found; None for a run that writes
    :param skip_unchanged: rows that Dynamics has already are not sent
    :param undo: where the rows are kept as they were
    :param attempt: which try of the task this is, from 1
    """

    client: Client
    plan: Plan | None = None
    skip_unchanged: bool = False
    undo: UndoFolder | None = None
    attempt: int = 1

    @property
    def compares(self) -> bool:
        """Whether stored rows are read."""
        return self.plan is not None or self.skip_unchanged or self.undo is not None

    def stages(self, prepared: Prepared, one: Pass, number: int) -> Callable[[], Sequence[Stage]]:
        """Return what makes the stages of a pass, which is the step of this number, from 0."""
        if self.undo is not None and one.operation == "delete":
            return lambda: self._stages(prepared, one, number)[:1] if self.skip_unchanged else ()
        return lambda: self._stages(prepared, one, number) if self.compares else ()

    def note_deletions(self, passes: Sequence[tuple[Prepared, Pass]]) -> None:
        """Store all rows that will be deleted, before the first is: Dynamics deletes and empties others along with them."""
        from airflow_provider_dynamics.transfers.loads.pipeline import Pipeline

        for number, (prepared, one) in enumerate(passes):
            if self.undo is None or one.operation != "delete":
                continue
            step = prepared.step(one, partial(self._stages, prepared, one, number))
            with Pipeline(step.stages()) as pipeline:
                deque(pipeline.worked(pipeline.read(step.source.batches())), maxlen=0)

    def _stages(self, prepared: Prepared, one: Pass, number: int) -> Sequence[Stage]:
        from airflow_provider_dynamics.transfers.loads.comparing import Comparing
        from airflow_provider_dynamics.transfers.loads.plan import Planning
        from airflow_provider_dynamics.transfers.loads.undo import PreImages

        table, key = prepared.table, prepared.key
        comparing = Comparing(
            *(self.client, table, one.operation, key, prepared.identity),
            skip_unchanged=self.skip_unchanged,
            whole=self.undo is not None and (one.operation == "delete" or table.elastic),
            skip_blank=prepared.load.blank == "skip",
            unique=_unique(prepared, one) if self.plan is not None else (),
        )
        if self.plan is not None:
            return comparing, Planning(
                self.plan, prepared.name, table, first=one.number == 1, derived_ids=prepared.makes_ids
            )
        if self.undo is None:
            return (comparing,)
        kept = PreImages(
            *(self.client, self.undo, table, key), load=prepared.name, attempt=self.attempt, step=number
        )
        return comparing, kept


def _unique(prepared: Prepared, one: Pass) -> list[tuple[str, ...]]:
    """Return the alternate keys that a row to be created may not share with another."""
    if one.operation != "create":
        return []
    keys = [key.columns for key in prepared.table.keys if key.status == "Active"]
    return [key for key in keys if set(key).issubset(prepared.columns)]
