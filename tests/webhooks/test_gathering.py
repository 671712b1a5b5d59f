"""What comes at the same time is done together, and nobody is told of an end that has not come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_dynamics.webhooks.gathering import Gathering, TooMany


def test_what_comes_while_something_is_done_is_done_together_next():
    batches: list[list[int]] = []
    first = threading.Event()

    def do(things: Sequence[int]) -> list[int]:
        batches.append(list(things))
        first.wait(10)
        return [thing * 2 for thing in things]

    async def run() -> list[int]:
        gathering = Gathering(do, ThreadPoolExecutor(1), at_once=60)
        waiting = [asyncio.create_task(gathering.done(number)) for number in range(100)]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(gathering.done(number)) for number in range(100, 150)]
        await asyncio.sleep(0)
        first.set()
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(run()) == [number * 2 for number in range(150)]
    assert [len(batch) for batch in batches] == [60, 60, 30]


def test_what_fails_fails_for_all_that_were_in_it_and_for_nobody_after():
    def do(things: Sequence[int]) -> list[int]:
        if 0 in things:
            raise KeyError("zero")
        return list(things)

    async def run() -> None:
        gathering = Gathering(do, ThreadPoolExecutor(1))
        together = await asyncio.gather(gathering.done(0), gathering.done(1), return_exceptions=True)
        assert [type(one) for one in together] == [KeyError, KeyError]
        assert await gathering.done(2) == 2

    asyncio.run(run())


def test_somebody_who_has_gone_does_not_stop_the_others():
    go = threading.Event()

    def do(things: Sequence[int]) -> list[int]:
        go.wait(10)
        return list(things)

    async def run() -> int:
        gathering = Gathering(do, ThreadPoolExecutor(1))
        gone, stays = (asyncio.create_task(gathering.done(number)) for number in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        go.set()
        return await stays

    assert asyncio.run(run()) == 2


def test_more_than_can_be_done_in_time_is_turned_away():
    go = threading.Event()

    def do(things: Sequence[int]) -> list[int]:
        go.wait(10)
        return list(things)

    async def run() -> list[object]:
        gathering = Gathering(do, ThreadPoolExecutor(1), at_once=1, at_most=2)
        waiting = [asyncio.create_task(gathering.done(number)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await gathering.done(9)
        go.set()
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(run()) == [0, 1]


def test_the_event_loop_is_free_meanwhile():
    go = threading.Event()

    def do(things: Sequence[int]) -> list[int]:
        assert go.wait(10), "the event loop was held"
        return list(things)

    async def run() -> int:
        gathering = Gathering(do, ThreadPoolExecutor(1))
        waiting = asyncio.create_task(gathering.done(1))
        await asyncio.sleep(0.01)
        go.set()  # only a loop that is free gets here
        return await waiting

    assert asyncio.run(run()) == 1
