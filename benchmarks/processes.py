"""Starts what a benchmark needs, each in its own process, and ends it by its id when the benchmark is done."""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parent.parent
LONGEST = 300  # seconds


@dataclass(frozen=True)
class Run:
    """What one run of a contender cost: seconds from the first request to the last row, and MB of memory."""

    rows: int
    seconds: float
    before: float
    peak: float
    bytes: int

    @property
    def speed(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


@functools.cache
def compiled() -> None:
    """Compile the package, as pip does when it installs; where Python may not, each process would do so anew."""
    compileall.compile_dir(ROOT / "airflow_provider_dynamics", quiet=1)


def python(*arguments: str, variables: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run Python to its end, with the package compiled and these variables, and return the last line that it prints.

    :raises SystemExit: if it fails, with what it said
    """
    compiled()
    done = subprocess.run(  # noqa: S603 - our own modules
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def run(contender: str, url: str) -> Run:
    """Run one contender once, in a process of its own."""
    return Run(**json.loads(python("-m", "benchmarks.contenders", contender, url)))


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Sequence[str]]:
    """Yield the words of the line "ready …" that a server prints; it is stopped when the block ends."""
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        words = process.stdout.readline().split() if process.stdout else []
        if words[:1] != ["ready"]:
            raise SystemExit(f"{' '.join(arguments)} did not start")
        yield words[1:]
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()


@contextlib.contextmanager
def stub() -> Iterator[str]:
    """Yield the URL of the free server."""
    with serving("benchmarks.stub") as words:
        yield words[0]


def set_rows(url: str, rows: int) -> None:
    """Tell the free server how many rows its table has."""
    _tell(f"{url}/_rows/{rows}")


def set_latency(url: str, seconds: float) -> None:
    """Tell the free server how many seconds each of its answers shall be late."""
    _tell(f"{url}/_latency/{seconds}")


def _tell(address: str) -> None:
    with urllib.request.urlopen(address, timeout=10) as reply:  # noqa: S310 - loopback
        reply.read()
