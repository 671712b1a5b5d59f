"""What a try reads from, and where it keeps how far it is, for tests that break it off at any moment."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_dynamics.dataverse.queries.query import Query
from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.formats.storage import place
from airflow_provider_dynamics.state.progress import Checkpoints
from airflow_provider_dynamics.transfers.extract import Extract

FIELDS = (Field("accountid"), Field("name"), Field("revenue", "decimal", 2))


def row(number):
    return {"accountid": f"id-{number:05}", "name": f'row "{number}",\nof many', "revenue": f"{number}.25"}


def pages_of(sizes):
    """Return pages of so many rows, all rows different."""
    numbers = iter(range(sum(sizes)))
    return [[row(next(numbers)) for _ in range(size)] for size in sizes]


class Buckets(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store whose buckets have to be there, and one of which may only be read."""

    def _open(self, path, mode="rb", **options):
        bucket = path.lstrip("/").split("/")[0]
        if bucket == "missing":
            raise FileNotFoundError("The specified bucket does not exist")
        if bucket == "locked" and "w" in mode:
            raise PermissionError("Access Denied")
        if bucket == "away":
            raise ConnectionError("the storage is away")
        return super()._open(path, mode, **options)


class FakeLanes:
    """Hands out pages from a place; an error among what is to come is raised in its turn."""

    lanes = 1
    rows_expected = None

    def __init__(self, pages, position, work, broken_at, error):
        self.position = position or {"page": 0}
        self._pages, self._work = pages, work
        self._broken_at, self._error = broken_at, error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None

    def __iter__(self):
        return self

    def __next__(self):
        number = self.position["page"]
        if number == self._broken_at:
            raise self._error
        if number == len(self._pages):
            raise StopIteration
        self.position = {"page": number + 1}
        return SimpleNamespace(page=self._pages[number], made=self._work(self._pages[number]))


class FakeReader:
    """A client that reads pages from memory, and breaks before page `broken_at` with `error`."""

    environment = "https://contoso.crm.dynamics.com"
    throttled_seconds = 0.0

    def __init__(self, pages, broken_at=None, error=None):
        self.pages, self.broken_at, self.error = pages, broken_at, error
        self.positions = []

    def record_counts(self, tables):
        return {table: sum(map(len, self.pages)) for table in tables}

    def lanes(self, source, *, position, work, **options):
        self.positions.append(position)
        return FakeLanes(self.pages, position, work, self.broken_at, self.error)


class FakeStore:
    """A task's state store in memory; values go through JSON as Airflow's do."""

    def __init__(self):
        self.values = {}

    def get(self, key, default=None):
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key, value, *, retention=None):
        self.values[key] = json.dumps(value)

    def delete(self, key):
        self.values.pop(key, None)


class FileStore(FakeStore):
    """A task's state store that outlives its process."""

    def __init__(self, path):
        super().__init__()
        self._path = Path(path)
        if self._path.exists():
            self.values = json.loads(self._path.read_text())

    def set(self, key, value, *, retention=None):
        super().set(key, value)
        self._keep()

    def delete(self, key):
        super().delete(key)
        self._keep()

    def _keep(self):
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(self.values))
        unfinished.replace(self._path)


def extract(client, path, store, **options):
    """Return one try of reading accounts into a file."""
    return Extract(
        client,
        options.pop("source", Query("account", select=["name", "revenue"])),
        options.pop("fields", FIELDS),
        place(path),
        Path(str(path)).suffix[1:],
        options.pop("if_exists", "replace"),
        options.pop("checkpoints", None) or Checkpoints(store),
        key="abc",
        **{"checkpoint_seconds": 0.0, "first_try": False, **options},
    )


def ids_in(path):
    """Return the row ids of a file in their order."""
    path = Path(path)
    if path.suffix == ".parquet":
        return pq.read_table(path)["accountid"].to_pylist()
    if path.suffix == ".ndjson":
        return [json.loads(line)["accountid"] for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return [found["accountid"] for found in csv.DictReader(file)]


def expected_ids(sizes):
    return [f"id-{number:05}" for number in range(sum(sizes))]
