"""One measured run, in a process of its own: `python -m benchmarks.contenders NAME URL` prints its figures.

Imports and the building of a client are not timed; the first request is. What every contender does with a
page is the least that makes it real: it counts the rows, or it leaves a Parquet file.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import pathlib
import sys
import tempfile
import time
import types
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.pages import SELECT, new_row

WIRE_SELECT = [f"_{name}_value" if name == "primarycontactid" else name for name in SELECT]
PAGE_SIZE = 5_000


class Token:
    """What Microsoft's SDK takes for an azure-identity credential."""

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """Return a token that no one checks."""
        from azure.core.credentials import AccessToken

        return AccessToken("stub", int(time.time()) + 3600)


def our_client(url: str) -> Any:
    """Return our client."""
    from airflow_provider_dynamics.auth import StaticToken
    from airflow_provider_dynamics.dataverse import Client

    return Client(url, StaticToken("stub"))


@contextlib.contextmanager
def microsoft_client(url: str) -> Iterator[Any]:
    """Yield Microsoft's client, led to a plain HTTP address that it would not take."""
    from PowerPlatform.Dataverse.client import DataverseClient

    with DataverseClient("https://stub.invalid", Token()) as client:
        client._base_url = url  # noqa: SLF001 - its constructor insists on https
        yield client


def our_query() -> Any:
    """Return the query as ours."""
    from airflow_provider_dynamics.dataverse import Query

    return Query("account", select=SELECT, page_size=PAGE_SIZE)


def read_ours(url: str, _: pathlib.Path) -> Iterator[int]:
    """Client.pages, every row decoded."""
    with our_client(url) as client:
        query = our_query()
        yield 0
        yield sum(len(page.rows) for page in client.pages(query))


def lanes_read(lanes: int) -> Callable[[str, pathlib.Path], Iterator[int]]:
    """Client.lanes, every row decoded in its lane."""

    def contender(url: str, _: pathlib.Path) -> Iterator[int]:
        with our_client(url) as client:
            query = our_query()
            yield 0
            with client.lanes(query, lanes=lanes, work=lambda page: len(page.rows)) as read:
                yield sum(item.made for item in read)

    return contender


def lanes_exported(lanes: int) -> Callable[[str, pathlib.Path], Iterator[int]]:
    """Client.lanes into our Parquet writer, the costly half of which works in the lanes."""

    def contender(url: str, folder: pathlib.Path) -> Iterator[int]:
        import pyarrow.json
        import pyarrow.parquet  # noqa: F401 - imported here so that it is not timed

        from airflow_provider_dynamics import formats

        with our_client(url) as client:
            query = our_query()
            yield 0
            fields = formats.file_fields(client.table("account"), SELECT)
            with (
                formats.writer(folder / "lanes.parquet", "parquet", fields) as file,
                client.lanes(query, lanes=lanes, work=file.prepare) as read,
            ):
                for item in read:
                    file.append(item.made)
            yield file.rows

    return contender


def read_microsoft(url: str, _: pathlib.Path) -> Iterator[int]:
    """records.list_pages of Microsoft's SDK."""
    with microsoft_client(url) as client:
        yield 0
        pages = client.records.list_pages("account", select=WIRE_SELECT, page_size=PAGE_SIZE)
        yield sum(len(page) for page in pages)


def read_floor(url: str, _: pathlib.Path) -> Iterator[int]:
    """Requests and msgspec by hand: a page is fetched, then decoded."""
    import msgspec
    import requests

    with requests.Session() as session:
        yield 0
        link: str | None = f"{url}/api/data/v9.2/accounts"
        count = 0
        while link:
            page = msgspec.json.decode(session.get(link, timeout=60).content)
            count += len(page["value"])
            link = page.get("@odata.nextLink")
        yield count


def export_ours(url: str, folder: pathlib.Path) -> Iterator[int]:
    """Client.pages into our Parquet writer."""
    import pyarrow.json
    import pyarrow.parquet  # noqa: F401 - imported here so that it is not timed

    from airflow_provider_dynamics import formats

    with our_client(url) as client:
        query = our_query()
        yield 0
        table = client.table("account")
        with formats.writer(folder / "ours.parquet", "parquet", formats.file_fields(table, SELECT)) as file:
            for page in client.pages(query):
                file.write(page)
        yield file.rows


