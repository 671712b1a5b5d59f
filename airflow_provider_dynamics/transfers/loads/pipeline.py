"""Batches through stages: those that ask the service several batches ahead in threads, the others one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from types import TracebackType
from typing import TYPE_CHECKING

from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage, Stages

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Pipeline"]

AHEAD = 4
"""Batches that each stretch of unordered stages works on at a time: what they wait for is the service."""


class Pipeline:
    """The stages of one pass and the threads they need; leave its `with` to end both."""

    def __init__(self, stages: Stages, *, ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(ahead, thread_name_prefix="dynamics-load")
        self._stages = stages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for stage in (*self._stages.every, *self._stages.left):
            stage.close()

    def read(self, batches: Iterable[list[LoadRow]]) -> Iterator[list[LoadRow]]:
        """Yield the batches of the input after the stages that see every row."""
        return self._through(iter(batches), self._stages.every)

    def worked(self, batches: Iterable[list[LoadRow]]) -> Iterator[list[LoadRow]]:
        """Yield batches of what is going to be sent after the other stages."""
        return self._through(iter(batches), self._stages.left)

    def _through(self, batches: Iterator[list[LoadRow]], stages: Sequence[Stage]) -> Iterator[list[LoadRow]]:
        for threads, grouped in groupby(stages, key=lambda stage: stage.asks and not stage.ordered):
            stretch = list(grouped)
            batches = self._in_threads(batches, stretch) if threads else _in_turn(batches, stretch)
        return batches

    def _in_threads(self, batches: Iterator[list[LoadRow]], stages: list[Stage]) -> Iterator[list[LoadRow]]:
        working: deque[Future[list[LoadRow]]] = deque()
        for batch in batches:
            working.append(self._pool.submit(_work, stages, batch))
            if len(working) > self._ahead:
                yield working.popleft().result()
        while working:
            yield working.popleft().result()


def _in_turn(batches: Iterator[list[LoadRow]], stages: list[Stage]) -> Iterator[list[LoadRow]]:
    for batch in batches:
        yield _work(stages, batch)


def _work(stages: list[Stage], batch: list[LoadRow]) -> list[LoadRow]:
    for stage in stages:
        stage(batch)
    return batch
