"""A load's frame without a service: rows out of memory, a table that is a dict, refused rows in a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_dynamics.dataverse import RowOutcome, errors
from airflow_provider_dynamics.state.progress import Checkpoints
from airflow_provider_dynamics.transfers.loads.job import Step
from airflow_provider_dynamics.transfers.loads.journal import Journal
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage, Stages, open_rows
from airflow_provider_dynamics.transfers.loads.run import LoadRun, Sending

__all__ = ["Died", "Memory", "Numbers", "Refused", "Store", "Table", "Taken", "run", "step"]


class Died(BaseException):
    """The worker is no more."""


class Numbers:
    """A source of `rows`, each a dict."""

    label = "memory"
    columns = ("id", "name", "parent")

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = list(rows)
        self.fingerprint = str(self.rows)
        self.read = 0

    def batches(self, size: int = 3) -> Iterator[list[LoadRow]]:
        numbered = [LoadRow(number, None, row, {}) for number, row in enumerate(self.rows, 1)]
        for start in range(0, len(numbered), size):
            batch = numbered[start : start + size]
            self.read += len(batch)
            yield batch


class Taken(Stage):
    """Values as they are in the row; a row without a name is refused."""

    def __call__(self, batch: list[LoadRow]) -> None:
        for row in open_rows(batch):
            row.values = dict(row.raw)
            if row.raw.get("name") == "":
                row.reject = Refused(row.number, "no name")  # type: ignore[assignment]  # it stands for one


class Refused:
    """A refused row, as far as the frame looks at it."""

    def __init__(self, row: int, reason: str) -> None:
        self.row, self.reason = row, reason


class Memory:
    """Refused rows by segment, which a later try can take up again if the storage has them."""

    def __init__(self, storage: dict[str, list[int]] | None = None) -> None:
        self.storage = {} if storage is None else storage
        self.kept: list[tuple[str, int, int]] = []
        self.open: list[int] = []
        self.final: list[int] | None = None

    @property
    def count(self) -> int:
        return sum(rows for _, rows, _ in self.kept) + len(self.open)

    def resume(self, files: Iterable[tuple[str, int, int]]) -> bool:
        whole = all(name in self.storage for name, _, _ in files)
        self.kept = list(files) if whole else []
        return whole

    def add(self, reject: Any) -> None:
        self.open.append(reject.row)

    def complete(self) -> tuple[tuple[str, int, int], ...]:
        if self.open:
            name = f"segment {len(self.storage)}"
            self.storage[name] = self.open
            self.kept.append((name, len(self.open), 0))
            self.open = []
        return tuple(self.kept)

    def finish(self) -> None:
        self.final = [row for name, _, _ in self.complete() for row in self.storage[name]]

    def abandon(self) -> None:
        self.open, self.kept = [], []


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Outcomes:
    """As the client's: to be closed, with what came late."""

    def __init__(self, outcomes: Iterator[RowOutcome], late: Iterable[RowOutcome] = ()) -> None:
        self._outcomes = outcomes
        self._coming = list(late)
        self.late: list[RowOutcome] = []

    def __iter__(self) -> Iterator[RowOutcome]:
        return self._outcomes

    def close(self) -> None:
        self.late.extend(self._coming)


class Table:
    """A client whose only table is a dict by id; it can refuse names, lose answers and take the worker with it."""

    environment = "https://contoso.crm.dynamics.com"
    throttled_seconds = 0.0

    def __init__(self, *, poison: Iterable[str] = (), chunk: int = 4) -> None:
        self.rows: dict[Any, dict[str, Any]] = {}
        self.poison = frozenset(poison)
        self.chunk = chunk
        self.sent: list[Any] = []
        self.late: list[RowOutcome] = []
        self.dies_after: int | None = None
        """Chunks that are written before the worker dies, its last answer lost."""

    def bulk(self, _table: str, rows: Iterable[dict[str, Any]], **how: Any) -> Outcomes:
        return Outcomes(self._bulk(rows, how["operation"]), self.late)

    def _bulk(self, rows: Iterable[dict[str, Any]], operation: str) -> Iterator[RowOutcome]:
        chunk: list[tuple[int, dict[str, Any]]] = []
        for index, row in enumerate(rows):
            chunk.append((index, row))
            if len(chunk) == self.chunk:
                yield from self._written(chunk, operation)
                chunk = []
        yield from self._written(chunk, operation)

    def _written(self, chunk: list[tuple[int, dict[str, Any]]], operation: str) -> list[RowOutcome]:
        made = [self._one(index, row, operation) for index, row in chunk]
        if self.dies_after is not None and chunk:
            self.dies_after -= 1
            if self.dies_after < 0:
                self.dies_after = None
                raise Died
        return made

    def _one(self, index: int, row: dict[str, Any], operation: str) -> RowOutcome:
        self.sent.append(row["id"])
        if row.get("name") in self.poison:
            return RowOutcome(index, error=errors.BadRequest("Bad name", code="0x80040265"))
        if operation == "delete":
            if row["id"] not in self.rows:
                return RowOutcome(index, error=errors.RowNotFound("There is none"))
            del self.rows[row["id"]]
            return RowOutcome(index)
        self.rows.setdefault(row["id"], {}).update(row)
        return RowOutcome(index)


def step(rows: Iterable[Mapping[str, Any]] | Numbers, **members: Any) -> Step:
    source = rows if hasattr(rows, "batches") else Numbers(rows)
    return Step(
        **{
            "load": "account",
            "table": "account",
            "source": source,
            "operation": "upsert",
            "key": ("id",),
            "stages": lambda: Stages([Taken()]),
            "identity": frozenset({"id"}),
            **members,
        }
    )


def run(
    table: Table,
    *steps: Step,
    rejects: Memory | None = None,
    store: Store | None = None,
    first_try: bool = True,
    every: float = 0.0,
    **sending: Any,
) -> LoadRun:
    """Make a run; `store` is where its journal is kept, None for nowhere."""
    journal = Journal(Checkpoints(store), "this load", every=every)
    kept: Any = rejects or Memory()
    client: Any = table
    return LoadRun(client, steps, kept, journal, Sending(**sending), first_try=first_try)
