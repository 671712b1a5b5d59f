"""`python -m benchmarks [NAME]… [--rounds N]`: prints tables of what was measured; the names are at the end of this file.

Contenders take turns (A B C A B C …), each run in a process of its own, and medians are compared, so that
what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable, Sequence

from benchmarks import budget, deferred, emulator, tokens
from benchmarks.processes import Run, python, run, set_latency, set_rows, stub

ROWS = 200_000
FAR_ROWS = 1_000_000
NEW_ROWS = 50_000
LATENCY = 0.5  # seconds
DEFERRED = (
    ("rows", 100, 20.0, 45.0),
    ("rows", 1_000, 20.0, 62.0),
    ("rows", 1_000, 60.0, 130.0),
    ("rows", 3_000, 60.0, 130.0),
    ("jobs", 1_000, 20.0, 62.0),
    ("changes", 1_000, 20.0, 62.0),
)
SIZES = (100_000, 300_000, 1_000_000)
OURS = ("operators", "sensors", "triggers", "transfers", "hooks", "assets")
OF_A_DAG = (
    "transfers:DynamicsToObjectStorageOperator,DynamicsChangesToObjectStorageOperator,ObjectStorageToDynamicsOperator",
    "operators:DynamicsQueryOperator",
    "sensors:DynamicsRowSensor",
    "assets:table_asset",
)
OTHERS = {
    "standard: operators and sensors": (
        "airflow.providers.standard.operators.python",
        "airflow.providers.standard.sensors.python",
    ),
    "common.sql: operators and sensors": (
        "airflow.providers.common.sql.operators.sql",
        "airflow.providers.common.sql.sensors.sql",
    ),
}


def read(rounds: int) -> None:
    """Rows of 40 pages, every row decoded."""
    contenders = {
        "read-ours": "Client.pages",
        "read-microsoft": "Microsoft SDK: records.list_pages",
        "read-floor": "requests + msgspec by hand, one after the other",
    }
    _race(
        f"Read {ROWS:,} rows of 14 columns", contenders, rounds, "wanted: at least 2.5 times, at most 120 MB"
    )


def lanes(rounds: int) -> None:
    """Rows of a table far away, whose every answer takes half a second; a round takes minutes."""
    contenders = {
        "read-lanes-8": "Client.lanes, 8 lanes",
        "read-lanes-4": "Client.lanes, 4 lanes",
        "read-ours": "Client.pages",
        "read-microsoft": "Microsoft SDK: records.list_pages",
    }
    for rows, times in ((FAR_ROWS, 1), (ROWS, min(rounds, 3))):
        _race(
            f"Read {rows:,} rows of 14 columns, {LATENCY} s away",
            contenders,
            times,
            f"wanted: 8 lanes at least 6 times at {FAR_ROWS:,}",
            rows=rows,
            latency=LATENCY,
        )
    contenders = {name: contenders[name] for name in ("read-lanes-8", "read-ours", "read-microsoft")}
    _race(f"Read {ROWS:,} rows of 14 columns, no latency", contenders, rounds, "wanted: no lane is slower")


def budget_used(_: int) -> None:
    """How much of what a user may ask an extract gets."""
    _used("asked for by 8 lanes", budget.measure(budget.read))


def write_budget(_: int) -> None:
    """How much of what a user may ask a load gets, of requests and of the service's time."""
    _used("asked for by a load", budget.measure(budget.write))
    seconds = budget.measure(budget.write, budget.SECONDS)
    _used("asked for by a load", seconds, f"{budget.BUDGET_SECONDS:g} s of execution")


def _used(by: str, measured: budget.Used, what: str = f"{budget.BUDGET} requests") -> None:
    print(f"\nA budget of {what} in {budget.WINDOW:g} s, {budget.WINDOWS} times, {by}")
    print(f"  {'used (wanted: at least 95 %)':70}{measured.used:10.1%}")
    print(f"  {'refused (wanted: at most 2 %)':70}{measured.refused:10.1%}")
    print(f"  {'answers of 500 and more, time-outs among them (wanted: none)':70}{measured.late:10}")
    print(f"  {'held back, s':70}{measured.held:10.1f}")


