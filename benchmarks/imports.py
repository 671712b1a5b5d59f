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
    """Import `modules` and print how long that took."""
    started = time.process_time()
    for module in modules:
        importlib.import_module(module)
    print((time.process_time() - started) * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
