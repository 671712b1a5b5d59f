"""Batches through stages: in order where it matters, several at a time where they wait for the service."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_dynamics.transfers.loads.pipeline import AHEAD, Pipeline
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage, Stages


def batches(count):
    return [[LoadRow(number, None, {}, {})] for number in range(1, count + 1)]


def through(stages, given):
    with Pipeline(Stages(left=stages)) as pipeline:
        return [row.number for batch in pipeline.worked(given) for row in batch]


class InOrder(Stage):
    ordered = True

    def __init__(self):
        self.seen = []
        self.closed = 0

    def __call__(self, batch):
        self.seen.extend(row.number for row in batch)

    def close(self):
        self.closed += 1


class Together(Stage):
    """Goes on only once so many batches were in it at a time."""

    def __init__(self, parties):
        self.missing = threading.Semaphore(parties - 1)
        self.met = threading.Event()

    def __call__(self, batch):
        if not self.missing.acquire(blocking=False):
            self.met.set()
        assert self.met.wait(10)


def test_batches_leave_in_their_order_whatever_the_stages():
    first, last = InOrder(), InOrder()

    assert through([first, Together(2), last], batches(20)) == list(range(1, 21))
    assert first.seen == last.seen == list(range(1, 21))


def test_unordered_stages_work_on_several_batches_at_a_time():
    assert through([Together(AHEAD)], batches(2 * AHEAD)) == list(range(1, 2 * AHEAD + 1))


def test_no_more_batches_are_read_ahead_than_are_worked_on():
    read = []

    def given():
        for batch in batches(100):
            read.append(batch)
            yield batch

    with Pipeline(Stages(left=[Idle()])) as pipeline:
        next(pipeline.worked(given()))
        assert len(read) <= AHEAD + 1


def test_stages_that_ask_nobody_work_in_the_thread_that_takes_the_batches():
    threads: set[threading.Thread] = set()

    class Here(Stage):
        asks = False

        def __call__(self, batch):
            threads.add(threading.current_thread())

    assert through([Here()], batches(3)) == [1, 2, 3]
    assert threads == {threading.current_thread()}


class Idle(Stage):
    def __call__(self, batch):
        """Leave the rows as they are."""


def test_what_a_stage_raises_reaches_whoever_takes_the_batches_and_the_stages_are_closed():
    class Failing(Stage):
        def __call__(self, batch):
            if batch[0].number == 3:
                raise ValueError("three")

    holding = InOrder()

    with pytest.raises(ValueError, match="three"):
        through([holding, Failing()], batches(10))

    assert holding.closed == 1


def test_without_stages_batches_pass_as_they_are():
    given = batches(3)

    with Pipeline(Stages()) as pipeline:
        assert list(pipeline.worked(pipeline.read(given))) == given
