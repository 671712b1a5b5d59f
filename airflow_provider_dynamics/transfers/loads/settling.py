"""What became of every row, in the order of the input: written, unchanged or refused, and nothing else.

Rows are settled one after the other, so that "the first so many are settled" is all that the next try must know.
"""

from __future__ import annotations

import base64
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse.errors import RowNotFound

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import RowOutcome
    from airflow_provider_dynamics.transfers.loads.job import Step
    from airflow_provider_dynamics.transfers.loads.rejects import Rejects
    from airflow_provider_dynamics.transfers.loads.row import LoadRow, Reject

__all__ = ["Fates", "Settling", "Tally"]

WRITTEN, UNCHANGED, REJECTED = 1, 2, 3


@dataclass
class Tally:
    """How many rows of a load were read and what became of them; `existed` of the unchanged ones are an earlier try's."""

    rows: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    existed: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every row is accounted for."""
        return self.rows == self.written + self.unchanged + self.rejected

    def count(self, fate: int, by: int = 1) -> None:
        """Take rows in, or out again with a negative number."""
        if fate == WRITTEN:
            self.written += by
        elif fate == UNCHANGED:
            self.unchanged += by
        else:
            self.rejected += by


class Fates:
    """One byte a row: what a later pass must know of the earlier ones."""

    def __init__(self, packed: str | None = None) -> None:
        self._fates = bytearray(zlib.decompress(base64.b64decode(packed)) if packed else b"")

    def __len__(self) -> int:
        return len(self._fates)

    def __getitem__(self, number: int) -> int:
        return self._fates[number - 1]

    def set(self, number: int, fate: int) -> None:
        """Say what became of the row of this number; numbers come in order the first time."""
        if number > len(self._fates):
            self._fates.append(fate)
        else:
            self._fates[number - 1] = fate

    def packed(self) -> str:
        """Return all of them as text: short, since most rows share one fate."""
        return base64.b64encode(zlib.compress(bytes(self._fates))).decode()


class Settling:
    """The rows of one pass between the source and their end.

    :param fates: what became of each row, where the load has several passes
    :param reached: how many rows of this pass an earlier try has settled
    """

    def __init__(
        self,
        step: Step,
        tally: Tally,
        rejects: Rejects,
        *,
        fates: Fates | None = None,
        reached: int = 0,
        fail_at_once: bool = False,
    ) -> None:
        self._step = step
        self._tally = tally
        self._rejects = rejects
        self._fates = fates
        self._fail_at_once = fail_at_once
        self._resumed = self.reached = reached
        self._waiting: deque[LoadRow] = deque()
        self._sent = 0  # rows whose outcome has come
        self._first = step.number == 1
        self._waits = grouped(step.waits)

    # -- from the source to the service

    def selected(self, batches: Iterable[list[LoadRow]]) -> Iterator[list[LoadRow]]:
        """Yield what this pass sends of the batches: without what is settled, and without values of other passes."""
        for batch in batches:
            left = [row for row in batch if row.number > self._resumed] if self._resumed else batch
            left = self._held_back(left) if self._first else self._followed_up(left)
            if left:
                yield left

    def _held_back(self, batch: list[LoadRow]) -> list[LoadRow]:
        """Take out what later passes send; what is empty has nothing to wait for."""
        for names in self._waits:
            for row in batch:
                values = row.values
                if any(values.get(name) is not None for name in names):
                    row.waits = row.waits or {}
                    row.waits |= {name: values.pop(name) for name in names if name in values}
        return batch

    def _followed_up(self, batch: list[LoadRow]) -> list[LoadRow]:
        """Return the rows that have something for this pass, with that and what finds them."""
        columns, kept, fates = self._step.columns or frozenset(), self._step.identity, self._fates
        left = []
        for row in batch:
            if fates is not None and fates[row.number] == REJECTED:
                continue
            given = {name: value for name, value in row.values.items() if name in columns}
            if row.reject is None and all(value is None for value in given.values()):
                continue
            some = {name: value for name, value in given.items() if value is not None or "." in name}
            row.values = {name: value for name, value in row.values.items() if name in kept} | some
            left.append(row)
        return left

    def rows(self, batches: Iterable[list[LoadRow]]) -> Iterator[dict[str, Any]]:
        """Yield the values to send; whoever is not sent waits for its turn among those that are."""
        for batch in batches:
            for row in batch:
                self._waiting.append(row)
                if row.reject is None and not row.unchanged:
                    yield row.values
                elif self._fail_at_once and row.reject is not None:
                    return
            if self._waiting and not _is_sent(self._waiting[0]):
                self._settle_unsent()  # where nothing is sent, nothing else would

    # -- from the service to the tally

    def settle(self, outcome: RowOutcome) -> None:
        """Take what became of the next row that was sent.

        :raises AirflowFailException: it was refused, and the first refused row ends the load
        """
        if not _is_sent(self._waiting[0]):
            self._settle_unsent()
        row = self._waiting.popleft()
        self._sent += 1
        error = outcome.error
        if error is None:
            self._tally.existed += outcome.existed
            self._settled(row, UNCHANGED if outcome.existed else WRITTEN)
        elif self._step.operation == "delete" and isinstance(error, RowNotFound):
            self._settled(row, UNCHANGED)
        else:
            self._refuse(row, self._reject(row, error))

    def settle_late(self, outcomes: Iterable[RowOutcome]) -> None:
        """Take what became of rows on their way when the pass was broken off, as far as they follow each other and were written."""
        for outcome in outcomes:
            if outcome.index != self._sent or outcome.error is not None:
                return
            self.settle(outcome)

    def finish(self) -> None:
        """Settle what stands behind the last row that was sent."""
        self._settle_unsent()
        if self._waiting:
            raise AirflowFailException(
                f"{len(self._waiting):,} rows of {self._step.source.label} were sent to {self._step.table}, and nothing "
                "was said of them: from row "
                f"{self._waiting[0].number} on they may have been written. Load the file again."
            )

    def _settle_unsent(self) -> None:
        while self._waiting and not _is_sent(self._waiting[0]):
            row = self._waiting.popleft()
            if row.reject is None:
                self._settled(row, UNCHANGED)
            else:
                self._refuse(row, row.reject)

    def _settled(self, row: LoadRow, fate: int) -> None:
        tally = self._tally
        if self._first:
            tally.rows += 1
            tally.count(fate)
        elif fate == UNCHANGED:
            fate = self._before(row)  # nothing to change in this pass: it stays what it was
        else:
            tally.count(self._before(row), -1)
            tally.count(fate)
        if self._fates is not None:
            self._fates.set(row.number, fate)
        self.reached = row.number

    def _before(self, row: LoadRow) -> int:
        return WRITTEN if self._fates is None else self._fates[row.number]

    def _refuse(self, row: LoadRow, reject: Reject) -> None:
        if self._fail_at_once:
            raise AirflowFailException(
                f"Row {row.number} was refused: {reject.reason}. {self._tally.written} rows before it were written, rows "
                'after it may have been. Correct it and load again, or set on_row_error="collect" and a rejects_path.'
            )
        self._rejects.add(reject)
        self._settled(row, REJECTED)

    def _reject(self, row: LoadRow, error: Any) -> Reject:
        from airflow_provider_dynamics.transfers.loads.row import Reject

        return Reject.by_service(row, error, table=self._step.table, written=not self._first)


def grouped(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return names with those beside them that are parts of the same lookup: ``customerid`` and ``customerid.table``."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(name.partition(".")[0], []).append(name)
    return [tuple(group) for group in groups.values()]


def _is_sent(row: LoadRow) -> bool:
    return row.reject is None and not row.unchanged
