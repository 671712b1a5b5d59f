"""What a thousand deferred sensors cost a triggerer: how long they hold up its event loop, and how late each is looked at.

`python -m benchmarks.deferred KIND TRIGGERS INTERVAL SECONDS` runs them in an event loop and prints what was measured;
the kind is rows, jobs or changes. The connection comes from the environment, as in a triggerer that keeps none in
its database.
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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.processes import python, serving

TICK = 0.01  # seconds between looks at whether the event loop still turns
AS_IN_A_TRIGGERER = {"AIRFLOW__DYNAMICS__CREDENTIAL_STORE": "none"}
"""Airflow's variables would be read with its ORM here, which takes half a second to import; a triggerer asks its supervisor."""

NOTHING = "name eq 'nobody is called so'"


@dataclass(frozen=True)
class Cost:
    """What so many triggers cost for some time.

    `late` is the longest and `usually` the 999th of 1,000 waits for the event loop, in seconds; on a busy machine that is
    also what other processes took. `blocked` is the longest without the time in which a thread of this process was ready
    to run and got no processor, `stolen` what other machines took of ours during that wait. `gap` is the longest time
    that a trigger was not looked at, in its intervals. `busy` is the share of one processor, `memory` in MB.
    """

    kind: str
    triggers: int
    interval: float
    blocked: float
    stolen: float
    late: float
    usually: float
    gap: float
    looks: int
    requests: int
    clients: int
    threads: int
    busy: float
    memory: float


def measure(
    triggers: int, interval: float, seconds: float, *, kind: str = "rows", latency: float = 0.0
) -> Cost:
    """Run so many triggers of a kind against an emulator whose answers come `latency` seconds late."""
    with _connection(latency) as variables:
        arguments = (kind, str(triggers), str(interval), str(seconds))
        told = python("-m", "benchmarks.deferred", *arguments, variables=variables)
    return Cost(**json.loads(told))


@contextlib.contextmanager
def _connection(latency: float) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="deferred-") as folder:
        file = Path(folder, "env")
        command = ("airflow_provider_dynamics.emulator", "--port", "0", "--latency", str(latency))
        with serving(*command, "--env", str(file)):
            assigned = shlex.split(file.read_text())
            variables = dict(one.split("=", 1) for one in assigned if "=" in one)
            yield {**variables, **AS_IN_A_TRIGGERER}


@dataclass
class Watch:
    """Looks at the event loop, and notes when each trigger was looked at."""

    looks: dict[int, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    blocked: tuple[float, float] = (0.0, 0.0)
    clients: dict[int, Any] = field(default_factory=dict)
    threads: int = 0

    async def loop(self) -> None:
        while True:
            before, denied, stolen = time.perf_counter(), _denied(), _stolen()
            await asyncio.sleep(TICK)
            late = time.perf_counter() - before - TICK
            self.late.append(late)
            waited = sum(spent - denied.get(thread, 0) for thread, spent in _denied().items()) / 1e9
            self.blocked = max(self.blocked, (late - waited, _stolen() - stolen))
            self.threads = max(self.threads, threading.active_count())

    def over(self, number: int, trigger: Any, now: float) -> None:
        """Note when this trigger looks from `now` on, and with which client."""
        look, ask, looks = trigger.look_once, trigger.ask, self.looks.setdefault(number, [now])

        def looking() -> Any:
            looks.append(time.perf_counter())
            return look()

        def asking(question: Callable[[Any], Any]) -> Any:
            return ask(lambda client: question(self.clients.setdefault(id(client), client)))

        trigger.look_once, trigger.ask = looking, asking

    def gap(self, end: float) -> float:
        """Return the longest time between two looks at the same trigger, or before its first or after its last."""
        times = [[*looks, end] for looks in self.looks.values()]
        return max(after - before for looks in times for before, after in pairwise(looks))


def _rows(interval: float) -> Callable[[int], Any]:
    """Return what makes triggers that never find anything, no two of which ask the same."""
    from airflow_provider_dynamics.triggers import DynamicsRowTrigger

    def make(number: int) -> Any:
        wanted = f"{NOTHING} or revenue eq {number}.5"
        return DynamicsRowTrigger(table="account", filter=wanted, poll_interval=interval)

    return make


def _jobs(interval: float) -> Callable[[int], Any]:
    """Return what makes triggers for a job that is not to begin before tomorrow."""
    from airflow_provider_dynamics.dataverse import Query
    from airflow_provider_dynamics.hooks import DynamicsHook
    from airflow_provider_dynamics.triggers import DynamicsJobTrigger

    with DynamicsHook().get_conn() as client:
        tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
        job = client.jobs.start_bulk_delete(Query("account"), whole_tables=True, start_at=tomorrow)
    return lambda _: DynamicsJobTrigger(job_id=job, poll_interval=interval)


def _changes(interval: float) -> Callable[[int], Any]:
    """Return what makes triggers that look for changes of a table of which nothing changes any more."""
    from airflow_provider_dynamics.hooks import DynamicsHook
    from airflow_provider_dynamics.triggers import DynamicsChangedRowsTrigger

    with DynamicsHook().get_conn() as client:
        (*_, last) = client.changes("account", ["accountid"])
        place = {"environment": client.environment, "link": last.delta_link}
    return lambda _: DynamicsChangedRowsTrigger(table="account", place=place, poll_interval=interval)


KINDS: dict[str, Callable[[float], Callable[[int], Any]]] = {
    "rows": _rows,
    "jobs": _jobs,
    "changes": _changes,
}


async def _run(kind: str, triggers: list[Any], interval: float, seconds: float) -> Cost:
    watch = Watch()
    ticking = asyncio.ensure_future(watch.loop())
    began, used = time.perf_counter(), time.process_time()
    tasks = []
    for number, trigger in enumerate(triggers):
        watch.over(number, trigger, began)
        tasks.append(asyncio.ensure_future(anext(trigger.run())))
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([*tasks, ticking], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if done:
        raise SystemExit(f"a trigger ended: {done.pop().result()}")
    end = time.perf_counter()
    cost = Cost(
        kind=kind,
        triggers=len(triggers),
        interval=interval,
        blocked=watch.blocked[0],
        stolen=watch.blocked[1],
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


def _stolen() -> float:
    """Return for how many seconds the machine below this one has given its processors to others, in steps of 0.01.

    https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat
    """
    return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")


def _memory() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _main(kind: str, count: int, interval: float, seconds: float) -> None:
    make = KINDS[kind](interval)
    triggers = [make(number) for number in range(count)]
    print(json.dumps(asdict(asyncio.run(_run(kind, triggers, interval, seconds)))))


if __name__ == "__main__":
    named, counted, every, long = sys.argv[1:]
    _main(named, int(counted), float(every), float(long))
