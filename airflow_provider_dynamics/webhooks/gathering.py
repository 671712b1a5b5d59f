"""Posts that come at the same time are written down together: a burst of them costs a few transactions, not one each.

Each waits until its transaction has ended, so that no answer comes before what was posted is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

__all__ = ["Gathering", "TooMany"]

T = TypeVar("T")
R = TypeVar("R")


class TooMany(Exception):
    """More is waiting than will be written down in time."""


class Gathering(Generic[T, R]):
    """Gives a function, which runs on a thread, what has come while it was running. For one event loop.

    `do` returns one result for each of its things, in their order; what it raises, all of them raise.
    """

    def __init__(
        self,
        do: Callable[[Sequence[T]], Sequence[R]],
        executor: Executor,
        *,
        at_once: int = 250,
        at_most: int = 5_000,
    ) -> None:
        self._do, self._executor = do, executor
        self._at_once, self._at_most = at_once, at_most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def done(self, thing: T) -> R:
        """Return what came of a thing when it is done; raises TooMany, and what `do` raises."""
        if len(self._waiting) >= self._at_most:
            raise TooMany
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, result))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await result

    async def _run(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
            await self._run_one([thing for thing, _ in now], [result for _, result in now])

    async def _run_one(self, things: list[T], results: list[asyncio.Future[R]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._executor, self._do, things)
        except BaseException as error:  # the loop must go on, and nobody wait for ever
            for result in results:
                if not result.done():
                    result.set_exception(error if isinstance(error, Exception) else TooMany())
            if not isinstance(error, Exception):
                raise
            return
        for result, one in zip(results, found, strict=True):
            if not result.done():  # whoever waited may have gone
                result.set_result(one)
