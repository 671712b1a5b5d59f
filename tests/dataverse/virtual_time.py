"""Time for several threads that passes only while all of them wait, so that minutes of traffic take a moment."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence

from airflow_provider_dynamics.dataverse import Clock
from airflow_provider_dynamics.dataverse.throttle import Stop


class VirtualClock(Clock):
    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.began = self.time
        self._lock = threading.Lock()
        self._awake = 0
        self._order = itertools.count()
        self._sleeping: list[tuple[float, int, threading.Event]] = []

    @property
    def passed(self) -> float:
        return self.time - self.began

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float, stop: Stop) -> None:
        stop.check()
        woken = threading.Event()
        with self._lock:
            heapq.heappush(self._sleeping, (self.time + seconds, next(self._order), woken))
            self._awake -= 1
            self._pass()
        assert woken.wait(60), "nobody lets time pass"
        stop.check()

    def hold(self, change: threading.Condition, stop: Stop) -> None:
        change.release()
        try:
            self.sleep(0.02, stop)
        finally:
            change.acquire()

    def run(self, workers: Sequence[Callable[[], None]]) -> None:
        """Run functions, each in a thread, until all have returned; raises what one of them raised."""
        failed: list[BaseException] = []
        self._awake = len(workers)
        threads = [threading.Thread(target=self._work, args=(work, failed), daemon=True) for work in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if failed:
            raise failed[0]

    def _work(self, work: Callable[[], None], failed: list[BaseException]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised again by `run`
            failed.append(error)
        with self._lock:
            self._awake -= 1
            self._pass()

    def _pass(self) -> None:
        """With everybody asleep, go on to the next moment at which one wakes."""
        while not self._awake and self._sleeping:
            self.time, _, woken = heapq.heappop(self._sleeping)
            self._awake += 1
            woken.set()
