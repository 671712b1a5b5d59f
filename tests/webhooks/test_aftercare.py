"""What was told is looked after every few seconds, for as long as there is something to look after."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_dynamics.webhooks.waking import Aftercare


class Checks:
    """Answers one check after another; what is an exception is raised."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.slept: list[float] = []

    def __call__(self) -> bool:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def run(self, times: int = 1) -> None:
        aftercare = Aftercare(self, ThreadPoolExecutor(1), self.sleep)
        for _ in range(times):
            aftercare.begin()
            aftercare.begin()  # while one runs, another one is not needed
            assert aftercare._running is not None
            await aftercare._running


def test_it_goes_on_until_nothing_is_left():
    checks = Checks(True, True, False)

    asyncio.run(checks.run())

    assert checks.answers == []
    assert checks.slept == [3.0, 3.0, 3.0]


def test_a_database_that_fails_is_asked_again():
    checks = Checks(True, RuntimeError("database is locked"), False)

    asyncio.run(checks.run())

    assert checks.answers == []


def test_it_begins_anew_for_what_comes_later():
    checks = Checks(False, False)

    asyncio.run(checks.run(times=2))

    assert checks.answers == []
