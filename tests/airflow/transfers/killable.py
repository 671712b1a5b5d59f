"""A worker that can be killed: forks a process for every try of a run, and says how each one ended.

Started by the test as a process of its own, without threads, so that forking is safe: one JSON command a line comes in,
one exit status a line goes out.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.formats import file_fields
from airflow_provider_dynamics.formats.storage import Place
from airflow_provider_dynamics.state import CursorKey, CursorStore
from airflow_provider_dynamics.transfers.following import Following, keys_folder
from tests.airflow.transfers.followed import START


class FileStore:
    """What Airflow's database would keep: each value is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, default: Any = None) -> Any:
        file = self.folder / key
        return json.loads(file.read_text()) if file.exists() else default

    def set(self, key: str, value: Any) -> None:
        unfinished = self.folder / f"{key}.{os.getpid()}"
        unfinished.write_text(json.dumps(value))
        unfinished.replace(self.folder / key)


def work(emulator: dict[str, str], asked: dict[str, Any]) -> None:
    """Do one try of a run."""
    secret = ClientSecret(
        *(emulator["tenant"], emulator["client"], emulator["secret"]),
        authority=Authority(url=emulator["url"]),
    )
    folder, table = Path(asked["folder"]), asked["table"]
    name = f"{asked['number']:04}" if asked["output"] == "changes" else "snapshot"
    path = folder / f"{name}.{asked['file_format']}"
    with Client(emulator["url"], secret, ca_bundle=emulator["ca"]) as client:
        described = client.table(table)
        select = [described.primary_name or ""]
        key = CursorKey("dag", "task", -1, emulator["url"], table, tuple(select), asked["output"])
        Following(
            feed=lambda since: client.feed(table, select, since, page_size=3),
            primary_id=described.primary_id,
            fields=file_fields(described, select),
            new_columns=(),
            cursors=CursorStore(FileStore(Path(asked["store"])), key),
            run_id=f"run {asked['number']}",
            order=(START + timedelta(hours=asked["number"])).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            path=path,
            place=Place(None, str(path), str(path)),
            file_format=asked["file_format"],
            if_exists="replace",
            output=asked["output"],
            keys=keys_folder(str(path), table, "dag", "task") if asked["output"] == "changes" else None,
            keys_fixed=False,
            keys_at=lambda text: Place(None, text, text),
        ).run()


def killed_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    for module in ("msal", "pyarrow.json", "pyarrow.parquet", "requests"):
        importlib.import_module(module)  # here once, or every process would spend its life on it
    emulator = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        asked = json.loads(line)
        process = os.fork()
        if process == 0:
            if asked["kill"] is not None:
                threading.Thread(target=killed_after, args=(asked["kill"],), daemon=True).start()
            try:
                work(emulator, asked)
            except BaseException as error:  # noqa: BLE001 - the child must not come back into this loop
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