class StateStore(dict[str, Any]):
    """A state store of Airflow 3.3, in memory."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        """Keep a value, which has to be JSON."""
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        """Forget a value."""
        self.pop(key, None)


def task_context(table: Any) -> Any:
    """Return what a task with a retry finds on Airflow 3.3, so that it keeps its columns and how far it came."""
    task = types.SimpleNamespace(
        dag_id="benchmark", task_id="export", run_id="once", map_index=-1, try_number=1, max_tries=1
    )
    return {"ti": task, "task_state_store": StateStore(), "asset_state_store": {table: StateStore()}}


def stub_hook(url: str) -> Any:
    """Return a hook whose client asks the stub."""
    from airflow_provider_dynamics.hooks import DynamicsHook

    class StubHook(DynamicsHook):
        def get_conn(self, **options: Any) -> Any:
            return our_client(url)

    return StubHook()


def export_operator(url: str, folder: pathlib.Path, lanes: int | None = None) -> Iterator[int]:
    """DynamicsToObjectStorageOperator.execute, as a task runs it."""
    import pyarrow.json
    import pyarrow.parquet  # noqa: F401 - imported here so that it is not timed
    from airflow.sdk import ObjectStoragePath

    import airflow_provider_dynamics.dataverse.client
    import airflow_provider_dynamics.formats  # noqa: F401 - the same; the task imports both when it runs
    from airflow_provider_dynamics.assets import table_asset
    from airflow_provider_dynamics.transfers import DynamicsToObjectStorageOperator

    operator = DynamicsToObjectStorageOperator(
        task_id="export",
        table="account",
        select=SELECT,
        page_size=PAGE_SIZE,
        lanes=lanes,
        destination_path=ObjectStoragePath(f"file://{folder}/operator.parquet"),
        inlets=[(table := table_asset("account", url))],
    )
    operator.hook = stub_hook(url)
    context = task_context(table)
    yield 0
    yield operator.execute(context)["rows"]


def create_operator(url: str, folder: pathlib.Path, suffix: str = "ndjson") -> Iterator[int]:
    """ObjectStorageToDynamicsOperator.execute, as a task runs it, from a file of JSON lines or Parquet."""
    import msgspec
    import pyarrow.parquet  # noqa: F401 - imported here so that it is not timed
    from airflow.sdk import ObjectStoragePath

    import airflow_provider_dynamics.dataverse.client
    import airflow_provider_dynamics.formats  # noqa: F401 - the same; the task imports both when it runs
    from airflow_provider_dynamics.assets import table_asset
    from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator

    source = folder / f"rows.{suffix}"
    lines = folder / "rows.ndjson"
    with lines.open("wb") as file:
        for serial in range(told(url, "wanted")):
            file.write(msgspec.json.encode(new_row(serial)) + b"\n")
    if suffix == "parquet":
        maker = multiprocessing.get_context("spawn").Process(target=as_parquet, args=(lines, source))
        maker.start()  # a process of its own: what it needs does not count
        maker.join()
    operator = ObjectStorageToDynamicsOperator(
        task_id="load",
        table="account",
        operation="create",
        row_id_from=["accountnumber"],
        source_path=ObjectStoragePath(f"file://{source}"),
    )
    operator.hook = stub_hook(url)
    context = task_context(table_asset("account", url))
    yield 0
    yield min(operator.execute(context)["written"], told(url, "created"))


def as_parquet(lines: pathlib.Path, target: pathlib.Path) -> None:
    """Make a Parquet file of a file of JSON lines."""
    import pyarrow.json
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.json.read_json(lines), target)


def export_microsoft(url: str, folder: pathlib.Path) -> Iterator[int]:
    """records.list(…).to_dataframe().to_parquet(…) of Microsoft's SDK."""
    import pandas  # noqa: F401 - imported here so that it is not timed
    import pyarrow.parquet  # noqa: F401 - the same

    with microsoft_client(url) as client:
        yield 0
        rows = client.records.list("account", select=WIRE_SELECT, page_size=PAGE_SIZE)
        rows.to_dataframe().to_parquet(folder / "microsoft.parquet")
        yield len(rows)


