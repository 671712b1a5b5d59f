"""What a thousand deferred sensors cost a triggerer: how long they hold up its event loop, and how late each is looked at.

`python -m benchmarks.deferred TRIGGERS INTERVAL SECONDS` runs them in an event loop and prints what was measured; the
connection comes from the environment, as in a triggerer that keeps none in its database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.processes import python, serving

TICK = 0.01  # seconds between looks at whether the event loop still turns
NOTHING = "name eq 'nobody is called so'"
JOB = "00000000-0000-0000-0000-000000000001"


@dataclass(frozen=True)
class Cost:
    """What so many triggers cost for some time.

    `late` is the longest and `usually` the 999th of 1,000 waits for the event loop, in seconds; on a busy machine that is
    also what other processes took. `blocked` is the longest without the time in which a thread of this process was ready
    to run and got no processor. `gap` is the longest time that a trigger was not looked at, in its intervals. `busy` is the
    share of one processor, `memory` in MB.
    """

    triggers: int
    interval: float
    blocked: float
    late: float
    usually: float
    gap: float
    looks: int
    requests: int
    clients: int
    threads: int
    busy: float
    memory: float


def measure(triggers: int, interval: float, seconds: float, *, latency: float = 0.0) -> Cost:
    """Run so many triggers against an emulator whose answers come `latency` seconds late."""
    with _connection(latency) as variables:
        os.environ.update(variables)
        told = python("-m", "benchmarks.deferred", str(triggers), str(interval), str(seconds))
    return Cost(**json.loads(told))


@contextlib.contextmanager
def _connection(latency: float) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="deferred-") as folder:
        file = Path(folder, "env")
        command = ("airflow_provider_dynamics.emulator", "--port", "0", "--latency", str(latency))
        with serving(*command, "--env", str(file)):
            assigned = shlex.split(file.read_text())
            yield dict(one.split("=", 1) for one in assigned if "=" in one)


@dataclass
class Watch:
    """Looks at the event loop, and notes when each trigger was looked at."""

    looks: dict[int, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    blocked: float = 0.0
    clients: dict[int, Any] = field(default_factory=dict)
    threads: int = 0

    async def loop(self) -> None:
        while True:
            before, denied = time.perf_counter(), _denied()
            await asyncio.sleep(TICK)
            late = time.perf_counter() - before - TICK
            self.late.append(late)
            waited = sum(spent - denied.get(thread, 0) for thread, spent in _denied().items()) / 1e9
            self.blocked = max(self.blocked, late - waited)
            self.threads = max(self.threads, threading.active_count())

    def look(self, number: int, look: Any, client: Any) -> Any:
        self.looks[number].append(time.perf_counter())
        self.clients[id(client)] = client
        return look(client)

    def gap(self, end: float) -> float:
        """Return the longest time between two looks at the same trigger, or before its first or after its last."""
        times = [[*looks, end] for looks in self.looks.values()]
        return max(after - before for looks in times for before, after in pairwise(looks))


def _triggers(count: int, interval: float) -> list[Any]:
    """Return triggers that never find anything, no two of which ask the same."""
    from airflow_provider_dynamics.triggers import DynamicsRowTrigger

    return [
        DynamicsRowTrigger(
            table="account", filter=f"{NOTHING} or revenue eq {number}.5", poll_interval=interval
        )
        for number in range(count)
    ]


async def _run(count: int, interval: float, seconds: float) -> Cost:
    watch = Watch()
    triggers = _triggers(count, interval)
    ticking = asyncio.ensure_future(watch.loop())
    began, used = time.perf_counter(), time.process_time()
    tasks = []
    for number, trigger in enumerate(triggers):
        watch.looks[number] = [began]
        trigger.look = partial(watch.look, number, trigger.look)
        tasks.append(asyncio.ensure_future(anext(trigger.run())))
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([*tasks, ticking], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if done:
        raise SystemExit(f"a trigger ended: {done.pop().result()}")
    end = time.perf_counter()
    cost = Cost(
        triggers=count,
        interval=interval,
        blocked=watch.blocked,
        late=max(watch.late),
        usually=statistics.quantiles(watch.late, n=1000)[-1],
        gap=watch.gap(end) / interval,
        looks=sum(len(looks) - 1 for looks in watch.looks.values()),
        requests=sum(client.requests_sent for client in watch.clients.values()),
        clients=len(watch.clients),
        threads=watch.threads,
        busy=(time.process_time() - used) / (end - began),
        memory=_memory(),
    )
    for task in [*tasks, ticking]:
        task.cancel()
    await asyncio.gather(*tasks, ticking, return_exceptions=True)
    return cost


def _denied() -> dict[str, int]:
    """Return for how many nanoseconds each thread of this process has waited for a processor so far.

    One that was ready and held Python's lock has kept the event loop waiting too.
    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    waited = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            waited[thread.name] = int((thread / "schedstat").read_text().split()[1])
    return waited


def _memory() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    counted, every, long = sys.argv[1:]
    print(json.dumps(asdict(asyncio.run(_run(int(counted), float(every), float(long))))))