def create(rounds: int) -> None:
    """Rows of five columns, near and far away, with no knob turned; a round takes about a minute."""
    contenders = {
        "create-ours": "Client.bulk",
        "create-operator": "ObjectStorageToDynamicsOperator.execute, JSON lines",
        "create-operator-parquet": "ObjectStorageToDynamicsOperator.execute, Parquet",
        "create-microsoft": "Microsoft SDK: records.create, 1,000 rows at a time",
        "create-floor": "requests + msgspec by hand, one after the other",
    }
    for latency, wanted in ((0.0, "at least 1.8 times"), (LATENCY, "at least 10 times")):
        _race(
            f"Create {NEW_ROWS:,} rows of 5 columns, {f'{latency} s away' if latency else 'no latency'}",
            contenders,
            min(rounds, 3) if latency else rounds,
            f"wanted: {wanted}",
            rows=NEW_ROWS,
            latency=latency,
        )


def export(rounds: int) -> None:
    """Rows of 40 pages into one Parquet file."""
    contenders = {
        "export-ours": "Client.pages and formats.writer",
        "export-operator": "DynamicsToObjectStorageOperator.execute",
        "export-microsoft": "Microsoft SDK: list, to_dataframe, to_parquet",
    }
    _race(f"Export {ROWS:,} rows of 14 columns to Parquet", contenders, rounds, "wanted: at least 2.2 times")


def _race(
    title: str,
    contenders: dict[str, str],
    rounds: int,
    wanted: str,
    *,
    rows: int = ROWS,
    latency: float = 0.0,
) -> None:
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    with stub() as url:
        set_rows(url, rows)
        set_latency(url, latency)
        for _ in range(rounds):
            for name in contenders:
                runs[name].append(run(name, url))
    base = statistics.median(r.speed for name in runs if name.endswith("microsoft") for r in runs[name])
    print(f"\n{title}, {rounds} rounds ({wanted})")
    print(f"  {'':50}{'rows/s: median':>15}{'least':>10}{'most':>10}{'ratio':>8}{'peak MB':>9}")
    for name, label in contenders.items():
        speeds = [r.speed for r in runs[name]]
        median, peak = statistics.median(speeds), max(r.peak for r in runs[name])
        print(
            f"  {label:50}{median:15,.0f}{min(speeds):10,.0f}{max(speeds):10,.0f}{median / base:8.2f}{peak:9.0f}"
        )


def memory(_: int) -> None:
    """Peak memory of exports and loads of different sizes, once each."""
    print("\nMemory of an export, MB (wanted: flat, at most 250 at 1,000,000 rows, 8 lanes at most 100 more)")
    _sizes()
    with stub() as url:
        for name, label in (
            ("export-ours", "Client.pages and formats.writer"),
            ("export-lanes-1", "Client.lanes, one lane, and formats.writer"),
            ("export-lanes-8", "Client.lanes, 8 lanes, and formats.writer"),
            ("export-operator-1", "DynamicsToObjectStorageOperator.execute, lanes=1"),
            ("export-operator", "DynamicsToObjectStorageOperator.execute, 8 lanes by itself"),
        ):
            _peaks(name, label, url)
        print("\nMemory of a load, MB (wanted: flat, at most 250 at 1,000,000 rows)")
        _sizes()
        for name, label in (
            ("create-drawn", "Client.bulk"),
            ("create-operator", "ObjectStorageToDynamicsOperator.execute, JSON lines"),
            ("create-operator-parquet", "ObjectStorageToDynamicsOperator.execute, Parquet"),
        ):
            _peaks(name, label, url)


def _sizes() -> None:
    print(f"  {'':50}{'before':>10}" + "".join(f"{size:>12,}" for size in SIZES))


