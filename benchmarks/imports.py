"""What the parsing of a DAG pays for importing a provider: `python -m benchmarks.imports MODULE…` prints milliseconds.

Airflow's own SDK is loaded first, because every DAG file loads it anyway. Processor time is counted, which is
what an import takes once its files are in the disk cache, and which other processes disturb less than the
clock.
"""

from __future__ import annotations

import importlib
import sys
import time

import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, ObjectStoragePath

LOADED = (airflow.sdk, BaseHook, BaseOperator, BaseSensorOperator, ObjectStoragePath)  # its names load lazily


def main(*modules: str) -> None:
    """Import `modules`, with all names that they offer or those after a colon, and print how long that took."""
    started = time.process_time()
    for wanted in modules:
        name, _, names = wanted.partition(":")
        module = importlib.import_module(name)
        for offered in names.split(",") if names else getattr(module, "__all__", ()):
            getattr(module, offered)  # some are imported when they are asked for
    print((time.process_time() - started) * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
