"""`make demo`: the round trip of `example_dags/etl_round_trip.py` through real Airflow, against the emulator.

`make airflow` is the same with Airflow's UI and the emulator left running.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.emulator import Emulator
from tests.stack import AirflowStack, DagRun

ROOT = Path(__file__).parent.parent
DAG_ID = "etl_round_trip"
BAD_ROW = {
    "number": "ERP-0013",
    "title": "A name no Dynamics account can have: " + "x" * 200,
    "turnover": "1.00",
}
INBOX_ROWS = 40
TYPES = {
    "revenue": "decimal128(38, 4)",
    "industrycode": "int32",
    "donotemail": "bool",
    "createdon": "timestamp[us, tz=UTC]",
    "primarycontactid": "string",
}


@dataclass
class Demo:
    """What the steps share. Everything is kept below `home`, which is made anew each time."""

    home: Path
    steps: ExitStack = field(default_factory=ExitStack)
    step: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def say(self, text: str) -> None:
        self.step = text
        print(f"demo: {time.monotonic() - self.started:5.0f} s  {text}", flush=True)  # noqa: T201 - a command's output

    def start(self) -> tuple[Emulator, AirflowStack]:
        shutil.rmtree(self.home, ignore_errors=True)
        self.say("starting the Dynamics emulator")
        emulator = self.steps.enter_context(Emulator(seed="sample", cert_dir=self.home / "certificates"))
        stack = AirflowStack(
            self.home / "airflow", ROOT / "example_dags", emulator.airflow_connection(), say=self.say
        )
        return emulator, self.steps.enter_context(stack)

    def round_trip(self, stack: AirflowStack, what: str) -> DagRun:
        self.say(f"running the DAG {DAG_ID}: {what}")
        run = stack.run_dag(DAG_ID, {"lake": self.lake.as_uri()})
        if run.state != "success":
            failed = [name for name, task in run.tasks().items() if task["state"] == "failed"]
            raise SystemExit(f"demo: FAILED in {', '.join(failed)}: {run.log(failed[0])[-3000:]}")
        self.say(str(run.xcom("report")))
        return run


def fill_the_inbox(inbox: Path) -> None:
    """The ERP's file: known and new account numbers, and one row Dynamics will refuse."""
    inbox.mkdir(parents=True)
    with (inbox / "accounts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["number", "title", "turnover"])
        writer.writeheader()
        for index in range(1, INBOX_ROWS + 1):
            number = f"ERP-{index:04}"
            row = {
                "number": number,
                "title": f"Customer {index} of the ERP",
                "turnover": f"{index * 1000}.50",
            }
            writer.writerow(BAD_ROW if number == BAD_ROW["number"] else row)


def work_in_dynamics(emulator: Emulator) -> None:
    """What people do between two runs: one account is new, three are renamed, two are deleted."""
    credential = ClientSecret(
        tenant_id=emulator.tenant_id,
        client_id=emulator.client_id,
        client_secret=emulator.client_secret,
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle) as client:
        client.create("account", {"name": "Signed this morning"})
        numbers = [f"ERP-{index:04}" for index in range(1, 6)]
        for number in numbers[:3]:
            client.update("account", {"accountnumber": number}, {"name": f"Renamed {number}"})
        for number in numbers[3:]:
            client.delete("account", {"accountnumber": number})


def check_the_parquet(exported: dict[str, Any], emulator: Emulator) -> None:
    """Hold the file against what the emulator has; the ERP's accounts have been written again since."""
    table = pq.read_table(exported["path"].removeprefix("file://"))
    types = {name: str(table.schema.field(name).type) for name in TYPES}
    if types != TYPES or table.num_rows != exported["rows"]:
        raise SystemExit(f"demo: FAILED, the Parquet file has {table.num_rows} rows and the types {types}")
    written = {row["accountid"]: (row["name"], row["revenue"]) for row in table.to_pylist()}
    for row in emulator.rows("account"):
        revenue = None if row["revenue"] is None else Decimal(str(row["revenue"]))
        ours = not str(row["accountnumber"]).startswith("ERP-")
        if ours and written.get(row["accountid"]) != (row["name"], revenue):
            raise SystemExit(f"demo: FAILED, {row['name']} is not in the Parquet file as it is in Dynamics")
    sample = table.select(["accountnumber", "name", "revenue", "createdon"]).slice(0, 3)
    print(sample.to_pandas().to_string(index=False))  # noqa: T201 - a command's output


def show(demo: Demo, emulator: Emulator, stack: AirflowStack) -> None:
    fill_the_inbox(demo.lake / "inbox")
    demo.round_trip(stack, "everything is new")
    demo.say("somebody works in Dynamics: 1 account created, 3 renamed, 2 deleted")
    work_in_dynamics(emulator)
    second = demo.round_trip(stack, "only what changed")
    exported, changes, load = (
        second.xcom(task) for task in ("export_accounts", "account_changes", "load_accounts")
    )
    demo.say(
        f"the rejected row: {Path(str(load['rejects_path']).removeprefix('file://')).read_text()[:300].strip()}"
    )
    check_the_parquet(exported, emulator)
    print(summary(exported, changes, load), flush=True)  # noqa: T201 - the demo's result


def summary(exported: dict[str, Any], changes: dict[str, Any], load: dict[str, Any]) -> str:
    return (
        f"demo: OK exported={exported['rows']} changed={changes['upserts']} deleted={changes['deleted']} "
        f"upserted={load['written']} rejected={load['rejected']} parquet={exported['path'].removeprefix('file://')}"
    )


def stay(demo: Demo, emulator: Emulator, stack: AirflowStack) -> None:
    demo.say(f"Airflow's UI is at {stack.url}, the emulator at {emulator.url} (CA: {emulator.ca_bundle})")
    demo.say(f'to run {DAG_ID} there yourself, set lake to "{demo.lake.as_uri()}"; Ctrl+C stops everything')
    threading.Event().wait()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="leave Airflow's UI and the emulator running")
    parser.add_argument(
        "--home", type=Path, default=ROOT / ".demo", help="where everything is kept (made anew)"
    )
    options = parser.parse_args(arguments)
    demo = Demo(options.home.resolve())
    try:
        with demo.steps:
            emulator, stack = demo.start()
            show(demo, emulator, stack)
            if options.stay:
                stay(demo, emulator, stack)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        raise SystemExit(
            f"demo: FAILED at step '{demo.step}': {error}\ndemo: logs are in {demo.home}/airflow"
        ) from error


if __name__ == "__main__":
    main(sys.argv[1:])