def _peaks(name: str, label: str, url: str) -> None:
    runs = []
    for size in SIZES:
        set_rows(url, size)
        runs.append(run(name, url))
    print(f"  {label:50}{runs[0].before:10.0f}" + "".join(f"{r.peak:12.0f}" for r in runs))
    print(f"  {'  seconds':60}" + "".join(f"{r.seconds:12.1f}" for r in runs))


def imports(rounds: int) -> None:
    """Milliseconds that importing costs a DAG file."""
    contenders = {
        "ours: export, changes, load, query, row sensor, asset": tuple(
            f"airflow_provider_dynamics.{name}" for name in OF_A_DAG
        ),
        "ours: everything": tuple(f"airflow_provider_dynamics.{name}" for name in OURS),
        **OTHERS,
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(max(rounds, 5)):
        for name, modules in contenders.items():
            times[name].append(float(python("-m", "benchmarks.imports", *modules)))
    print("\nImport after airflow.sdk, ms of processor time (wanted: at most 40 for a DAG of ours)")
    for name, measured in times.items():
        print(f"  {name:70}{statistics.median(measured):10.1f}")


def token_speed(rounds: int) -> None:
    """Asking for a token that is fresh."""
    measured = [tokens.measure() for _ in range(max(rounds, 5))]
    print("\nA token for each request, ms of processor time")
    label = f"{tokens.CALLS:,} calls of a warm get_token (wanted: at most 20)"
    print(f"  {label:70}{statistics.median(measured):10.1f}")


def emulator_speed(rounds: int) -> None:
    """The emulator by plain requests."""
    measured = [emulator.measure() for _ in range(rounds)]
    seconds, milliseconds = (statistics.median(column) for column in zip(*measured, strict=True))
    print("\nEmulator over TLS")
    print(f"  {f'reading {emulator.ROWS:,} accounts, s (wanted: at most 6)':70}{seconds:10.2f}")
    print(f"  {f'CreateMultiple of {emulator.CHUNK:,}, ms (wanted: at most 100)':70}{milliseconds:10.1f}")


def deferred_sensors(_: int) -> None:
    """What a thousand deferred sensors and more cost one triggerer; takes minutes."""
    print("\nDeferred sensors in one event loop, answers 0.1 s late")
    print("  (wanted at 1,000: the loop never blocked for 100 ms, each looked at within twice its interval)")
    titles = (
        "blocked ms",
        "stolen ms",
        "late ms",
        "99.9 %",
        "longest gap",
        "looks/s",
        "threads",
        "1 core",
        "MB",
    )
    print(f"  {'':34}" + "".join(f"{title:>13}" for title in titles))
    for kind, triggers, interval, seconds in DEFERRED:
        cost = deferred.measure(triggers, interval, seconds, kind=kind, latency=0.1)
        figures = (
            *(f"{cost.blocked * 1000:.0f}", f"{cost.stolen * 1000:.0f}", f"{cost.late * 1000:.0f}"),
            *(f"{cost.usually * 1000:.0f}", f"{cost.gap:.2f}", f"{cost.looks / seconds:.0f}"),
            *(f"{cost.threads}", f"{cost.busy:.0%}", f"{cost.memory:.0f}"),
        )
        label = f"{triggers:,} for {kind}, every {interval:g} s"
        print(f"  {label:34}" + "".join(f"{figure:>13}" for figure in figures))


BENCHMARKS: dict[str, Callable[[int], None]] = {
    "read": read,
    "lanes": lanes,
    "budget": budget_used,
    "create": create,
    "write-budget": write_budget,
    "export": export,
    "memory": memory,
    "imports": imports,
    "tokens": token_speed,
    "emulator": emulator_speed,
    "deferred": deferred_sensors,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often each contender runs (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in options.names or BENCHMARKS:
        BENCHMARKS[name](options.rounds)


if __name__ == "__main__":
    main()