def told(url: str, what: str) -> int:
    """Return a number that the server tells: "wanted" rows, or rows "created" since it was last asked."""
    with urllib.request.urlopen(f"{url}/_{what}/0", timeout=10) as reply:  # noqa: S310 - loopback
        return int(reply.read())


def new_rows(url: str) -> list[dict[str, Any]]:
    """Return as many rows to create as are wanted."""
    return [new_row(serial) for serial in range(told(url, "wanted"))]


def create_ours(url: str, _: pathlib.Path) -> Iterator[int]:
    """Client.bulk, every outcome looked at."""
    with our_client(url) as client:
        given = new_rows(url)
        yield 0
        done = sum(one.error is None for one in client.bulk("account", given, "create"))
        yield min(done, told(url, "created"))


def create_drawn(url: str, _: pathlib.Path) -> Iterator[int]:
    """Client.bulk, of rows that are made while they are written."""
    with our_client(url) as client:
        given = map(new_row, range(told(url, "wanted")))
        yield 0
        done = sum(one.error is None for one in client.bulk("account", given, "create"))
        yield min(done, told(url, "created"))


def create_microsoft(url: str, _: pathlib.Path) -> Iterator[int]:
    """records.create of Microsoft's SDK, called with 1,000 rows at a time, as its documentation advises."""
    with microsoft_client(url) as client:
        given = new_rows(url)
        yield 0
        for start in range(0, len(given), 1_000):
            client.records.create("account", given[start : start + 1_000])
        yield told(url, "created")


def create_floor(url: str, _: pathlib.Path) -> Iterator[int]:
    """Requests and msgspec by hand: 1,000 rows are encoded, then sent, one after the other."""
    import msgspec
    import requests

    kind = {"@odata.type": "Microsoft.Dynamics.CRM.account"}
    with requests.Session() as session:
        given = new_rows(url)
        yield 0
        for start in range(0, len(given), 1_000):
            body = msgspec.json.encode({"Targets": [{**kind, **row} for row in given[start : start + 1_000]]})
            address = f"{url}/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple"
            msgspec.json.decode(session.post(address, data=body, timeout=60).content)
        yield told(url, "created")


CONTENDERS: dict[str, Callable[[str, pathlib.Path], Iterator[int]]] = {
    "read-ours": read_ours,
    "read-microsoft": read_microsoft,
    "read-floor": read_floor,
    "read-lanes-1": lanes_read(1),
    "read-lanes-4": lanes_read(4),
    "read-lanes-8": lanes_read(8),
    "export-lanes-1": lanes_exported(1),
    "export-lanes-8": lanes_exported(8),
    "export-ours": export_ours,
    "export-operator": export_operator,
    "export-operator-1": partial(export_operator, lanes=1),
    "export-microsoft": export_microsoft,
    "create-ours": create_ours,
    "create-drawn": create_drawn,
    "create-operator": create_operator,
    "create-operator-parquet": partial(create_operator, suffix="parquet"),
    "create-microsoft": create_microsoft,
    "create-floor": create_floor,
}


def resident(entry: str) -> float:
    """Return VmRSS or VmHWM of this process in MB (Linux; ru_maxrss would still hold its parent's)."""
    status = pathlib.Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(entry))
    return int(line.split()[1]) / 1024


def main(name: str, url: str) -> None:
    """Run one contender and print its figures as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        run = CONTENDERS[name](url, pathlib.Path(folder))
        next(run)
        before, started = resident("VmRSS"), time.perf_counter()
        rows = next(run)
        seconds = time.perf_counter() - started
        written = sum(path.stat().st_size for path in pathlib.Path(folder).iterdir())
        figures = {
            "rows": rows,
            "seconds": seconds,
            "before": before,
            "peak": resident("VmHWM"),
            "bytes": written,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
